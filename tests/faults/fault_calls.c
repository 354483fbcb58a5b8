// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/fault_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One for the process: what the library's functions are replaced with has no other place. */
static struct fault the_fault;
static atomic_uint the_count;
static atomic_bool has_happened;
static fault_synced *the_hook;

void fault_set(const struct fault *fault)
{
    the_fault = *fault;
    atomic_store(&the_count, 0);
    atomic_store(&has_happened, false);
}

void fault_on_sync(fault_synced *hook)
{
    the_hook = hook;
}

uint32_t fault_count(void)
{
    return atomic_load(&the_count);
}

bool fault_has_happened(void)
{
    return atomic_load(&has_happened);
}

static void mark(void)
{
    const char *path = getenv("MINGA_FAULT_MARK");

    if (path != NULL) {
        long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

        if (fd >= 0) {
            syscall(SYS_close, fd);
        }
    }
}

static bool is_due(enum fault_kind kind)
{
    if (the_fault.kind != kind) {
        return false;
    }
    uint32_t count = atomic_fetch_add(&the_count, 1) + 1;

    if (count != the_fault.at && (count < the_fault.at || !the_fault.is_lasting)) {
        return false;
    }
    if (!atomic_exchange(&has_happened, true)) {
        mark();
    }
    return true;
}

bool fault_memory(void)
{
    return is_due(FAULT_MEMORY);
}

static bool is_below(const char *path)
{
    return strncmp(path, the_fault.folder, strlen(the_fault.folder)) == 0;
}

static bool is_meant(int fd)
{
    char link[64];
    char path[512];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof(path) - 1);

    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    return is_below(path);
}

static bool fails_at(enum fault_kind kind, int folder_fd, const char *path)
{
    if (the_fault.kind != kind) {
        return false;
    }
    return (path[0] == '/' ? is_below(path) : folder_fd >= 0 && is_meant(folder_fd)) &&
           is_due(kind);
}

static bool fails_on(enum fault_kind kind, int fd)
{
    return the_fault.kind == kind && is_meant(fd) && is_due(kind);
}

static int fail(int code)
{
    errno = code;
    return -1;
}

/* The parameters have names of ours. NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
 * ------------------------------------------------------------------ files */

static int do_open(int folder_fd, const char *path, int flags, mode_t mode)
{
    if (fails_at(FAULT_OPEN, folder_fd, path)) {
        return fail(EMFILE);
    }
    return (int)syscall(SYS_openat, folder_fd, path, flags, mode);
}

/* The third argument is there only when a file may be made. */
static mode_t mode_of(int flags, va_list list)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    int fd = do_open(AT_FDCWD, path, flags, mode_of(flags, list));

    va_end(list);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    int fd = do_open(AT_FDCWD, path, flags, mode_of(flags, list));

    va_end(list);
    return fd;
}

int openat(int folder_fd, const char *path, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    int fd = do_open(folder_fd, path, flags, mode_of(flags, list));

    va_end(list);
    return fd;
}

int openat64(int folder_fd, const char *path, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    int fd = do_open(folder_fd, path, flags, mode_of(flags, list));

    va_end(list);
    return fd;
}

/* A full disk takes a part first. */
static size_t taken(int fd, size_t length_bytes)
{
    if (!fails_on(FAULT_WRITE, fd)) {
        return length_bytes;
    }
    errno = ENOSPC;
    return the_fault.is_lasting ? 0 : length_bytes / 2;
}

ssize_t write(int fd, const void *bytes, size_t length_bytes)
{
    size_t part_bytes = taken(fd, length_bytes);

    return part_bytes == 0 && length_bytes > 0 ? -1 : syscall(SYS_write, fd, bytes, part_bytes);
}

