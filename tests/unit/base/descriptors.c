// SPDX-License-Identifier: GPL-3.0-or-later
/* A descriptor whose close takes seconds, passed to one who only reads bytes. */
#include "base/descriptors.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINGER_S = 60 };

/* One with bytes that nobody takes, which it waits for when it is closed. */
static int lingering(void)
{
    static const char block[65536];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    const struct linger linger = {.l_onoff = 1, .l_linger = LINGER_S};
    int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(listen_fd, (struct sockaddr *)&address, address_bytes), 0);
    cr_assert_eq(listen(listen_fd, 1), 0);
    cr_assert_eq(getsockname(listen_fd, (struct sockaddr *)&address, &address_bytes), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, address_bytes), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0) {
    }
    return fd;
}

static ssize_t pass(int socket_fd, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {0};
    struct iovec byte = {(char[]){0}, 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    return sendmsg(socket_fd, &message, MSG_NOSIGNAL);
}

Test(descriptors, who_refuses_them_does_not_wait_for_their_end, .timeout = LINGER_S / 2)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    int ends[2];
    char byte;

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        if (!descriptors_refuse(ends[0])) {
            cr_skip_test("a kernel before 6.16");
        }
        int fd = lingering();

        cr_assert_eq(pass(ends[1], fd), -1);
        cr_assert_eq(errno, EPERM);
        cr_assert_eq(send(ends[1], "x", 1, MSG_NOSIGNAL), 1, "bytes pass");
        cr_assert_eq(recv(ends[0], &byte, 1, 0), 1);
        cr_assert_eq(
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)),
            0);
        close(fd);
        close(ends[0]);
        close(ends[1]);
    }
}
