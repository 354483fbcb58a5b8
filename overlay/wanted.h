// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Tables of a large community: nodes that are not known yet, and keys whose holders are wanted. */
#include "overlay/overlay.h"

/* One that can be dialled, but is not known as a member (yet). */
struct contact {
    bool used;
    bool linked;
    bool stores;
    bool manages;
    struct overlay_peer peer;
    uint64_t used_ms;
    uint64_t greeted_ms;
};

enum admit_how {
    ADMIT_LOADED, /* from the own disk: verified before */
    ADMIT_TOLD,   /* by others */
    ADMIT_MET,    /* by itself: we talk to it */
};

/* What a lookup is for, besides the agent's own. */
enum search_for {
    SEARCH_RECORD_GET,
    SEARCH_CHUNK_PUT,
    SEARCH_CHUNK_GET,
    SEARCH_LOCATE,
    SEARCH_FINGER
};

/* A key that the agent asks for often, and who holds it. */
struct located {
    bool used;
    struct ring_key key;
    uint32_t count;
    struct node_id holders[RECORD_COPIES];
    uint64_t found_ms;
    uint64_t wanted_ms;
    uint64_t asked_ms;
};

struct chain_link {
    struct bytes encoded; /* an admission */
    struct public_key countersigner;
};