static ssize_t do_pwrite(int fd, const void *bytes, size_t length_bytes, off_t offset)
{
    size_t part_bytes = taken(fd, length_bytes);

    return part_bytes == 0 && length_bytes > 0
               ? -1
               : syscall(SYS_pwrite64, fd, bytes, part_bytes, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length_bytes, off_t offset)
{
    return do_pwrite(fd, bytes, length_bytes, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length_bytes, off_t offset)
{
    return do_pwrite(fd, bytes, length_bytes, offset);
}

int ftruncate64(int fd, off_t length_bytes)
{
    if (fails_on(FAULT_WRITE, fd)) {
        return fail(ENOSPC);
    }
    return (int)syscall(SYS_ftruncate, fd, length_bytes);
}

int ftruncate(int fd, off_t length_bytes)
{
    return ftruncate64(fd, length_bytes);
}

static int do_sync(long call, int fd)
{
    if (fails_on(FAULT_SYNC, fd)) {
        return fail(EIO);
    }
    int r = (int)syscall(call, fd);

    if (r == 0 && the_hook != NULL) {
        the_hook(fd);
    }
    return r;
}

int fsync(int fd)
{
    return do_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return do_sync(SYS_fdatasync, fd);
}

static ssize_t do_pread(int fd, void *bytes, size_t length_bytes, off_t offset)
{
    return fails_on(FAULT_READ, fd) ? fail(EIO)
                                    : syscall(SYS_pread64, fd, bytes, length_bytes, offset);
}

ssize_t pread(int fd, void *bytes, size_t length_bytes, off_t offset)
{
    return do_pread(fd, bytes, length_bytes, offset);
}

ssize_t pread64(int fd, void *bytes, size_t length_bytes, off_t offset)
{
    return do_pread(fd, bytes, length_bytes, offset);
}

#pragma GCC diagnostic push /* the library declares them in some builds only */
#pragma GCC diagnostic ignored "-Wredundant-decls"
/* What the two above become where the compiler knows how much room there is. */
ssize_t __pread_chk(int fd, void *bytes, size_t length_bytes, off_t offset, size_t room_bytes);
ssize_t __pread64_chk(int fd, void *bytes, size_t length_bytes, off_t offset, size_t room_bytes);

ssize_t __pread_chk(int fd, void *bytes, size_t length_bytes, off_t offset, size_t room_bytes)
{
    return length_bytes > room_bytes ? fail(EFAULT) : do_pread(fd, bytes, length_bytes, offset);
}

ssize_t __pread64_chk(int fd, void *bytes, size_t length_bytes, off_t offset, size_t room_bytes)
{
    return __pread_chk(fd, bytes, length_bytes, offset, room_bytes);
}
#pragma GCC diagnostic pop

/* ------------------------------------------------------------------ names */

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (fails_at(FAULT_RENAME, from_fd, from)) {
        return fail(EIO);
    }
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int folder_fd, const char *path, int flags)
{
    if (fails_at(FAULT_RENAME, folder_fd, path)) {
        return fail(EIO);
    }
    return (int)syscall(SYS_unlinkat, folder_fd, path, flags);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name)
 * ------------------------------------------------------------------ from outside */

static __attribute__((constructor)) void from_environment(void)
{
    static const char *const names[FAULT_KINDS] = {
        [FAULT_OPEN] = "open", [FAULT_READ] = "read",     [FAULT_WRITE] = "write",
        [FAULT_SYNC] = "sync", [FAULT_RENAME] = "rename",
    };
    const char *wish = getenv("MINGA_FAULT");
    const char *folder = getenv("MINGA_FAULT_FOLDER");
    struct fault fault = {0};
    char *rest = NULL;

    if (wish == NULL || folder == NULL || strlen(folder) >= sizeof(fault.folder)) {
        return;
    }
    memcpy(fault.folder, folder, strlen(folder) + 1);
    for (int i = 0; i < FAULT_KINDS; i++) {
        size_t length = names[i] == NULL ? 0 : strlen(names[i]);

        if (length > 0 && strncmp(wish, names[i], length) == 0 && wish[length] == ' ') {
            fault.kind = (enum fault_kind)i;
            fault.at = (uint32_t)strtoul(wish + length, &rest, 10);
            fault.is_lasting = strcmp(rest, " lasting") == 0;
        }
    }
    fault_set(&fault);
}
