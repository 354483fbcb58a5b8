// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* One packet with descriptors, between the helper and processes that it has forked. */
#include <stddef.h>
#include <sys/types.h>

#include "base/bytes.h"

enum { PACKET_FDS_MAX = 5 };

struct packet_fds {
    int fds[PACKET_FDS_MAX];
    size_t count;
};

/* Descriptors are borrowed. Returns 0 or -errno. */
int packet_send(int socket_fd, struct bytes content, const struct packet_fds *fds);
/*
 * Returns how many bytes came, 0 when the other end is closed, or -errno. fds_out are the
 * caller's, -1 where none came. `flags` are recvmsg's.
 */
ssize_t packet_receive(int socket_fd, void *content_out, size_t capacity_bytes, int flags,
                       struct packet_fds *fds_out);
