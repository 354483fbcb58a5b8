// SPDX-License-Identifier: GPL-3.0-or-later
/* The side of the ring that asks: successors, the keeper among them, the lease from it. */
#include "overlay/ring/ring.h"

#include <string.h>

#include "base/check.h"
#include "overlay/ring/ring_internal.h"

void ring_init(struct ring *ring, const struct ring_node *self, uint64_t epoch)
{
    memset(ring, 0, sizeof(*ring));
    ring->self = *self;
    ring->epoch = epoch;
    ring->pace_max = 1;
    ring->pace = 1;
    ring->paces = 1;
    ring->first_pace = 1;
}

void ring_set_pace_max(struct ring *ring, uint32_t pace_max)
{
    CHECK(pace_max >= 1 && pace_max <= RING_PACE_MAX);
    ring->pace_max = pace_max;
    ring->paces = pace_max > ring->paces ? pace_max : ring->paces;
}

bool ring_same(const struct ring_node *a, const struct ring_node *b)
{
    return id_equal(&a->node.id, &b->node.id);
}

bool ring_between(const struct ring_node *node, const struct ring_node *from,
                  const struct ring_node *to)
{
    return !id_equal(&node->position.id, &to->position.id) &&
           id_in_arc(&node->position.id, &from->position.id, &to->position.id);
}

void ring_want(struct ring_effects *effects, enum ring_effect_kind kind, const struct ring_node *to)
{
    if (effects->count < RING_EFFECTS_MAX) {
        effects->list[effects->count++] = (struct ring_effect){kind, to->node};
    }
}

bool ring_is_alone(const struct ring *ring)
{
    return ring->predecessor_count > 0 && ring_same(&ring->predecessors[0], &ring->self);
}

void ring_become_alone(struct ring *ring, uint64_t now_ms)
{
    ring->phase = RING_IN;
    ring->lease_ms = now_ms + RING_SELF_MS;
    ring->predecessors[0] = ring->self;
    ring->predecessor_count = 1;
    ring->lost_ms = 0;
    ring->lapsed_ms = 0;
    ring->has_newcomer = false;
}

const struct ring_node *ring_keeper(const struct ring *ring)
{
    return ring->keeper < ring->successor_count ? &ring->successors[ring->keeper] : NULL;
}

/* ------------------------------------------------------------------ the successor list */

static uint32_t place_of(const struct ring *ring, const struct ring_node *node)
{
    uint32_t place = 0;

    while (place < ring->successor_count && !ring_same(&ring->successors[place], node)) {
        place++;
    }
    return place;
}

void ring_trust(struct ring *ring, const struct ring_node *node)
{
    uint32_t place = place_of(ring, node);

    if (place < ring->successor_count) {
        ring->keeper = place;
    }
}

static void remove_successor(struct ring *ring, const struct ring_node *node)
{
    uint32_t place = place_of(ring, node);

    if (place == ring->successor_count) {
        return;
    }
    ring->successor_count--;
    memmove(&ring->successors[place], &ring->successors[place + 1],
            (ring->successor_count - place) * sizeof(ring->successors[0]));
    if (ring->keeper > place) {
        ring->keeper--;
    } else if (ring->keeper == place) {
        ring->keeper = 0; /* nearer ones may have come onto the ring meanwhile */
    }
}

/* Keeps the nearest ones. Returns whether it is the first successor now. */
static bool insert_successor(struct ring *ring, const struct ring_node *node)
{
    uint32_t place = 0;

    if (ring_same(node, &ring->self) || place_of(ring, node) < ring->successor_count) {
        return false;
    }
    while (place < ring->successor_count &&
           !ring_between(node, &ring->self, &ring->successors[place])) {
        place++;
    }
    if (place == SUCCESSORS_MAX) {
        return false;
    }
    if (ring->successor_count == SUCCESSORS_MAX) {
        ring->successor_count--;
    }
    memmove(&ring->successors[place + 1], &ring->successors[place],
            (ring->successor_count - place) * sizeof(ring->successors[0]));
    ring->successors[place] = *node;
    ring->successor_count++;
    /* It may not be on the ring yet: the keeper stays the one it was. */
    if (ring->keeper >= place && ring->successor_count > 1) {
        ring->keeper = ring->keeper + 1 < ring->successor_count ? ring->keeper + 1 : 0;
    }
    ring->idle_ms = 0;
    return place == 0;
}

/* ------------------------------------------------------------------ the lease */

