// SPDX-License-Identifier: GPL-3.0-or-later
/* The filter for machines that are not here: what its program answers, step by step. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "sandbox/helper/seccomp.h"

enum { ALLOWED = 0, OTHERWISE = -1 /* neither allowed nor an error */ };

struct program {
    uint32_t architecture;
    size_t count;
    struct sock_filter steps[BPF_MAXINSNS];
};

static struct program program_for(uint32_t architecture)
{
    struct program program = {.architecture = architecture};
    struct err err = {0};
    int fd = seccomp_make_for(architecture, &err);

    cr_assert_geq(fd, 0, "%s", err.text);
    ssize_t count_bytes = pread(fd, program.steps, sizeof(program.steps), 0);
    cr_assert_gt(count_bytes, 0);
    program.count = (size_t)count_bytes / sizeof(program.steps[0]);
    close(fd);
    return program;
}

static bool is_true(const struct sock_filter *step, uint32_t value)
{
    switch (BPF_OP(step->code)) {
    case BPF_JEQ:
        return value == step->k;
    case BPF_JGT:
        return value > step->k;
    case BPF_JGE:
        return value >= step->k;
    case BPF_JSET:
        return (value & step->k) != 0;
    default:
        break;
    }
    cr_assert_fail("jump %x", step->code);
    return false;
}

/* What seccomp(2) would return; the kernel has checked that programs only jump ahead. */
static uint32_t run(const struct program *program, const struct seccomp_data *data)
{
    uint32_t value = 0;

    for (size_t i = 0; i < program->count; i++) {
        const struct sock_filter *step = &program->steps[i];

        if (step->code == (BPF_LD | BPF_W | BPF_ABS)) {
            cr_assert_leq(step->k, sizeof(*data) - sizeof(value));
            memcpy(&value, (const char *)data + step->k, sizeof(value));
        } else if (step->code == (BPF_ALU | BPF_AND | BPF_K)) {
            value &= step->k;
        } else if (step->code == (BPF_JMP | BPF_JA)) {
            i += step->k;
        } else if (BPF_CLASS(step->code) == BPF_JMP) {
            i += is_true(step, value) ? step->jt : step->jf;
        } else {
            cr_assert_eq(step->code, BPF_RET | BPF_K, "step %zu: %x", i, step->code);
            return step->k;
        }
    }
    cr_assert_fail("it has no end");
    return SECCOMP_RET_KILL_PROCESS;
}

