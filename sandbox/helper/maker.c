// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/maker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/helper/network.h"

enum { FDS_MAX = 2, KEPT_MAX = 3 };

struct answer {
    struct err err; /* code 0: it is made */
    int loop_number;
    char backing[LOOP_TEXT_BYTES_MAX];
    int fd_count; /* 1: the root or disk; 2: with what the next one can be made of */
};

void maker_init(struct maker *maker)
{
    *maker = (struct maker){.pid = 0, .pidfd = -1, .answer_fd = -1};
}

/* The rest of the helper's is not ours to hold on to: what it closes has to be closed. */
static void close_others(const int kept[KEPT_MAX])
{
    unsigned int first = STDERR_FILENO + 1;

    for (size_t i = 0; i < KEPT_MAX; i++) {
        const unsigned int fd = kept[i] < 0 ? 0 : (unsigned int)kept[i];

        if (fd >= first) {
            if (fd > first) {
                close_range(first, fd - 1, 0);
            }
            first = fd + 1;
        }
    }
    close_range(first, ~0U, 0);
}

static void die_with(pid_t parent_pid)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent_pid) {
        _exit(1);
    }
}

/* A mount namespace of its own, so that makers side by side may attach at the same places. */
static int leave_mounts(struct err *err)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return err_set(err, -errno, "mount namespace: %m");
    }
    return 0;
}

static void send_answer(int fd, const struct answer *answer, const int fds[FDS_MAX])
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {(void *)(uintptr_t)answer, sizeof(*answer)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    if (answer->fd_count > 0) {
        size_t fds_bytes = sizeof(int) * (size_t)answer->fd_count;

        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fds_bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_bytes);
        memcpy(CMSG_DATA(header), fds, fds_bytes);
    }
    (void)sendmsg(fd, &message, MSG_NOSIGNAL); /* who does not get it sees our end */
}

static int make_disk(const struct disk_plan *plan, struct answer *answer, int fds[FDS_MAX])
{
    struct disk_plan with_template = *plan;
    struct disk disk;
    int r;

    if (with_template.template_fd < 0) {
        with_template.template_fd = disk_template_make(plan, &answer->err);
        if (with_template.template_fd < 0) {
            return with_template.template_fd;
        }
        fds[1] = with_template.template_fd;
    }
    r = disk_make(&with_template, &disk, &answer->err);
    if (r < 0) {
        return r;
    }
    answer->loop_number = disk.loop_number;
    memcpy(answer->backing, disk.backing, sizeof(answer->backing));
    fds[0] = disk.mount_fd;
    r = rootfs_prepare(disk.mount_fd, &answer->err);
    if (r == 0 && plan->network) {
        struct err ignored = {0};

        CHECK(plan->template_fd >= 0);
        fds[1] = network_make(&ignored); /* without one, the replica makes its own */
    }
    return r;
}

_Noreturn static void run_disk(const void *plan_of, int answer_fd)
{
    const struct disk_plan *plan = plan_of;
    struct answer answer = {.loop_number = -1};
    int fds[FDS_MAX] = {-1, -1};

    if (make_disk(plan, &answer, fds) == 0) {
        answer.fd_count = fds[1] < 0 ? 1 : 2;
    }
    send_answer(answer_fd, &answer, fds);
    _exit(0);
}

static int make_root(const struct rootfs_plan *plan, struct answer *answer, int fds[FDS_MAX])
{
    struct rootfs_plan with_idmap = *plan;
    int r = leave_mounts(&answer->err);

    if (r == 0 && plan->idmap_fd < 0) {
        r = with_idmap.idmap_fd = fds[1] = rootfs_idmap(plan, &answer->err);
    }
    if (r >= 0) {
        r = fds[0] = rootfs_make(&with_idmap, &answer->err);
    }
    return r;
}

