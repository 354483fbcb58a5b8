// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/packet.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t letter = 'a';
static const struct bytes content = {&letter, 1};

static void make_pair(int pair_out[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair_out), 0);
}

static ino_t file_of(int fd)
{
    struct stat status;

    cr_assert_eq(fstat(fd, &status), 0);
    return status.st_ino;
}

/* As many files as go in one packet. */
static struct packet_fds open_files(void)
{
    struct packet_fds files = {.count = PACKET_FDS_MAX};

    for (size_t i = 0; i < PACKET_FDS_MAX; i++) {
        files.fds[i] = open("/tmp", O_RDWR | O_TMPFILE, 0600);
        cr_assert_geq(files.fds[i], 0);
    }
    return files;
}

static void close_files(const struct packet_fds *files)
{
    for (size_t i = 0; i < files->count; i++) {
        close(files->fds[i]);
    }
}

Test(packet, brings_all_descriptors_in_order_and_none_outlives_an_execve)
{
    const struct packet_fds files = open_files();
    struct packet_fds came;
    uint8_t got;
    int pair[2];

    make_pair(pair);
    cr_assert_eq(packet_send(pair[0], content, &files), 0);
    cr_assert_eq(packet_receive(pair[1], &got, 1, 0, &came), 1);
    cr_assert_eq(got, letter);
    cr_assert_eq(came.count, PACKET_FDS_MAX);
    for (size_t i = 0; i < PACKET_FDS_MAX; i++) {
        cr_assert_eq(file_of(came.fds[i]), file_of(files.fds[i]));
        cr_assert(fcntl(came.fds[i], F_GETFD) & FD_CLOEXEC);
    }
    close_files(&files);
    close_files(&came);
}

Test(packet, without_descriptors_says_so)
{
    const struct packet_fds none = {.count = 0};
    struct packet_fds came;
    uint8_t got;
    int pair[2];

    make_pair(pair);
    cr_assert_eq(packet_receive(pair[1], &got, 1, MSG_DONTWAIT, &came), -EAGAIN);
    cr_assert_eq(came.fds[0], -1);
    cr_assert_eq(packet_send(pair[0], content, &none), 0);
    cr_assert_eq(packet_receive(pair[1], &got, 1, 0, &came), 1);
    cr_assert_eq(came.count, 0);
    for (size_t i = 0; i < PACKET_FDS_MAX; i++) {
        cr_assert_eq(came.fds[i], -1);
    }
}

Test(packet, to_nobody_is_an_error_and_no_signal)
{
    const struct packet_fds none = {.count = 0};
    struct packet_fds came;
    uint8_t got;
    int pair[2];

    make_pair(pair);
    close(pair[0]);
    signal(SIGPIPE, SIG_DFL);
    cr_assert_eq(packet_send(pair[1], content, &none), -EPIPE);
    cr_assert_eq(packet_receive(pair[1], &got, 1, 0, &came), 0);
}

/* Where there is room for one more, the kernel would fill it. */
Test(packet, with_more_descriptors_than_are_ever_sent_brings_no_more)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * (PACKET_FDS_MAX + 1))];
        struct cmsghdr align;
    } control = {0};
    char byte = 'b';
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    const struct packet_fds files = open_files();
    int fds[PACKET_FDS_MAX + 1] = {STDERR_FILENO};
    struct packet_fds came;
    int pair[2];

    make_pair(pair);
    memcpy(fds + 1, files.fds, sizeof(files.fds));
    control.align = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
    cr_assert_eq(sendmsg(pair[0], &message, 0), 1);
    cr_assert_eq(packet_receive(pair[1], &byte, 1, 0, &came), 1);
    cr_assert_eq(came.count, PACKET_FDS_MAX);
    close_files(&files);
    close_files(&came);
}
