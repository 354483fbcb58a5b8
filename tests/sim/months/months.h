// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Months of a community's storage in virtual time: who is up after which law, which copies the
 * shipped rule of repair (overlay/chunks/homes.h, habit.h, bucket.h) has made, and what must never happen.
 * Where members give more and less (--skew), each has several positions, and gives up some and takes
 * others as balance.h says.
 *
 * All see the same: there is no network here, only decisions and what they move.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bucket.h"
#include "base/random.h"
#include "overlay/chunks/balance.h"
#include "overlay/chunks/habit.h"
#include "overlay/chunks/homes.h"

enum {
    NODES_MAX = 2000,
    ARCS_MAX = MEMBERS_MAX * POSITIONS_MAX,
    NOBODY = UINT32_MAX,
    COPIES_MAX = 48, /* of one chunk, asleep or not */
    TICK_S = 60,
    HOUR_S = 3600,
    DAY_S = 24 * HOUR_S,
    BURST_S = 16,
};

enum law { LAW_ALWAYS, LAW_LAPTOP, LAW_SETI, LAW_IPFS };

struct options {
    uint32_t node_count;
    uint32_t chunks_per_node;
    uint32_t days;
    uint32_t from_day; /* what is moved is counted from here on */
    enum law law;
    uint32_t share_percent;  /* of the nodes that follow the law; the others are always on */
    uint32_t deaths_percent; /* of the nodes, in a month, for good */
    uint32_t writes_per_day; /* new chunks */
    uint64_t chunk_bytes;
    uint64_t upload_bytes_per_s;
    uint32_t capacity_percent; /* of the mean need of three copies; 0: no limit */
    uint64_t seed;
    uint32_t moved_permille_max; /* of what is stored; UINT32_MAX: not checked */
    uint32_t skew; /* members give from 1 to so many parts; 0: all the same, one position */
    uint32_t load_percent_max; /* stored over given, the highest to the mean, on any day */
    uint32_t less_day;         /* one gives a quarter from then on; 0: none does */
    uint32_t less_percent_max; /* of what it has too much, may be moved for that */
};

struct node {
    enum law law;
    bool is_up;
    bool is_dead;    /* with its disk */
    uint64_t next_s; /* it comes or goes */
    uint64_t went_s;
    uint32_t nights; /* of a laptop, so far */
    uint32_t chunk_count;
    uint64_t position;
    struct habit habit;
    struct bucket upload;
    uint64_t sent_bytes; /* for repair, in the present hour */
    struct public_key key;
    uint64_t capacity;   /* parts that it gives */
    uint64_t look_s;     /* it looks at its positions next */
    uint64_t change_s;   /* and does not change them before */
    struct bucket moves; /* bytes that its changes may move */
};

struct copies {
    uint64_t key;
    uint32_t count;
    uint16_t holders[COPIES_MAX];
    uint32_t acknowledged_count;
    uint16_t acknowledged[CHUNK_COPIES]; /* who had it when its owner was told so */
};

struct months {
    struct options options;
    struct random life;
    struct random keys;
    uint64_t now_s;
    struct node nodes[NODES_MAX]; /* in ring order, by first positions */
    struct positions positions;   /* with --skew; else each node has its first one */
    struct balance table;
    uint64_t changed_s; /* somebody's positions, last */
    uint32_t change_count;
    double load_worst;          /* of all days from from_day on, but two after less_day */
    uint64_t excess_bytes;      /* of the one that gives less */
    uint64_t excess_from_bytes; /* moved before */
    bool is_dirty[ARCS_MAX];    /* the arc before the position is to be looked at */
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    struct copies *chunks; /* sorted by key within an arc: see first */
    uint32_t *arc_of;      /* of each chunk */
    uint32_t *next_in_arc;
    uint32_t first_in_arc[ARCS_MAX];
    uint64_t moved_bytes;       /* since from_day */
    uint64_t learning_bytes;    /* before */
    uint64_t lost_count;        /* though somebody who acknowledged it never died */
    uint64_t unavoidable_count; /* all of them died */
    uint64_t over_rate_count;   /* hours in which a node sent more than its share */
    uint64_t evicted_count;
    uint64_t unread_samples; /* chunk-hours without any copy up */
    uint64_t scarce_samples; /* ... with one */
    uint64_t samples;
    bool has_failed;
};

/* law.c */
/* When the node comes or goes next. */
uint64_t law_next_s(struct months *months, struct node *node);

/* move.c: the shipped rule, and what follows of it */
/* Looks at all arcs that something has happened to. */
void move_all(struct months *months);
/* The node's part in what happens around it. */
void move_touch(struct months *months, uint32_t node);
void move_write(struct months *months);
void move_forget(struct months *months, uint32_t node);
uint32_t move_arc_count(const struct months *months);
/* The homes of the arc that ends at a position; returns how many. */
uint32_t move_homes(const struct months *months, uint32_t arc, uint32_t homes_out[HOMES_MAX]);
/* Positions have changed: chunks lie in other arcs. */
void move_sort(struct months *months);

/* spread.c: members that give more and less */
void spread_begin(struct months *months);
void spread_tick(struct months *months);
/* Once a day. */
void spread_check(struct months *months);

/* check.c */
void check_hour(struct months *months);
/* Everybody who lives has been up for days: is all as it should be? Prints the result. */
void check_end(struct months *months);
