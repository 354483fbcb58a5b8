// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The heads of a tar archive (POSIX ustar, with pax records for long names), as `minga cp` sends
 * them: regular files, folders and links, nothing else. Pure.
 *
 * Reading trusts nothing: lengths and numbers are bounded, paths are relative and go down only,
 * and what is no file, folder or link is refused.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    TAR_BLOCK_BYTES = 512,
    TAR_PAX_BYTES_MAX = 2560, /* two long names, each with its key */
    TAR_HEAD_BYTES_MAX = TAR_BLOCK_BYTES + TAR_PAX_BYTES_MAX + TAR_BLOCK_BYTES,
    TAR_DEPTH_MAX = 64,
};
#define TAR_FILE_BYTES_MAX (((uint64_t)1 << 33) - 1)

enum tar_kind { TAR_FILE, TAR_FOLDER, TAR_LINK };

struct tar_entry {
    enum tar_kind kind;
    uint16_t mode;       /* of 0777 */
    uint64_t size_bytes; /* FILE: so many follow, and zeros up to a whole block */
    uint64_t modified_s; /* since 1970 */
    char path[PATH_BYTES_MAX];
    char target[PATH_BYTES_MAX]; /* LINK */
};

/* Is it relative, without empty, "." and ".." parts, and not too deep? */
bool tar_path_is_good(const char *path);
/*
 * Does a link at `path` with this target stay inside of the folder that path's first part names,
 * whatever other links that stay are on its way? So it goes up first, and never again.
 */
bool tar_link_stays(const char *path, const char *target);
/* How many zeros follow so many bytes of a file. */
size_t tar_padding(uint64_t size_bytes);

/* Returns the length of the head, whole blocks; 0 when path or target is too long. */
size_t tar_head(const struct tar_entry *entry, uint8_t bytes_out[TAR_HEAD_BYTES_MAX]);

struct tar_reader {
    bool ended_once;     /* one block of zeros was seen */
    uint32_t pax_bytes;  /* of the record that is being read */
    uint32_t left_bytes; /* of it, to come */
    uint8_t pax[TAR_PAX_BYTES_MAX];
    bool has_path; /* for the next entry, from a record */
    bool has_target;
    char path[PATH_BYTES_MAX];
    char target[PATH_BYTES_MAX];
};

/* Outcomes of tar_take. */
enum { TAR_MORE, TAR_ENTRY, TAR_END };

void tar_reader_init(struct tar_reader *reader);
/*
 * Takes the next block of a head. Returns TAR_MORE; TAR_ENTRY with an entry, whose bytes the caller
 * takes from the stream before the next call; TAR_END; or -EBADMSG with *fault_out why.
 */
int tar_take(struct tar_reader *reader, const uint8_t block[TAR_BLOCK_BYTES],
             struct tar_entry *entry_out, const char **fault_out);
