// SPDX-License-Identifier: GPL-3.0-or-later
/* Loads the filter in a child and tries. A child ends with the errno of the call, 0 for success. */
#include "sandbox/helper/seccomp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the kernel cuts off; of a machine of 32 bits, nothing. */
static const long high = (long)(1ULL << 32);

static void load(int fd)
{
    static struct sock_filter instructions[BPF_MAXINSNS];
    ssize_t count_bytes = pread(fd, instructions, sizeof(instructions), 0);
    struct sock_fprog program = {
        .len = (unsigned short)((size_t)count_bytes / sizeof(instructions[0])),
        .filter = instructions,
    };

    if (count_bytes <= 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
        _exit(255);
    }
}

/* Returns what the call gave under the filter: 0, an errno, or -signal. */
static int outcome_of4(long number, long a, long b, long c, long d)
{
    struct err err = {0};
    int fd = seccomp_make(&err);
    int status = 0;

    cr_assert_geq(fd, 0, "%s", err.text);
    pid_t pid = fork();
    if (pid == 0) {
        load(fd);
        long r = syscall(number, a, b, c, d, 0L, 0L);

        syscall(SYS_exit_group, r >= 0 ? 0 : errno);
    }
    close(fd);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int outcome_of(long number, long a, long b, long c)
{
    return outcome_of4(number, a, b, c, 0);
}

Test(seccomp, the_filter_is_sealed_and_loadable)
{
    struct err err = {0};
    int fd = seccomp_make(&err);
    struct stat status;

    cr_assert_geq(fd, 0, "%s", err.text);
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_gt(status.st_size, 0);
    cr_assert_eq(status.st_size % (off_t)sizeof(struct sock_filter), 0);
    cr_assert_leq(status.st_size, (off_t)(BPF_MAXINSNS * sizeof(struct sock_filter)));
    cr_assert_lt(write(fd, "x", 1), 0, "nobody can change it");
    close(fd);
}

Test(seccomp, pages_are_never_made_one_with_others)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(page, MAP_FAILED);
    cr_assert_eq(outcome_of(SYS_madvise, (long)page, 4096, MADV_MERGEABLE), EINVAL);
    cr_assert_eq(outcome_of(SYS_madvise, (long)page, 4096, MADV_MERGEABLE | high), EINVAL);
    cr_assert_eq(outcome_of(SYS_madvise, (long)page, 4096, MADV_DONTNEED), 0);
    cr_assert_eq(outcome_of(SYS_madvise, (long)page, 4096, MADV_DONTFORK), 0);
}

Test(seccomp, ordinary_calls_pass)
{
    cr_assert_eq(outcome_of(SYS_getpid, 0, 0, 0), 0);
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, SOCK_STREAM, 0), 0);
    cr_assert_eq(outcome_of(SYS_socket, AF_INET6, SOCK_STREAM, 0), 0);
    cr_assert_eq(outcome_of(SYS_socket, AF_UNIX, SOCK_STREAM, 0), 0);
    cr_assert_eq(outcome_of(SYS_personality, (long)0xffffffff, 0, 0), 0);
    cr_assert_eq(outcome_of(SYS_ioctl, -1, FIONREAD, 0), EBADF, "it reaches the kernel");
}

Test(seccomp, namespaces_and_mounts_are_out_of_reach)
{
    cr_assert_eq(outcome_of(SYS_unshare, 0, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_setns, -1, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_mount, 0, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_fsopen, 0, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_pivot_root, 0, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_clone3, 0, 0, 0), ENOSYS, "libc falls back to clone");
}

Test(seccomp, other_socket_families_are_out_of_reach)
{
    cr_assert_eq(outcome_of(SYS_socket, AF_NETLINK, SOCK_RAW, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_socket, AF_PACKET, SOCK_RAW, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_socket, AF_ALG, SOCK_SEQPACKET, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_socket, AF_VSOCK, SOCK_STREAM, 0), EPERM);
}

Test(seccomp, a_number_with_high_bits_is_not_another_ioctl)
{
    cr_assert_eq(outcome_of(SYS_ioctl, -1, TIOCSTI, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_ioctl, -1, TIOCSTI | high, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_ioctl, -1, TIOCLINUX, 0), EPERM);
}

Test(seccomp, the_kernel_s_large_doors_are_shut)
{
    static const long numbers[] = {SYS_bpf,
                                   SYS_perf_event_open,
                                   SYS_userfaultfd,
                                   SYS_keyctl,
                                   SYS_ptrace,
                                   SYS_process_vm_readv,
                                   SYS_init_module,
                                   SYS_kexec_load,
                                   SYS_reboot,
                                   SYS_swapon,
                                   SYS_clock_settime,
                                   SYS_open_by_handle_at,
                                   SYS_io_uring_setup,
                                   SYS_pidfd_getfd,
                                   SYS_syslog};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cr_assert_eq(outcome_of(numbers[i], 0, 0, 0), EPERM, "call %ld", numbers[i]);
    }
}

