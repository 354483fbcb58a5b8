// SPDX-License-Identifier: GPL-3.0-or-later
/* Side doors: what files, sockets and processes that are there on purpose can do besides. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { LINE_BYTES = 1024, ARGUMENT_BYTES = 512, FROM_THE_LIBRARY = 1, CALM_US = 20000 };

/* An ioctl on a file that is there; a buffer of zeros is its argument. */
static void control_file(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    char argument[ARGUMENT_BYTES] = "";
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    (void)facts;
    if (fd < 0) {
        outcome_unsure(out, "%s cannot be opened", attempt->path);
    } else if (ioctl(fd, (unsigned long)attempt->number, argument) >= 0) {
        outcome_open(out, "done");
    } else {
        outcome_of_error(out, errno);
    }
}

/* The same on a socket. */
static void control_socket(const struct attempt *attempt, const struct facts *facts,
                           struct outcome *out)
{
    char argument[ARGUMENT_BYTES] = "lo";
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)facts;
    if (fd < 0) {
        outcome_unsure(out, "no socket");
    } else if (ioctl(fd, (unsigned long)attempt->number, argument) >= 0) {
        outcome_open(out, "done");
    } else {
        outcome_of_error(out, errno);
    }
}

/* arguments: family, level, option, bytes of its value. */
static int set_option(const struct attempt *attempt)
{
    const long *given = attempt->arguments;
    char value[ARGUMENT_BYTES] = "";
    CLEANUP(cleanup_close) int fd = socket((int)given[0], SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct ip_mreqn group4 = {.imr_multiaddr = {htonl(0xe1020304)}, .imr_ifindex = 1};
    struct ipv6_mreq group6 = {.ipv6mr_interface = 1};
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = group4.imr_multiaddr};

    group6.ipv6mr_multiaddr.s6_addr[0] = 0xff;
    group6.ipv6mr_multiaddr.s6_addr[1] = 1;
    if (given[1] == IPPROTO_IP && given[2] == IP_ADD_MEMBERSHIP) {
        memcpy(value, &group4, sizeof(group4));
    } else if (given[2] == IPV6_JOIN_GROUP) {
        memcpy(value, &group6, sizeof(group6));
    } else if (given[2] == MCAST_JOIN_GROUP) {
        value[0] = 1;
        memcpy(value + offsetof(struct group_req, gr_group), &address, sizeof(address));
    }
    if (fd < 0) {
        return -ENODEV;
    }
    return setsockopt(fd, (int)given[1], (int)given[2], value, (socklen_t)given[3]) < 0 ? -errno
                                                                                        : 0;
}

static void try_option(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    int r = set_option(attempt);

    (void)facts;
    if (r == 0) {
        outcome_open(out, "set");
    } else if (r == -ENOPROTOOPT) {
        outcome_stopped(out, "Protocol not available");
    } else {
        outcome_of_error(out, -r);
    }
}

static bool has_option(const struct attempt *attempt, const struct facts *facts)
{
    (void)facts;
    return set_option(attempt) != -ENOPROTOOPT;
}

/* Writing the time of a file of the host is writing to the host. */
static void touch(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    (void)facts;
    if (utimensat(AT_FDCWD, attempt->path, NULL, 0) == 0) {
        outcome_open(out, "touched");
    } else {
        outcome_of_error(out, errno);
    }
}

/* Who has the host's own can watch (inotify) and lock what all of the host opens. */
static void find_host_devices(const struct attempt *attempt, const struct facts *facts,
                              struct outcome *out)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[LINE_BYTES];

    (void)attempt;
    (void)facts;
    if (file == NULL) {
        outcome_unsure(out, "no list of mounts");
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, " - devtmpfs ") != NULL) {
            outcome_open(out, "%.80s", strstr(line, " - devtmpfs ") + 3);
            return;
        }
    }
    outcome_stopped(out, "its own");
}

/* Somebody else gets a signal when something can be read here. */
static void send_by_file(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    int ends[2];

    (void)facts;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        outcome_unsure(out, "no pipe");
        return;
    }
    const bool is_set =
        fcntl(ends[0], F_SETSIG, (int)attempt->number) == 0 && fcntl(ends[0], F_SETOWN, 1) == 0 &&
        fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0 && write(ends[1], "x", 1) == 1;
    const int code = errno;

    usleep(CALM_US);
    if (is_set) { /* we are here to tell: init would have ended us with itself */
        outcome_stopped(out, "init goes on");
    } else {
        outcome_of_error(out, code);
    }
    close(ends[0]);
    close(ends[1]);
}

/* arguments: pid and uid that are not ours. */
static void forge_credentials(const struct attempt *attempt, const struct facts *facts,
                              struct outcome *out)
{
    struct ucred claimed = {.pid = attempt->arguments[0] == 0 ? getpid()
                                                              : (pid_t)attempt->arguments[0],
                            .uid = attempt->arguments[0] == 0 ? 0 : getuid(),
                            .gid = getgid()};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control = {.bytes = ""};
    char byte = 'x';
    struct iovec content = {&byte, 1};
    struct msghdr message = {.msg_iov = &content,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int ends[2];

