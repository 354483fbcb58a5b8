// SPDX-License-Identifier: GPL-3.0-or-later
/* minga-init: pid 1 of a sandbox. See sandbox/init_protocol.h. */
#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/init/loop.h"
#include "sandbox/init/privileges.h"
#include "sandbox/spec.h"

static int read_spec(struct sandbox_spec *spec_out, struct err *err)
{
    uint8_t data[SPEC_BYTES_MAX];
    ssize_t length_bytes = pread(INIT_FD_SPEC, data, sizeof(data), 0);
    int r = length_bytes < 0 ? -errno : 0;

    if (r == 0) {
        r = spec_decode((struct bytes){data, (size_t)length_bytes}, spec_out);
    }
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "init: read the specification: %m");
    }
    return 0;
}

/* Nothing but the agreed descriptors, and none of them for the service. */
static int settle_descriptors(const struct sandbox_spec *spec, struct err *err)
{
    struct rlimit files;

    if (syscall(SYS_close_range, INIT_FD_PORTS + spec->port_count, ~0U, 0) < 0 ||
        syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
        return err_set(err, -errno, "init: close descriptors: %m");
    }
    /* Forwarded connections need some; the service gets limits of its own. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return 0;
}

/* The death signal was off for a moment: whoever died in it has left the socket behind. */
static int check_parent(struct err *err)
{
    struct pollfd poll_fd = {INIT_FD_CONTROL, 0, 0};

    if (poll(&poll_fd, 1, 0) < 0 || (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        return err_set(err, -EPIPE, "init: minga-sandboxd is gone");
    }
    return 0;
}

static int prepare(struct init *init, struct err *err)
{
    int output_write_fd = -1;
    sigset_t all;
    int r;

    sigfillset(&all);
    errno = pthread_sigmask(SIG_SETMASK, &all, NULL);
    if (errno != 0) {
        return err_set(err, -errno, "init: signals: %m");
    }
    r = read_spec(&init->spec, err);
    if (r == 0) {
        r = settle_descriptors(&init->spec, err);
    }
    if (r == 0) {
        r = start_prepare(&init->start, &init->spec, &output_write_fd, err);
    }
    if (r == 0) {
        r = privileges_of_init(err);
    }
    if (r == 0) {
        r = check_parent(err);
    }
    if (r == 0) {
        r = start_fork(&init->start, &init->spec, output_write_fd, err);
    }
    return r < 0 ? r : loop_init(init, err);
}

int main(void)
{
    static struct init init; /* some hundred KiB, touched only as connections come */
    struct err err = {0};

    init.control_fd = INIT_FD_CONTROL;
    if (getpid() != 1) {
        fprintf(stderr, "minga-init is started by minga-sandboxd, inside a sandbox only\n");
        return 2;
    }
    if (prepare(&init, &err) < 0) {
        loop_refuse(&init, &err);
        return 1;
    }
    loop_run(&init);
    return 0;
}