_Noreturn static void run_root(const void *plan_of, int answer_fd)
{
    const struct rootfs_plan *plan = plan_of;
    struct answer answer = {.loop_number = -1};
    int fds[FDS_MAX] = {-1, -1};

    if (make_root(plan, &answer, fds) >= 0) {
        answer.fd_count = fds[1] < 0 ? 1 : 2;
    }
    send_answer(answer_fd, &answer, fds);
    while (waitpid(-1, NULL, 0) > 0) { /* what rootfs_idmap has killed */
    }
    _exit(0);
}

/* What it holds goes with it, as soon as the helper has let go. */
_Noreturn static void run_clearing(const void *plan_of, int answer_fd)
{
    char ignored;

    (void)plan_of;
    (void)!read(answer_fd, &ignored, 1);
    _exit(0);
}

struct job {
    void (*run)(const void *plan, int answer_fd); /* ends the process */
    const void *plan;
    int kept_fds[KEPT_MAX - 1]; /* of the helper's descriptors; -1: none */
    bool outlives_us;           /* when the helper dies */
};

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int begin(const struct job *job, struct maker *maker, struct err *err)
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
        int kept[KEPT_MAX] = {job->kept_fds[0], job->kept_fds[1], its_fd};

        if (!job->outlives_us) {
            die_with(parent_pid);
        }
        qsort(kept, KEPT_MAX, sizeof(kept[0]), compare);
        close_others(kept);
        job->run(job->plan, its_fd);
        _exit(1);
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

int maker_begin_disk(const struct disk_plan *plan, struct maker *maker, struct err *err)
{
    const struct job job = {.run = run_disk, .plan = plan, .kept_fds = {plan->template_fd, -1}};
    int r = begin(&job, maker, err);

    return r < 0 ? err_wrap(err, "disk") : r;
}

int maker_begin_root(const struct rootfs_plan *plan, struct maker *maker, struct err *err)
{
    const struct job job = {
        .run = run_root, .plan = plan, .kept_fds = {plan->disk_fd, plan->idmap_fd}};
    int r = begin(&job, maker, err);

    return r < 0 ? err_wrap(err, "root") : r;
}

int maker_begin_clearing(int *mount_fd, struct maker *maker, struct err *err)
{
    const struct job job = {.run = run_clearing, .kept_fds = {*mount_fd, -1}, .outlives_us = true};
    int r = begin(&job, maker, err);

    if (r < 0) {
        return err_wrap(err, "clear a disk away");
    }
    /* First ours, then the socket that it waits for: the last to let go is not we. */
    cleanup_close(mount_fd);
    *mount_fd = -1;
    cleanup_close(&maker->answer_fd);
    maker->answer_fd = -1;
    return 0;
}

static int receive_fds(struct msghdr *message, int fds_out[FDS_MAX])
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    size_t count = 0;

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds_out, CMSG_DATA(header), count * sizeof(int));
    }
    return (int)count;
}

int maker_answer(struct maker *maker, struct made *made_out, struct err *err)
{
    struct answer answer;
    int fds[FDS_MAX] = {-1, -1};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec vector = {&answer, sizeof(answer)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t count_bytes = recvmsg(maker->answer_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int fd_count = count_bytes < 0 ? 0 : receive_fds(&message, fds);

    *made_out = (struct made){.fd = fds[0], .more_fd = fds[1], .loop_number = -1};
    cleanup_close(&maker->answer_fd);
    maker->answer_fd = -1;
    if (count_bytes != (ssize_t)sizeof(answer)) {
        return err_set(err, -EIO, "its maker died");
    }
    if (answer.err.code < 0) {
        *err = answer.err;
        return err->code;
    }
    if (fd_count == 0 || fd_count != answer.fd_count) {
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
        cleanup_close(&maker->answer_fd);
        maker->answer_fd = -1;
    }
    if (waitid(P_PIDFD, (id_t)maker->pidfd, &end, WEXITED | WNOHANG) == 0 && end.si_pid == 0) {
        return false;
    }
    cleanup_close(&maker->pidfd);
    maker_init(maker);
    return true;
}
