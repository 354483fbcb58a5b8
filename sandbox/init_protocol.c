// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init_protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/wire.h"

enum { CONTROL_BYTES_MAX = 256 }; /* a few unwanted descriptors */

size_t init_message_encode(const struct init_message *message, uint8_t *data_out)
{
    struct wire_writer wire = wire_writer(data_out, INIT_MESSAGE_BYTES_MAX);

    CHECK(message->kind >= INIT_ATTACHED && message->kind < INIT_KIND_COUNT);
    wire_put_u8(&wire, (uint8_t)message->kind);
    wire_put_bool(&wire, message->healthy);
    wire_put_bool(&wire, message->signalled);
    wire_put_bool(&wire, message->stopped);
    wire_put_u32(&wire, (uint32_t)message->status);
    wire_put_u64(&wire, message->started_ms);
    wire_put_u64(&wire, message->lost_bytes);
    wire_put_u64(&wire, message->connection_count);
    wire_put_u64(&wire, message->refused_count);
    wire_put_text(&wire, message->reason);
    CHECK(wire_ok(&wire));
    return wire.written_bytes;
}

int init_message_decode(struct bytes bytes, struct init_message *message_out)
{
    struct wire_reader wire = wire_reader(bytes);
    struct init_message message = {.kind = INIT_ATTACHED};
    unsigned kind = wire_u8(&wire);

    message.healthy = wire_bool(&wire);
    message.signalled = wire_bool(&wire);
    message.stopped = wire_bool(&wire);
    message.status = (int32_t)wire_u32(&wire);
    message.started_ms = wire_u64(&wire);
    message.lost_bytes = wire_u64(&wire);
    message.connection_count = wire_u64(&wire);
    message.refused_count = wire_u64(&wire);
    wire_text(&wire, message.reason, sizeof(message.reason));
    if (!wire_done(&wire) || kind < INIT_ATTACHED || kind >= INIT_KIND_COUNT ||
        message.status < 0 || message.status > 255) {
        return -EBADMSG;
    }
    message.kind = (enum init_message_kind)kind;
    *message_out = message;
    return 0;
}

int init_message_send_fd(int fd, const struct init_message *message, int passed_fd)
{
    uint8_t data[INIT_MESSAGE_BYTES_MAX];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {data, init_message_encode(message, data)};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (passed_fd >= 0) {
        packet.msg_control = control;
        packet.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&packet);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &passed_fd, sizeof(int));
    }
    for (;;) {
        if (sendmsg(fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            return 0;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

int init_message_send(int fd, const struct init_message *message)
{
    return init_message_send_fd(fd, message, -1);
}

/* Those that somebody slips us would stay open for ever. */
static void take_descriptors(const struct cmsghdr *header, int *fd_out)
{
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
        if (*fd_out < 0) {
            *fd_out = fd;
        } else {
            close(fd);
        }
    }
}

static void read_ancillary(struct msghdr *packet, int *fd_out)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(packet); header != NULL;
         header = CMSG_NXTHDR(packet, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            take_descriptors(header, fd_out);
        }
    }
}

int init_message_receive_fd(int fd, struct init_message *message_out, int *fd_out)
{
    uint8_t data[INIT_MESSAGE_BYTES_MAX];
    _Alignas(struct cmsghdr) char control[CONTROL_BYTES_MAX];
    struct iovec part = {data, sizeof(data)};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    ssize_t length_bytes;
    CLEANUP(cleanup_close) int passed_fd = -1;
    int r;

    do {
        length_bytes = recvmsg(fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (length_bytes < 0 && errno == EINTR);
    if (length_bytes < 0) {
        return errno == ECONNRESET ? -EPIPE : -errno;
    }
    read_ancillary(&packet, &passed_fd);
    if (length_bytes == 0) {
        return -EPIPE;
    }
    if ((packet.msg_flags & MSG_TRUNC) != 0) {
        return -EBADMSG;
    }
    r = init_message_decode((struct bytes){data, (size_t)length_bytes}, message_out);
    *fd_out = take_fd(&passed_fd);
    if (r < 0) {
        cleanup_close(fd_out);
        *fd_out = -1;
    }
    return r;
}

int init_message_receive(int fd, struct init_message *message_out)
{
    int passed_fd = -1;
    int r = init_message_receive_fd(fd, message_out, &passed_fd);

    if (r == 0) {
        cleanup_close(&passed_fd);
    }
    return r;
}