    (void)facts;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0) {
        outcome_unsure(out, "no sockets");
        return;
    }
    control.aligned = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(claimed)),
                                       .cmsg_level = SOL_SOCKET,
                                       .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(&control.aligned), &claimed, sizeof(claimed));
    if (sendmsg(ends[0], &message, MSG_NOSIGNAL) >= 0) {
        outcome_open(out, "believed");
    } else {
        outcome_of_error(out, errno);
    }
    close(ends[0]);
    close(ends[1]);
}

static void signal_by_pidfd(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = (int)syscall(SYS_pidfd_open, 1, 0);

    (void)facts;
    if (fd < 0) {
        outcome_of_error(out, errno);
    } else if (syscall(SYS_pidfd_send_signal, fd, (int)attempt->number, NULL, 0) == 0) {
        outcome_open(out, "sent");
    } else {
        outcome_of_error(out, errno);
    }
}

/* Wakes a machine that sleeps. number: the clock. */
static void set_alarm(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    timer_t timer;

    (void)facts;
    if (attempt->arguments[0] == 0) {
        CLEANUP(cleanup_close) int fd = timerfd_create((int)attempt->number, TFD_CLOEXEC);

        if (fd >= 0) {
            outcome_open(out, "set");
        } else {
            outcome_of_error(out, errno);
        }
    } else if (timer_create((clockid_t)attempt->number, NULL, &timer) == 0) {
        outcome_open(out, "set");
    } else {
        outcome_of_error(out, errno);
    }
}

/* core(5): a host's program for cores runs as root there, unless the limit is 1. */
static void limit_cores(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    const struct rlimit wanted = {(rlim_t)attempt->number, (rlim_t)attempt->number};
    struct rlimit limit = {0, 0};

    (void)facts;
    (void)setrlimit(RLIMIT_CORE, &wanted);
    (void)syscall(SYS_prlimit64, getpid(), RLIMIT_CORE, &wanted, NULL);
    if (getrlimit(RLIMIT_CORE, &limit) < 0) {
        outcome_unsure(out, "not told");
    } else if (limit.rlim_cur == 1 && limit.rlim_max == 1) {
        outcome_stopped(out, "it stays one byte");
    } else {
        outcome_open(out, "%llu bytes", (unsigned long long)limit.rlim_cur);
    }
}

/* Of who has died the kernel says whether somebody was given what it left, whatever the limit. */
static void leave_core(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    int status = 0;
    pid_t pid = fork();

    (void)attempt;
    (void)facts;
    if (pid == 0) {
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        (void)raise(SIGQUIT);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
        outcome_unsure(out, "it did not die of it");
    } else if (WCOREDUMP(status)) {
        outcome_open(out, "somebody was given it");
    } else {
        outcome_stopped(out, "nobody was given it");
    }
}

/* A lock that no process holds is in no count of them. */
static void lock_for_nobody(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)facts;
    if (fd < 0) {
        outcome_unsure(out, "no file to try it on");
    } else if (fcntl(fd, F_OFD_SETLK, &range) == 0) {
        outcome_open(out, "locked");
    } else if (errno == EINVAL) {
        outcome_stopped(out, "Invalid argument");
    } else {
        outcome_of_error(out, errno);
    }
    unlink(attempt->path);
}

/* clang-format off */
#define FILE_IOCTL(text, where, request) \
    { .name = (text), .run = control_file, .path = (where), .number = (long)(request) }
#define SOCKET_IOCTL(text, request) \
    { .name = (text), .run = control_socket, .number = (long)(request) }
#define SOCKET_OPTION(text, ...) \
    { .name = (text), .run = try_option, .control = has_option, .arguments = { __VA_ARGS__ } }
#define PRCTL(text, ...) CALL("prctl: " text, SYS_prctl, __VA_ARGS__)

