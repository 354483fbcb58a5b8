// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A community of managers and executors without an overlay: messages take 1 ms, membership is what
 * the test says, the execution environment does what it is told. Virtual time, one queue.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/executor/executor.h"
#include "agent/manager/manager.h"
#include "base/check.h"
#include "overlay/signed.h"

enum { NODES_MAX = 8, QUEUE_MAX = 4096, RECORDS_HELD = 16, LOG_MAX = 4096 };

struct fake_record {
    struct service_id service;
    minga_RecordKind kind;
    uint64_t number;
    size_t length_bytes;
    uint8_t bytes[3400];
};

struct fake_sandbox {
    bool used;
    struct replica_key key;
    struct sandbox_limits limits;
    struct tree_id tree; /* its bytes are 6 + the version */
    bool frozen;
};

struct fake_node {
    struct secret_key secret;
    struct overlay_member member;
    struct core_config config;
    bool alive;
    uint32_t life; /* boots so far */
    int side;      /* of a split: only those of one side hear each other */
    struct manager *manager;
    struct executor *executor;
    struct core_allowed allowed; /* as the executor has last said */
    struct surroundings around;
    struct seat {
        struct community *community;
        uint32_t index;
    } seat;
    struct fake_sandbox running[REPLICAS_PER_NODE_MAX];
    uint32_t start_count;   /* STARTs ever */
    uint32_t refuse_starts; /* the environment refuses so many */
    uint64_t scan_ms;       /* fetching takes so much longer */
    uint64_t live_ms;       /* what is started ends so long after by itself; 0: it does not */
};

enum item_kind { ITEM_MESSAGE, ITEM_REPLY, ITEM_SCANNED, ITEM_BUILT, ITEM_STARTED, ITEM_ENDED };

struct item {
    uint64_t due_ms;
    enum item_kind kind;
    uint32_t from;
    uint32_t to;
    struct ask ask;
    bool failed;
    uint64_t store_token; /* REPLY: it waits for this write of its sender, */
    uint32_t life;        /* in this life */
    enum sandbox_end end;
    struct tree_id tree;
    struct replica_key key;
    size_t length_bytes;
    uint8_t payload[PAYLOAD_BYTES_MAX];
};

struct community {
    uint64_t now_ms;
    uint64_t wall_speed;   /* of the wall clock; 0: as fast */
    uint64_t wall_begin_s; /* 0: some day in 2026 */
    uint32_t node_count;
    struct fake_node nodes[NODES_MAX];
    uint32_t record_count;
    struct fake_record records[RECORDS_HELD];
    uint32_t item_count;
    struct item *items;
    struct outbox out;
    struct secret_key owner;
    struct service_id service;
    struct manifest manifest;
    uint64_t sequence;
    uint64_t version; /* that the owner wants; 0: the first */
    uint32_t old_count;
    struct fake_record old_records[RECORDS_HELD]; /* as nodes of the side `old_side` see them */
    int old_side;                                 /* 0: none */
    uint32_t stop_ms;                             /* how long what is told to end takes, and 5 ms */
    bool loses_saves;                             /* SaveManager is not answered */
    bool disks_full;                              /* what is stored fails */
    uint64_t disk_ms;                             /* a write takes so long */
    uint32_t window;                              /* so many are asked for offers; 0: all */
    uint64_t last_token;
};

/* ------------------------------------------------------------------ surroundings */

static inline uint64_t fake_version(const struct community *community)
{
    return community->version == 0 ? 1 : community->version;
}

static inline bool fake_hears(const struct community *community, uint32_t a, uint32_t b)
{
    return community->nodes[a].alive && community->nodes[b].alive &&
           community->nodes[a].side == community->nodes[b].side;
}

/* Ring order by node id from the service's id on, as the overlay has it with one position. */
static inline uint32_t fake_candidates(const void *self, const struct service_id *service,
                                       uint32_t count_max, struct node_id *nodes_out)
{
    const struct seat *seat = self;
    const struct community *community = seat->community;
    bool taken[NODES_MAX] = {false};
    uint32_t count = 0;

    while (count < count_max) {
        int best = -1;
        struct id best_distance = {{0}};

        for (uint32_t i = 0; i < community->node_count; i++) {
            struct id distance = id_distance(&service->id, &community->nodes[i].member.node.id);

            if (!taken[i] && (fake_hears(community, seat->index, i) || i == seat->index) &&
                community->nodes[i].member.record.manages &&
                (best < 0 || id_compare(&distance, &best_distance) < 0)) {
                best = (int)i;
                best_distance = distance;
            }
        }
        if (best < 0) {
            break;
        }
        taken[best] = true;
        nodes_out[count++] = community->nodes[best].member.node;
    }
    return count;
}