bool ring_is_leased(const struct ring *ring, uint64_t now_ms)
{
    return ring->phase == RING_IN && now_ms < ring->lease_ms;
}

bool ring_has(const struct ring *ring, const struct ring_key *key)
{
    return ring->phase == RING_IN && ring->predecessor_count > 0 &&
           id_in_arc(&key->id, &ring->predecessors[0].position.id, &ring->self.position.id);
}

bool ring_responsible(const struct ring *ring, const struct ring_key *key, uint64_t now_ms)
{
    return ring_is_leased(ring, now_ms) && ring->arc_epoch <= ring->kept_epoch &&
           ring_has(ring, key);
}

static void ask_by(struct ring *ring, uint64_t soon_ms)
{
    if (ring->next_ms > soon_ms) {
        ring->next_ms = soon_ms;
    }
}

/* Notices that the lease has run out, and that there is one again. */
static void watch_lease(struct ring *ring, uint64_t now_ms)
{
    if (ring->phase != RING_IN || ring_is_leased(ring, now_ms)) {
        ring->lapsed_ms = 0;
    } else if (ring->lapsed_ms == 0) {
        ring->lapsed_ms = now_ms;
        ring->lapse_answered = false;
        ask_by(ring, now_ms + RING_JOIN_MS);
    }
}

static void ask_keeper(const struct ring *ring, struct ring_effects *effects)
{
    const struct ring_node *keeper = ring_keeper(ring);

    if (keeper != NULL) {
        ring_want(effects, RING_ASK, keeper);
    }
}

/* ------------------------------------------------------------------ events */

static void on_begin(struct ring *ring, const struct ring_event *event)
{
    ring->phase = RING_JOINING;
    ring->begun_ms = event->now_ms;
    ring->next_ms = event->now_ms;
    if (event->alone) {
        ring_become_alone(ring, event->now_ms);
    }
}

static void drop_arc(struct ring *ring)
{
    ring->predecessor_count = 0;
    ring->lease_ms = 0;
    ring->has_arc = false;
    ring->has_newcomer = false;
    ring->is_handed = false;
    ring->lost_ms = 0;
    ring->lapsed_ms = 0;
}

static void on_leave(struct ring *ring)
{
    ring->phase = RING_OUT;
    drop_arc(ring);
}

static void join_anew(struct ring *ring, uint64_t now_ms)
{
    drop_arc(ring);
    ring->phase = RING_JOINING;
    ring->begun_ms = now_ms;
    ring->idle_ms = 0;
}

/* While we slept nobody could tell us anything: what is waited for begins anew. Who slept for as long
 * as an arc is kept without a lease has one in name only: were several such to wait for each other, who
 * would tell them that somebody who was awake has had all of theirs meanwhile? */
static void watch_sleep(struct ring *ring, uint64_t now_ms)
{
    uint64_t slept_ms = ring->seen_ms == 0 ? 0 : now_ms - ring->seen_ms;

    if (slept_ms > RING_STALL_MS) {
        ring->begun_ms = now_ms;
        ring->woke_ms = now_ms;
        ring->lapsed_ms = 0;
        ring->idle_ms = 0;
    }
    if (ring->phase == RING_IN && slept_ms >= (uint64_t)RING_GIVE_UP_MS * ring->paces) {
        join_anew(ring, now_ms);
        ring->next_ms = now_ms;
    }
    ring->seen_ms = now_ms;
}

/* A node alone is its own keeper. While it had no time, another may have come and, hearing nobody,
 * have begun the ring anew: then it joins that one. */
static void keep_self(struct ring *ring, uint64_t now_ms)
{
    if (ring->phase != RING_IN || !ring_is_alone(ring)) {
        return;
    }
    if (now_ms < ring->lease_ms) {
        ring->lease_ms = now_ms + RING_SELF_MS;
    } else {
        join_anew(ring, now_ms);
        ring->next_ms = now_ms;
    }
}

/* Where two rings meet none of whose nodes has a lease left, each one's arc may lie in that of its
 * keeper, which would let it in as soon as its own keeper knew of it, and so on in a circle. Whoever
 * has been without for so long has an arc in name only: it joins anew. */
static void give_up(struct ring *ring, uint64_t now_ms)
{
    if (ring->phase == RING_IN && ring->lapsed_ms != 0 &&
        now_ms - ring->lapsed_ms >= (uint64_t)RING_GIVE_UP_MS * ring->paces) {
        join_anew(ring, now_ms);
    }
}

