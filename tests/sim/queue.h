// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What happens next in virtual time: a heap of events, ordered by time and then by the order in
 * which they were put in, so that one seed gives one course of events.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;
struct event;
typedef void event_run(struct world *world, struct event *event);

struct event {
    uint64_t at_ms;
    uint64_t sequence; /* order among events of one moment */
    event_run *run;
    uint32_t node; /* whom it concerns */
    uint32_t life; /* not 0: only that life of the node's process, and not while it is stalled */
    uint64_t number;
    void *payload; /* on the heap; freed after the run unless taken (set to NULL) */
};

struct queue {
    struct event *heap;
    size_t count;
    size_t capacity;
    uint64_t next_sequence;
};

/* Takes the payload. An event with sequence 0 gets the next one. */
void queue_push(struct queue *queue, const struct event *event);
/* False when empty. The caller owns the payload. */
bool queue_pop(struct queue *queue, struct event *event_out);
void queue_done(struct queue *queue);