static int outcome(uint32_t answer)
{
    if (answer == SECCOMP_RET_ALLOW) {
        return ALLOWED;
    }
    return (answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO
               ? (int)(answer & SECCOMP_RET_DATA)
               : OTHERWISE;
}

static int outcome_of_number(const struct program *program, int number, const uint64_t arguments[6])
{
    struct seccomp_data data = {.nr = number, .arch = program->architecture};

    memcpy(data.args, arguments, sizeof(data.args));
    return outcome(run(program, &data));
}

/* What the call `name` of that machine gives, with these arguments. */
#define OUTCOME(program, name, ...) \
    outcome_of_number(program, number_of(program, name), (const uint64_t[6]){__VA_ARGS__})

static int number_of(const struct program *program, const char *name)
{
    int number = seccomp_syscall_resolve_name_arch(program->architecture, name);

    cr_assert_geq(number, 0, "%s", name);
    return number;
}

static const uint32_t machines[] = {SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64, SCMP_ARCH_ARM,
                                    SCMP_ARCH_RISCV64};

Test(seccomp_machines, this_machine_s_is_one_of_them)
{
    struct err err = {0};
    static struct sock_filter steps[BPF_MAXINSNS];
    struct program native = program_for(seccomp_arch_native());
    int fd = seccomp_make(&err);

    cr_assert_geq(fd, 0, "%s", err.text);
    ssize_t count_bytes = pread(fd, steps, sizeof(steps), 0);
    cr_assert_eq(count_bytes, (ssize_t)(native.count * sizeof(steps[0])));
    cr_assert_arr_eq(steps, native.steps, (size_t)count_bytes);
    close(fd);
}

/* Of what glibc 2.36 and musl 1.2.3 call there and nowhere else. */
Test(seccomp_machines, programs_of_32_bit_arm_run)
{
    static const char *const names[] = {"set_tls",
                                        "get_tls",
                                        "cacheflush",
                                        "sigreturn",
                                        "ugetrlimit",
                                        "_llseek",
                                        "_newselect",
                                        "stat64",
                                        "lstat64",
                                        "fstat64",
                                        "fstatat64",
                                        "statfs64",
                                        "fstatfs64",
                                        "truncate64",
                                        "ftruncate64",
                                        "sendfile64",
                                        "arm_fadvise64_64",
                                        "arm_sync_file_range",
                                        "getuid32",
                                        "geteuid32",
                                        "getgid32",
                                        "getegid32",
                                        "getresuid32",
                                        "getresgid32",
                                        "getgroups32",
                                        "setuid32",
                                        "setgid32",
                                        "setreuid32",
                                        "setregid32",
                                        "setresuid32",
                                        "setresgid32",
                                        "setgroups32",
                                        "setfsuid32",
                                        "setfsgid32",
                                        "chown32",
                                        "fchown32",
                                        "lchown32",
                                        "send",
                                        "recv",
                                        "clock_gettime64",
                                        "clock_getres_time64",
                                        "clock_nanosleep_time64",
                                        "futex_time64",
                                        "ppoll_time64",
                                        "pselect6_time64",
                                        "recvmmsg_time64",
                                        "utimensat_time64",
                                        "timer_gettime64",
                                        "timer_settime64",
                                        "timerfd_gettime64",
                                        "timerfd_settime64",
                                        "semtimedop_time64",
                                        "mq_timedsend_time64",
                                        "mq_timedreceive_time64",
                                        "rt_sigtimedwait_time64",
                                        "sched_rr_get_interval_time64"};
    struct program arm = program_for(SCMP_ARCH_ARM);

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        cr_assert_eq(OUTCOME(&arm, names[i], 0), ALLOWED, "%s", names[i]);
    }
    cr_assert_eq(OUTCOME(&arm, "mmap2", 0, 4096, 0, MAP_PRIVATE), ALLOWED);
    cr_assert_eq(OUTCOME(&arm, "mmap2", 0, 4096, 0, MAP_HUGETLB), EPERM);
    cr_assert_eq(OUTCOME(&arm, "fcntl64", 3, F_SETLK), ALLOWED);
    cr_assert_eq(OUTCOME(&arm, "fcntl64", 3, F_GETFD), ALLOWED);
    cr_assert_eq(OUTCOME(&arm, "clone", SIGCHLD), ALLOWED);
}

Test(seccomp_machines, what_32_bit_arm_calls_otherwise_is_not_another_way_in)
{
    enum { OFD_SETLK = 37, USR26 = 0xf0003, NO_CALL = 0xf0007 };
    static const char *const names[] = {"clock_settime64", "clock_adjtime64", "umount2",   "mount",
                                        "ptrace",          "pciconfig_read",  "nfsservctl"};
    static const uint64_t none[6] = {0};
    struct program arm = program_for(SCMP_ARCH_ARM);

    for (uint64_t command = OFD_SETLK; command <= OFD_SETLK + 1; command++) {
        cr_assert_eq(OUTCOME(&arm, "fcntl", 3, command), EINVAL);
        cr_assert_eq(OUTCOME(&arm, "fcntl64", 3, command), EINVAL);
    }
    cr_assert_eq(OUTCOME(&arm, "fcntl64", 3, F_SETLEASE), EINVAL);
    cr_assert_eq(OUTCOME(&arm, "fcntl64", 3, F_NOTIFY), EINVAL);
    cr_assert_eq(OUTCOME(&arm, "setrlimit", RLIMIT_CORE), EPERM);
    cr_assert_eq(OUTCOME(&arm, "io_pgetevents_time64", 0), ENOSYS);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        cr_assert_eq(OUTCOME(&arm, names[i], 0), EPERM, "%s", names[i]);
    }
    cr_assert_eq(outcome_of_number(&arm, USR26, none), EPERM);
    cr_assert_eq(outcome_of_number(&arm, NO_CALL, none), EPERM);
}

static void judge_doors(const struct program *program)
{
    static const char *const names[] = {"mount",
                                        "umount2",
                                        "unshare",
                                        "setns",
                                        "pivot_root",
                                        "fsopen",
                                        "move_mount",
                                        "bpf",
                                        "perf_event_open",
                                        "userfaultfd",
                                        "io_uring_setup",
                                        "keyctl",
                                        "ptrace",
                                        "add_key",
                                        "process_vm_readv",
                                        "init_module",
                                        "finit_module",
                                        "open_by_handle_at",
                                        "reboot",
                                        "clock_settime",
                                        "swapon",
                                        "sched_setattr",
                                        "ioprio_set",
                                        "pidfd_getfd",
                                        "syslog"};
    static const uint64_t none[6] = {0};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        cr_assert_eq(OUTCOME(program, names[i], 0), EPERM, "%s", names[i]);
    }
    cr_assert_eq(OUTCOME(program, "clone3", 0), ENOSYS);
    cr_assert_eq(OUTCOME(program, "openat2", 0), ENOSYS);
    cr_assert_eq(OUTCOME(program, "io_setup", 0), ENOSYS);
    cr_assert_eq(outcome_of_number(program, 451, none), ENOSYS, "newer than the list");
    cr_assert_eq(outcome_of_number(program, 600, none), ENOSYS, "newer than the list");
}

