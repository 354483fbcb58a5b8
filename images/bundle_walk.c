// SPDX-License-Identifier: GPL-3.0-or-later
/* What is in the folder: by the same rules as an archive, sorted as a tree index wants it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "images/bundle_parts.h"

#define MANIFEST_NAME "service.yaml"

struct walk {
    struct bundle *bundle;
    struct archive_rules *rules;
    struct archive_verdict verdict;
    struct err *err;
};

static int open_beneath(int root_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC | O_NONBLOCK),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };

    return (int)syscall(SYS_openat2, root_fd, path[0] == '\0' ? "." : path, &how, sizeof(how));
}

int bundle_open_item(const struct bundle *bundle, const struct bundle_item *item, struct err *err)
{
    int fd = open_beneath(bundle->source.folder_fd, item->path, O_RDONLY);

    return fd < 0 ? err_set(err, -errno, "%s: %m", item->path) : fd;
}

int bundle_read_at(int fd, uint64_t offset_bytes, uint8_t *data_out, uint32_t length_bytes)
{
    uint32_t done_bytes = 0;

    while (done_bytes < length_bytes) {
        ssize_t count_bytes = pread(fd, data_out + done_bytes, length_bytes - done_bytes,
                                    (off_t)(offset_bytes + done_bytes));

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            return -errno;
        }
        if (count_bytes == 0) {
            break;
        }
        done_bytes += (uint32_t)count_bytes;
    }
    return (int)done_bytes;
}

void bundle_add_note(struct bundle *bundle, const char *path, const char *what)
{
    char *note = NULL;

    if (bundle->note_count < BUNDLE_NOTES_MAX &&
        asprintf(&note, "%s: %s dropped", path, what) > 0) {
        bundle->notes[bundle->note_count++] = note;
    }
}

static int compare_items(const void *a, const void *b)
{
    return tree_path_compare(((const struct bundle_item *)a)->path,
                             ((const struct bundle_item *)b)->path);
}

const struct bundle_item *bundle_find_item(const struct bundle *bundle, const char *path)
{
    union { /* bsearch compares two items; the key's path is only read */
        const char *borrowed;
        char *path;
    } key = {path};
    struct bundle_item item = {.path = key.path};

    return bundle->item_count == 0
               ? NULL
               : bsearch(&item, bundle->items, bundle->item_count, sizeof(item), compare_items);
}

static enum archive_kind kind_of(mode_t mode)
{
    return S_ISREG(mode)   ? ARCHIVE_KIND_FILE
           : S_ISDIR(mode) ? ARCHIVE_KIND_FOLDER
           : S_ISLNK(mode) ? ARCHIVE_KIND_LINK
                           : ARCHIVE_KIND_OTHER;
}

static void note_dropped(struct walk *walk)
{
    static const struct {
        unsigned bit;
        const char *what;
    } rows[] = {{ARCHIVE_DROPPED_SETUID, "setuid bit"},
                {ARCHIVE_DROPPED_SETGID, "setgid bit"},
                {ARCHIVE_DROPPED_STICKY, "sticky bit"}};

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if ((walk->verdict.dropped & rows[i].bit) != 0) {
            bundle_add_note(walk->bundle, walk->verdict.path, rows[i].what);
        }
    }
}

