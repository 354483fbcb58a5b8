// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/unpack/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "images/unpack/say.h"

/* xz and zstd windows are up to 128 MiB; the rules' memory is 38 MiB, an index 32 MiB. */
#define ADDRESS_SPACE_BYTES_MAX ((uint64_t)768 << 20)

static void limit(int resource, uint64_t most)
{
    struct rlimit value = {most, most};

    if (setrlimit((__rlimit_resource_t)resource, &value) < 0) {
        say_failed(NULL, "set a resource limit: %m");
    }
}

static void confine_resources(void)
{
    limit(RLIMIT_CPU, CONFINE_CPU_S_MAX);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, BUNDLE_BYTES_MAX);
    limit(RLIMIT_NOFILE, CONFINE_FILES_MAX);
    /* AddressSanitizer reserves terabytes of addresses. */
    if (!IS_SANITIZED) {
        limit(RLIMIT_AS, ADDRESS_SPACE_BYTES_MAX);
    }
}

static void landlock_allow(int ruleset_fd, int folder_fd, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = folder_fd};

    if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0) {
        say_failed(NULL, "landlock: %m");
    }
}

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif

/*
 * Everything of the first version; from the second on, linking between folders can be allowed
 * (without it is denied, and unpack.c copies).
 */
static void confine_files(int write_fd, int read_fd)
{
    const uint64_t read_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const uint64_t write_access = read_access | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
                                  LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                                  LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM;
    struct landlock_ruleset_attr attributes = {
        .handled_access_fs = write_access | LANDLOCK_ACCESS_FS_EXECUTE |
                             LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                             LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                             LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK,
    };
    CLEANUP(cleanup_close)
    int ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

    if (ruleset_fd < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
        return; /* a kernel without it: place.c and seccomp stand alone */
    }
    if (ruleset_fd < 0) {
        say_failed(NULL, "landlock: %m");
    }
    landlock_allow(ruleset_fd, write_fd, write_access);
    if (read_fd >= 0) {
        landlock_allow(ruleset_fd, read_fd, read_access);
    }
    if (syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0) {
        say_failed(NULL, "landlock: %m");
    }
}

/* What reading, decompressing, hashing and writing below open folders takes. */
static const int allowed_calls[] = {
    SCMP_SYS(read),          SCMP_SYS(write),           SCMP_SYS(close),
    SCMP_SYS(fstat),         SCMP_SYS(newfstatat),      SCMP_SYS(lseek),
    SCMP_SYS(mkdirat),       SCMP_SYS(symlinkat),       SCMP_SYS(linkat),
    SCMP_SYS(fchmod),        SCMP_SYS(fsync),           SCMP_SYS(fdatasync),
    SCMP_SYS(syncfs),        SCMP_SYS(munmap),          SCMP_SYS(mremap),
    SCMP_SYS(brk),           SCMP_SYS(madvise),         SCMP_SYS(exit),
    SCMP_SYS(exit_group),    SCMP_SYS(rt_sigreturn),    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),    SCMP_SYS(getrandom),
    SCMP_SYS(futex),         SCMP_SYS(getpid),          SCMP_SYS(gettid),
    SCMP_SYS(tgkill),        SCMP_SYS(restart_syscall),
};

/* Memory may be had, but never to be executed. */
static int allow_memory(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable);

    if (r == 0) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_executable);
    }
    return r;
}

/*
 * As place.c opens: in an open folder, and never what a link leads to. Libraries look for
 * configuration in passing, by whole paths; they take "no" for an answer.
 */
static int allow_opening(scmp_filter_ctx filter)
{
    const uint64_t negative = 0x80000000U; /* AT_FDCWD is */
    const struct scmp_arg_cmp in_folder = SCMP_A0(SCMP_CMP_MASKED_EQ, negative, 0);
    const struct scmp_arg_cmp by_path = SCMP_A0(SCMP_CMP_MASKED_EQ, negative, negative);
    const struct scmp_arg_cmp no_link = SCMP_A2(SCMP_CMP_MASKED_EQ, O_NOFOLLOW, O_NOFOLLOW);
    const struct scmp_arg_cmp any_link = SCMP_A2(SCMP_CMP_MASKED_EQ, O_NOFOLLOW, 0);
    const uint32_t refused = SCMP_ACT_ERRNO(EACCES);
    int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 2, in_folder, no_link);

    if (r == 0) {
        r = seccomp_rule_add(filter, refused, SCMP_SYS(openat), 1, by_path);
    }
    if (r == 0) {
        r = seccomp_rule_add(filter, refused, SCMP_SYS(openat), 2, in_folder, any_link);
    }
    return r;
}

static void confine_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r = filter == NULL ? -ENOMEM : allow_opening(filter);

    for (size_t i = 0; r == 0 && i < ARRAY_COUNT(allowed_calls); i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
    }
    if (r == 0) {
        r = allow_memory(filter);
    }
    if (r == 0) {
        r = seccomp_load(filter);
    }
    if (r < 0) {
        errno = -r;
        say_failed(NULL, "seccomp: %m");
    }
    seccomp_release(filter);
}

void confine(int write_fd, int read_fd)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        say_failed(NULL, "give up privileges: %m");
    }
    confine_resources();
    confine_files(write_fd, read_fd);
    /* The sanitizers' own end needs calls that a worker has no business with. */
    if (!IS_SANITIZED) {
        confine_calls();
    }
}
