// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-egress UDP_PORT: a replica's way to the Internet. Started by minga-sandboxd in the host's
 * network, as a uid of the replica's range, without any capability, in the replica's control group;
 * descriptor 3 is the tun device inside the replica, 4 a pidfd of its first process, 5 its part of
 * the machine's line (sandbox/line.h).
 *
 * It keeps two children alive: passt, the user-space network stack, and the pump (pump.h), which
 * carries packets between the device and passt and lets through only what may pass. Whatever
 * breaks is started again, after 1, 2, 4 ... 60 s; it ends with the replica.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/egress/confine.h"
#include "sandbox/egress/egress.h"
#include "sandbox/egress/filter.h"
#include "sandbox/egress/pump.h"
#include "sandbox/egress/resolver.h"

enum {
    FD_TUN = EGRESS_FD_TUN,
    FD_INIT = EGRESS_FD_INIT,
    FD_STACK = EGRESS_FD_LINE, /* in passt, which has nothing to do with the line */
    LOOK_MS = 5000,            /* at resolv.conf */
    BACKOFF_MS_MIN = 1000,
    BACKOFF_MS_MAX = 60000,
    STEADY_MS = 60000, /* what lasted so long did not fail at its start */
    STACK_FILES_MAX = 4096,
    SOCKET_BYTES = 16 << 20,
};

struct child {
    pid_t pid;
    int pidfd;
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static _Noreturn void run_stack(int stack_fd)
{
    static char *const no_environment[] = {NULL};
    static const struct rlimit files = {STACK_FILES_MAX, STACK_FILES_MAX};
    static const char *const arguments[] = {EGRESS_STACK_PROGRAM,
                                            "--foreground",
                                            "--quiet",
                                            "--stderr",
                                            "--fd",
                                            "5",
                                            "--address",
                                            EGRESS_OWN_IPV4,
                                            "--netmask",
                                            "29",
                                            "--gateway",
                                            EGRESS_RESOLVER_IPV4,
                                            "--mac-addr",
                                            "02:00:00:00:00:01",
                                            "--address",
                                            EGRESS_OWN_IPV6,
                                            "--no-dhcp",
                                            "--no-dhcpv6",
                                            "--no-ndp",
                                            "--no-ra",
                                            "--no-icmp",
                                            "--no-map-gw",
                                            "--dns-forward",
                                            EGRESS_RESOLVER_IPV4,
                                            "--dns-forward",
                                            EGRESS_RESOLVER_IPV6,
                                            "--tcp-ports",
                                            "none",
                                            "--udp-ports",
                                            "none",
                                            NULL};
    char *words[sizeof(arguments) / sizeof(arguments[0])];

    memcpy(words, arguments, sizeof(words));
    if (dup2(stack_fd, FD_STACK) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 ||
        /* It advises huge pages for 16 MiB that it seldom touches: the replica pays for them. */
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0 || confine_stack() < 0 ||
        close_range(FD_STACK + 1, ~0U, 0) < 0 || close_range(3, FD_STACK - 1, 0) < 0) {
        _exit(1);
    }
    execve(EGRESS_STACK_PROGRAM, words, no_environment);
    fprintf(stderr, "minga-egress: " EGRESS_STACK_PROGRAM ": %s\n", strerrordesc_np(errno));
    _exit(1);
}

/* Ends with us, too. */
static struct child begin(pid_t self)
{
    struct child child = {.pid = fork(), .pidfd = -1};

    if (child.pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != self)) {
        _exit(1);
    }
    if (child.pid > 0) {
        child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
    }
    return child;
}

static void end(struct child *child)
{
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    cleanup_close(&child->pidfd);
}

/* Until one of the two ends, or the resolver changes, or the replica is over: returns that. */
static bool watch(const struct child *stack, const struct child *pump)
{
    struct pollfd fds[] = {
        {FD_INIT, POLLIN, 0}, {stack->pidfd, POLLIN, 0}, {pump->pidfd, POLLIN, 0}};
    uint64_t stamp = resolver_stamp();

    while (stack->pidfd >= 0 && pump->pidfd >= 0) {
        int count = poll(fds, sizeof(fds) / sizeof(fds[0]), LOOK_MS);

        if (count != 0 || resolver_stamp() != stamp) {
            break;
        }
    }
    return (fds[0].revents & (POLLIN | POLLNVAL | POLLERR)) != 0;
}

/* Returns whether the replica is over. */
static bool run_once(uint16_t udp_first)
{
    const pid_t self = getpid();
    struct child stack;
    struct child pump;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return false;
    }
    /* passt drops what the socket does not take at once; as much as the kernel gives, then. */
    for (int i = 0; i < 2; i++) {
        const int most_bytes = SOCKET_BYTES;

        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &most_bytes, sizeof(most_bytes));
    }
    stack = begin(self);
    if (stack.pid == 0) {
        run_stack(ends[1]);
    }
    close(ends[1]);
    pump = begin(self);
    if (pump.pid == 0) {
        pump_run(&(struct pump_plan){FD_TUN, ends[0], EGRESS_FD_LINE, udp_first});
    }
    close(ends[0]);
    bool over = watch(&stack, &pump);
    end(&stack);
    end(&pump);
    return over;
}

static bool is_over_within(uint64_t ms)
{
    struct pollfd init = {FD_INIT, POLLIN, 0};

    return poll(&init, 1, (int)ms) != 0;
}

int main(int argc, char **argv)
{
    unsigned long udp_first = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    uint64_t backoff_ms = BACKOFF_MS_MIN;

    if (udp_first < 1024 || udp_first > UINT16_MAX - EGRESS_UDP_PORTS + 1 || geteuid() == 0) {
        fprintf(stderr, "minga-egress is started by minga-sandboxd only\n");
        return 2;
    }
    for (;;) {
        uint64_t began_ms = now_ms();

        if (run_once((uint16_t)udp_first)) {
            return 0;
        }
        if (now_ms() - began_ms >= STEADY_MS) {
            backoff_ms = BACKOFF_MS_MIN;
        }
        if (is_over_within(backoff_ms)) {
            return 0;
        }
        backoff_ms = backoff_ms * 2 < BACKOFF_MS_MAX ? backoff_ms * 2 : BACKOFF_MS_MAX;
    }
}
