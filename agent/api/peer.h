// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who is at the other end of a control connection, and what that one may do.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum api_right {
    API_LOOK,   /* every local user */
    API_ACT,    /* services, and pause, resume, drain: group minga, mingad's user, root */
    API_GOVERN, /* community, join, leave, expel, revoke: mingad's user, root */
};

enum { API_GROUPS_MAX = 256 };

struct api_peer {
    bool known; /* false: the kernel told nothing, only looking is allowed */
    uid_t uid;
    gid_t gid;
    uint32_t group_count; /* supplementary; those beyond the max count for nothing */
    gid_t groups[API_GROUPS_MAX];
};

/* Asks the kernel about the peer of a connected unix socket. Never fails: see `known`. */
void peer_read(int fd, struct api_peer *peer_out);
/* `group`: of group minga, or (gid_t)-1; `own_uid`: mingad's user. Pure. */
bool peer_may(const struct api_peer *peer, enum api_right right, gid_t group, uid_t own_uid);
