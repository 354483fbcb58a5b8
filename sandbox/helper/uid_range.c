// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/uid_range.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/file.h"

enum { RANGE_NAME_BYTES = 16 };

static void range_name(uint32_t first, char name_out[RANGE_NAME_BYTES])
{
    snprintf(name_out, RANGE_NAME_BYTES, "%u", first);
}

static int open_folder(const char *folder, struct err *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 ? fd : err_set(err, -errno, "uid ranges: %s: %m", folder);
}

/* Makes it where it is not there yet. */
static int open_or_make_folder(const char *folder, struct err *err)
{
    struct err missing = {0};
    int fd = open_folder(folder, &missing);

    if (fd != -ENOENT) {
        *err = fd < 0 ? missing : *err;
        return fd;
    }
    return file_make_folders(folder, 0700, err) < 0 ? err_wrap(err, "uid ranges")
                                                    : open_folder(folder, err);
}

/* Is the file that we locked still the one of that name? Else its holder removed it meanwhile. */
static bool still_named(int folder_fd, const char *name, int fd)
{
    struct stat ours;
    struct stat named;

    return fstat(fd, &ours) == 0 && fstatat(folder_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* Returns 1 when taken, 0 when somebody has it, or -errno. */
static int try_range(int folder_fd, uint32_t first, struct uid_range *range_out)
{
    char name[RANGE_NAME_BYTES];

    range_name(first, name);
    CLEANUP(cleanup_close)
    int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? 0 : -errno;
    }
    if (!still_named(folder_fd, name, fd)) {
        return 0;
    }
    *range_out = (struct uid_range){first, take_fd(&fd)};
    return 1;
}

static bool is_own(const struct uid_firsts *own, uint64_t first)
{
    for (uint32_t i = 0; own != NULL && i < own->count; i++) {
        if (own->list[i] == first) {
            return true;
        }
    }
    return false;
}

/* The first free range of a span. Returns 1 and the range, 0 when there is none, or -errno. */
static int take_from_span(int folder_fd, const struct uid_span *span, const struct uid_firsts *own,
                          struct uid_range *range_out, struct err *err)
{
    for (uint64_t first = span->first; first + UID_RANGE_COUNT - 1 <= span->last;
         first += UID_RANGE_COUNT) {
        int r = is_own(own, first) ? 0 : try_range(folder_fd, (uint32_t)first, range_out);

        if (r < 0) {
            errno = -r;
            return err_set(err, r, "uid range %u: %m", (uint32_t)first);
        }
        CHECK(r == 0 || range_out->first >= UID_RANGE_COUNT);
        if (r == 1) {
            return 1;
        }
    }
    return 0;
}

int uid_range_take(const char *folder, const struct host_limits *limits,
                   const struct uid_firsts *own, struct uid_range *range_out, struct err *err)
{
    CLEANUP(cleanup_close) int folder_fd = open_or_make_folder(folder, err);

    if (folder_fd < 0) {
        return folder_fd;
    }
    for (uint32_t i = 0; i < limits->uid_span_count; i++) {
        int r = take_from_span(folder_fd, &limits->uid_spans[i], own, range_out, err);
        if (r != 0) {
            return r < 0 ? r : 0;
        }
    }
    return err_set(err, -EUSERS, "every uid range of this host is in use");
}

void uid_range_free(const char *folder, struct uid_range *range)
{
    char name[RANGE_NAME_BYTES];

    if (range->lock_fd < 0) {
        return;
    }
    /* Unlink while we hold the lock: whoever opened the old file sees that it lost its name. */
    if (flock(range->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        CLEANUP(cleanup_close)
        int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        range_name(range->first, name);
        if (folder_fd >= 0 && still_named(folder_fd, name, range->lock_fd)) {
            unlinkat(folder_fd, name, 0);
        }
    }
    close(range->lock_fd);
    range->lock_fd = -1;
}

int uid_range_adopt(const char *folder, uint32_t first, struct uid_range *range_out,
                    struct err *err)
{
    char name[RANGE_NAME_BYTES];
    CLEANUP(cleanup_close) int folder_fd = open_folder(folder, err);

    if (folder_fd < 0) {
        return folder_fd;
    }
    range_name(first, name);
    int fd = openat(folder_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return err_set(err, -errno, "uid range %u: %m", first);
    }
    *range_out = (struct uid_range){first, fd};
    return 0;
}

void uid_range_hold(const struct uid_range *range)
{
    if (range->lock_fd >= 0) {
        (void)flock(range->lock_fd, LOCK_EX | LOCK_NB); /* later, then: it is asked again */
    }
}

void uid_range_sweep(const char *folder)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        CLEANUP(cleanup_close)
        int fd = entry->d_type == DT_REG
                     ? openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
                     : -1;

        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
            still_named(dirfd(dir), entry->d_name, fd)) {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
}
