// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/making.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "sandbox/helper/devices.h"
#include "sandbox/helper/network.h"

/* What came of an order. */
struct work {
    struct answer answer;
    int fds[3]; /* to go with it, up to the first -1 */
    bool left_network;
};

/*
 * Nothing else is ours to hold on to: what the helper closes has to be closed, and what an order
 * was about must not live on with us.
 */
static void close_others(int door_fd, int network_fd)
{
    const unsigned int one = (unsigned int)(door_fd < network_fd ? door_fd : network_fd);
    const unsigned int other = (unsigned int)(door_fd < network_fd ? network_fd : door_fd);

    CHECK(other > one);
    if (one > STDERR_FILENO + 1) {
        close_range(STDERR_FILENO + 1, one - 1, 0);
    }
    if (other > one + 1) {
        close_range(one + 1, other - 1, 0);
    }
    close_range(other + 1, ~0U, 0);
}

static int make_disk(const struct disk_plan *plan, struct work *work)
{
    struct disk_plan with_template = *plan;
    struct disk disk;
    int r;

    work->left_network = plan->network;
    if (with_template.template_fd < 0) {
        with_template.template_fd = disk_template_make(plan, rootfs_prepare, &work->answer.err);
        if (with_template.template_fd < 0) {
            return with_template.template_fd;
        }
        work->fds[1] = with_template.template_fd;
    }
    r = disk_make(&with_template, &disk, &work->answer.err);
    if (r < 0) {
        return r;
    }
    work->answer.loop_number = disk.loop_number;
    memcpy(work->answer.backing, disk.backing, sizeof(work->answer.backing));
    work->fds[0] = disk.mount_fd;
    if (plan->network) {
        struct err ignored = {0};

        CHECK(plan->template_fd >= 0);
        work->fds[1] = network_make(&ignored); /* without one, the replica makes its own */
    }
    return 0;
}

static int make_root(const struct rootfs_plan *plan, struct work *work)
{
    struct rootfs_plan with_idmap = *plan;
    int r = work->fds[1] = devices_make(&work->answer.err);

    work->answer.has_devices = true;
    if (r >= 0 && plan->idmap_fd < 0) {
        r = with_idmap.idmap_fd = work->fds[2] = rootfs_idmap(plan, &work->answer.err);
    }
    if (r >= 0) {
        r = work->fds[0] = rootfs_make(&with_idmap, &work->answer.is_last, &work->answer.err);
    }
    return r;
}

/*
 * The last one to let go of a mount waits for its disk, so the helper goes first. Closed by
 * number: the kernel takes the file system down before close returns.
 */
static int clear(int door_fd, int mount_fd)
{
    char go;

    if (recv(door_fd, &go, 1, 0) != 1) {
        return -EPIPE;
    }
    close(mount_fd);
    return 0;
}

/* What nobody waits for does not take the processor from who starts. */
static void yield_to_starts(bool yields)
{
    const struct sched_param nothing = {0};

    (void)sched_setscheduler(0, yields ? SCHED_BATCH : SCHED_OTHER, &nothing);
}

static int follow(int door_fd, const struct order *order, const struct packet_fds *given,
                  struct work *work)
{
    struct disk_plan disk = order->disk;
    struct rootfs_plan root = order->root;

    yield_to_starts(order->kind == ORDER_CLEARING ||
                    (order->kind == ORDER_DISK && order->disk.network));
    switch (order->kind) {
    case ORDER_DISK:
        disk.template_fd = given->fds[0];
        return make_disk(&disk, work);
    case ORDER_ROOT:
        root.disk_fd = given->fds[0];
        root.idmap_fd = given->fds[1];
        root.hostname = order->hostname;
        return make_root(&root, work);
    case ORDER_CLEARING:
        return clear(door_fd, given->fds[0]);
    }
    return -EINVAL;
}

/* What is made by halves goes nowhere. Who does not get the answer sees our end. */
static void tell(int door_fd, int made, struct work *work)
{
    const struct bytes content = {(const uint8_t *)&work->answer, sizeof(work->answer)};
    struct packet_fds fds = {.count = 0};

    for (size_t i = 0; made >= 0 && i < ARRAY_COUNT(work->fds) && work->fds[i] >= 0; i++) {
        fds.fds[fds.count++] = work->fds[i];
    }
    work->answer.fd_count = fds.count;
    (void)packet_send(door_fd, content, &fds);
}

_Noreturn void making_run(int door_fd, int network_fd, pid_t parent_pid)
{
    struct order order;
    struct packet_fds given;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent_pid) {
        _exit(1);
    }
    close_others(door_fd, network_fd);
    umask(0); /* what we make is for others, each with the mode that it says */
    while (packet_receive(door_fd, &order, sizeof(order), 0, &given) == (ssize_t)sizeof(order)) {
        struct work work = {.answer = {.loop_number = -1}, .fds = {-1, -1, -1}};

        const int made = follow(door_fd, &order, &given, &work);

        /* The network that it has made is a replica's. */
        if (work.left_network && setns(network_fd, CLONE_NEWNET) < 0) {
            work.answer.is_last = true;
        }
        tell(door_fd, made, &work);
        close_others(door_fd, network_fd);
        while (waitpid(-1, NULL, 0) > 0) { /* what rootfs_idmap has killed */
        }
        if (work.answer.is_last) {
            break;
        }
    }
    _exit(0);
}