/* Is it on us to begin the ring? When nobody is there, or all are waiting to join: then the one
 * of the lowest id begins. In a large community those next to us may all wait for one far away,
 * whose keeper may wait for the longest lease. One that has an arc, and is none of our successors, asks us
 * while it finds nobody nearer that has one: it is on that one to begin. */
static bool founds(const struct ring *ring, const struct ring_event *event)
{
    uint64_t since_ms = ring->met_ms > ring->begun_ms ? ring->met_ms : ring->begun_ms;

    if (ring->successor_count == 0) {
        return event->alone ||
               event->now_ms - ring->begun_ms >= (uint64_t)RING_ALONE_MS * ring->pace_max;
    }
    return ring->idle_ms != 0 && event->is_first &&
           event->now_ms - since_ms >= (uint64_t)ABSENT_MS * ring->pace_max;
}

/* We have an arc and no lease, and none of the others is on the ring (nor anybody before us, who would
 * ask us): nobody can grant us one, nor can we let anybody in, whom our keeper would have to be told of.
 * Then the ring is ours, when the first predecessor's lease is over; or when this has been so for as
 * long as the longest lease: whatever any of them granted before it lost its arc is over by then. */
static bool is_left_over(const struct ring *ring, uint64_t now_ms)
{
    uint64_t since_ms = ring->met_ms > ring->idle_ms ? ring->met_ms : ring->idle_ms;

    return ring->phase == RING_IN && ring->idle_ms != 0 && ring->lapsed_ms != 0 &&
           now_ms - ring->lapsed_ms >= RECLAIM_MS && now_ms - ring->met_ms >= RECLAIM_MS &&
           (now_ms >= ring->granted_ms || now_ms - since_ms >= ring_grant_ms(ring->paces));
}

/* One that is nearer than the keeper may be on the ring by now. Without a lease each of them is
 * asked in turn, for the keeper may wait for one of them itself. */
static void ask_nearer(struct ring *ring, uint64_t now_ms, struct ring_effects *effects)
{
    uint32_t place = 0;

    if (ring->keeper == 0 || ring->keeper >= ring->successor_count) {
        return;
    }
    if (!ring_is_leased(ring, now_ms)) {
        place = ring->nearer < ring->keeper ? ring->nearer : 0;
        ring->nearer = place + 1;
    }
    ring_want(effects, RING_ASK, &ring->successors[place]);
}

/* Until it asks again. Where nobody is on the ring, many may have begun to join at one moment, and some
 * be on it soon: asked is soon at first, then less and less often. */
static uint64_t patience_ms(const struct ring *ring, uint64_t now_ms)
{
    uint64_t waited_ms = (now_ms - ring->begun_ms) / 2;

    if (ring->idle_ms == 0) {
        return RING_JOIN_MS;
    }
    if (ring->phase != RING_JOINING || waited_ms > RING_IDLE_MS) {
        return RING_IDLE_MS;
    }
    return waited_ms < RING_BUSY_MS ? (uint64_t)RING_BUSY_MS : waited_ms;
}

static void on_tick(struct ring *ring, const struct ring_event *event, struct ring_effects *effects)
{
    keeper_extend(ring, event);
    if (ring->phase == RING_OUT || event->now_ms < ring->next_ms) {
        return;
    }
    if ((ring->phase == RING_JOINING && founds(ring, event)) || is_left_over(ring, event->now_ms)) {
        ring_become_alone(ring, event->now_ms);
    }
    give_up(ring, event->now_ms);
    keeper_yield(ring, event);
    ring->met_idle = false;
    ring->next_ms = event->now_ms + (uint64_t)STABILISE_MS * ring->pace;
    if (!ring_is_leased(ring, event->now_ms)) {
        ring->next_ms = event->now_ms + patience_ms(ring, event->now_ms);
    }
    ask_keeper(ring, effects);
    ask_nearer(ring, event->now_ms, effects);
}

static void on_known(struct ring *ring, const struct ring_event *event,
                     struct ring_effects *effects)
{
    if (ring->predecessor_count > 0 && ring_same(&ring->predecessors[0], &event->node)) {
        ring->lost_ms = 0;
    }
    if (insert_successor(ring, &event->node) && ring->phase != RING_OUT) {
        ring_want(effects, RING_ASK, &event->node);
    }
}

