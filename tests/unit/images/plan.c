// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/plan.h"

#include <criterion/criterion.h>
#include <string.h>

enum { CHUNKS = 1000 };

static struct plan_chunk chunks[CHUNKS];

static uint32_t count_of(const struct plan_effects *effects, enum plan_effect_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < effects->count; i++) {
        count += effects->effects[i].kind == kind ? 1 : 0;
    }
    return count;
}

static struct plan_effects step(struct plan *plan, struct plan_event event)
{
    struct plan_effects effects;

    plan_step(plan, event, &effects);
    cr_assert_leq(effects.count, PLAN_EFFECTS_MAX);
    return effects;
}

static struct plan_effects all_held(struct plan *plan, uint64_t peers)
{
    return step(plan, (struct plan_event){.kind = PLAN_ALL_HELD, .peers = peers});
}

static struct plan_effects answer(struct plan *plan, enum plan_event_kind kind, int peer,
                                  uint32_t chunk)
{
    return step(plan, (struct plan_event){.kind = kind, .peer = peer, .chunk = chunk});
}

Test(plan, nothing_wanted_is_complete_at_the_first_event)
{
    struct plan plan;

    plan_init(&plan, chunks, 0);
    cr_assert_eq(count_of(&(struct plan_effects){0}, PLAN_COMPLETE), 0);
    struct plan_effects effects = step(&plan, (struct plan_event){.kind = PLAN_CONTINUE});
    cr_assert_eq(count_of(&effects, PLAN_COMPLETE), 1);
    effects = step(&plan, (struct plan_event){.kind = PLAN_CONTINUE});
    cr_assert_eq(effects.count, 0);
}

Test(plan, nobody_is_asked_before_holders_are_known)
{
    struct plan plan;

    plan_init(&plan, chunks, 2);
    cr_assert_eq(step(&plan, (struct plan_event){.kind = PLAN_CONTINUE}).count, 0);
    struct plan_effects effects =
        step(&plan, (struct plan_event){.kind = PLAN_HOLDERS, .chunk = 1, .peers = 1U << 3});
    cr_assert_eq(effects.count, 1);
    cr_assert_eq(effects.effects[0].kind, PLAN_ASK);
    cr_assert_eq(effects.effects[0].peer, 3);
    cr_assert_eq(effects.effects[0].chunk, 1);
}

Test(plan, each_peer_gets_a_few_requests_and_all_peers_share_the_work)
{
    uint32_t asked[PLAN_PEERS_MAX] = {0};
    struct plan plan;

    plan_init(&plan, chunks, 100);
    struct plan_effects effects = all_held(&plan, 0x7);
    cr_assert_eq(effects.count, 3 * PLAN_OUTSTANDING_PER_PEER_MAX);
    for (uint32_t i = 0; i < effects.count; i++) {
        cr_assert_eq(effects.effects[i].kind, PLAN_ASK);
        asked[effects.effects[i].peer]++;
    }
    cr_assert_eq(asked[0], PLAN_OUTSTANDING_PER_PEER_MAX);
    cr_assert_eq(asked[1], PLAN_OUTSTANDING_PER_PEER_MAX);
    cr_assert_eq(asked[2], PLAN_OUTSTANDING_PER_PEER_MAX);
}

Test(plan, a_chunk_that_timed_out_is_asked_of_another_holder)
{
    struct plan plan;

    plan_init(&plan, chunks, 1);
    struct plan_effects effects = all_held(&plan, 0x3);
    int first = effects.effects[0].peer;
    effects = answer(&plan, PLAN_TIMEOUT, first, 0);
    cr_assert_eq(effects.count, 1);
    cr_assert_eq(effects.effects[0].kind, PLAN_ASK);
    cr_assert_neq(effects.effects[0].peer, first);
}

Test(plan, a_peer_with_wrong_bytes_is_blamed_once_and_never_asked_again)
{
    struct plan plan;

    plan_init(&plan, chunks, 50);
    all_held(&plan, 0x3);
    struct plan_effects effects = answer(&plan, PLAN_BAD, plan.chunks[0].asked, 0);
    int bad = effects.effects[0].peer;

    cr_assert_eq(count_of(&effects, PLAN_BLAME), 1);
    for (uint32_t i = 0; i < 50; i++) {
        if (plan.chunks[i].state == PLAN_ASKED && plan.chunks[i].asked == bad) {
            effects = answer(&plan, PLAN_BAD, bad, i);
            cr_assert_eq(count_of(&effects, PLAN_BLAME), 0);
        }
        for (uint32_t k = 0; k < effects.count; k++) {
            cr_assert(effects.effects[k].kind != PLAN_ASK || effects.effects[k].peer != bad);
        }
    }
}

Test(plan, without_a_good_holder_it_fails_and_a_new_holder_revives_it)
{
    struct plan plan;

    plan_init(&plan, chunks, 1);
    all_held(&plan, 0x1);
    struct plan_effects effects = answer(&plan, PLAN_BAD, 0, 0);
    cr_assert_eq(count_of(&effects, PLAN_FAILED), 1);
    effects = step(&plan, (struct plan_event){.kind = PLAN_HOLDERS, .chunk = 0, .peers = 0x1});
    cr_assert_eq(effects.count, 0, "the blamed one stays blamed");
    effects = step(&plan, (struct plan_event){.kind = PLAN_HOLDERS, .chunk = 0, .peers = 0x2});
    cr_assert_eq(count_of(&effects, PLAN_ASK), 1);
    effects = answer(&plan, PLAN_GOT, 1, 0);
    cr_assert_eq(count_of(&effects, PLAN_COMPLETE), 1);
}

