// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/seek.h"

#include <string.h>

#include "base/check.h"
#include "overlay/ring/neighbourhood.h"
#include "overlay/routing/seek_nodes.h"

/* ------------------------------------------------------------------ whom to ask next */

/* A node that was thought to own the key does not answer, or is slow: who comes behind it may
 * have taken its arc. */
static int behind_the_silent(const struct seek *seek)
{
    int next = seek_nearest(seek, SEEK_BEHIND, seek_is_fresh_close_behind);

    for (uint32_t i = 0; next != SEEK_NONE && i < seek->node_count; i++) {
        const struct seek_node *node = &seek->nodes[i];

        if (node->behind < seek->nodes[next].behind && (node->state == SEEK_GONE || node->late)) {
            return next;
        }
    }
    return SEEK_NONE;
}

/* Someone just before the key, and nearer than `next`, has answered, or its owner waits for a lease:
 * `next` knows no more; time helps. */
static bool is_there(const struct seek *seek, int next)
{
    for (uint32_t i = 0; i < seek->node_count; i++) {
        const struct seek_node *node = &seek->nodes[i];

        if (node->state == SEEK_ANSWERED &&
            (node->waiting ||
             (seek_is_close_before(seek, node) && node->before < seek->nodes[next].before))) {
            return true;
        }
    }
    return false;
}

static int next_plain(const struct seek *seek)
{
    int next = seek_nearest(seek, SEEK_BEHIND, seek_is_fresh_and_presumed);

    if (next == SEEK_NONE) {
        next = behind_the_silent(seek);
    }
    if (next == SEEK_NONE) {
        next = seek_nearest(seek, SEEK_BEFORE, seek_is_fresh);
        return next == SEEK_NONE || is_there(seek, next) ? SEEK_NONE : next;
    }
    return next;
}

static int next_careful(const struct seek *seek)
{
    int claim = seek_nearest(seek, SEEK_BEHIND, seek_claims);
    int next = seek_nearest(seek, SEEK_BEHIND, seek_is_fresh_close_behind);
    bool plausible =
        claim != SEEK_NONE && seek_within(seek, seek->nodes[claim].behind, SEEK_PLAUSIBLE_GAPS);

    if (next != SEEK_NONE &&
        (claim == SEEK_NONE || seek->nodes[next].behind < seek->nodes[claim].behind)) {
        return next;
    }
    if (seek_witnesses(seek, true) < seek->witness_count) {
        next = seek_nearest(seek, SEEK_BEFORE, seek_is_fresh_close_before);
        if (next != SEEK_NONE) {
            return next;
        }
    } else if (plausible) {
        return SEEK_NONE;
    }
    next = seek->ask_count % 2 == 0 ? seek_nearest(seek, SEEK_BEFORE, seek_is_fresh_of_start)
                                    : SEEK_NONE;
    return next != SEEK_NONE ? next : seek_nearest(seek, SEEK_BEFORE, seek_is_fresh);
}

static void ask(struct seek *seek, int place, uint64_t now_ms, struct seek_effects *effects)
{
    struct seek_node *node = &seek->nodes[place];

    if (effects->ask_count == SEEK_EFFECTS_MAX || seek->ask_count == SEEK_ASKS_MAX) {
        return;
    }
    node->state = SEEK_ASKED;
    node->tries++;
    node->due_ms = now_ms + node->patience_ms;
    seek->ask_count++;
    effects->asks[effects->ask_count++] = node->node;
}

/* So many were asked that only time can help: without an owner, everyone in turn would be. */
static bool is_spent(const struct seek *seek)
{
    return seek->witness_count > 0 && seek->ask_count >= seek->ask_count_max;
}

static void go_on(struct seek *seek, uint64_t now_ms, struct seek_effects *effects)
{
    bool careful = seek->witness_count > 0;
    uint32_t parallel = careful ? SEEK_PARALLEL_MAX : 1;

    if (is_spent(seek)) {
        return;
    }
    for (uint32_t count = seek_awaited(seek); count < parallel; count++) {
        int next = careful ? next_careful(seek) : next_plain(seek);

        if (next == SEEK_NONE) {
            return;
        }
        ask(seek, next, now_ms, effects);
    }
}

