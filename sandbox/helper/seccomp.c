// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/helper/memory_file.h"
#include "sandbox/helper/seccomp_front.h"

/*
 * Anything not named here fails with EPERM. Left out on purpose, each having broken out of
 * sandboxes before or reaching beyond one:
 *   bpf, perf_event_open, userfaultfd, io_uring_*: large kernel surfaces that no ordinary service
 *     needs (io_uring also does I/O past this very filter);
 *   ptrace, process_vm_*, process_madvise, pidfd_getfd, kcmp: into other processes;
 *   keyctl, add_key, request_key: the kernel's key rings know no namespace;
 *   mount, umount2, move_mount, open_tree, fs*, mount_setattr, pivot_root, chroot, setns, unshare:
 *     what the sandbox is made of; with them go new user namespaces, the root of most exploits;
 *   init_module, kexec_*, reboot, swap*, settimeofday, clock_settime, *adjtime*, acct, quotactl,
 *     syslog, iopl, ioperm, sethostname, vhangup: the machine's;
 *   mbind, set_mempolicy, move_pages, migrate_pages: where the machine's memory lies;
 *   vmsplice, remap_file_pages: doors into the page cache that services do not use;
 *   ioprio_set, sched_setattr: before the host's own programs at its disk (a loop device hands the
 *     priority on), and sooner at its processors (a short slice counts for the whole group);
 *   open_by_handle_at, name_to_handle_at: around paths; modify_ldt, lookup_dcookie, uselib: old.
 */

/* Many on a line: one name a line would hide what belongs together. */
/* clang-format off */

/* Memory, threads and waiting for one another. By set_tls each program of 32-bit ARM begins. */
static const char *const memory_and_threads[] = {
    "arch_prctl", "brk", "cacheflush", "exit", "exit_group", "futex", "futex_time64", "futex_waitv",
    "get_robust_list", "get_thread_area", "get_tls", "madvise", "membarrier", "mincore", "mlock",
    "mlock2", "mlockall", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap",
    "pkey_alloc", "pkey_free", "pkey_mprotect", "restart_syscall", "rseq", "set_robust_list",
    "set_thread_area", "set_tid_address", "set_tls", NULL};

/* Processes of its own; without a capability, ids and priorities only go down. */
static const char *const processes[] = {
    "capget", "capset", "execve", "execveat", "fork", "getegid", "getegid32", "geteuid",
    "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getpgid", "getpgrp", "getpid",
    "getppid", "getpriority", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit",
    "getrusage", "getsid", "gettid", "getuid", "getuid32", "ioprio_get", "kill",
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "pidfd_open",
    "pidfd_send_signal", "prlimit64", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setparam", "sched_setscheduler",
    "sched_yield", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32",
    "setgroups", "setgroups32", "setpgid", "setpriority", "setregid", "setregid32", "setresgid",
    "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid",
    "setuid", "setuid32", "sigaltstack", "sigreturn", "tgkill", "times", "tkill", "umask", "vfork",
    "wait4", "waitid", "waitpid", NULL};

/* Files: the kernel's permissions and the read-only tree decide which. */
static const char *const files[] = {
    "access", "arm_fadvise64_64", "arm_sync_file_range", "chdir", "chown", "chown32", "close",
    "close_range", "copy_file_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
    "fadvise64_64", "fallocate", "fchdir", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64",
    "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat",
    "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64",
    "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "lchown", "lchown32", "lgetxattr", "link",
    "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek", "_llseek", "lsetxattr", "lstat",
    "lstat64", "mkdir", "mkdirat", "newfstatat", "pread64", "preadv", "preadv2", "pwrite64",
    "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr",
    "rename", "renameat", "renameat2", "rmdir", "sendfile", "sendfile64", "setxattr", "splice",
    "stat", "stat64", "statfs", "statfs64", "statx", "symlink", "symlinkat", "sync_file_range",
    "syncfs", "tee", "truncate", "truncate64", "unlink", "unlinkat", "utime", "utimensat",
    "utimensat_time64", "utimes", "write", "writev", NULL};

/* Waiting, and time (reading it). */
static const char *const waiting[] = {
    "alarm", "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64",
    "clock_nanosleep", "clock_nanosleep_time64", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "getitimer", "gettimeofday",
    "nanosleep", "_newselect", "pause", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64",
    "pselect6", "pselect6_time64", "select", "setitimer", "signalfd", "signalfd4", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
    "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64",
    "timerfd_settime", "timerfd_settime64", NULL};

