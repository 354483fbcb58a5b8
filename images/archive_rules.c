// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/archive_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    SLOT_COUNT = 262144, /* a power of two, more than twice the entries */
    TEXT_BYTES_MAX = 33554432,
    MODE_MASK = 0777,
    MODE_SETUID = 04000,
    MODE_SETGID = 02000,
    MODE_STICKY = 01000,
    FOLDER_MODE_MIN = 0700, /* so that its owner can list, fill and remove it */
    FILE_MODE_MIN = 0400,
};

static_assert(SLOT_COUNT >= 2 * BUNDLE_ENTRIES_MAX, "a hash table is at most half full");

enum { KNOWN_IMPLIED = 1 };

struct known {     /* one path of the bundle */
    uint32_t path; /* offset in texts */
    uint32_t target;
    uint32_t slot;
    uint8_t found; /* enum archive_found */
    uint8_t is_implied;
    uint64_t size_bytes;
};

struct archive_rules {
    uint32_t known_count;
    uint32_t text_bytes;
    uint64_t total_bytes;
    struct known known[BUNDLE_ENTRIES_MAX];
    uint32_t slots[SLOT_COUNT]; /* index in known, plus 1; 0: free */
    char texts[TEXT_BYTES_MAX];
};

struct archive_rules *archive_rules_new(void)
{
    /* Big, but pages that are never written cost nothing. */
    return calloc(1, sizeof(struct archive_rules));
}

void archive_rules_free(struct archive_rules *rules)
{
    free(rules);
}

void archive_rules_reset(struct archive_rules *rules)
{
    for (uint32_t i = 0; i < rules->known_count; i++) {
        rules->slots[rules->known[i].slot] = 0;
    }
    rules->known_count = 0;
    rules->text_bytes = 0;
    rules->total_bytes = 0;
}

/* FNV-1a over the path's first bytes. */
static uint32_t slot_of(const char *path, size_t length_bytes)
{
    uint64_t hash = 14695981039346656037U;

    for (size_t i = 0; i < length_bytes; i++) {
        hash = (hash ^ (unsigned char)path[i]) * 1099511628211U;
    }
    return (uint32_t)(hash ^ hash >> 32) % SLOT_COUNT;
}

static bool is_path(const struct archive_rules *rules, const struct known *known, const char *path,
                    size_t length_bytes)
{
    const char *text = rules->texts + known->path;

    return strncmp(text, path, length_bytes) == 0 && text[length_bytes] == '\0';
}

/* The slot that holds the path, or the free one where it belongs. */
static uint32_t find_slot(const struct archive_rules *rules, const char *path, size_t length_bytes)
{
    uint32_t slot = slot_of(path, length_bytes);

    while (rules->slots[slot] != 0 &&
           !is_path(rules, &rules->known[rules->slots[slot] - 1], path, length_bytes)) {
        slot = (slot + 1) % SLOT_COUNT;
    }
    return slot;
}

static const struct known *find(const struct archive_rules *rules, const char *path,
                                size_t length_bytes)
{
    uint32_t index = rules->slots[find_slot(rules, path, length_bytes)];

    return index == 0 ? NULL : &rules->known[index - 1];
}

static uint32_t keep_text(struct archive_rules *rules, const char *text, size_t length_bytes)
{
    uint32_t offset = rules->text_bytes;

    memcpy(rules->texts + offset, text, length_bytes);
    rules->texts[offset + length_bytes] = '\0';
    rules->text_bytes += (uint32_t)length_bytes + 1;
    return offset;
}

/* Remembers the first `length_bytes` of a path. Returns NULL, or the rule against it. */
static const char *remember(struct archive_rules *rules, const char *path, size_t length_bytes,
                            struct known known)
{
    if (rules->known_count == BUNDLE_ENTRIES_MAX) {
        return "too many entries";
    }
    if (length_bytes >= TEXT_BYTES_MAX - rules->text_bytes) {
        return "too many long paths";
    }
    uint32_t slot = find_slot(rules, path, length_bytes);
    CHECK(rules->slots[slot] == 0);
    known.path = keep_text(rules, path, length_bytes);
    known.slot = slot;
    rules->known[rules->known_count] = known;
    rules->known_count++;
    rules->slots[slot] = rules->known_count;
    return NULL;
}