/* ------------------------------------------------------------------ the end */

static void finish(struct seek *seek, int claim, struct seek_effects *effects)
{
    seek->active = false;
    effects->done = true;
    effects->ask_count = 0;
    seek->found = claim != SEEK_NONE;
    if (claim == SEEK_NONE) {
        return;
    }
    seek->owner = seek->nodes[claim].node;
    seek->owner_from = seek->nodes[claim].from;
    seek->owner_epoch = seek->nodes[claim].epoch;
    seek->hop_count = seek->nodes[claim].depth;
    for (int i = claim; i != SEEK_NONE; i = seek->nodes[i].parent) {
        uint32_t depth = seek->nodes[i].depth;

        CHECK(depth > 0);
        if (depth <= ROUTE_HOPS_MAX) {
            seek->path[depth - 1] = seek->nodes[i].node;
        }
    }
}

/* Nearer than the claim there may still be an owner. */
static bool is_open(const struct seek *seek, int claim)
{
    for (uint32_t i = 0; i < seek->node_count; i++) {
        const struct seek_node *node = &seek->nodes[i];

        if (node->behind < seek->nodes[claim].behind &&
            (node->state == SEEK_FRESH || node->state == SEEK_ASKED || node->waiting)) {
            return true;
        }
    }
    return false;
}

/* A path longer than what a list can hold is no path: somebody leads us on. */
static bool conclude(struct seek *seek, uint64_t now_ms, struct seek_effects *effects)
{
    int claim = seek_nearest(seek, SEEK_BEHIND, seek_claims);
    bool careful = seek->witness_count > 0;

    if (now_ms >= seek->deadline_ms) {
        finish(seek, claim, effects);
    } else if (claim != SEEK_NONE && !careful) {
        finish(seek, claim, effects);
    } else if (claim != SEEK_NONE && !is_open(seek, claim) &&
               seek_witnesses(seek, false) >= seek->witness_count &&
               seek_within(seek, seek->nodes[claim].behind, SEEK_PLAUSIBLE_GAPS)) {
        finish(seek, claim, effects);
    } else if (careful && claim != SEEK_NONE && seek_awaited(seek) == 0 &&
               (is_spent(seek) || next_careful(seek) == SEEK_NONE)) {
        finish(seek, claim, effects);
    }
    return effects->done;
}

/* ------------------------------------------------------------------ events */

static void add_start(struct seek *seek, const struct router *router, enum router_choice choice)
{
    struct router_closest closest;

    router_fingers_closest(router, &seek->key, choice, SEEK_CONTACTS_MAX, &closest);
    for (uint32_t i = 0; i < closest.count; i++) {
        const struct finger *finger = fingers_find(router->fingers, &closest.nodes[i]);
        int place = seek_add(seek, &closest.nodes[i], SEEK_NONE);

        if (place == SEEK_NONE) {
            continue;
        }
        seek->nodes[place].from_start = true;
        seek->nodes[place].presumed |= i == 0 && closest.presumed;
        if (finger != NULL && finger->rtt_ms != 0) {
            uint32_t patience_ms = 3 * finger->rtt_ms;

            seek->nodes[place].patience_ms =
                patience_ms > SEEK_PATIENCE_MS_MIN ? patience_ms : SEEK_PATIENCE_MS_MIN;
        }
    }
}

/* The first of all is the choice of the tables, which know round trips; distance decides later. */
static void on_start(struct seek *seek, const struct seek_event *event,
                     struct seek_effects *effects)
{
    struct neighbourhood near;

    CHECK(event->witness_count < SEEK_ASKS_MAX);
    memset(seek, 0, sizeof(*seek));
    seek->active = true;
    seek->self = event->router->ring->self;
    seek->key = event->key;
    seek->witness_count = event->witness_count;
    seek->deadline_ms = event->now_ms + SEEK_DEADLINE_MS;
    seek->ask_count_max = SEEK_SEARCH_ASKS;
    seek->retry_every_ms = SEEK_RETRY_MS;
    seek->retry_ms = event->now_ms + SEEK_RETRY_MS;
    neighbourhood_of(event->router->ring, &near);
    seek->gap = neighbourhood_gap(neighbourhood_community_size(&near));
    add_start(seek, event->router, ROUTER_FAST);
    if (event->witness_count > 0) {
        add_start(seek, event->router, ROUTER_SAFE);
    } else if (seek->node_count > 0) {
        ask(seek, 0, event->now_ms, effects);
    }
}

