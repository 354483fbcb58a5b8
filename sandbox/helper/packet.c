// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/packet.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

union control {
    char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS_MAX)];
    struct cmsghdr align;
};

int packet_send(int socket_fd, struct bytes content, const int fds[PACKET_FDS_MAX])
{
    union control control = {0};
    struct iovec vector = {(void *)(uintptr_t)content.data, content.length_bytes};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    size_t fds_bytes = 0;

    for (size_t i = 0; i < PACKET_FDS_MAX && fds[i] >= 0; i++) {
        fds_bytes += sizeof(int);
    }
    if (fds_bytes > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fds_bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_bytes);
        memcpy(CMSG_DATA(header), fds, fds_bytes);
    }
    ssize_t count_bytes = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
    if (count_bytes < 0) {
        return -errno;
    }
    return (size_t)count_bytes == content.length_bytes ? 0 : -EIO;
}

ssize_t packet_receive(int socket_fd, void *content_out, size_t capacity_bytes, int flags,
                       int fds_out[PACKET_FDS_MAX])
{
    union control control;
    struct iovec vector = {content_out, capacity_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t count_bytes = recvmsg(socket_fd, &message, flags | MSG_CMSG_CLOEXEC);

    for (size_t i = 0; i < PACKET_FDS_MAX; i++) {
        fds_out[i] = -1;
    }
    if (count_bytes < 0) {
        return -errno;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        memcpy(fds_out, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    }
    return count_bytes;
}
