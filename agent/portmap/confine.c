// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Before the first foreign byte is read: no file can be opened, no process started, no socket but
 * of one family, bounded memory and time. What is left to someone who takes this process over is talking
 * to the network as any user's program can.
 */
#include <assert.h>
#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/portmap/job.h"
#include "base/attributes.h"
#include "base/cleanup.h"

enum { CPU_S_MAX = 5, FILES_MAX = 16, LIFE_S_MAX = 25 };
#define ADDRESS_SPACE_BYTES_MAX ((rlim_t)64 << 20)

static int confine_resources(void)
{
    static const struct {
        __rlimit_resource_t resource;
        rlim_t most;
    } limits[] = {
        {RLIMIT_CPU, CPU_S_MAX},
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, PORTMAP_LINE_BYTES_MAX},
        {RLIMIT_NOFILE, FILES_MAX},
        {RLIMIT_AS, ADDRESS_SPACE_BYTES_MAX},
    };

    alarm(LIFE_S_MAX); /* also without a mingad that waits */
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        struct rlimit value = {limits[i].most, limits[i].most};

        /* AddressSanitizer reserves terabytes of addresses. */
        if (IS_SANITIZED && limits[i].resource == RLIMIT_AS) {
            continue;
        }
        if (setrlimit(limits[i].resource, &value) < 0) {
            return -errno;
        }
    }
    return 0;
}

/* All that its first version knows is handled, and nothing is allowed. */
static int confine_files(void)
{
    const struct landlock_ruleset_attr attributes = {.handled_access_fs =
                                                         LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1};
    CLEANUP(cleanup_close)
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

    static_assert(LANDLOCK_ACCESS_FS_EXECUTE == 1 && LANDLOCK_ACCESS_FS_MAKE_SYM == 1 << 12,
                  "the rights of the first version are the bits 0 to 12");
    if (fd < 0) { /* a kernel without it: seccomp stands alone */
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
    }
    return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

static const int allowed_calls[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(send),
    SCMP_SYS(recv),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(shutdown),
    SCMP_SYS(fcntl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(futex),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(tgkill),
    SCMP_SYS(restart_syscall),
};

/* Libraries look for configuration in passing; they take "no" for an answer. */
static const int denied_calls[] = {SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(newfstatat),
                                   SCMP_SYS(ioctl)};

static int add_rules(scmp_filter_ctx filter, int family)
{
    /* Memory may be had, but never to be executed. */
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable);

    if (r == 0) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_executable);
    }
    if (r == 0) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0xffffffff, (uint64_t)family));
    }
    if (r == 0) {
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                             SCMP_A0_64(SCMP_CMP_NE, (uint64_t)family));
    }
    for (size_t i = 0; i < ARRAY_COUNT(allowed_calls) && r == 0; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
        r = r == -EDOM ? 0 : r; /* not a call of this architecture */
    }
    for (size_t i = 0; i < ARRAY_COUNT(denied_calls) && r == 0; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), denied_calls[i], 0);
        r = r == -EDOM ? 0 : r;
    }
    return r;
}

static int confine_calls(int family)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r = filter == NULL ? -ENOMEM : add_rules(filter, family);

    if (r == 0) {
        r = seccomp_load(filter);
    }
    seccomp_release(filter);
    return r;
}

int confine(int family)
{
    int r;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return -errno;
    }
    r = confine_resources();
    if (r == 0) {
        r = confine_files();
    }
    /* The sanitizers' own end needs calls that a worker has no business with. */
    return r == 0 && !IS_SANITIZED ? confine_calls(family) : r;
}