static inline uint32_t fake_discover(const void *self, const struct service_id *service,
                                     uint64_t round, uint32_t count_max, struct node_id *nodes_out)
{
    const struct seat *seat = self;
    const struct community *community = seat->community;
    uint32_t window = community->window == 0 ? count_max : community->window;
    uint32_t start = community->window == 0 ? 0 : (uint32_t)round * window;
    uint32_t count = 0;

    (void)service;
    for (uint32_t i = 0; i < community->node_count && count < window; i++) {
        uint32_t index = (start + i) % community->node_count;

        if (fake_hears(community, seat->index, index)) {
            nodes_out[count++] = community->nodes[index].member.node;
        }
    }
    return count;
}

static inline uint32_t fake_others(const void *self, uint32_t count_max, struct node_id *nodes_out)
{
    const struct seat *seat = self;
    uint32_t count = 0;

    for (uint32_t i = 0; i < seat->community->node_count && count < count_max; i++) {
        if (i != seat->index && fake_hears(seat->community, seat->index, i)) {
            nodes_out[count++] = seat->community->nodes[i].member.node;
        }
    }
    return count;
}

static inline int fake_index(const struct community *community, const struct node_id *node)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        if (id_equal(&community->nodes[i].member.node.id, &node->id)) {
            return (int)i;
        }
    }
    return -1;
}

static inline bool fake_knows_all(const void *self)
{
    (void)self;
    return true;
}

static inline const struct overlay_member *fake_member(const void *self, const struct node_id *node)
{
    const struct seat *seat = self;
    int index = fake_index(seat->community, node);
    static struct overlay_member view;

    if (index < 0) {
        return NULL;
    }
    view = seat->community->nodes[index].member;
    view.is_self = (uint32_t)index == seat->index;
    view.state =
        fake_hears(seat->community, seat->index, (uint32_t)index) ? MEMBER_UP : MEMBER_DOWN;
    return &view;
}

static inline struct bytes fake_record(const void *self, const struct service_id *service,
                                       minga_RecordKind kind, uint64_t number)
{
    const struct seat *seat = self;
    const struct community *community = seat->community;
    bool is_old =
        community->old_side != 0 && community->nodes[seat->index].side == community->old_side;
    const struct fake_record *records = is_old ? community->old_records : community->records;

    for (uint32_t i = 0; i < (is_old ? community->old_count : community->record_count); i++) {
        const struct fake_record *record = &records[i];

        if (record->kind == kind && record->number == number &&
            id_equal(&record->service.id, &service->id)) {
            return (struct bytes){record->bytes, record->length_bytes};
        }
    }
    return (struct bytes){NULL, 0};
}

static inline bool fake_service_next(const void *self, uint32_t *cursor,
                                     struct service_id *service_out)
{
    const struct seat *seat = self;

    while (*cursor < seat->community->record_count) {
        const struct fake_record *record = &seat->community->records[(*cursor)++];

        if (record->kind == minga_RecordKind_RECORD_SERVICE) {
            *service_out = record->service;
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ what is to come */

static inline struct item *fake_add(struct community *community, enum item_kind kind,
                                    uint64_t delay_ms)
{
    struct item *item;

    cr_assert_lt(community->item_count, QUEUE_MAX);
    item = &community->items[community->item_count++];
    memset(item, 0, offsetof(struct item, payload));
    item->kind = kind;
    item->due_ms = community->now_ms + delay_ms;
    return item;
}

/* As a service that dies by itself does. */
static inline void fake_end_later(struct community *community, uint32_t index,
                                  const struct replica_key *key)
{
    struct item *item = fake_add(community, ITEM_ENDED, 5 + community->nodes[index].live_ms);

    item->to = index;
    item->key = *key;
    item->end = SANDBOX_END_SIGNALLED;
}
