// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/plan.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"

enum { SCAN_CHUNKS_MAX = 512 /* waiting chunks looked at in one step */ };

static_assert(PLAN_PEERS_MAX == 64, "sets of peers are 64-bit words");
static_assert(PLAN_EFFECTS_MAX >= 8, "an event's own effects leave room for asking");

static uint64_t bit(int peer)
{
    return (uint64_t)1 << peer;
}

static void add_effect(struct plan_effects *effects, struct plan_effect effect)
{
    CHECK(effects->count < PLAN_EFFECTS_MAX);
    effects->effects[effects->count++] = effect;
}

static void enqueue(struct plan *plan, uint32_t index)
{
    struct plan_chunk *chunk = &plan->chunks[index];

    chunk->state = PLAN_WAITING;
    chunk->asked = PLAN_NONE;
    chunk->next = PLAN_NONE;
    if (plan->queue_last == PLAN_NONE) {
        plan->queue_first = (int32_t)index;
    } else {
        plan->chunks[plan->queue_last].next = (int32_t)index;
    }
    plan->queue_last = (int32_t)index;
    plan->queue_count++;
}

static uint32_t dequeue(struct plan *plan)
{
    uint32_t index = (uint32_t)plan->queue_first;

    CHECK(plan->queue_first != PLAN_NONE && plan->queue_count > 0);
    plan->queue_first = plan->chunks[index].next;
    if (plan->queue_first == PLAN_NONE) {
        plan->queue_last = PLAN_NONE;
    }
    plan->queue_count--;
    return index;
}

void plan_init(struct plan *plan, struct plan_chunk *chunks, uint32_t chunk_count)
{
    CHECK(chunk_count <= INT32_MAX);
    memset(plan, 0, sizeof(*plan));
    plan->chunks = chunks;
    plan->chunk_count = chunk_count;
    plan->queue_first = PLAN_NONE;
    plan->queue_last = PLAN_NONE;
    for (uint32_t i = 0; i < chunk_count; i++) {
        chunks[i] = (struct plan_chunk){.asked = PLAN_NONE};
        enqueue(plan, i);
    }
}

/* Every peer that may be asked for the chunk at all. */
static uint64_t usable(const struct plan *plan, const struct plan_chunk *chunk)
{
    return (chunk->holders | plan->all_held) & ~plan->blamed & ~plan->gone;
}

/* The least busy of `peers` with a free place; equals take turns by the chunk's number. */
static int choose(const struct plan *plan, uint64_t peers, uint32_t index)
{
    int chosen = PLAN_NONE;

    for (uint32_t i = 0; i < PLAN_PEERS_MAX; i++) {
        int peer = (int)((i + index) % PLAN_PEERS_MAX);

        if ((peers & bit(peer)) == 0 || plan->outstanding[peer] >= PLAN_OUTSTANDING_PER_PEER_MAX) {
            continue;
        }
        if (chosen == PLAN_NONE || plan->outstanding[peer] < plan->outstanding[chosen]) {
            chosen = peer;
        }
    }
    return chosen;
}

static void ask(struct plan *plan, uint32_t index, int peer, struct plan_effects *effects)
{
    struct plan_chunk *chunk = &plan->chunks[index];

    chunk->state = PLAN_ASKED;
    chunk->asked = (int8_t)peer;
    chunk->tried |= bit(peer);
    plan->outstanding[peer]++;
    add_effect(effects, (struct plan_effect){PLAN_ASK, peer, index});
}

/*
 * One waiting chunk: asks for it, gives it up, or puts it back. Returns whether it went back.
 */
static bool dispatch(struct plan *plan, uint32_t index, struct plan_effects *effects)
{
    struct plan_chunk *chunk = &plan->chunks[index];
    uint64_t peers = usable(plan, chunk);
    int peer;

    if (chunk->state != PLAN_WAITING) {
        return false; /* came while it waited */
    }
    if (peers != 0 && (peers & ~chunk->tried) == 0) {
        chunk->round_count++;
        chunk->tried = 0;
    }
    if (chunk->round_count >= PLAN_ROUNDS_MAX ||
        (peers == 0 && (chunk->holders | plan->all_held) != 0)) {
        chunk->state = PLAN_HOPELESS;
        add_effect(effects, (struct plan_effect){PLAN_FAILED, PLAN_NONE, index});
        return false;
    }
    peer = choose(plan, peers & ~chunk->tried, index);
    if (peer == PLAN_NONE) {
        enqueue(plan, index);
        return true;
    }
    ask(plan, index, peer, effects);
    return false;
}

/* Nobody could take one more request; answers will come, and wake us. */
static bool everyone_is_busy(const struct plan *plan)
{
    uint64_t peers = plan->known & ~plan->blamed & ~plan->gone;

    for (int peer = 0; peer < PLAN_PEERS_MAX; peer++) {
        if ((peers & bit(peer)) != 0 && plan->outstanding[peer] < PLAN_OUTSTANDING_PER_PEER_MAX) {
            return false;
        }
    }
    return peers != 0;
}

