// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/peer.h"

#include <string.h>
#include <sys/socket.h>

#include "base/check.h"

void peer_read(int fd, struct api_peer *peer_out)
{
    struct ucred credentials;
    socklen_t length_bytes = sizeof(credentials);
    socklen_t groups_bytes = sizeof(peer_out->groups);

    memset(peer_out, 0, sizeof(*peer_out));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length_bytes) < 0) {
        return;
    }
    peer_out->known = true;
    peer_out->uid = credentials.uid;
    peer_out->gid = credentials.gid;
    /* A peer in more groups than fit (ERANGE) is judged by its uid and first group alone. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer_out->groups, &groups_bytes) == 0) {
        peer_out->group_count = (uint32_t)(groups_bytes / sizeof(gid_t));
    }
}

static bool in_group(const struct api_peer *peer, gid_t group)
{
    if (group == (gid_t)-1) {
        return false;
    }
    for (uint32_t i = 0; i < peer->group_count; i++) {
        if (peer->groups[i] == group) {
            return true;
        }
    }
    return peer->gid == group;
}

bool peer_may(const struct api_peer *peer, enum api_right right, gid_t group, uid_t own_uid)
{
    CHECK(peer->group_count <= API_GROUPS_MAX);
    if (right == API_LOOK) {
        return true;
    }
    if (!peer->known) {
        return false;
    }
    if (peer->uid == 0 || peer->uid == own_uid) {
        return true;
    }
    return right == API_ACT && in_group(peer, group);
}
