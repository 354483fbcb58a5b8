// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Successor lists as they travel: whole, or as what has changed since a version that the other side
 * knows. Pure.
 *
 * A node remembers the last few of its own lists that it has told, and its keeper's list as it was
 * told, both in the order of node ids, which is the same for both: a change names which of the old
 * list are still in the new one, by place in that order, and who is new.
 */
#include <stdbool.h>

#include "overlay/ring/ring.h"

enum {
    LIST_COPIES = 4,
    LIST_ADDED_MAX = 4, /* of more the whole list is told */
};
static_assert(SUCCESSORS_MAX <= 32, "places of a list are bits of a word");

struct list_copy {
    uint32_t version; /* 0: none */
    uint32_t count;
    struct node_id nodes[SUCCESSORS_MAX]; /* by id */
};

struct list_history {
    uint32_t next;
    struct list_copy copies[LIST_COPIES];
};

struct list_change {
    uint32_t kept; /* bit i: the node at place i is still there */
    uint32_t added_count;
    struct ring_node added[LIST_ADDED_MAX];
};

/* The short name of the present successors: whoever has a list can tell whether it is the one of
 * that name. Not 0. */
uint32_t list_version(const struct ring *ring);

/* The present successors are told to somebody, or confirmed. */
void list_history_note(struct list_history *history, const struct ring *ring);
/* What has changed since `known`; false: that is not remembered, or it is too much. */
bool list_history_change(const struct list_history *history, const struct ring *ring,
                         uint32_t known, struct list_change *change_out);

/* Takes a whole list; when it is not the one of that name, the next question asks for it again. */
void list_copy_set(struct list_copy *copy, uint32_t version, const struct node_id *nodes,
                   uint32_t count);
/* Applies a change; false, and nothing is known any more, when it makes no sense, or does not come
 * to the list of that name. */
bool list_copy_change(struct list_copy *copy, uint32_t version, uint32_t kept,
                      const struct node_id *added, uint32_t added_count);