Test(plan, a_single_holder_is_tried_in_every_round_and_then_given_up)
{
    struct plan plan;
    uint32_t ask_count = 0;

    plan_init(&plan, chunks, 1);
    struct plan_effects effects = all_held(&plan, 0x1);
    while (count_of(&effects, PLAN_ASK) == 1 && ask_count < 100) {
        ask_count++;
        effects = answer(&plan, PLAN_TIMEOUT, 0, 0);
    }
    cr_assert_eq(ask_count, PLAN_ROUNDS_MAX);
    cr_assert_eq(count_of(&effects, PLAN_FAILED), 1);
}

Test(plan, a_peer_without_the_chunk_is_not_its_holder_any_more)
{
    struct plan plan;

    plan_init(&plan, chunks, 1);
    step(&plan, (struct plan_event){.kind = PLAN_HOLDERS, .chunk = 0, .peers = 0x3});
    int first = plan.chunks[0].asked;
    answer(&plan, PLAN_MISSING, first, 0);
    int second = plan.chunks[0].asked;
    cr_assert_neq(first, second);
    answer(&plan, PLAN_TIMEOUT, second, 0);
    cr_assert_eq(plan.chunks[0].asked, second);
}

Test(plan, what_a_peer_that_went_away_was_asked_is_asked_of_others)
{
    struct plan plan;

    plan_init(&plan, chunks, 4);
    all_held(&plan, 0x1);
    cr_assert_eq(plan.outstanding[0], 4);
    all_held(&plan, 0x2);
    struct plan_effects effects = step(&plan, (struct plan_event){.kind = PLAN_GONE, .peer = 0});
    cr_assert_eq(count_of(&effects, PLAN_ASK), 4);
    cr_assert_eq(plan.outstanding[0], 0);
    cr_assert_eq(plan.outstanding[1], 4);
}

Test(plan, a_chunk_found_here_is_not_asked_for)
{
    struct plan plan;

    plan_init(&plan, chunks, 2);
    answer(&plan, PLAN_GOT, PLAN_NONE, 0);
    struct plan_effects effects = all_held(&plan, 0x1);
    cr_assert_eq(effects.count, 1);
    cr_assert_eq(effects.effects[0].chunk, 1);
}

Test(plan, a_chunk_that_comes_while_it_waits_is_not_asked_for_any_more)
{
    struct plan plan;

    plan_init(&plan, chunks, 6);
    all_held(&plan, 0x1);
    cr_assert_eq(plan.chunks[4].state, PLAN_WAITING);
    answer(&plan, PLAN_GOT, PLAN_NONE, 4);
    struct plan_effects effects = answer(&plan, PLAN_GOT, 0, 0);
    cr_assert_eq(effects.count, 1);
    cr_assert_eq(effects.effects[0].chunk, 5);
}

Test(plan, the_last_of_many_chunks_is_found_when_only_it_has_a_holder)
{
    struct plan plan;
    uint32_t ask_count = 0;

    plan_init(&plan, chunks, CHUNKS);
    struct plan_effects effects =
        step(&plan, (struct plan_event){.kind = PLAN_HOLDERS, .chunk = CHUNKS - 1, .peers = 0x1});
    while (effects.more) {
        ask_count += count_of(&effects, PLAN_ASK);
        effects = step(&plan, (struct plan_event){.kind = PLAN_CONTINUE});
    }
    ask_count += count_of(&effects, PLAN_ASK);
    cr_assert_eq(ask_count, 1);
    cr_assert_eq(plan.chunks[CHUNKS - 1].asked, 0);
}

Test(plan, unknown_peers_chunks_and_answers_never_asked_for_change_nothing)
{
    struct plan plan;

    plan_init(&plan, chunks, 1);
    all_held(&plan, 0x1);
    cr_assert_eq(answer(&plan, PLAN_TIMEOUT, 1, 0).count, 0);
    cr_assert_eq(answer(&plan, PLAN_BAD, 64, 0).count, 0);
    cr_assert_eq(answer(&plan, PLAN_BAD, -2, 0).count, 0);
    cr_assert_eq(answer(&plan, PLAN_GOT, 0, 1).count, 0);
    cr_assert_eq(plan.blamed, 0);
    cr_assert_eq(plan.chunks[0].asked, 0);
}

/* Peers 0 to 4 hold everything; 1 lies, 2 is silent, 3 has nothing: it still completes. */
Test(plan, a_thousand_chunks_complete_among_liars_the_silent_and_the_empty)
{
    struct plan plan;
    struct plan_effects effects;
    struct plan_effect queue[CHUNKS * 8];
    uint32_t head = 0;
    uint32_t tail = 0;
    bool complete = false;

    plan_init(&plan, chunks, CHUNKS);
    effects = all_held(&plan, 0x1f);
    for (;;) {
        for (uint32_t i = 0; i < effects.count; i++) {
            complete = complete || effects.effects[i].kind == PLAN_COMPLETE;
            cr_assert_neq(effects.effects[i].kind, PLAN_FAILED);
            if (effects.effects[i].kind == PLAN_ASK) {
                cr_assert_lt(tail, CHUNKS * 8);
                queue[tail++] = effects.effects[i];
            }
        }
        if (effects.more) {
            effects = step(&plan, (struct plan_event){.kind = PLAN_CONTINUE});
            continue;
        }
        if (head == tail) {
            break;
        }
        static const enum plan_event_kind kinds[] = {PLAN_GOT, PLAN_BAD, PLAN_TIMEOUT, PLAN_MISSING,
                                                     PLAN_GOT};
        struct plan_effect asked = queue[head++];
        effects = answer(&plan, kinds[asked.peer], asked.peer, asked.chunk);
    }
    cr_assert(complete);
    cr_assert_eq(plan.here_count, CHUNKS);
}