Test(seccomp, calls_newer_than_the_list_do_not_exist)
{
    cr_assert_eq(outcome_of(451, 0, 0, 0), ENOSYS);
    cr_assert_eq(outcome_of(600, 0, 0, 0), ENOSYS);
}

/* The same for a socket's option: what setsockopt gives for one of `level` and `name`. */
static int option_outcome(long level, long name)
{
    static const int value = 1;
    struct err err = {0};
    int socket_fd = socket(AF_INET, level == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, 0);
    int fd = seccomp_make(&err);
    int status = 0;

    cr_assert_geq(fd, 0, "%s", err.text);
    pid_t pid = fork();
    if (pid == 0) {
        load(fd);
        long r = syscall(SYS_setsockopt, socket_fd, level, name, &value, sizeof(value));

        syscall(SYS_exit_group, r >= 0 ? 0 : errno);
    }
    close(fd);
    close(socket_fd);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

Test(seccomp, sockets_take_no_programs_no_other_protocols_and_no_groups)
{
    static const struct {
        long level;
        long name;
    } rows[] = {{SOL_SOCKET, SO_ATTACH_FILTER},
                {SOL_SOCKET, SO_ATTACH_BPF},
                {SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF},
                {SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF},
                {SOL_SOCKET, SO_BINDTODEVICE},
                {IPPROTO_TCP, TCP_ULP},
                {IPPROTO_TCP, TCP_MD5SIG},
                {IPPROTO_UDP, UDP_ENCAP},
                {IPPROTO_IP, IP_ADD_MEMBERSHIP},
                {IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP},
                {IPPROTO_IP, MCAST_JOIN_GROUP},
                {IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP},
                {IPPROTO_IPV6, IPV6_JOIN_GROUP},
                {IPPROTO_IPV6, IPV6_JOIN_ANYCAST},
                {IPPROTO_IPV6, MCAST_JOIN_GROUP},
                {IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP},
                {IPPROTO_IPV6, 32 /* IPV6_FLOWLABEL_MGR */},
                {IPPROTO_IPV6, IPV6_ADDRFORM}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(option_outcome(rows[i].level, rows[i].name), ENOPROTOOPT, "row %zu", i);
        cr_assert_eq(option_outcome(rows[i].level | high, rows[i].name), ENOPROTOOPT, "%zu", i);
        cr_assert_eq(option_outcome(rows[i].level, rows[i].name | high), ENOPROTOOPT, "%zu", i);
    }
    cr_assert_eq(option_outcome(SOL_SOCKET, SO_REUSEADDR), 0);
    cr_assert_eq(option_outcome(SOL_SOCKET, SO_REUSEPORT), 0);
    cr_assert_eq(option_outcome(IPPROTO_TCP, TCP_NODELAY), 0);
    cr_assert_neq(option_outcome(IPPROTO_IP, SO_ATTACH_FILTER), ENOPROTOOPT, "of another level");
}

/* As with calls. A kernel that has none of them says the same without a filter. */
Test(seccomp, options_newer_than_the_list_do_not_exist)
{
    enum { SO_DEVMEM_DONTNEED = 80, SO_PASSRIGHTS = 83, TCP_RTO_MAX_MS = 44 };

    cr_assert_eq(option_outcome(SOL_SOCKET, SO_DEVMEM_DONTNEED), ENOPROTOOPT);
    cr_assert_eq(option_outcome(SOL_SOCKET, SO_DEVMEM_DONTNEED | high), ENOPROTOOPT);
    cr_assert_eq(option_outcome(SOL_SOCKET, SO_PASSRIGHTS), ENOPROTOOPT);
    cr_assert_eq(option_outcome(IPPROTO_TCP, TCP_RTO_MAX_MS), ENOPROTOOPT);
    cr_assert_eq(option_outcome(IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
}

/* Each of these has the kernel rewrite its code, or interrupt all of the host's processors. */
Test(seccomp, nobody_interrupts_the_host_s_processors)
{
    enum { MADV_COLLAPSE_NUMBER = 25 };
    static const long names[] = {SO_TIMESTAMP_OLD, SO_TIMESTAMPNS_OLD, SO_TIMESTAMPING_OLD,
                                 SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING_NEW};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_assert_eq(option_outcome(SOL_SOCKET, names[i]), ENOPROTOOPT, "row %zu", i);
    }
    cr_assert_eq(option_outcome(IPPROTO_UDP, UDP_GRO), ENOPROTOOPT);
    cr_assert_eq(option_outcome(IPPROTO_TCP, TCP_TX_DELAY), ENOPROTOOPT);
    cr_assert_eq(option_outcome(IPPROTO_IP, IP_MINTTL), ENOPROTOOPT);
    cr_assert_eq(option_outcome(IPPROTO_IPV6, IPV6_MINHOPCOUNT), ENOPROTOOPT);
    cr_assert_eq(option_outcome(IPPROTO_UDP, UDP_SEGMENT), 0,
                 "which only this socket's packets meet");
    cr_assert_eq(outcome_of(SYS_madvise, 0, 4096, MADV_COLLAPSE_NUMBER), EINVAL);
    cr_assert_eq(outcome_of(SYS_madvise, 0, 0, MADV_DONTNEED), 0);
}

Test(seccomp, memory_is_of_the_counted_kind_and_not_for_code)
{
    const long anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    const long memfd_exec = 0x10;
#ifdef SYS_mmap2
    const long map = SYS_mmap2;
#else
    const long map = SYS_mmap;
#endif

    cr_assert_eq(outcome_of4(map, 0, 4096, PROT_READ, anonymous), 0);
    cr_assert_eq(outcome_of4(map, 0, 4096, PROT_READ, anonymous | MAP_HUGETLB), EPERM);
    cr_assert_eq(outcome_of(SYS_memfd_create, (long)(intptr_t) "x", MFD_CLOEXEC, 0), 0);
    cr_assert_eq(outcome_of(SYS_memfd_create, (long)(intptr_t) "x", MFD_HUGETLB, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_memfd_create, (long)(intptr_t) "x", memfd_exec, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_shmget, IPC_PRIVATE, 4096, SHM_HUGETLB | 0600), EPERM);
}

Test(seccomp, nobody_is_served_before_others)
{
    cr_assert_eq(outcome_of(SYS_ioprio_set, 1, 0, 2 << 13), EPERM);
    cr_assert_eq(outcome_of(SYS_sched_setattr, 0, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_sched_getaffinity, 0, 0, 0), EINVAL, "it reaches the kernel");
}

Test(seccomp, raw_sockets_and_rare_protocols_are_out_of_reach)
{
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, SOCK_RAW, 1), EPERM);
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1), EPERM);
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, 10 /* SOCK_PACKET */, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, SOCK_STREAM, 132), EPERM, "SCTP");
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, SOCK_STREAM, 262), EPERM, "MPTCP");
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, SOCK_DGRAM, 136), EPERM, "UDP-Lite");
    cr_assert_eq(outcome_of(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 6), 0, "TCP");
    cr_assert_eq(outcome_of(SYS_socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 17), 0, "UDP");
    cr_assert_eq(outcome_of(SYS_socket, AF_UNIX, SOCK_SEQPACKET, 0), 0);
    cr_assert_eq(outcome_of(SYS_socketpair, AF_TIPC, SOCK_SEQPACKET, 0), EPERM);
}

