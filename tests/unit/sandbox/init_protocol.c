// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init_protocol.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

Test(init_protocol, a_message_survives_the_way)
{
    struct init_message sent = {.kind = INIT_ENDED,
                                .signalled = true,
                                .stopped = true,
                                .status = 9,
                                .started_ms = 77,
                                .lost_bytes = 1ULL << 40};
    struct init_message received;
    int ends[2];

    memset(sent.reason, 'r', REASON_CHARS_MAX);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(init_message_receive(ends[1], &received), -EAGAIN);
    cr_assert_eq(init_message_send(ends[0], &sent), 0);
    cr_assert_eq(init_message_receive(ends[1], &received), 0);
    cr_assert_eq(received.kind, INIT_ENDED);
    cr_assert(received.signalled && received.stopped && !received.healthy);
    cr_assert_eq(received.status, 9);
    cr_assert_eq(received.lost_bytes, 1ULL << 40);
    cr_assert_str_eq(received.reason, sent.reason);
    close(ends[0]);
    cr_assert_eq(init_message_receive(ends[1], &received), -EPIPE);
    cr_assert_eq(init_message_send(ends[1], &sent), -EPIPE);
}

Test(init_protocol, truncated_and_longer_and_unknown_messages_are_refused)
{
    struct init_message message = {.kind = INIT_REFUSED, .reason = "command: No such file"};
    uint8_t data[INIT_MESSAGE_BYTES_MAX + 1] = {0};
    size_t length_bytes = init_message_encode(&message, data);

    for (size_t cut = 0; cut < length_bytes; cut++) {
        cr_assert_eq(init_message_decode((struct bytes){data, cut}, &message), -EBADMSG);
    }
    cr_assert_eq(init_message_decode((struct bytes){data, length_bytes + 1}, &message), -EBADMSG);
    data[0] = INIT_KIND_COUNT;
    cr_assert_eq(init_message_decode((struct bytes){data, length_bytes}, &message), -EBADMSG);
    data[0] = 0;
    cr_assert_eq(init_message_decode((struct bytes){data, length_bytes}, &message), -EBADMSG);
}

Test(init_protocol, descriptors_that_come_along_are_closed)
{
    struct init_message message = {.kind = INIT_STOP};
    uint8_t data[INIT_MESSAGE_BYTES_MAX];
    struct iovec part = {data, init_message_encode(&message, data)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    int ends[2];
    int pipes[2];
    char byte;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(pipe(pipes), 0);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &pipes[1], sizeof(int));
    cr_assert_gt(sendmsg(ends[0], &packet, 0), 0);
    close(pipes[1]);
    cr_assert_eq(init_message_receive(ends[1], &message), 0);
    /* End of file: nobody holds the writing end any more. */
    cr_assert_eq(read(pipes[0], &byte, 1), 0);
}