/* Sockets of the allowed families (see below), and the namespace's own System V and POSIX IPC. */
static const char *const talking[] = {
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
    "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
    "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "semctl", "semget", "semop",
    "semtimedop", "semtimedop_time64", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt",
    "shmat", "shmctl", "shmdt", "shutdown", NULL};

/* Facts about machine and kernel. */
static const char *const facts[] = {
    "getcpu", "getrandom", "sysinfo", "uname", "ugetrlimit", NULL};
/* clang-format on */

static const char *const *const groups[] = {
    memory_and_threads, processes, files, waiting, talking, facts};

/*
 * Netlink, packet, vsock, alg and the rest each open a door into the kernel or past the netns, and
 * a mere socket(2) of a rare family or protocol loads its module into the host's kernel. So only
 * streams and datagrams of these, by TCP and UDP.
 */
static const uint32_t internet_families[] = {AF_INET, AF_INET6};
static const uint32_t internet_types[] = {SOCK_STREAM, SOCK_DGRAM};
static const uint32_t internet_protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP};
enum { SOCKET_TYPE_BITS = 0xf };

/*
 * By name, as TIOCSTI and TIOCLINUX type into other people's terminals and every driver has its
 * own. Only the low half counts: the kernel cuts the number, so a comparison of 64 bits would let
 * TIOCSTI + 2^32 pass.
 */
static const unsigned int ioctls[] = {
    TCGETS,          TCSETS,         TCSETSW,        TCSETSF,     TCFLSH,       TCSBRK,
    TIOCGWINSZ,      TIOCSWINSZ,     TIOCGPGRP,      TIOCSPGRP,   TIOCGSID,     TIOCSCTTY,
    TIOCNOTTY,       TIOCOUTQ,       FIONREAD,       FIONBIO,     FIOASYNC,     FIOCLEX,
    FIONCLEX,        SIOCATMARK,     SIOCGIFNAME,    SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR,
    SIOCGIFNETMASK,  SIOCGIFBRDADDR, SIOCGIFDSTADDR, SIOCGIFMTU,  SIOCGIFINDEX, SIOCGIFHWADDR,
    FS_IOC_GETFLAGS, FICLONE,        FICLONERANGE,   FIGETBSZ,
};

/* personality(2): the default, and asking. */
static const unsigned int personalities[] = {0, 0xffffffff};

/*
 * prctl(2) about oneself: names, signals, giving rights up. Not among them: the layout of memory,
 * core scheduling (which keeps a host's processors idle), dispatch of system calls.
 */
/* clang-format off */
static const unsigned int prctls[] = {
    PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_DUMPABLE, PR_GET_DUMPABLE,
    PR_SET_KEEPCAPS, PR_GET_KEEPCAPS, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_SET_TIMERSLACK, PR_GET_TIMERSLACK,
    PR_SET_CHILD_SUBREAPER, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE, PR_GET_CHILD_SUBREAPER,
    PR_CAP_AMBIENT, PR_GET_SECUREBITS, PR_GET_TID_ADDRESS, PR_GET_SPECULATION_CTRL,
    PR_SET_SPECULATION_CTRL, PR_SET_VMA, PR_SET_PTRACER, PR_MCE_KILL_GET, PR_GET_TIMING,
    65 /* PR_SET_MDWE */, 66 /* PR_GET_MDWE */,
};
/* clang-format on */

static struct scmp_arg_cmp low_half(unsigned int argument, uint32_t value)
{
    return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, 0xffffffff, value);
}

/* -EDOM: not every architecture has every call. */
static int allow_when(scmp_filter_ctx context, int call, struct scmp_arg_cmp condition)
{
    int r = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, call, 1, &condition);

    return r == -EDOM ? 0 : r;
}

static int allow_groups(scmp_filter_ctx context)
{
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        for (const char *const *name = groups[i]; *name != NULL; name++) {
            int call = seccomp_syscall_resolve_name(*name);

            /* Not every architecture, nor every libseccomp, has them all. */
            if (call == __NR_SCMP_ERROR) {
                continue;
            }
            int r = seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0);
            if (r < 0 && r != -EDOM) {
                return r;
            }
        }
    }
    return 0;
}

/*
 * New threads and processes, but no new namespaces; and nobody else's descriptors without being a
 * thread of theirs: a lock on a file lasts as long as the descriptors, and is counted (locks.h) for
 * the process that took it.
 */