/* Room for one more item. */
static int grow(struct bundle *bundle, struct err *err)
{
    uint32_t capacity = bundle->item_capacity == 0 ? 256 : 2 * bundle->item_capacity;
    struct bundle_item *items;

    if (bundle->item_count < bundle->item_capacity) {
        return 0;
    }
    items = reallocarray(bundle->items, capacity, sizeof(*items));
    if (items == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    bundle->items = items;
    bundle->item_capacity = capacity;
    return 0;
}

static int keep_item(struct walk *walk, const struct archive_item *found)
{
    struct bundle *bundle = walk->bundle;
    struct bundle_item item = {.kind = found->kind,
                               .mode = walk->verdict.mode,
                               .size_bytes = found->size_bytes,
                               .path = strdup(walk->verdict.path)};

    if (found->kind == ARCHIVE_KIND_LINK) {
        item.target = strdup(found->target);
    }
    if (item.path == NULL || (found->kind == ARCHIVE_KIND_LINK && item.target == NULL) ||
        grow(bundle, walk->err) < 0) {
        free(item.path);
        free(item.target);
        return err_set(walk->err, -ENOMEM, "out of memory");
    }
    bundle->items[bundle->item_count++] = item;
    return 0;
}

static int add_name(struct walk *walk, int folder_fd, const char *path, const char *name)
{
    char target[PATH_BYTES_MAX + 1] = "";
    struct archive_item found = {.path = path, .target = target};
    struct stat status;

    if (fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        return err_set(walk->err, -errno, "%s: %m", path);
    }
    found.kind = kind_of(status.st_mode);
    found.mode = status.st_mode & 07777U;
    found.size_bytes = found.kind == ARCHIVE_KIND_FILE ? (uint64_t)status.st_size : 0;
    if (found.kind == ARCHIVE_KIND_LINK) {
        ssize_t length_bytes = readlinkat(folder_fd, name, target, sizeof(target) - 1);

        if (length_bytes < 0) {
            return err_set(walk->err, -errno, "%s: %m", path);
        }
        target[length_bytes] = '\0';
    }
    archive_rules_judge(walk->rules, &found, &walk->verdict);
    if (walk->verdict.kind == ARCHIVE_REFUSE) {
        return err_set(walk->err, -EINVAL, "%s: %s", path, walk->verdict.rule);
    }
    note_dropped(walk);
    return keep_item(walk, &found);
}

static bool is_passed_over(const char *folder, const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
           (folder[0] == '\0' && strcmp(name, MANIFEST_NAME) == 0);
}

/* Adds what is in one folder ("" is the root). */
static int walk_folder(struct walk *walk, const char *folder_path)
{
    char path[2 * PATH_BYTES_MAX];
    int fd = open_beneath(walk->bundle->source.folder_fd, folder_path, O_RDONLY | O_DIRECTORY);
    CLEANUP(cleanup_closedir) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (folder == NULL) {
        err_set(walk->err, -errno, "%s: %m", folder_path[0] == '\0' ? "/" : folder_path);
        cleanup_close(&fd);
        return walk->err->code;
    }
    for (;;) {
        errno = 0;
        entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): one DIR, one thread */
        if (entry == NULL) {
            return errno == 0 ? 0 : err_set(walk->err, -errno, "%s: %m", folder_path);
        }
        if (is_passed_over(folder_path, entry->d_name)) {
            continue;
        }
        snprintf(path, sizeof(path), "%s%s%s", folder_path, folder_path[0] == '\0' ? "" : "/",
                 entry->d_name);
        if (add_name(walk, dirfd(folder), path, entry->d_name) < 0) {
            return walk->err->code;
        }
    }
}

/* The items are the queue of folders still to be listed. */
static int walk_all(struct walk *walk)
{
    int r = walk_folder(walk, "");

    for (uint32_t i = 0; r == 0 && i < walk->bundle->item_count; i++) {
        if (walk->bundle->items[i].kind == ARCHIVE_KIND_FOLDER) {
            r = walk_folder(walk, walk->bundle->items[i].path);
        }
    }
    return r;
}

int bundle_walk(struct bundle *bundle, struct err *err)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    struct archive_rules *rules = archive_rules_new();
    int r;

    if (walk == NULL || rules == NULL) {
        r = err_set(err, -ENOMEM, "out of memory");
    } else {
        walk->bundle = bundle;
        walk->rules = rules;
        walk->err = err;
        r = walk_all(walk);
    }
    if (r == 0 && walk != NULL) {
        archive_rules_finish(rules, &walk->verdict);
        if (walk->verdict.kind == ARCHIVE_REFUSE) {
            r = err_set(err, -EINVAL, "%s: %s", walk->verdict.path, walk->verdict.rule);
        }
    }
    if (r == 0 && bundle->item_count > 0) {
        qsort(bundle->items, bundle->item_count, sizeof(bundle->items[0]), compare_items);
    }
    archive_rules_free(rules);
    free(walk);
    return r;
}