/* Writes the path without empty and "." parts. Returns NULL, or the rule against it. */
static const char *normalise(const char *path, char *path_out)
{
    size_t used_bytes = 0;

    if (path[0] == '/') {
        return "absolute path";
    }
    while (*path != '\0') {
        size_t length_bytes = strcspn(path, "/");
        bool is_dot = length_bytes == 1 && path[0] == '.';

        if (length_bytes > 0 && !is_dot) {
            if (used_bytes + 1 + length_bytes >= PATH_BYTES_MAX) {
                return "path too long";
            }
            if (used_bytes > 0) {
                path_out[used_bytes++] = '/';
            }
            memcpy(path_out + used_bytes, path, length_bytes);
            used_bytes += length_bytes;
        }
        path += length_bytes;
        path += strspn(path, "/");
    }
    path_out[used_bytes] = '\0';
    return NULL;
}

static const char *judge_parents(struct archive_rules *rules, const char *path)
{
    const struct known implied = {.found = ARCHIVE_FOUND_FOLDER, .is_implied = KNOWN_IMPLIED};

    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t length_bytes = (size_t)(slash - path);
        const struct known *parent = find(rules, path, length_bytes);
        const char *fault = NULL;

        if (parent == NULL) {
            fault = remember(rules, path, length_bytes, implied);
        } else if (parent->found == ARCHIVE_FOUND_LINK) {
            fault = "path leads through a link";
        } else if (parent->found == ARCHIVE_FOUND_FILE) {
            fault = "path leads through a file";
        }
        if (fault != NULL) {
            return fault;
        }
    }
    return NULL;
}

/* A hard link's target: an earlier regular file. Sets the size that the copy has. */
static const char *judge_hard_link(const struct archive_rules *rules, const char *target,
                                   struct archive_verdict *verdict, uint64_t *size_bytes_out)
{
    const char *fault = normalise(target, verdict->target);
    const struct known *known;

    if (fault == NULL) {
        fault = archive_path_fault(verdict->target);
    }
    if (fault != NULL) {
        return "hard link leads out of the tree";
    }
    known = find(rules, verdict->target, strlen(verdict->target));
    if (known == NULL || known->found != ARCHIVE_FOUND_FILE) {
        return "hard link to what is no earlier file of the bundle";
    }
    *size_bytes_out = known->size_bytes;
    return NULL;
}

static const char *judge_kind(struct archive_rules *rules, const struct archive_item *entry,
                              struct archive_verdict *verdict, struct known *known)
{
    const char *fault = NULL;

    switch (entry->kind) {
    case ARCHIVE_KIND_FILE:
        known->found = ARCHIVE_FOUND_FILE;
        known->size_bytes = entry->size_bytes;
        break;
    case ARCHIVE_KIND_FOLDER:
        known->found = ARCHIVE_FOUND_FOLDER;
        break;
    case ARCHIVE_KIND_HARD_LINK:
        known->found = ARCHIVE_FOUND_FILE;
        fault = judge_hard_link(rules, entry->target, verdict, &known->size_bytes);
        break;
    case ARCHIVE_KIND_LINK:
        known->found = ARCHIVE_FOUND_LINK;
        fault = archive_target_fault(verdict->path, entry->target);
        if (fault == NULL && strlen(entry->target) >= TEXT_BYTES_MAX - rules->text_bytes) {
            fault = "too many long paths";
        }
        if (fault == NULL) {
            memcpy(verdict->target, entry->target, strlen(entry->target) + 1);
            known->target = keep_text(rules, entry->target, strlen(entry->target));
        }
        break;
    case ARCHIVE_KIND_OTHER:
    default:
        return "device, FIFO, socket or unknown kind";
    }
    if (fault == NULL && known->size_bytes > BUNDLE_BYTES_MAX - rules->total_bytes) {
        return "too large in total";
    }
    return fault;
}

static bool is_implied_folder(const struct known *known, enum archive_kind kind)
{
    return kind == ARCHIVE_KIND_FOLDER && known->found == ARCHIVE_FOUND_FOLDER &&
           known->is_implied == KNOWN_IMPLIED;
}

static const char *judge_place(struct archive_rules *rules, const struct archive_item *entry,
                               struct archive_verdict *verdict)
{
    struct known known = {0};
    const char *fault = archive_path_fault(verdict->path);
    uint32_t index;