static const struct attempt rows[] = {
    {.name = "devices that are the host's own", .run = find_host_devices},
    {.name = "touch the host's /dev/null", .run = touch, .path = "/dev/null"},
    {.name = "touch the host's /dev/tty", .run = touch, .path = "/dev/tty"},
    FILE_IOCTL("feed the random numbers", "/dev/urandom", 0x40085203),
    FILE_IOCTL("empty the random numbers", "/dev/urandom", 0x5206),
    FILE_IOCTL("seed the random numbers anew", "/dev/random", 0x5207),
    FILE_IOCTL("where a file lies on the disk (FIEMAP)", "/", 0xC020660B),
    FILE_IOCTL("trim the disk", "/tmp", 0xC0185879),
    FILE_IOCTL("label of the disk", "/tmp", 0x81009431),
    FILE_IOCTL("shut the disk down", "/tmp", 0x8004587D),
    FILE_IOCTL("grow the file system", "/tmp", 0x40086610),
    FILE_IOCTL("another project's quota", "/tmp", 0x401C5820),
    FILE_IOCTL("make a folder immutable", "/tmp", 0x40086602),
    FILE_IOCTL("encrypt a folder", "/tmp", 0x800C6613),
    FILE_IOCTL("owner of a namespace", "/proc/self/ns/net", 0xB701),
    FILE_IOCTL("parent of a namespace", "/proc/self/ns/pid", 0xB702),
    FILE_IOCTL("the next mount namespace", "/proc/self/ns/mnt", 0x8010B70D),
    SOCKET_IOCTL("namespace of a socket", 0x894C),
    SOCKET_IOCTL("add a route", 0x890B),
    SOCKET_IOCTL("add a neighbour", 0x8955),
    SOCKET_IOCTL("talk to a network driver", 0x8946),
    SOCKET_IOCTL("make a VLAN", 0x8983),
    SOCKET_IOCTL("rename an interface", 0x8923),
    SOCKET_IOCTL("set hardware timestamps", 0x89B0),
    SOCKET_OPTION("join a group of listeners", AF_INET, IPPROTO_IP, IP_ADD_MEMBERSHIP,
                  sizeof(struct ip_mreqn)),
    SOCKET_OPTION("join a group of listeners, IPv6", AF_INET6, IPPROTO_IPV6, IPV6_JOIN_GROUP,
                  sizeof(struct ipv6_mreq)),
    SOCKET_OPTION("join a group of listeners, newer way", AF_INET, IPPROTO_IP, MCAST_JOIN_GROUP,
                  sizeof(struct group_req)),
    SOCKET_OPTION("a label of flows, of the host's table", AF_INET6, IPPROTO_IPV6, 32, 32),
    SOCKET_OPTION("rules of a firewall", AF_INET, IPPROTO_IP, 64, 256),
    SOCKET_OPTION("rules of a firewall, IPv6", AF_INET6, IPPROTO_IPV6, 64, 256),
    SOCKET_OPTION("IPsec for a socket", AF_INET, IPPROTO_IP, 17, 200),
    {.name = "forge a pid on a socket", .run = forge_credentials, .arguments = {1}},
    {.name = "forge a uid on a socket", .run = forge_credentials},
    {.name = "end init by a file's owner", .run = send_by_file, .number = SIGTERM},
    {.name = "kill init by a file's owner", .run = send_by_file, .number = SIGKILL},
    {.name = "kill init by a pidfd", .run = signal_by_pidfd, .number = SIGKILL},
    CALL("kill init's thread", SYS_tgkill, 1, 1, SIGKILL),
    CALL("robust list of init", SYS_get_robust_list, 1, TEXT("12345678"), TEXT("12345678")),
    CALL("limits of init", SYS_prlimit64, 1, RLIMIT_NOFILE, 0, TEXT("1234567812345678")),
    CALL("join init's process group", SYS_setpgid, 0, 1),
    {.name = "wake the machine by a timer", .run = set_alarm, .number = CLOCK_BOOTTIME_ALARM},
    {.name = "wake the machine by a timer, older way", .run = set_alarm,
     .number = CLOCK_REALTIME_ALARM, .arguments = {FROM_THE_LIBRARY}},
    {.name = "cores for a program of the host's", .run = limit_cores, .number = 0},
    {.name = "a core for whoever takes it", .run = leave_core},
    {.name = "cores in files", .run = limit_cores, .number = 1 << 30},
    {.name = "locks that are nobody's", .run = lock_for_nobody, .path = "/tmp/minga-probe-lock"},
    PRCTL("a filter the older way", PR_SET_SECCOMP, 2, 0),
    PRCTL("no time stamp counter", PR_SET_TSC, 2, 0, 0, 0),
    PRCTL("death by machine checks", PR_MCE_KILL, 1, 1, 0, 0),
    PRCTL("counters of performance", PR_TASK_PERF_EVENTS_DISABLE, 0, 0, 0, 0),
    PRCTL("ids of timers", 77, 1, 0, 0, 0),
    PRCTL("a table of futexes", 78, 1, 1 << 16, 0, 0),
    CALL("list mounts", 458, 0, 0, 0, 0),
    CALL("facts of a mount", 457, 0, 0, 0, 0),
    CALL("security modules", 461, 0, 0, 0),
    CALL("attributes of a mount, newer way", 467, -1, TEXT(""), 1, 0, 0),
    CALL("flags of a file, newer way", 469, -1, TEXT(""), 0, 0, 0),
    CALL("attributes of a file, newer way", 463, -1, TEXT(""), 0, 0, 0, 0),
    CALL("modes of a file, newer way", 452, -100, TEXT("/tmp"), 06777, 0),
    CALL("seal memory", 462, 0, 0, 0),
    CALL("the page cache's state", 451, -1, 0, 0, 0),
    CALL("pages into a pipe", SYS_vmsplice, -1, 0, 0, 0),
    CALL("watch a whole file system", SYS_fanotify_mark, -1, 1, 1, -100, TEXT("/")),
};
/* clang-format on */

const struct attempt_group doors_group = {"doors", rows, ARRAY_COUNT(rows)};