/* Goes once round the waiting chunks, in as many steps as it takes. */
static void dispatch_all(struct plan *plan, struct plan_effects *effects)
{
    uint32_t kept_count = 0;

    while (plan->scan_count > 0 && !everyone_is_busy(plan)) {
        if (effects->count == PLAN_EFFECTS_MAX || kept_count == SCAN_CHUNKS_MAX) {
            effects->more = true;
            return;
        }
        plan->scan_count--;
        kept_count += dispatch(plan, dequeue(plan), effects) ? 1 : 0;
    }
}

/* The chunk is no longer asked of anybody. */
static void release(struct plan *plan, struct plan_chunk *chunk)
{
    if (chunk->state == PLAN_ASKED) {
        CHECK(plan->outstanding[chunk->asked] > 0);
        plan->outstanding[chunk->asked]--;
        chunk->asked = PLAN_NONE;
    }
}

/* A chunk that was given up gets another chance. */
static void revive(struct plan *plan, uint32_t index)
{
    struct plan_chunk *chunk = &plan->chunks[index];

    if (chunk->state == PLAN_HOPELESS && usable(plan, chunk) != 0) {
        chunk->round_count = 0;
        chunk->tried = 0;
        enqueue(plan, index);
    }
}

static void on_holders(struct plan *plan, const struct plan_event *event)
{
    plan->gone &= ~event->peers;
    plan->known |= event->peers;
    if (event->kind == PLAN_ALL_HELD) {
        plan->all_held |= event->peers;
        for (uint32_t i = 0; i < plan->chunk_count; i++) {
            revive(plan, i);
        }
        return;
    }
    plan->chunks[event->chunk].holders |= event->peers;
    revive(plan, event->chunk);
}

static void on_got(struct plan *plan, const struct plan_event *event)
{
    struct plan_chunk *chunk = &plan->chunks[event->chunk];

    if (chunk->state == PLAN_HERE) {
        return;
    }
    release(plan, chunk);
    chunk->state = PLAN_HERE;
    plan->here_count++;
}

/* A peer did not deliver what it was asked for. */
static void on_failure(struct plan *plan, const struct plan_event *event,
                       struct plan_effects *effects)
{
    struct plan_chunk *chunk = &plan->chunks[event->chunk];

    if (chunk->state != PLAN_ASKED || chunk->asked != event->peer) {
        return;
    }
    release(plan, chunk);
    if (event->kind == PLAN_MISSING) {
        chunk->holders &= ~bit(event->peer);
        plan->all_held &= ~bit(event->peer);
    }
    if (event->kind == PLAN_BAD && (plan->blamed & bit(event->peer)) == 0) {
        plan->blamed |= bit(event->peer);
        add_effect(effects, (struct plan_effect){PLAN_BLAME, event->peer, event->chunk});
    }
    enqueue(plan, event->chunk);
}

static void on_gone(struct plan *plan, int peer)
{
    plan->gone |= bit(peer);
    for (uint32_t i = 0; i < plan->chunk_count; i++) {
        struct plan_chunk *chunk = &plan->chunks[i];

        if (chunk->state == PLAN_ASKED && chunk->asked == peer) {
            release(plan, chunk);
            enqueue(plan, i);
        }
    }
    CHECK(plan->outstanding[peer] == 0);
}

static bool event_is_known(const struct plan *plan, const struct plan_event *event)
{
    bool peer_is_known = event->peer >= 0 && event->peer < PLAN_PEERS_MAX;
    bool chunk_is_known = event->chunk < plan->chunk_count;

    switch (event->kind) {
    case PLAN_HOLDERS:
    case PLAN_GOT:
        return chunk_is_known;
    case PLAN_BAD:
    case PLAN_MISSING:
    case PLAN_TIMEOUT:
        return chunk_is_known && peer_is_known;
    case PLAN_GONE:
        return peer_is_known;
    case PLAN_ALL_HELD:
    case PLAN_CONTINUE:
    default:
        return true;
    }
}

void plan_step(struct plan *plan, struct plan_event event, struct plan_effects *effects_out)
{
    effects_out->count = 0;
    effects_out->more = false;
    if (plan->complete || !event_is_known(plan, &event)) {
        return;
    }
    switch (event.kind) {
    case PLAN_HOLDERS:
    case PLAN_ALL_HELD:
        on_holders(plan, &event);
        break;
    case PLAN_GOT:
        on_got(plan, &event);
        break;
    case PLAN_BAD:
    case PLAN_MISSING:
    case PLAN_TIMEOUT:
        on_failure(plan, &event, effects_out);
        break;
    case PLAN_GONE:
        on_gone(plan, event.peer);
        break;
    case PLAN_CONTINUE:
    default:
        break;
    }
    CHECK(plan->here_count <= plan->chunk_count);
    if (plan->here_count == plan->chunk_count) {
        plan->complete = true;
        add_effect(effects_out, (struct plan_effect){PLAN_COMPLETE, PLAN_NONE, 0});
        return;
    }
    if (event.kind != PLAN_CONTINUE || plan->scan_count > plan->queue_count) {
        plan->scan_count = plan->queue_count;
    }
    dispatch_all(plan, effects_out);
}