    if (fault == NULL) {
        fault = judge_parents(rules, verdict->path);
    }
    if (fault != NULL) {
        return fault;
    }
    index = rules->slots[find_slot(rules, verdict->path, strlen(verdict->path))];
    if (index != 0) {
        if (!is_implied_folder(&rules->known[index - 1], entry->kind)) {
            return "path is there twice";
        }
        rules->known[index - 1].is_implied = 0;
        verdict->is_known = true;
        return NULL;
    }
    fault = judge_kind(rules, entry, verdict, &known);
    if (fault == NULL) {
        fault = remember(rules, verdict->path, strlen(verdict->path), known);
    }
    rules->total_bytes += fault == NULL ? known.size_bytes : 0;
    return fault;
}

static void judge_mode(const struct archive_item *entry, struct archive_verdict *verdict)
{
    verdict->mode = (uint16_t)(entry->mode & MODE_MASK);
    if (entry->kind == ARCHIVE_KIND_LINK) {
        verdict->mode = MODE_MASK;
    } else {
        verdict->mode =
            (uint16_t)(verdict->mode |
                       (entry->kind == ARCHIVE_KIND_FOLDER ? FOLDER_MODE_MIN : FILE_MODE_MIN));
        verdict->dropped = ((entry->mode & MODE_SETUID) != 0 ? ARCHIVE_DROPPED_SETUID : 0U) |
                           ((entry->mode & MODE_SETGID) != 0 ? ARCHIVE_DROPPED_SETGID : 0U) |
                           ((entry->mode & MODE_STICKY) != 0 ? ARCHIVE_DROPPED_STICKY : 0U);
    }
    verdict->dropped |= entry->has_attributes ? ARCHIVE_DROPPED_ATTRIBUTES : 0U;
    verdict->kind = verdict->dropped != 0 ? ARCHIVE_DROP_BITS : ARCHIVE_KEEP;
}

void archive_rules_judge(struct archive_rules *rules, const struct archive_item *entry,
                         struct archive_verdict *verdict_out)
{
    memset(verdict_out, 0, sizeof(*verdict_out));
    verdict_out->rule = normalise(entry->path, verdict_out->path);
    if (verdict_out->rule == NULL && entry->is_sparse) {
        verdict_out->rule = "sparse file";
    }
    if (verdict_out->rule == NULL && verdict_out->path[0] == '\0') {
        /* "./" stands for the tree's root, which is there anyway. */
        if (entry->path[0] != '\0' && entry->kind == ARCHIVE_KIND_FOLDER) {
            verdict_out->kind = ARCHIVE_SKIP;
            return;
        }
        verdict_out->rule = "entry without a name";
    }
    if (verdict_out->rule == NULL) {
        verdict_out->rule = judge_place(rules, entry, verdict_out);
    }
    if (verdict_out->rule != NULL) {
        verdict_out->kind = ARCHIVE_REFUSE;
        return;
    }
    judge_mode(entry, verdict_out);
}

static enum archive_found look_up(const void *context, const char *path, const char **target_out)
{
    const struct archive_rules *rules = context;
    const struct known *known = find(rules, path, strlen(path));

    if (known == NULL) {
        return ARCHIVE_FOUND_NOTHING;
    }
    if (known->found == ARCHIVE_FOUND_LINK) {
        *target_out = rules->texts + known->target;
    }
    return (enum archive_found)known->found;
}

/*
 * Distributions' packages are full of absolute links to what a bundle leaves out (/usr/lib/ssl/certs,
 * sitecustomize.py, alternatives). They dangle in the replica and hurt nobody.
 */
static bool is_of_a_package(const char *path)
{
    return strncmp(path, "usr/", 4) == 0 || strncmp(path, "etc/alternatives/", 17) == 0;
}

void archive_rules_finish(const struct archive_rules *rules, struct archive_verdict *verdict_out)
{
    char resolved[PATH_BYTES_MAX];

    memset(verdict_out, 0, sizeof(*verdict_out));
    for (uint32_t i = 0; i < rules->known_count; i++) {
        const struct known *known = &rules->known[i];
        const char *target = rules->texts + known->target;
        const char *path = rules->texts + known->path;

        if (known->found != ARCHIVE_FOUND_LINK || target[0] != '/' ||
            archive_target_is_provided(target) || is_of_a_package(path) ||
            archive_resolve(look_up, rules, target, resolved) != ARCHIVE_FOUND_NOTHING) {
            continue;
        }
        verdict_out->kind = ARCHIVE_REFUSE;
        verdict_out->rule = "link to an absolute path that the bundle does not have";
        memcpy(verdict_out->path, path, strlen(path) + 1);
        return;
    }
}
