// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { READ_BLOCK_BYTES = 65536 };

int file_read(int dir_fd, const char *path, struct buffer *buffer, struct err *err)
{
    CLEANUP(cleanup_close) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    uint8_t block[READ_BLOCK_BYTES];
    ssize_t count_bytes;

    if (fd < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    for (;;) {
        count_bytes = read(fd, block, sizeof(block));
        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            return err_set(err, -errno, "%s: %m", path);
        }
        if (count_bytes == 0) {
            return 0;
        }
        int r = buffer_append(buffer, block, (size_t)count_bytes);
        if (r < 0) {
            errno = -r;
            return err_set(err, r, "%s: %m", path);
        }
    }
}

int file_write_all(int fd, struct bytes bytes)
{
    while (bytes.length_bytes > 0) {
        ssize_t count_bytes = write(fd, bytes.data, bytes.length_bytes);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            return -errno;
        }
        bytes.data += count_bytes;
        bytes.length_bytes -= (size_t)count_bytes;
    }
    return 0;
}

static int sync_folder_of(int dir_fd, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length_bytes = slash == NULL ? 0 : (size_t)(slash - path);

    if (length_bytes >= sizeof(folder)) {
        return -ENAMETOOLONG;
    }
    memcpy(folder, path, length_bytes);
    folder[length_bytes] = '\0';
    if (length_bytes == 0) {
        memcpy(folder, slash == NULL ? "." : "/", 2);
    }
    CLEANUP(cleanup_close) int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        return -errno;
    }
    return 0;
}

int file_write_atomic(int dir_fd, const char *path, struct bytes content, mode_t mode,
                      struct err *err)
{
    char temporary[PATH_MAX];
    int r;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary)) {
        return err_set(err, -ENAMETOOLONG, "%s: path too long", path);
    }
    CLEANUP(cleanup_close)
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return err_set(err, -errno, "%s: %m", temporary);
    }
    r = file_write_all(fd, content);
    if (r == 0 &&
        (fchmod(fd, mode) < 0 || fsync(fd) < 0 || renameat(dir_fd, temporary, dir_fd, path) < 0)) {
        r = -errno;
    }
    if (r < 0) {
        unlinkat(dir_fd, temporary, 0);
        errno = -r;
        return err_set(err, r, "%s: %m", path);
    }
    r = sync_folder_of(dir_fd, path);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "%s: sync its folder: %m", path);
    }
    return 0;
}

int file_make_folders(const char *path, mode_t mode, struct err *err)
{
    char partial[PATH_MAX];
    size_t length_bytes = strlen(path);

    if (length_bytes == 0 || length_bytes >= sizeof(partial)) {
        return err_set(err, -ENAMETOOLONG, "folder \"%s\": path too long", path);
    }
    memcpy(partial, path, length_bytes + 1);
    for (size_t i = 1; i <= length_bytes; i++) {
        if (partial[i] != '/' && partial[i] != '\0') {
            continue;
        }
        char kept = partial[i];

        partial[i] = '\0';
        if (mkdir(partial, mode) < 0 && errno != EEXIST) {
            return err_set(err, -errno, "folder %s: %m", partial);
        }
        partial[i] = kept;
    }
    return 0;
}

int file_hold_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        /* It is the lowest free one; whoever is started from here has it, too. */
        if (open("/dev/null", mode | O_CLOEXEC) != fd || fcntl(fd, F_SETFD, 0) < 0) {
            return -EBADF;
        }
    }
    return 0;
}