static int allow_clone(scmp_filter_ctx context)
{
    const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
#ifdef __s390x__
    const unsigned int flags_argument = 1;
#else
    const unsigned int flags_argument = 0;
#endif
    const uint64_t shared = CLONE_FILES | CLONE_THREAD;
    int r = allow_when(context, SCMP_SYS(clone),
                       SCMP_CMP64(flags_argument, SCMP_CMP_MASKED_EQ, namespaces | CLONE_FILES, 0));

    if (r == 0) {
        r = allow_when(context, SCMP_SYS(clone),
                       SCMP_CMP64(flags_argument, SCMP_CMP_MASKED_EQ, namespaces | shared, shared));
    }
    if (r < 0) {
        return r;
    }
    /* Its flags lie in memory, where no filter can see them. libc falls back to clone. */
    return seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int allow_internet(scmp_filter_ctx context)
{
    int r = 0;

    for (size_t i = 0; i < ARRAY_COUNT(internet_families) && r == 0; i++) {
        for (size_t j = 0; j < ARRAY_COUNT(internet_types) && r == 0; j++) {
            for (size_t k = 0; k < ARRAY_COUNT(internet_protocols) && r == 0; k++) {
                const struct scmp_arg_cmp conditions[] = {
                    low_half(0, internet_families[i]),
                    SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, SOCKET_TYPE_BITS, internet_types[j]),
                    low_half(2, internet_protocols[k])};

                r = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, SCMP_SYS(socket),
                                           ARRAY_COUNT(conditions), conditions);
            }
        }
    }
    return r;
}

static int allow_sockets(scmp_filter_ctx context)
{
    int r = allow_when(context, SCMP_SYS(socket), low_half(0, AF_UNIX));

    if (r == 0) {
        r = allow_when(context, SCMP_SYS(socketpair), low_half(0, AF_UNIX));
    }
    return r == 0 ? allow_internet(context) : r;
}

/*
 * Modes of files without set-user-ID and set-group-ID (which no mount here heeds: this is a second
 * wall). Who creates no file has no mode: what lies in its place says nothing. openat2's mode lies
 * in memory, where no filter can see it: there is no such call, and programs take openat.
 */
static int allow_opening(scmp_filter_ctx context)
{
    const uint64_t creating = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);
    const uint64_t special = S_ISUID | S_ISGID;
    int r = allow_when(context, SCMP_SYS(creat), SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, special, 0));

    for (unsigned at = 0; at < 2 && r == 0; at++) {
        const int call = at == 0 ? SCMP_SYS(open) : SCMP_SYS(openat);

        r = allow_when(context, call, SCMP_CMP64(at + 1, SCMP_CMP_MASKED_EQ, creating, 0));
        if (r == 0) {
            r = allow_when(context, call, SCMP_CMP64(at + 2, SCMP_CMP_MASKED_EQ, special, 0));
        }
    }
    return r < 0 ? r : seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
}

/* The same of modes that are changed, and nodes that are no devices, also no overlay's whiteouts. */
static int allow_modes(scmp_filter_ctx context)
{
    static const struct {
        const char *call;
        unsigned int argument;
    } changing[] = {{"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}};
    static const struct {
        const char *call;
        unsigned int argument;
    } making[] = {{"mknod", 1}, {"mknodat", 2}};
    static const mode_t kinds[] = {0, S_IFREG, S_IFIFO, S_IFSOCK};
    int r = 0;

    for (size_t i = 0; i < ARRAY_COUNT(changing) && r == 0; i++) {
        int call = seccomp_syscall_resolve_name(changing[i].call);
        struct scmp_arg_cmp condition =
            SCMP_CMP64(changing[i].argument, SCMP_CMP_MASKED_EQ, S_ISUID | S_ISGID, 0);

        r = allow_when(context, call, condition);
    }
    for (size_t i = 0; i < ARRAY_COUNT(making) * ARRAY_COUNT(kinds) && r == 0; i++) {
        int call = seccomp_syscall_resolve_name(making[i / ARRAY_COUNT(kinds)].call);

        r = allow_when(context, call,
                       SCMP_CMP64(making[i / ARRAY_COUNT(kinds)].argument, SCMP_CMP_MASKED_EQ,
                                  S_IFMT | S_ISUID | S_ISGID, kinds[i % ARRAY_COUNT(kinds)]));
    }
    return r;
}

/*
 * No huge pages: those that the host's administrator set aside are counted by no group's limit of
 * memory. And no code in memory files: the kernel's setting (child.c) is only what is the default.
 */
static int allow_memory(scmp_filter_ctx context)
{
    enum { MEMFD_EXEC = 0x10 /* newer than our headers */ };
    static const struct {
        const char *call;
        unsigned int flags_argument;
        uint64_t refused;
    } rows[] = {{"mmap", 3, MAP_HUGETLB},
                {"mmap2", 3, MAP_HUGETLB},
                {"shmget", 2, SHM_HUGETLB},
                {"memfd_create", 1, MFD_HUGETLB | MEMFD_EXEC}};
    int r = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows) && r == 0; i++) {
        r = allow_when(context, seccomp_syscall_resolve_name(rows[i].call),
                       SCMP_CMP64(rows[i].flags_argument, SCMP_CMP_MASKED_EQ, rows[i].refused, 0));
    }
    return r;
}