static void on_lost(struct ring *ring, const struct ring_event *event, struct ring_effects *effects)
{
    const struct ring_node *keeper = ring_keeper(ring);
    bool was_keeper = keeper != NULL && ring_same(keeper, &event->node);

    remove_successor(ring, &event->node);
    if (ring->has_newcomer && ring_same(&ring->newcomer, &event->node)) {
        ring->has_newcomer = false;
    }
    if (ring->predecessor_count > 0 && ring_same(&ring->predecessors[0], &event->node)) {
        keeper_lose(ring, event);
        keeper_extend(ring, event);
    }
    if (was_keeper && ring->phase != RING_OUT) {
        ask_keeper(ring, effects);
    }
}

static void on_granted(struct ring *ring, const struct ring_event *event)
{
    uint64_t lease_ms = event->sent_ms + (uint64_t)LEASE_MS * ring_pace(event->pace);

    ring->busy_count = 0;
    if (event->answer.is_handed && !event->has_other && ring->phase == RING_IN) {
        return; /* a part of our arc may be that of one we do not know yet: it is handed again */
    }
    if (!event->answer.is_handed && !ring_is_leased(ring, event->now_ms)) {
        keeper_doubt(ring, event);
    }
    if (event->answer.is_handed && event->has_other &&
        !ring_same(&event->answer.other, &ring->self)) {
        keeper_take_arc(ring, event);
        ring->phase = RING_IN;
        keeper_take_epoch(ring, event->answer.epoch);
        ring->next_ms = event->now_ms; /* say that we have it */
    }
    if (ring->phase == RING_IN && lease_ms > ring->lease_ms) {
        ring->lease_ms = lease_ms;
    }
    ring->acked_by = event->node.node;
    ring->acked_version = event->answer.told_version;
    ring_trust(ring, &event->node);
}

/* Not on the ring: the next one may be. */
static void on_idle(struct ring *ring, const struct ring_event *event, struct ring_effects *effects)
{
    const struct ring_node *keeper = ring_keeper(ring);

    if (keeper == NULL || !ring_same(keeper, &event->node)) {
        return;
    }
    ring->met_idle = true;
    if (ring->keeper + 1 < ring->successor_count) {
        ring->keeper++;
        ask_keeper(ring, effects);
    } else {
        ring->keeper = 0;
        ring->idle_ms = ring->idle_ms == 0 ? event->now_ms : ring->idle_ms;
    }
}

/* On the ring, but not able yet. Who has no lease to lose waits for the nearest such. It mostly
 * waits for one answer of its own keeper, hence soon; in vain, less and less often. */
static void on_busy(struct ring *ring, const struct ring_event *event)
{
    uint64_t wait_ms = RING_BUSY_MS + (uint64_t)ring->busy_count;

    if (!ring_is_leased(ring, event->now_ms) && place_of(ring, &event->node) < ring->keeper) {
        ring_trust(ring, &event->node);
    }
    ring->acked_by = event->node.node;
    ring->acked_version = event->answer.told_version;
    ring->busy_count++;
    ask_by(ring, event->now_ms + (wait_ms < RING_JOIN_MS ? wait_ms : (uint64_t)RING_JOIN_MS));
}

/* A nearer one. It may have been handed its arc and not know it yet, and have sent us back here
 * just now: not again at once, or the two would be asked in turn as fast as they answer. */
static void on_other(struct ring *ring, const struct ring_event *event,
                     struct ring_effects *effects)
{
    const struct ring_node *other = &event->answer.other;
    bool is_known;

    if (!event->has_other || !ring_between(other, &ring->self, &event->node)) {
        return;
    }
    is_known = place_of(ring, other) < ring->successor_count;
    (void)insert_successor(ring, other);
    ring_trust(ring, other);
    if (is_known && ring->met_idle) {
        ask_by(ring, event->now_ms + RING_BUSY_MS);
    } else {
        ask_keeper(ring, effects);
    }
}

static void on_answered(struct ring *ring, const struct ring_event *event,
                        struct ring_effects *effects)
{
    for (uint32_t i = 0; event->has_list && i < event->list_count; i++) {
        (void)insert_successor(ring, &event->list[i]);
    }
    if (ring->phase == RING_OUT) {
        return;
    }
    if (event->answer.verdict != RING_IDLE) {
        ring->idle_ms = 0;
        ring->lapse_answered = true;
    }
    switch (event->answer.verdict) {
    case RING_GRANTED:
        if (event->answer.is_handed && keeper_owes(ring, event->now_ms)) {
            on_busy(ring, event);
        } else {
            on_granted(ring, event);
        }
        break;
    case RING_BUSY:
        on_busy(ring, event);
        break;
    case RING_OTHER:
        on_other(ring, event, effects);
        break;
    case RING_IDLE:
        on_idle(ring, event, effects);
        break;
    }
    ring_see_epoch(ring, event->epoch);
}

