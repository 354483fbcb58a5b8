// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Taking more than was promised, of what can be asked for without dying of it. What kills
 * (memory, output, ...) is run by `minga prove` in sandboxes of its own: see hog.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum {
    BLOCK_BYTES = 65536,
    FILES_MAX = 1 << 18,
    CHILDREN_MAX = 4096,
    DESCRIPTORS_MAX = 1 << 17,
    WATCHERS_MAX = 64,
    LOCKED_BYTES = 64 << 20,
};

static char block[BLOCK_BYTES];

static void remember_full(struct outcome *out, int error_number, const char *what, uint64_t count)
{
    if (error_number == ENOSPC || error_number == EDQUOT || error_number == EMFILE ||
        error_number == ENFILE || error_number == EAGAIN || error_number == ENOMEM) {
        outcome_stopped(out, "after %llu %s: %s", (unsigned long long)count, what,
                        error_number == ENOSPC ? "no space left" : "no more");
    } else {
        outcome_of_error(out, error_number);
    }
}

/* number: bytes that are more than there may be. */
static void fill_file(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    uint64_t written_bytes = 0;
    ssize_t count_bytes = -1;
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    (void)facts;
    memset(block, 'x', sizeof(block));
    while (fd >= 0 && written_bytes < (uint64_t)attempt->number &&
           (count_bytes = write(fd, block, sizeof(block))) > 0) {
        written_bytes += (uint64_t)count_bytes;
    }
    int code = errno;
    unlink(attempt->path);
    if (fd >= 0 && written_bytes >= (uint64_t)attempt->number) {
        outcome_open(out, "%llu MiB", (unsigned long long)(written_bytes >> 20));
    } else {
        remember_full(out, code, "KiB", written_bytes >> 10);
    }
}

/* A hole takes no room now, but would later. */
static void promise_file(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    (void)facts;
    if (fd >= 0 && posix_fallocate(fd, 0, attempt->number) == 0) {
        outcome_open(out, "promised");
    } else {
        outcome_stopped(out, "no space left");
    }
    unlink(attempt->path);
}

static void make_files(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    char path[64];
    unsigned count = 0;
    int code = 0;

    (void)facts;
    if (mkdir(attempt->path, 0700) < 0) {
        outcome_of_error(out, errno);
        return;
    }
    for (; count < FILES_MAX; count++) {
        (void)snprintf(path, sizeof(path), "%.32s/%u", attempt->path, count);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0) {
            code = errno;
            break;
        }
        close(fd);
    }
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%.32s/%u", attempt->path, i);
        unlink(path);
    }
    rmdir(attempt->path);
    if (count == FILES_MAX) {
        outcome_open(out, "%u files", count);
    } else {
        remember_full(out, code, "files", count);
    }
}

static void make_children(const struct attempt *attempt, const struct facts *facts,
                          struct outcome *out)
{
    static pid_t pids[CHILDREN_MAX];
    unsigned count = 0;
    int code = 0;

    (void)attempt;
    for (; count < CHILDREN_MAX; count++) {
        pids[count] = fork();
        if (pids[count] == 0) {
            for (;;) {
                pause();
            }
        }
        if (pids[count] < 0) {
            code = errno;
            break;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    if (count >= facts->pid_count_max) {
        outcome_open(out, "%u processes", count);
    } else {
        remember_full(out, code, "processes", count);
    }
}

static void open_files(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    struct rlimit wanted;
    unsigned count = 0;

    (void)attempt;
    (void)facts;
    if (getrlimit(RLIMIT_NOFILE, &wanted) == 0) {
        wanted.rlim_cur = wanted.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &wanted);
    }
    while (count < DESCRIPTORS_MAX &&
           fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) >= 0) { /* closed by our end */
        count++;
    }
    if (count == DESCRIPTORS_MAX) {
        outcome_open(out, "%u descriptors", count);
    } else {
        remember_full(out, errno, "descriptors", count);
    }
}

/* Each counts for root of the host too, who has 128. */
static void make_watchers(const struct attempt *attempt, const struct facts *facts,
                          struct outcome *out)
{
    unsigned count = 0;

    (void)attempt;
    (void)facts;
    while (count < WATCHERS_MAX && inotify_init1(IN_CLOEXEC) >= 0) {
        count++;
    }
    if (count == WATCHERS_MAX) {
        outcome_open(out, "%u of the 128 that the host's root has", count);
    } else {
        remember_full(out, errno, "watchers", count);
    }
}

static void lock_memory(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    void *memory = mmap(NULL, LOCKED_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)attempt;
    (void)facts;
    if (memory != MAP_FAILED && mlock(memory, LOCKED_BYTES) == 0) {
        outcome_open(out, "%d MiB", LOCKED_BYTES >> 20);
    } else if (errno == ENOMEM) {
        outcome_stopped(out, "beyond the limit");
    } else {
        outcome_of_error(out, errno);
    }
}

static void take_huge_pages(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    void *memory = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

    (void)attempt;
    (void)facts;
    if (memory != MAP_FAILED) {
        outcome_open(out, "one of the host's");
    } else if (errno == ENOMEM) {
        outcome_unsure(out, "the host has none");
    } else {
        outcome_of_error(out, errno);
    }
}

/* Executed from memory that is shared with others. */
static void execute_shm(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_RDWR | O_CREAT | O_CLOEXEC, 0700);
    void *memory = fd < 0 || ftruncate(fd, BLOCK_BYTES) < 0
                       ? MAP_FAILED
                       : mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);

    (void)facts;
    if (memory != MAP_FAILED) {
        outcome_open(out, "mapped for execution");
    } else {
        outcome_of_error(out, errno);
    }
    unlink(attempt->path);
}

static const struct attempt rows[] = {
    {.name = "a larger file than the disk",
     .run = fill_file,
     .path = "/tmp/minga-probe-full",
     .number = 256L << 20},
    {.name = "a larger promise than the disk",
     .run = promise_file,
     .path = "/tmp/minga-probe-hole",
     .number = 256L << 20},
    {.name = "more files than inodes", .run = make_files, .path = "/tmp/minga-probe-names"},
    {.name = "more shared memory than a quarter",
     .run = fill_file,
     .path = "/dev/shm/minga-probe",
     .number = 128L << 20},
    {.name = "more names in shared memory", .run = make_files, .path = "/dev/shm/minga-names"},
    {.name = "files in /dev", .run = fill_file, .path = "/dev/minga-probe", .number = 1 << 20},
    {.name = "more processes than the limit", .run = make_children},
    {.name = "more open files than the limit", .run = open_files},
    {.name = "watchers of the host's root", .run = make_watchers},
    {.name = "locked memory", .run = lock_memory},
    {.name = "huge pages", .run = take_huge_pages},
    {.name = "execute from shared memory", .run = execute_shm, .path = "/dev/shm/minga-code"},
};

const struct attempt_group limits_group = {"limits", rows, ARRAY_COUNT(rows)};
