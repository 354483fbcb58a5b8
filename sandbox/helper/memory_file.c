// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#ifndef MFD_EXEC /* Linux 6.3 */
#define MFD_EXEC 0x0010U
#endif

int memory_file_new(const char *name, struct err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    return fd >= 0 ? fd : err_set(err, -errno, "memory file %s: %m", name);
}

int memory_file_seal(int fd, struct err *err)
{
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        return err_set(err, -errno, "seal a memory file: %m");
    }
    return 0;
}

int memory_file_of(const char *name, struct bytes content, struct err *err)
{
    CLEANUP(cleanup_close) int fd = memory_file_new(name, err);
    int r;

    if (fd < 0) {
        return fd;
    }
    r = file_write_all(fd, content);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "memory file %s: %m", name);
    }
    r = memory_file_seal(fd, err);
    return r < 0 ? r : take_fd(&fd);
}

static int copy_whole(int source_fd, int fd)
{
    struct stat status;
    off_t offset = 0;

    if (fstat(source_fd, &status) < 0) {
        return -errno;
    }
    while (offset < status.st_size) {
        ssize_t count_bytes = sendfile(fd, source_fd, &offset, (size_t)(status.st_size - offset));

        if (count_bytes == 0) {
            return -EIO;
        }
        if (count_bytes < 0 && errno != EINTR) {
            return -errno;
        }
    }
    return fchmod(fd, 0555) < 0 ? -errno : 0;
}

int memory_file_copy(const char *path, struct err *err)
{
    CLEANUP(cleanup_close) int source_fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_close) int fd = -1;
    int r;

    if (source_fd < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    fd = memory_file_new("program", err);
    if (fd < 0) {
        return fd;
    }
    r = copy_whole(source_fd, fd);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "%s: %m", path);
    }
    r = memory_file_seal(fd, err);
    return r < 0 ? r : take_fd(&fd);
}
