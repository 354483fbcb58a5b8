// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Whose chunk is sent next, and may it be? One who reads slowly, or not at all, leaves what was sent to
 * it with ZeroMQ: that shall hold up nobody else.
 *
 * Those who wait take turns, one chunk each. Alone one may have all that ZeroMQ is given; what is above
 * that is for who has nothing there. Pure, but for what ZeroMQ's thread counts down.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "base/ids.h"
#include "base/limits.h"

enum {
    UPLOAD_BYTES_MAX = 8 * CHUNK_BYTES_MAX,   /* not sent yet, before it gets tight */
    UPLOAD_BYTES_HARD = 24 * CHUNK_BYTES_MAX, /* but for those that are being read */
    UPLOAD_ASKERS_MAX = 64,
};

struct upload_asker {
    struct node_id node; /* that is dialled; all zero: one who dials, ... */
    uint64_t link;       /* ... on this link */
    uint64_t turn;       /* of its last chunk */
    uint32_t job_count;  /* waiting, or being read */
    atomic_size_t unsent_bytes;
};

struct upload_share {
    uint64_t turn; /* the present one */
    struct upload_asker list[UPLOAD_ASKERS_MAX];
};

/* Counts one more of its jobs. NULL: too many others have some. */
struct upload_asker *upload_share_begin(struct upload_share *share, const struct node_id *node,
                                        uint64_t link);
void upload_share_end(struct upload_asker *asker);
/* When its next chunk is due: jobs go in the order of their turns. */
uint64_t upload_share_turn(struct upload_share *share, struct upload_asker *asker);
/* May another chunk go to it while ZeroMQ holds so much in all? */
bool upload_share_may_send(const struct upload_asker *asker, uint64_t unsent_bytes);
