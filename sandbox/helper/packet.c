// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/packet.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"

union control {
    char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS_MAX)];
    struct cmsghdr align;
};

int packet_send(int socket_fd, struct bytes content, const struct packet_fds *fds)
{
    union control control = {0};
    struct iovec vector = {(void *)(uintptr_t)content.data, content.length_bytes};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    const size_t fds_bytes = sizeof(fds->fds[0]) * fds->count;

    CHECK(fds->count <= PACKET_FDS_MAX);
    if (fds_bytes > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fds_bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_bytes);
        memcpy(CMSG_DATA(header), fds->fds, fds_bytes);
    }
    ssize_t count_bytes = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
    if (count_bytes < 0) {
        return -errno;
    }
    return (size_t)count_bytes == content.length_bytes ? 0 : -EIO;
}

ssize_t packet_receive(int socket_fd, void *content_out, size_t capacity_bytes, int flags,
                       struct packet_fds *fds_out)
{
    union control control;
    struct iovec vector = {content_out, capacity_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             /* What CMSG_SPACE rounds up to has room for one more. */
                             .msg_controllen = CMSG_LEN(sizeof(fds_out->fds))};
    ssize_t count_bytes = recvmsg(socket_fd, &message, flags | MSG_CMSG_CLOEXEC);

    fds_out->count = 0;
    for (size_t i = 0; i < PACKET_FDS_MAX; i++) {
        fds_out->fds[i] = -1;
    }
    if (count_bytes < 0) {
        return -errno;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        fds_out->count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(fds_out->fds[0]);
        CHECK(fds_out->count <= PACKET_FDS_MAX);
        memcpy(fds_out->fds, CMSG_DATA(header), sizeof(fds_out->fds[0]) * fds_out->count);
    }
    return count_bytes;
}
