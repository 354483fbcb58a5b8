// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What an overlay remembers for the repair of chunks: tables of state.h. */
#include "base/bucket.h"
#include "overlay/chunks/chunks.h"
#include "overlay/chunks/habit.h"
#include "overlay/chunks/homes.h"
#include "overlay/chunks/rebalance.h"
#include "overlay/chunks/references.h"
#include "overlay/overlay.h"

enum {
    HABITS_MS = 10000,         /* who is here, and who away, is noted so often */
    HABITS_GAP_MS = 300000,    /* this node was asleep itself: it has seen nothing */
    HABITS_STORED_MAX = 8,     /* in one step */
    REPAIR_LOOKS = 3,          /* after a change of the ring */
    REPAIR_QUIET_MS = 5000,    /* the ring must have been quiet for so long ... */
    REPAIR_SETTLED_MS = 35000, /* ... and who went has gone for more than a restart ... */
    REPAIR_LATE_MS = 120000,   /* ... but in a ring that is never quiet not for ever */
    REPAIR_ROUND_MS = 60000,   /* chunks are compared with one random partner */
    REPAIR_PUSHED_MAX = 8,     /* partners after a push */
    REPAIR_AGAIN_MS = 1000,    /* after a difference, doubling: */
    REPAIR_DOUBLINGS_MAX = 6,
    REPAIR_FULL_MS = 600000, /* who had no room so lately still has none, most likely */
    REPAIR_WALK_MAX = 256,   /* chunks looked at in one step */
    REPAIR_WALK_MS = 20,
    REPAIR_BURST_S = 16, /* of the upload share, saved up */
    SHED_MS = 600000,    /* so long what does not fit is held elsewhere as often as it should
                                  be before it goes; then once elsewhere is enough */
    SHED_WALK_MS = 20,
    SHED_LOOKS_MAX = 256, /* chunks in one step */
    SHED_AGAIN_MS = 5000, /* between two walks, and ... */
    SHED_LATE_MS = 60000, /* ... later: nobody else has room */
    SHED_FRESH_S = 30,    /* what was fetched or asked for so lately goes last */
    REFUSED_MS = 1000,    /* nothing is taken after the disk has refused a chunk, doubling: */
    REFUSED_DOUBLINGS_MAX = 7,
    REFUSED_PUSH_MS = 1000,    /* the same of a push: not doubling */
    COLLECT_PAUSE_MS = 1000,   /* between two checks */
    COLLECT_VERSIONS_MAX = 64, /* pushed and not yet used */
    COLLECT_LOOKS_MAX = 1024,  /* chunks in one step */
    COLLECT_DROPS_MAX = 24,
    COMPARE_MS = 4000,       /* for an answer */
    COMPARE_ARCS_MAX = 96,   /* to be looked at */
    COMPARE_ASKED_MAX = 8,   /* in one question */
    COMPARE_PARTS = 8,       /* a range that differs is cut into */
    COMPARE_LIST_MAX = 40,   /* so few chunks are named instead */
    COMPARE_PAGES_MAX = 512, /* of one session */
    COMPARE_PUSHED_MAX = 16, /* for one page */
    SERVED_MAX = 32,
    WALKED_MAX = 16000,  /* thousandths of the table, for one member at once */
    WALKED_EACH_MS = 2,  /* forgiven in each ms */
    WALKED_SMALL = 4096, /* a smaller table counts like one of so many */
};

/* For whom a chunk on its way is kept. */
struct chunk_references {
    bool is_common; /* for more than can be said: for good */
    uint32_t count;
    struct overlay_reference list[CHUNK_REFERENCES_MAX];
    uint32_t age_s[CHUNK_REFERENCES_MAX]; /* since it was pushed or fetched */
};

/* The check of one reference against its owner's records, and the removal of what is dead. */
struct collect {
    bool is_checking;
    bool is_asking;   /* a record is being read */
    bool is_answered; /* it has been: */
    bool is_found;
    bool is_certain; /* not found, by who must know */
    minga_Record record;
    uint16_t place;
    uint64_t now_s;
    uint32_t step; /* which version is looked at */
    uint64_t version;
    minga_Service service;
    uint64_t next_ms;
    bool is_purging;
    uint32_t cursor;
    uint32_t purged_count; /* ever */
    uint64_t purged_bytes;
};

/* Who was turned away for what another one was promised: for a while that one gets no more. */
struct receive_crowd {
    struct node_id node;
    uint64_t until_ms;
};

/* Who asks for chunks, and how many it got in the present interval; see serve.c. */
struct served {
    struct node_id node;
    uint64_t asked_ms; /* last; 0: a free place */
    uint32_t count;
};

struct serves {
    uint64_t since_ms;
    uint64_t crowded_ms; /* the interval is divided until then */
    uint32_t count;
    struct served list[SERVED_MAX];
};

struct chunk_home {
    struct node_id node;
    int index; /* of the membership, or MEMBER_NONE */
    bool is_up;
    enum home_why why;
};

/* A part of the ring, (from, to]; from == to: all of it. */
struct compare_arc {
    struct ring_key from;
    struct ring_key to;
    bool is_list; /* few enough to be named */
};

/* The chunks, or records, that this node and a peer should both have: where do they differ? */
struct compare {
    bool active;
    bool of_records; /* sync_records.c */
    bool differs;
    bool is_short; /* there was no room for all that differs */
    struct node_id peer;
    uint64_t nonce;
    uint32_t page_count;
    uint32_t arc_count; /* to be looked at */
    struct compare_arc arcs[COMPARE_ARCS_MAX];
    uint32_t asked_count;
    struct compare_arc asked[COMPARE_ASKED_MAX];
    uint32_t listed_count;
    struct chunk_id listed[COMPARE_LIST_MAX];
};

/* What no longer fits into this node's share goes (shed.c). */
struct shed {
    bool is_active;
    uint64_t until_ms;
    uint64_t next_ms;
    bool is_waiting; /* for the upload share, too */
    uint32_t cursor;
};

struct repair {
    uint64_t began_s; /* wall time at the start */
    uint64_t habits_ms;
    struct habit habits[MEMBERS_MAX];
    bool is_changed[MEMBERS_MAX]; /* habits that are not stored yet */
    struct bucket upload;
    struct bucket download; /* of all chunks that this node asks for */
    uint64_t changed_ms;    /* the first change of the ring that was not looked at; 0: none */
    uint64_t look_ms[REPAIR_LOOKS]; /* 0: done */
    bool is_walking;                /* through the chunks that live elsewhere */
    uint32_t cursor;
    uint64_t walk_ms;
    bool is_waiting; /* for the upload share, too */
    uint64_t round_ms;
    uint64_t pushed_ms;             /* what others pushed is compared then; 0: nothing was */
    uint64_t next_ms;               /* the first of due_ms; 0: none */
    uint64_t due_ms[MEMBERS_MAX];   /* chunks are compared with that one then; 0: not */
    uint8_t tries[MEMBERS_MAX];     /* since they were equal */
    uint64_t equal_ms[MEMBERS_MAX]; /* when they were; 0: never, or not since it was away */
    uint64_t full_ms[MEMBERS_MAX];  /* when it last had no room; 0: never, or has had since */
    struct compare compare;
    struct rebalance rebalance;
    struct shed shed;
    uint64_t refused_ms;       /* when the disk last refused a chunk */
    uint64_t refused_until_ms; /* the disk takes nothing, as far as is known */
    uint32_t refused_count;    /* in a row */
    uint64_t moved_bytes;      /* sent for repair, ever */
    uint64_t moved_count;
    uint64_t rotten_count; /* chunks found missing or bad, ever */
};