static void take_claim(struct seek *seek, struct seek_node *node, const struct seek_answer *answer)
{
    node->state = SEEK_ANSWERED;
    node->late = false;
    node->waiting = answer->waiting && !answer->owns;
    node->presumed = node->waiting;
    node->claims = answer->owns && answer->has_arc &&
                   id_in_arc(&seek->key.id, &answer->from.id, &node->node.position.id);
    node->from = answer->from;
    node->epoch = answer->epoch;
}

static void on_answer(struct seek *seek, const struct seek_event *event)
{
    const struct seek_answer *answer = event->answer;
    int place = seek_find(seek, &event->node);

    if (place == SEEK_NONE || seek->nodes[place].state == SEEK_FRESH) {
        return; /* nobody asked it */
    }
    take_claim(seek, &seek->nodes[place], answer);
    if (seek->nodes[place].depth >= ROUTE_HOPS_MAX) {
        return; /* somebody leads us on */
    }
    for (uint32_t i = 0; i < answer->contact_count && i < SEEK_CONTACTS_MAX; i++) {
        int contact = seek_add(seek, &answer->contacts[i], place);

        if (contact != SEEK_NONE && i == 0 && answer->presumed &&
            seek->nodes[contact].state == SEEK_FRESH) {
            seek->nodes[contact].presumed = true;
        }
    }
}

static void give_up(struct seek *seek, int place, struct seek_effects *effects)
{
    struct seek_node *node = &seek->nodes[place];

    node->state = SEEK_GONE;
    node->late = false;
    node->waiting = false;
    if (effects->lost_count < SEEK_EFFECTS_MAX) {
        effects->lost[effects->lost_count++] = node->node;
    }
}

/* One that may own the key has no substitute: it is asked once more than others. */
static void on_due(struct seek *seek, uint64_t now_ms, struct seek_effects *effects)
{
    for (uint32_t i = 0; i < seek->node_count; i++) {
        struct seek_node *node = &seek->nodes[i];

        if (node->state != SEEK_ASKED || now_ms < node->due_ms) {
            continue;
        }
        if (node->tries >= (node->presumed ? SEEK_TRIES : SEEK_TRIES - 1)) {
            give_up(seek, (int)i, effects);
            continue;
        }
        node->late = true;
        node->patience_ms *= 2;
        ask(seek, (int)i, now_ms, effects);
        if (now_ms >= node->due_ms) {
            give_up(seek, (int)i, effects); /* no more asks are allowed */
        }
    }
}

/* Of the silent ones those that may own the key: what they were asked may have been lost, all on
 * one link that was broken. */
static void doubt_silence(struct seek *seek, int behind)
{
    for (uint32_t i = 0; i < SEEK_PARALLEL_MAX; i++) {
        int place = seek_nearest(seek, SEEK_BEHIND, seek_is_gone_close_behind);

        if (place == SEEK_NONE ||
            (behind != SEEK_NONE && seek->nodes[behind].behind < seek->nodes[place].behind)) {
            return;
        }
        seek->nodes[place].state = SEEK_FRESH;
        seek->nodes[place].tries = SEEK_TRIES - 2; /* asked twice at most */
    }
}

static bool has_retried(const struct seek *seek)
{
    return seek->retry_every_ms > SEEK_RETRY_MS;
}

/* Those near the key may have named only such as have died: one farther away may know others. Where
 * the owner waits for its lease nobody knows more. */
static void ask_farther(struct seek *seek, uint64_t now_ms, struct seek_effects *effects)
{
    int farther = seek_nearest(seek, SEEK_BEFORE, seek_is_fresh);

    if (farther != SEEK_NONE && seek_nearest(seek, SEEK_BEHIND, seek_is_waiting) == SEEK_NONE) {
        ask(seek, farther, now_ms, effects);
    }
}

