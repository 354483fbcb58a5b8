// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One operation on many keys: those that go the same way go in one message. Pure.
 *
 * Keys are gathered for BULK_WAIT_MS by the node that they go to next; a group that is full or due
 * is asked for as a whole, and its answer has a result for each key. A node that passes keys on
 * groups them in the same way, so that k keys cost fewer than k log n messages, and never more than
 * one for each node asked and BULK_KEYS_MAX keys.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/limits.h"

enum {
    BULK_KEYS_MAX = 64, /* of one group: what fits a message */
    BULK_GROUPS_MAX = LIMIT(32, 3),
    BULK_WAIT_MS = 2,
};

struct bulk_key {
    struct id key;
    uint64_t size_bytes; /* of what is stored under it */
    uint64_t token;      /* the caller's: whose it is */
};

enum bulk_phase { BULK_FREE, BULK_FILLING, BULK_ASKED };

struct bulk_group {
    enum bulk_phase phase;
    struct node_id to;
    uint64_t due_ms;
    uint32_t count;
    struct bulk_key keys[BULK_KEYS_MAX];
};

struct bulk {
    struct bulk_group groups[BULK_GROUPS_MAX];
};

/* Puts a key into the group that goes to `to`. False when there is no room: ask for it alone. */
bool bulk_add(struct bulk *bulk, const struct node_id *to, const struct bulk_key *key,
              uint64_t now_ms);
/* A group that is full or due, which from now on waits for its answer; NULL: none. */
struct bulk_group *bulk_take(struct bulk *bulk, uint64_t now_ms);
/* Its number, to find it again by when the answer comes; NULL when it is not waiting for one. */
uint64_t bulk_number(const struct bulk *bulk, const struct bulk_group *group);
struct bulk_group *bulk_asked(struct bulk *bulk, uint64_t number);
void bulk_end(struct bulk_group *group);
/* When the next group is due; 0: none. */
uint64_t bulk_wake(const struct bulk *bulk);