static void judge_arguments(const struct program *program)
{
    cr_assert_eq(OUTCOME(program, "clone", CLONE_NEWUSER | SIGCHLD), EPERM);
    cr_assert_eq(OUTCOME(program, "clone", CLONE_FILES | SIGCHLD), EPERM);
    cr_assert_eq(OUTCOME(program, "clone", CLONE_VM | CLONE_VFORK | SIGCHLD), ALLOWED);
    cr_assert_eq(OUTCOME(program, "clone", CLONE_FILES | CLONE_THREAD | CLONE_VM), ALLOWED);
    cr_assert_eq(OUTCOME(program, "socket", AF_NETLINK, SOCK_RAW), EPERM);
    cr_assert_eq(OUTCOME(program, "socket", AF_INET, SOCK_RAW, 1), EPERM);
    cr_assert_eq(OUTCOME(program, "socket", AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC), ALLOWED);
    cr_assert_eq(OUTCOME(program, "socket", AF_UNIX, SOCK_SEQPACKET), ALLOWED);
    cr_assert_eq(OUTCOME(program, "setsockopt", 3, SOL_SOCKET, SO_ATTACH_FILTER), ENOPROTOOPT);
    cr_assert_eq(OUTCOME(program, "setsockopt", 3, SOL_SOCKET, SO_REUSEADDR), ALLOWED);
    cr_assert_eq(OUTCOME(program, "fcntl", 3, F_SETLEASE), EINVAL);
    cr_assert_eq(OUTCOME(program, "fcntl", 3, F_GETFD), ALLOWED);
    cr_assert_eq(OUTCOME(program, "madvise", 0, 4096, MADV_MERGEABLE), EINVAL);
    cr_assert_eq(OUTCOME(program, "madvise", 0, 4096, MADV_DONTNEED), ALLOWED);
    cr_assert_eq(OUTCOME(program, "prlimit64", 0, RLIMIT_CORE, 0x1000), EPERM);
    cr_assert_eq(OUTCOME(program, "prlimit64", 0, RLIMIT_CORE, 0), ALLOWED);
    cr_assert_eq(OUTCOME(program, "ioctl", 0, TIOCSTI), EPERM);
    cr_assert_eq(OUTCOME(program, "ioctl", 0, FIONREAD), ALLOWED);
    cr_assert_eq(OUTCOME(program, "fchmod", 3, S_ISUID | 0755), EPERM);
    cr_assert_eq(OUTCOME(program, "fchmod", 3, 0755), ALLOWED);
    cr_assert_eq(OUTCOME(program, "openat", 3, 0, O_CREAT, S_ISGID | 0755), EPERM);
    cr_assert_eq(OUTCOME(program, "openat", 3, 0, O_CREAT, 0644), ALLOWED);
    cr_assert_eq(OUTCOME(program, "mknodat", 3, 0, S_IFCHR), EPERM);
}

Test(seccomp_machines, the_doors_are_shut_on_each)
{
    for (size_t i = 0; i < ARRAY_COUNT(machines); i++) {
        struct program program = program_for(machines[i]);

        judge_doors(&program);
        judge_arguments(&program);
        cr_assert_eq(OUTCOME(&program, "getpid", 0), ALLOWED);
        cr_assert_eq(OUTCOME(&program, "execve", 0), ALLOWED);
    }
}

/* A kernel of 64 bits also runs programs of 32: their numbers mean other calls. */
Test(seccomp_machines, calls_of_another_do_not_exist)
{
    for (size_t i = 0; i < ARRAY_COUNT(machines); i++) {
        struct program program = program_for(machines[i]);
        const int read_number = number_of(&program, "read");

        for (size_t j = 0; j < ARRAY_COUNT(machines); j++) {
            struct seccomp_data data = {.nr = read_number, .arch = machines[j]};

            cr_assert_eq(outcome(run(&program, &data)), i == j ? ALLOWED : ENOSYS);
        }
    }
}