/* Whoever confines itself further may, but not listen to what the confined one calls. */
static int allow_confining(scmp_filter_ctx context)
{
    static const uint32_t asking[] = {SECCOMP_SET_MODE_STRICT, SECCOMP_GET_ACTION_AVAIL};
    const struct scmp_arg_cmp filter[] = {
        low_half(0, SECCOMP_SET_MODE_FILTER),
        SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0)};
    int r = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), ARRAY_COUNT(filter),
                                   filter);

    for (size_t i = 0; i < ARRAY_COUNT(asking) && r == 0; i++) {
        r = allow_when(context, SCMP_SYS(seccomp), low_half(0, asking[i]));
    }
    return r;
}

/*
 * Answered without the kernel. The kernel's older asynchronous I/O: of its requests (fs.aio-max-nr)
 * the whole host has one number, and libraries have another way. sync(2) would wait for all of the
 * host's disks; what a replica writes ends with it.
 */
static int answer_instead(scmp_filter_ctx context)
{
    static const char *const missing[] = {
        "io_setup",     "io_destroy",    "io_submit",           "io_cancel",
        "io_getevents", "io_pgetevents", "io_pgetevents_time64"};
    int r = seccomp_rule_add(context, SCMP_ACT_ERRNO(0), SCMP_SYS(sync), 0);

    for (size_t i = 0; i < ARRAY_COUNT(missing) && r == 0; i++) {
        r = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS),
                             seccomp_syscall_resolve_name(missing[i]), 0);
    }
    return r;
}

static int allow_arguments(scmp_filter_ctx context)
{
    int r = 0;

    for (size_t i = 0; i < ARRAY_COUNT(prctls) && r == 0; i++) {
        r = allow_when(context, SCMP_SYS(prctl), low_half(0, prctls[i]));
    }
    for (size_t i = 0; i < ARRAY_COUNT(ioctls) && r == 0; i++) {
        r = allow_when(context, SCMP_SYS(ioctl), low_half(1, ioctls[i]));
    }
    for (size_t i = 0; i < ARRAY_COUNT(personalities) && r == 0; i++) {
        r = allow_when(context, SCMP_SYS(personality), low_half(0, personalities[i]));
    }
    return r;
}

static int add_rules(scmp_filter_ctx context)
{
    static int (*const parts[])(scmp_filter_ctx context) = {
        allow_groups, allow_clone,     allow_sockets,   allow_opening, allow_modes,
        allow_memory, allow_confining, allow_arguments, answer_instead};
    /* 32-bit calls on a 64-bit kernel would be other numbers with other meanings: none exist. */
    int r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

    if (r == 0) {
        r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    }
    for (size_t i = 0; i < ARRAY_COUNT(parts) && r == 0; i++) {
        r = parts[i](context);
    }
    return r;
}

/* Where it is made counts for nothing: calls are named, and each architecture's numbers are libseccomp's. */
static int choose_architecture(scmp_filter_ctx context, uint32_t architecture)
{
    int r;

    if (architecture == seccomp_arch_native()) {
        return 0;
    }
    r = seccomp_arch_add(context, architecture);
    return r < 0 ? r : seccomp_arch_remove(context, SCMP_ARCH_NATIVE);
}

int seccomp_make(struct err *err)
{
    return seccomp_make_for(seccomp_arch_native(), err);
}

int seccomp_make_for(uint32_t architecture, struct err *err)
{
    CLEANUP(cleanup_close) int fd = memory_file_new("seccomp", err);
    scmp_filter_ctx context;
    int r;

    if (fd < 0) {
        return fd;
    }
    context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (context == NULL) {
        return err_set(err, -ENOMEM, "seccomp filter: no memory");
    }
    r = choose_architecture(context, architecture);
    if (r == 0) {
        r = add_rules(context);
    }
    if (r == 0) {
        r = seccomp_front_put(fd, architecture);
    }
    if (r == 0) {
        r = seccomp_export_bpf(context, fd);
    }
    seccomp_release(context);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "seccomp filter: %m");
    }
    r = memory_file_seal(fd, err);
    return r < 0 ? r : take_fd(&fd);
}