/* Nobody is left: the arc may be changing hands, or what was said has become old. Asks those
 * nearest on both sides again; when all were silent, everyone anew. */
static void retry(struct seek *seek, uint64_t now_ms, struct seek_effects *effects)
{
    int places[2] = {seek_nearest(seek, SEEK_BEHIND, seek_has_answered),
                     seek_nearest(seek, SEEK_BEFORE, seek_has_answered)};
    bool is_first = !has_retried(seek);

    seek->retry_every_ms += seek->retry_every_ms / 2;
    if (seek->retry_every_ms > SEEK_RETRY_MS_MAX) {
        seek->retry_every_ms = SEEK_RETRY_MS_MAX;
    }
    seek->retry_ms = now_ms + seek->retry_every_ms;
    if (seek->ask_count_max < seek->ask_count + SEEK_RETRY_ASKS) {
        seek->ask_count_max = seek->ask_count + SEEK_RETRY_ASKS;
    }
    for (uint32_t i = 0; i < seek->node_count; i++) {
        struct seek_node *node = &seek->nodes[i];

        if (places[0] == SEEK_NONE && node->state == SEEK_GONE && node->from_start) {
            node->state = SEEK_FRESH;
            node->tries = 0;
        }
    }
    doubt_silence(seek, places[0]);
    for (uint32_t i = 0; i < 2; i++) {
        if (places[i] != SEEK_NONE && (i == 0 || places[1] != places[0])) {
            seek->nodes[places[i]].tries = 0;
            ask(seek, places[i], now_ms, effects);
        }
    }
    if (!is_first) {
        ask_farther(seek, now_ms, effects);
    }
}

/* Of each. */
static uint32_t contacts_wanted(const struct seek *seek)
{
    return seek->witness_count > 0 ? (uint32_t)SEEK_CONTACTS_MAX
                                   : (uint32_t)SEEK_CONTACTS * (has_retried(seek) ? 2 : 1);
}

static uint64_t next_wake(const struct seek *seek)
{
    uint64_t wake_ms = seek->deadline_ms;

    for (uint32_t i = 0; i < seek->node_count; i++) {
        if (seek->nodes[i].state == SEEK_ASKED && seek->nodes[i].due_ms < wake_ms) {
            wake_ms = seek->nodes[i].due_ms;
        }
    }
    if (seek_awaited(seek) == 0 && seek->retry_ms < wake_ms) {
        wake_ms = seek->retry_ms;
    }
    return wake_ms;
}

static void take(struct seek *seek, const struct seek_event *event, struct seek_effects *effects)
{
    int place;

    switch (event->kind) {
    case SEEK_START:
        on_start(seek, event, effects);
        break;
    case SEEK_ANSWER:
        on_answer(seek, event);
        break;
    case SEEK_SILENT:
        place = seek_find(seek, &event->node);
        if (place != SEEK_NONE && seek->nodes[place].state == SEEK_ASKED) {
            give_up(seek, place, effects);
        }
        break;
    case SEEK_TICK:
        on_due(seek, event->now_ms, effects);
        break;
    }
}

void seek_step(struct seek *seek, const struct seek_event *event, struct seek_effects *effects_out)
{
    struct seek_effects *effects = effects_out;

    effects->ask_count = 0;
    effects->lost_count = 0;
    effects->done = false;
    if (event->kind != SEEK_START && !seek->active) {
        return;
    }
    take(seek, event, effects);
    if (conclude(seek, event->now_ms, effects)) {
        return;
    }
    go_on(seek, event->now_ms, effects);
    if (seek_awaited(seek) == 0 && event->now_ms >= seek->retry_ms) {
        retry(seek, event->now_ms, effects);
        go_on(seek, event->now_ms, effects);
    }
    effects->contacts_wanted = contacts_wanted(seek);
    effects->wake_ms = next_wake(seek);
    CHECK(seek->node_count <= SEEK_NODES_MAX && seek->ask_count <= SEEK_ASKS_MAX);
}
