// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* One ring's state machine, and events for it in few words. */
#include <criterion/criterion.h>
#include <string.h>

#include "overlay/ring/ring.h"

static struct ring ring;
static struct ring_effects effects;

static inline struct ring_node at(uint8_t position)
{
    struct ring_node node;

    memset(&node, 0, sizeof(node));
    node.node.id.bytes[0] = position;
    node.position.id.bytes[0] = position;
    return node;
}

static inline struct ring_key key_at(uint8_t position)
{
    return (struct ring_key){at(position).position.id};
}

static uint64_t now_ms; /* of the last step */

static inline bool answers_for(uint8_t position)
{
    struct ring_key key = key_at(position);

    return ring_responsible(&ring, &key, now_ms);
}

static inline bool is_at(const struct ring_node *node, uint8_t position)
{
    struct ring_node other = at(position);

    return id_equal(&node->node.id, &other.node.id);
}

static inline void step(struct ring_event event)
{
    now_ms = event.now_ms;
    ring_step(&ring, &event, &effects);
}

static inline bool has_effect(enum ring_effect_kind kind, uint8_t to)
{
    struct ring_node node = at(to);

    for (uint32_t i = 0; i < effects.count; i++) {
        if (effects.list[i].kind == kind &&
            (kind == RING_ARC || id_equal(&effects.list[i].to.id, &node.node.id))) {
            return true;
        }
    }
    return false;
}

static inline void begin(uint8_t self, bool alone)
{
    struct ring_node node = at(self);

    ring_init(&ring, &node, 5);
    step((struct ring_event){.kind = RING_KEPT, .now_ms = 1000, .epoch = 1000});
    step((struct ring_event){.kind = RING_BEGIN, .now_ms = 1000, .alone = alone});
}

static inline struct ring_event tick(uint64_t at_ms)
{
    return (struct ring_event){.kind = RING_TICK, .now_ms = at_ms};
}

static inline struct ring_event known(uint8_t node)
{
    return (struct ring_event){.kind = RING_KNOWN, .now_ms = now_ms, .node = at(node)};
}

/* The node asks as one that has an arc and a lease. */
static inline struct ring_event asked(uint8_t node, uint64_t at_ms)
{
    return (struct ring_event){
        .kind = RING_ASKED, .now_ms = at_ms, .node = at(node), .joined = true, .leased = true};
}

static inline struct ring_event asked_by_newcomer(uint8_t node, uint64_t at_ms)
{
    return (struct ring_event){.kind = RING_ASKED, .now_ms = at_ms, .node = at(node)};
}

/* The keeper's answer at `at_ms` to a question of then. */
static inline struct ring_event answer(uint8_t node, enum ring_verdict verdict, uint64_t at_ms)
{
    return (struct ring_event){.kind = RING_ANSWERED,
                               .now_ms = at_ms,
                               .sent_ms = at_ms,
                               .node = at(node),
                               .answer = {.verdict = verdict}};
}

static inline struct ring_event granted(uint8_t node, uint64_t at_ms)
{
    struct ring_event event = answer(node, RING_GRANTED, at_ms);

    event.answer.told_version = ring_before_version(&ring); /* and it knows what we told */
    return event;
}

static inline struct ring_event handed(uint8_t node, uint8_t from, uint64_t at_ms)
{
    struct ring_event event = answer(node, RING_GRANTED, at_ms);

    event.answer.is_handed = true;
    event.answer.other = at(from);
    event.answer.epoch = 40;
    event.has_other = true;
    return event;
}

static inline struct ring_event lost(uint8_t node, uint64_t at_ms, bool is_gone)
{
    return (struct ring_event){
        .kind = RING_LOST, .now_ms = at_ms, .lost_ms = at_ms, .node = at(node), .is_gone = is_gone};
}

/* A member of the ring {10, 20, 30} at 20, which was handed its arc at 2000. */
static inline void be_in_the_middle(void)
{
    begin(20, false);
    step(known(30));
    step(known(10));
    step(handed(30, 10, 2000));
}

/* The same, and 10 has asked for its lease and told that its arc begins at 200. */
static inline void know_what_is_before(void)
{
    struct ring_event event = asked(10, 2000);

    be_in_the_middle();
    event.has_list = true;
    event.list_count = 1;
    event.list[0] = at(200);
    step(event);
    cr_assert_eq(effects.answer.verdict, RING_GRANTED);
}
