// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * In a large community: who asks for a replica's start, and is not known to manage the service, is
 * looked up. So many at once, so many of one that asks: others' questions do not displace what
 * this node needs. Pure; the caller owns struct doubts, which begins zeroed.
 */
#include "agent/core/surroundings.h"
#include "base/ids.h"

enum {
    DOUBTS_MAX = 32,
    DOUBTS_OF_ONE = 4,
    DOUBT_HELD_MS = 2000, /* so long has each its place, */
    DOUBT_PACE_MS = 500,  /* or, once its service is located, so long */
};

struct doubt {
    struct service_id service;
    struct node_id from;
    uint64_t begin_ms; /* 0: none */
};

struct doubts {
    struct doubt list[DOUBTS_MAX];
};

enum doubted {
    DOUBTED_NOT,   /* no place: it is not looked up */
    DOUBTED_STILL, /* as before */
    DOUBTED_NOW,   /* the look-up begins: whatever was found before is doubted as well */
};

/* `from` asks for a start of the service and is none of its managers, as far as is known here. */
enum doubted doubts_take(struct doubts *doubts, const struct surroundings *around,
                         const struct node_id *from, const struct service_id *service,
                         uint64_t now_ms);
