// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What may be in a bundle: one verdict per entry of an archive or a folder.
 *
 * Pure; memory for all paths is taken once, by init. Bundles may come from anywhere:
 *
 *  - paths are relative ("./" in front is fine), valid UTF-8 without control characters, without
 *    "..", at most PATH_BYTES_MAX - 1 bytes and BUNDLE_DEPTH_MAX components, each once;
 *  - what lies above a path is a folder of the bundle, never a link or a file; folders that the
 *    archive does not list are taken as mode 0755;
 *  - a symbolic link's target stays in the tree: relative ones have ".." in front only; absolute
 *    ones start at the tree's root, where the replica sees it, and must name something that the
 *    bundle has or the sandbox provides (/proc/self/..., /dev/null, /tmp, ...), except below usr/
 *    and etc/alternatives/, where packages have many that dangle;
 *  - a hard link names an earlier regular file and counts as a copy of it;
 *  - devices, FIFOs, sockets, sparse files: refused;
 *  - setuid, setgid and sticky bits, ownership, extended attributes, capabilities and ACLs are
 *    dropped.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

enum archive_kind {
    ARCHIVE_KIND_FILE,
    ARCHIVE_KIND_FOLDER,
    ARCHIVE_KIND_LINK,
    ARCHIVE_KIND_HARD_LINK,
    ARCHIVE_KIND_OTHER, /* device, FIFO, socket, anything else */
};

enum archive_dropped { /* bits */
                       ARCHIVE_DROPPED_SETUID = 1,
                       ARCHIVE_DROPPED_SETGID = 2,
                       ARCHIVE_DROPPED_STICKY = 4,
                       ARCHIVE_DROPPED_ATTRIBUTES =
                           8, /* extended attributes, with capabilities; ACLs */
};

struct archive_item { /* as found; texts are borrowed, none may be NULL */
    enum archive_kind kind;
    const char *path;
    const char *target; /* of a link of either kind, else "" */
    uint32_t mode;      /* with setuid and the like */
    uint64_t size_bytes;
    bool has_attributes;
    bool is_sparse;
};

enum archive_verdict_kind {
    ARCHIVE_KEEP,
    ARCHIVE_DROP_BITS, /* keep, and say what is dropped */
    ARCHIVE_SKIP,      /* nothing to do: "." itself */
    ARCHIVE_REFUSE,
};

struct archive_verdict {
    enum archive_verdict_kind kind;
    unsigned dropped;            /* bits of enum archive_dropped */
    const char *rule;            /* of REFUSE: "path leads out of the tree" */
    uint16_t mode;               /* to be given: 0777 at most, readable to its owner */
    bool is_known;               /* a folder that an earlier path already implied */
    char path[PATH_BYTES_MAX];   /* without "./", doubled and trailing "/" */
    char target[PATH_BYTES_MAX]; /* of a hard link: likewise; of a symbolic link: as it is */
};

struct archive_rules;

/* (Pure code judges; only new and free touch the heap.) */
/* Returns NULL when memory is short. */
struct archive_rules *archive_rules_new(void);
void archive_rules_free(struct archive_rules *rules);
/* Forgets everything, for the next bundle. */
void archive_rules_reset(struct archive_rules *rules);

/* Judges the next entry and remembers it. After a REFUSE the bundle is refused: stop. */
void archive_rules_judge(struct archive_rules *rules, const struct archive_item *entry,
                         struct archive_verdict *verdict_out);

/* Asks what only the whole bundle answers. KEEP, or REFUSE with path and rule. */
void archive_rules_finish(const struct archive_rules *rules, struct archive_verdict *verdict_out);

/* --- the rules for single texts, shared with tree indexes --- */

/* RFC 3629: nothing overlong, no surrogates. */
bool archive_text_is_utf8(const char *text);

/* NULL when `path` is as it has to be in an index ("usr/bin/wiki"), else the broken rule. */
const char *archive_path_fault(const char *path);
/* NULL when a symbolic link at `path` may have this target, else the broken rule. */
const char *archive_target_fault(const char *path, const char *target);
/* Does the sandbox itself provide what this absolute target names? */
bool archive_target_is_provided(const char *target);

enum archive_found {
    ARCHIVE_FOUND_NOTHING,
    ARCHIVE_FOUND_FILE,
    ARCHIVE_FOUND_FOLDER,
    ARCHIVE_FOUND_LINK
};

/* Looks an exact path up; for a link sets *target_out (borrowed). */
typedef enum archive_found archive_lookup(const void *context, const char *path,
                                          const char **target_out);

/*
 * Follows `path` (absolute or relative to the root) through links of the tree. Writes the path
 * of what it ends at ("" is the root) to resolved_out[PATH_BYTES_MAX].
 * Returns what that is; ARCHIVE_FOUND_NOTHING when it is missing, provided by the sandbox, or a
 * loop of links.
 */
enum archive_found archive_resolve(archive_lookup *lookup, const void *context, const char *path,
                                   char *resolved_out);