Test(seccomp, nobody_listens_to_a_filter)
{
    cr_assert_eq(
        outcome_of(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0),
        EPERM);
    cr_assert_eq(outcome_of(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0), EFAULT,
                 "a service may confine itself further");
}

Test(seccomp, prctl_is_what_programs_need_of_it)
{
    cr_assert_eq(outcome_of(SYS_prctl, PR_SET_NAME, (long)(intptr_t) "service", 0), 0);
    cr_assert_eq(outcome_of(SYS_prctl, PR_SET_PDEATHSIG, SIGTERM, 0), 0);
    cr_assert_eq(outcome_of(SYS_prctl, PR_SET_MM, 1, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_prctl, PR_SCHED_CORE, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 0, 0), EPERM);
}

Test(seccomp, no_file_is_another_user_s_program_or_a_device)
{
    cr_assert_eq(outcome_of(SYS_fchmod, -1, 04755, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_fchmod, -1, 02755, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_fchmod, -1, 01755, 0), EBADF, "it reaches the kernel");
    cr_assert_eq(outcome_of(SYS_fchmodat, -1, 0, 06755), EPERM);
    cr_assert_eq(outcome_of4(SYS_openat, -1, 0, O_CREAT | O_WRONLY, 04755), EPERM);
    cr_assert_eq(outcome_of4(SYS_openat, -1, 0, O_CREAT | O_WRONLY, 02755), EPERM);
    cr_assert_eq(outcome_of4(SYS_openat, -1, 0, O_TMPFILE | O_WRONLY, 04755), EPERM);
    cr_assert_eq(outcome_of4(SYS_openat, -1, 0, O_CREAT | O_WRONLY, 01755), EFAULT);
    cr_assert_eq(outcome_of4(SYS_openat, -1, 0, O_DIRECTORY, 04755), EFAULT, "no mode there");
#ifdef SYS_open /* not on arm64 */
    cr_assert_eq(outcome_of(SYS_open, 0, O_CREAT | O_WRONLY, 06755), EPERM);
    cr_assert_eq(outcome_of(SYS_open, 0, O_CREAT | O_WRONLY, 0755), EFAULT);
    cr_assert_eq(outcome_of(SYS_open, 0, O_WRONLY, 06755), EFAULT, "no mode there");
    cr_assert_eq(outcome_of(SYS_creat, 0, 04755, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_openat2, -1, 0, 0), ENOSYS, "its mode is not to be seen");
    cr_assert_eq(outcome_of(SYS_creat, 0, 0755, 0), EFAULT);
#endif
    cr_assert_eq(outcome_of(SYS_mknodat, -1, 0, S_IFCHR | 0600), EPERM, "also a whiteout");
    cr_assert_eq(outcome_of(SYS_mknodat, -1, 0, S_IFBLK | 0600), EPERM);
    cr_assert_eq(outcome_of(SYS_mknodat, -1, 0, S_IFIFO | 0600), EFAULT, "it reaches the kernel");
#ifdef SYS_mknod /* not on arm64 */
    cr_assert_eq(outcome_of(SYS_mknod, 0, S_IFCHR | 0600, 0), EPERM, "also a whiteout");
    cr_assert_eq(outcome_of(SYS_mknod, 0, S_IFBLK | 0600, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_mknod, 0, S_IFIFO | 0600, 0), EFAULT, "it reaches the kernel");
    cr_assert_eq(outcome_of(SYS_mknod, 0, 0600, 0), EFAULT, "it reaches the kernel");
#endif
}