static void report_arc(struct ring *ring, struct ring_effects *effects)
{
    if (ring->phase != RING_IN) {
        return;
    }
    CHECK(ring->predecessor_count > 0);
    if (ring->has_arc && id_equal(&ring->arc_from.id, &ring->predecessors[0].position.id)) {
        return;
    }
    ring->has_arc = true;
    ring->arc_from = ring->predecessors[0].position;
    ring->arc_epoch = ++ring->epoch;
    ring_want(effects, RING_ARC, &ring->self);
}

static void dispatch(struct ring *ring, const struct ring_event *event,
                     struct ring_effects *effects)
{
    switch (event->kind) {
    case RING_BEGIN:
        on_begin(ring, event);
        break;
    case RING_LEAVE:
        on_leave(ring);
        break;
    case RING_TICK:
        on_tick(ring, event, effects);
        break;
    case RING_KNOWN:
        on_known(ring, event, effects);
        break;
    case RING_LOST:
        on_lost(ring, event, effects);
        break;
    case RING_ASKED:
        (void)insert_successor(ring, &event->node);
        keeper_on_asked(ring, event, effects);
        break;
    case RING_ANSWERED:
        on_answered(ring, event, effects);
        break;
    case RING_HANDED:
        keeper_on_handed(ring, event);
        break;
    case RING_KEPT:
        ring->kept_epoch = event->epoch;
        break;
    }
}

static struct node_id id_of(const struct ring_node *node)
{
    return node != NULL ? node->node : (struct node_id){0};
}

/* Slows down while all is calm; a change makes the next question come as soon as ever. */
static void adapt(struct ring *ring, uint64_t now_ms)
{
    struct node_id before = id_of(ring->predecessor_count > 0 ? &ring->predecessors[0] : NULL);
    struct node_id after = id_of(ring_keeper(ring));

    if (!id_equal(&before.id, &ring->before.id) || !id_equal(&after.id, &ring->after.id) ||
        !ring_is_leased(ring, now_ms) || ring_is_alone(ring) || ring->has_newcomer ||
        ring->lost_ms != 0) {
        ring->before = before;
        ring->after = after;
        ring->changed_ms = now_ms;
        ring->pace = 1;
    } else if (now_ms - ring->changed_ms >= RING_CALM_MS && ring->pace < ring->pace_max) {
        ring->changed_ms = now_ms;
        ring->pace++;
    }
    if (ring->pace > ring->pace_max) {
        ring->pace = ring->pace_max;
    }
    /* What is asked for now ends before a question at the old pace would come. */
    if (ring->next_ms > now_ms + (uint64_t)STABILISE_MS * ring->pace) {
        ring->next_ms = now_ms + (uint64_t)STABILISE_MS * ring->pace;
    }
}

/* Who may hold how long a lease is not known of everyone: of none that is longer than the longest
 * that anybody has spoken of. */
static void hear_paces(struct ring *ring, const struct ring_event *event)
{
    uint32_t heard[3] = {ring_pace(event->pace), ring_pace(event->paces),
                         ring_pace(event->answer.paces)};

    for (uint32_t i = 0; i < 3; i++) {
        ring->paces = heard[i] > ring->paces ? heard[i] : ring->paces;
    }
}

void ring_step(struct ring *ring, const struct ring_event *event, struct ring_effects *effects_out)
{
    uint64_t epoch_before = ring->epoch;

    effects_out->count = 0;
    effects_out->answer = (struct ring_answer){.verdict = RING_IDLE};
    watch_sleep(ring, event->now_ms);
    keep_self(ring, event->now_ms);
    hear_paces(ring, event);
    watch_lease(ring, event->now_ms);
    dispatch(ring, event, effects_out);
    watch_lease(ring, event->now_ms);
    adapt(ring, event->now_ms);
    effects_out->answer.paces = ring->paces;
    report_arc(ring, effects_out);
    CHECK(ring->epoch >= epoch_before);
    CHECK(ring->successor_count <= SUCCESSORS_MAX);
}
