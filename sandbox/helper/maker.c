// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/maker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/helper/process.h"

void maker_init(struct maker *maker)
{
    *maker = (struct maker){.pid = 0, .pidfd = -1, .answer_fd = -1};
}

/* --- those that nobody has --- */

void makers_init(struct makers *makers)
{
    makers->network_fd = -1;
    for (size_t i = 0; i < MAKERS_IDLE_MAX; i++) {
        maker_init(&makers->idle[i].maker);
        makers->idle[i].until_ms = 0;
    }
}

/* The one that has rested for longest: it is at home by now. Returns false when there is none. */
static bool take_idle(struct makers *makers, struct maker *maker_out)
{
    size_t found = MAKERS_IDLE_MAX;

    for (size_t i = 0; i < MAKERS_IDLE_MAX; i++) {
        const uint64_t until_ms = makers->idle[i].until_ms;

        if (until_ms != 0 &&
            (found == MAKERS_IDLE_MAX || until_ms < makers->idle[found].until_ms)) {
            found = i;
        }
    }
    if (found == MAKERS_IDLE_MAX) {
        return false;
    }
    *maker_out = makers->idle[found].maker;
    maker_init(&makers->idle[found].maker);
    makers->idle[found].until_ms = 0;
    return true;
}

static void close_answer(struct maker *maker)
{
    cleanup_close(&maker->answer_fd);
    maker->answer_fd = -1;
}

/* It goes later, or at once when it is one too many. */
static void rest(struct makers *makers, struct maker *maker, uint64_t until_ms)
{
    for (size_t i = 0; i < MAKERS_IDLE_MAX; i++) {
        if (makers->idle[i].maker.pid == 0) {
            makers->idle[i].maker = *maker;
            makers->idle[i].until_ms = until_ms;
            maker_init(maker);
            return;
        }
    }
    close_answer(maker);
}

void makers_tick(struct makers *makers, uint64_t at_ms)
{
    for (size_t i = 0; i < MAKERS_IDLE_MAX; i++) {
        if (at_ms >= makers->idle[i].until_ms) {
            makers->idle[i].until_ms = 0;
            (void)maker_over(&makers->idle[i].maker);
        }
    }
}

bool makers_has_idle(const struct makers *makers)
{
    for (size_t i = 0; i < MAKERS_IDLE_MAX; i++) {
        if (makers->idle[i].maker.pid != 0) {
            return true;
        }
    }
    return false;
}

bool makers_over(struct makers *makers)
{
    makers_tick(makers, UINT64_MAX);
    return !makers_has_idle(makers);
}

void makers_each_fd(const struct makers *makers, void (*watch)(void *context, int fd),
                    void *context)
{
    for (size_t i = 0; i < MAKERS_IDLE_MAX; i++) {
        if (makers->idle[i].maker.pid != 0 && makers->idle[i].until_ms == 0) {
            watch(context, makers->idle[i].maker.pidfd);
        }
    }
}

/* --- to be given something to do --- */

static int make_process(const struct makers *makers, struct maker *maker, struct err *err)
{
    pid_t parent_pid = getpid();
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return err_set(err, -errno, "maker: %m");
    }
    CLEANUP(cleanup_close) int ours_fd = pair[0];
    CLEANUP(cleanup_close) int its_fd = pair[1];
    pid_t pid = fork();
    if (pid == 0) {
        making_run(its_fd, makers->network_fd, parent_pid);
    }
    maker->pidfd = pid < 0 ? -1 : pidfd_open(pid, 0);
    if (maker->pidfd < 0) {
        int code = -errno;

        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        errno = -code;
        return err_set(err, code, "maker: %m");
    }
    maker->pid = pid;
    maker->answer_fd = take_fd(&ours_fd);
    return 0;
}

static int give(const struct maker *maker, const struct order *order, const struct packet_fds *fds)
{
    return packet_send(maker->answer_fd, (struct bytes){(const uint8_t *)order, sizeof(*order)},
                       fds);
}