Test(seccomp, what_the_whole_host_shares_is_not_taken)
{
    cr_assert_eq(outcome_of(SYS_io_setup, 1, 0, 0), ENOSYS, "libraries have another way");
    cr_assert_eq(outcome_of(SYS_sync, 0, 0, 0), 0, "done, without the host's disks");
    cr_assert_eq(outcome_of(SYS_mbind, 0, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_set_mempolicy, 0, 0, 0), EPERM);
}

/* 1: a program of the host's root that is given cores is given none (core(5)); 0 lets it run. */
Test(seccomp, nobody_has_the_host_look_at_its_cores)
{
    static const struct rlimit none = {0, 0};
    const long wanted = (long)(intptr_t)&none;

    cr_assert_eq(outcome_of4(SYS_prlimit64, 0, RLIMIT_CORE, wanted, 0), EPERM);
    cr_assert_eq(outcome_of4(SYS_prlimit64, -1, RLIMIT_CORE | high, wanted, 0), EPERM);
    if (high != 0) {
        cr_assert_eq(outcome_of4(SYS_prlimit64, -1, RLIMIT_CORE, high, 0), EPERM, "any pointer");
    }
    cr_assert_eq(outcome_of4(SYS_prlimit64, -1, RLIMIT_CORE, 0, 0), ESRCH, "asking is free");
    cr_assert_eq(outcome_of4(SYS_prlimit64, -1, RLIMIT_NOFILE, wanted, 0), ESRCH);
#ifdef SYS_setrlimit
    cr_assert_eq(outcome_of(SYS_setrlimit, RLIMIT_CORE, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_setrlimit, RLIMIT_CORE | high, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_setrlimit, RLIMIT_NOFILE, 0, 0), EFAULT, "it reaches the kernel");
#endif
}

/* The helper counts locks by the process that took them (locks.h): each has to have one. */
Test(seccomp, locks_are_of_a_process_that_lives)
{
    const long of_files = 37; /* F_OFD_SETLK */

    for (long command = of_files; command <= of_files + 1; command++) {
        cr_assert_eq(outcome_of(SYS_fcntl, -1, command, 0), EINVAL);
        cr_assert_eq(outcome_of(SYS_fcntl, -1, command | high, 0), EINVAL);
    }
    cr_assert_eq(outcome_of(SYS_fcntl, -1, F_SETLEASE, F_RDLCK), EINVAL);
    cr_assert_eq(outcome_of(SYS_fcntl, -1, F_NOTIFY, 1), EINVAL);
    cr_assert_eq(outcome_of(SYS_fcntl, -1, F_SETLK, 0), EBADF, "it reaches the kernel");
    cr_assert_eq(outcome_of(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_clone, CLONE_FILES | CLONE_VM | SIGCHLD, 0, 0), EPERM);
    cr_assert_eq(outcome_of(SYS_clone, CLONE_FILES | CLONE_THREAD, 0, 0), EINVAL, "a thread may");
}

#ifdef __x86_64__
Test(seccomp, another_architecture_s_calls_do_not_exist)
{
    cr_assert_eq(outcome_of(0x40000000 | 39, 0, 0, 0), ENOSYS, "x32");
}
#endif
