// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Records on their way to the disk, here and elsewhere; in struct overlay. */
#include "overlay/records/records.h"
#include "overlay/requests.h"

/* What is to be done when a store effect has become durable. */
struct store_waiter {   /* who is told when a record is durable */
    uint64_t put;       /* the number of a put under way here; 0: a copy, answer the asker */
    struct asker asker; /* without a request: nobody */
    bool is_unhurried;  /* it may take UNHURRIED_MS longer */
};

struct pending_store {
    bool used;
    uint64_t token;
    struct store_waiter waiter;
    struct record record;
};

/* A record being written by this node, which is responsible for it. */
enum put_phase { PUT_FREE, PUT_READING, PUT_WRITING, PUT_SPREADING };
struct put {
    enum put_phase phase;
    uint64_t number; /* so that late answers do not hit a later put */
    bool local;      /* asked by the own agent: token; else by asker */
    uint64_t token;
    struct asker asker;
    uint64_t term;          /* it began in; see settled.c */
    bool is_storing;        /* here */
    bool is_stored;         /* durably, here */
    uint32_t waiting_count; /* answers still awaited */
    uint32_t durable_count;
    uint32_t needed_count;
    uint32_t round_count; /* of copying: holders may die meanwhile, others follow them */
    uint32_t next_holder; /* of the others, to be sent a copy */
    uint32_t holder_count;
    struct node_id holders[RECORD_COPIES];
    uint64_t spread_ms;
    struct record record;
};