static int begin(struct makers *makers, const struct order *order, const struct packet_fds *fds,
                 struct maker *maker, struct err *err)
{
    CHECK(maker->pid == 0);
    while (take_idle(makers, maker)) {
        if (give(maker, order, fds) == 0) {
            return 0;
        }
        rest(makers, maker, 0); /* it has died */
    }
    int r = make_process(makers, maker, err);

    if (r < 0) {
        return r;
    }
    r = give(maker, order, fds);
    if (r < 0) {
        kill(maker->pid, SIGKILL);
        waitpid(maker->pid, NULL, 0);
        (void)maker_over(maker);
        errno = -r;
        return err_set(err, r, "maker: %m");
    }
    return 0;
}

int maker_begin_disk(struct makers *makers, const struct disk_plan *plan, struct maker *maker,
                     struct err *err)
{
    const struct order order = {.kind = ORDER_DISK, .disk = *plan};
    const struct packet_fds fds = {{plan->template_fd}, plan->template_fd >= 0};
    int r = begin(makers, &order, &fds, maker, err);

    return r < 0 ? err_wrap(err, "disk") : r;
}

int maker_begin_root(struct makers *makers, const struct rootfs_plan *plan, struct maker *maker,
                     struct err *err)
{
    struct order order = {.kind = ORDER_ROOT, .root = *plan};
    const struct packet_fds fds = {{plan->disk_fd, plan->idmap_fd}, plan->idmap_fd >= 0 ? 2 : 1};

    CHECK(text_copy(order.hostname, sizeof(order.hostname), plan->hostname) == 0);
    int r = begin(makers, &order, &fds, maker, err);

    return r < 0 ? err_wrap(err, "root") : r;
}

int maker_begin_clearing(struct makers *makers, int *mount_fd, struct maker *maker, struct err *err)
{
    const struct order order = {.kind = ORDER_CLEARING};
    const struct packet_fds fds = {{*mount_fd}, 1};
    int r = begin(makers, &order, &fds, maker, err);

    if (r < 0) {
        return err_wrap(err, "clear a disk away");
    }
    /* First ours, then the word that it waits for: the last to let go is not we. */
    cleanup_close(mount_fd);
    *mount_fd = -1;
    (void)send(maker->answer_fd, "", 1, MSG_NOSIGNAL); /* its death lets go, too */
    return 0;
}

int maker_answer(struct makers *makers, struct maker *maker, struct made *made_out, struct err *err)
{
    struct answer answer;
    struct packet_fds fds;
    ssize_t count_bytes =
        packet_receive(maker->answer_fd, &answer, sizeof(answer), MSG_DONTWAIT, &fds);

    const bool has_devices = count_bytes == (ssize_t)sizeof(answer) && answer.has_devices;
    *made_out = (struct made){.fd = fds.fds[0],
                              .devices_fd = has_devices ? fds.fds[1] : -1,
                              .more_fd = fds.fds[has_devices ? 2 : 1],
                              .loop_number = -1};
    if (count_bytes != (ssize_t)sizeof(answer)) {
        close_answer(maker);
        return err_set(err, -EIO, "its maker died");
    }
    rest(makers, maker, answer.is_last ? 0 : now_ms() + MAKER_IDLE_MS);
    if (answer.err.code < 0) {
        *err = answer.err;
        return err->code;
    }
    if (fds.count != answer.fd_count) {
        return err_set(err, -EIO, "its maker sent none");
    }
    made_out->loop_number = answer.loop_number;
    memcpy(made_out->backing, answer.backing, sizeof(made_out->backing));
    return 0;
}

bool maker_over(struct maker *maker)
{
    siginfo_t end = {0};

    if (maker->pid == 0) {
        return true;
    }
    if (maker->answer_fd >= 0) {
        kill(maker->pid, SIGKILL); /* nobody wants its answer any more */
        close_answer(maker);
    }
    if (waitid(P_PIDFD, (id_t)maker->pidfd, &end, WEXITED | WNOHANG) == 0 && end.si_pid == 0) {
        return false;
    }
    cleanup_close(&maker->pidfd);
    maker_init(maker);
    return true;
}
