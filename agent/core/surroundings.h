// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What manager and executor may know of the community: a small table of functions, so that
 * election and discovery can be exchanged and unit tests need no overlay.
 *
 * The default (surroundings_of_overlay) is a pseudo-DHT: the node responsible for
 * a service's id leads, the next ones on the ring are its secondaries.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "overlay/overlay.h"

enum {
    CANDIDATES_MAX = 8,
    MANAGERS_MAX = 5, /* of these one is the manager, seen from wherever */
};

struct surroundings {
    const void *self;    /* handed to each function */
    struct node_id node; /* this node */
    bool alone;          /* cut off, or expelled: it must lead nothing */
    /* Election: up members that manage, the leader first, then the secondaries in order. */
    uint32_t (*candidates)(const void *self, const struct service_id *service, uint32_t count_max,
                           struct node_id *nodes_out);
    /* Discovery: up members to ask for offers, this node too. Where there are more than count_max, other
     * rounds have others, until all were among them. */
    uint32_t (*discover)(const void *self, const struct service_id *service, uint64_t round,
                         uint32_t count_max, struct node_id *nodes_out);
    /* Up members other than this node. */
    uint32_t (*others)(const void *self, uint32_t count_max, struct node_id *nodes_out);
    /* NULL when unknown. */
    const struct overlay_member *(*member)(const void *self, const struct node_id *node);
    /* Is one that `member` does not find none, rather than one that is not remembered? */
    bool (*knows_all)(const void *self);
    /* An encoded Signed{Record}, already verified; empty when it is not here. */
    struct bytes (*record)(const void *self, const struct service_id *service,
                           minga_RecordKind kind, uint64_t number);
    /* Walks the service records that are here; *cursor starts at 0. */
    bool (*service_next)(const void *self, uint32_t *cursor, struct service_id *service_out);
    /* Under which port others reach this one of ours, a TCP port; 0: under none at present. NULL:
     * always the same one. */
    uint16_t (*port_outside)(const void *self, uint16_t port, bool is_udp);
};

/* May this node be the manager of the service: is it among the first MANAGERS_MAX candidates, as seen
 * from here? Where members come and go two views differ by a rank or two. False where they are not
 * known yet. */
bool may_manage(const struct surroundings *around, const struct service_id *service,
                const struct node_id *node);

struct surroundings surroundings_of_overlay(const struct overlay *overlay);
