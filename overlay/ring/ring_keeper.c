// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The side of the ring that grants: leases to the predecessor, arcs to newcomers, and taking over
 * from a predecessor that is gone.
 *
 * Taking over stops at the predecessor's own predecessor, as it told us: it tells us of each
 * newcomer before it hands an arc to it. Whoever stands there may just have renewed its lease, so
 * it has GRANT_MS like one that asked us, or
 * rather so often GRANT_MS as the longest lease that was ever heard of.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/ring/ring_internal.h"

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* A node that lost its own lease may have been replaced without knowing: it grants none, until it
 * has been without for so long that its keeper would have told it. A keeper that does not answer
 * tells nothing: the next one is waited for. Were it to wait for ever, the two halves of a ring that
 * was cut, each node waiting for the next, would never close again. */
static bool may_grant(const struct ring *ring, uint64_t now_ms)
{
    uint64_t reclaim_ms =
        ring->lapse_answered || ring->idle_ms != 0 ? RECLAIM_MS : RING_SILENT_TIMES * RECLAIM_MS;

    return ring_is_leased(ring, now_ms) ||
           (ring->lapsed_ms != 0 && now_ms - ring->lapsed_ms >= reclaim_ms);
}

static void push_predecessor(struct ring *ring, const struct ring_node *node)
{
    if (ring->predecessor_count == PREDECESSORS_MAX) {
        ring->predecessor_count--;
    }
    memmove(&ring->predecessors[1], &ring->predecessors[0],
            ring->predecessor_count * sizeof(ring->predecessors[0]));
    ring->predecessors[0] = *node;
    ring->predecessor_count++;
}

static void new_first(struct ring *ring, uint64_t granted_ms)
{
    ring->granted_ms = granted_ms;
    ring->is_told = false;
    ring->told_version = 0;
    ring->is_handed = false;
    ring->lost_ms = 0;
    ring->first_pace = 1;
    ring->has_newcomer = false;
}

/* The arc now begins at `from`; whoever is there may hold a lease, granted by another node. */
static void begin_at(struct ring *ring, const struct ring_node *from, uint64_t now_ms)
{
    ring->predecessors[0] = *from;
    ring->predecessor_count = 1;
    ring->asked_ms = now_ms;
    new_first(ring, now_ms + ring_grant_ms(ring->paces));
}

/* A handover gives (from, self]. The node that our arc began at may have a lease that we granted,
 * or have granted one itself: then it still begins there. And what we hold by a lease of another
 * ring, which this one merges with, is not enlarged.
 *
 * Without a lease we know nothing any more of whoever stands there: our arc was somebody else's, who
 * has granted that one leases, and heard from it where its own arc begins. */
void keeper_take_arc(struct ring *ring, const struct ring_event *event)
{
    struct ring_node from = event->answer.other;
    bool is_leased;

    if (ring_is_alone(ring)) {
        ring->lease_ms = 0; /* no keeper has granted that one */
    }
    is_leased = ring_is_leased(ring, event->now_ms);

    if (ring->predecessor_count > 0 && !ring_between(&from, &ring->predecessors[0], &ring->self) &&
        (is_leased || event->now_ms < ring->granted_ms + ring_grant_ms(ring->paces))) {
        if (is_leased) {
            return;
        }
        from = ring->predecessors[0];
    }
    begin_at(ring, &from, event->now_ms);
}

bool keeper_owes(const struct ring *ring, uint64_t now_ms)
{
    return ring->phase == RING_JOINING && now_ms < ring->granted_ms;
}

/* A lease comes after the last one ran out: meanwhile the arc may have been somebody else's, who has
 * granted leases to the first predecessor, and lets us on again by a question of before. Whoever is
 * up in the arc may have got a part of it: it is no more ours than what a newcomer has. */
void keeper_doubt(struct ring *ring, const struct ring_event *event)
{
    uint64_t now_ms = event->now_ms;
    uint64_t granted_ms = now_ms + ring_grant_ms(ring->paces);

    if (ring->phase != RING_IN) {
        return;
    }
    if (event->has_nearest && ring->predecessor_count > 0 &&
        ring_between(&event->nearest, &ring->predecessors[0], &ring->self)) {
        begin_at(ring, &event->nearest, now_ms);
        return;
    }
    ring->granted_ms = granted_ms > ring->granted_ms ? granted_ms : ring->granted_ms;
    ring->lost_ms = ring->lost_ms == 0 ? 0 : now_ms;
    ring->is_told = false;
    ring->told_version = 0;
}

/* The first predecessor lives, and has not asked for longer than anybody's lease lasts: it has a keeper
 * that is nearer, of a ring that has met ours. The last one of that ring before us would have told us,
 * but what it says does not get through. The nearest that is up is the most that we need to yield to. */
void keeper_yield(struct ring *ring, const struct ring_event *event)
{
    uint64_t grant_ms = ring_grant_ms(ring->paces);

    if (ring->phase == RING_IN && !ring_is_alone(ring) && ring->lost_ms == 0 &&
        event->has_nearest && event->now_ms >= ring->granted_ms + grant_ms &&
        event->now_ms >= ring->asked_ms + 2 * grant_ms &&
        ring_between(&event->nearest, &ring->predecessors[0], &ring->self)) {
        begin_at(ring, &event->nearest, event->now_ms);
    }
}

/* What the first predecessor says of those before it. */
static void take_list(struct ring *ring, const struct ring_event *event)
{
    bool is_partial = event->is_partial;

    if (!event->has_list) {
        return;
    }
    /* Who says that its arc begins behind itself is not believed. */
    if (event->list_count == 0 ||
        ring_between(&event->list[0], &ring->predecessors[0], &ring->self)) {
        is_partial = true;
    }
    ring->predecessor_count = 1;
    for (uint32_t i = 0; i < event->list_count && ring->predecessor_count < PREDECESSORS_MAX; i++) {
        ring->predecessors[ring->predecessor_count++] = event->list[i];
        if (ring_same(&event->list[i], &ring->self)) {
            break; /* once around */
        }
    }
    ring->is_told = !is_partial;
    ring->told_version = event->version;
}

/* ------------------------------------------------------------------ taking over */

/* What was noticed before it last asked, or was said to be there by one that knew better, says
 * nothing: it may have been away and come back, or have only been admitted then. One that we have
 * taken over from spoke for it when it asked the last time itself. */
void keeper_lose(struct ring *ring, const struct ring_event *event)
{
    uint64_t lost_ms = event->lost_ms == 0 ? event->now_ms : event->lost_ms;

    if (event->is_gone && lost_ms >= ring->asked_ms) {
        ring->granted_ms = sooner(ring->granted_ms, event->now_ms);
    }
    if (ring->lost_ms == 0) {
        ring->lost_ms = lost_ms >= ring->asked_ms ? lost_ms : ring->asked_ms;
    }
}

/* Is anybody known beside us and the first predecessor? */
static bool knows_others(const struct ring *ring)
{
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        if (!ring_same(&ring->successors[i], &ring->predecessors[0])) {
            return true;
        }
    }
    return false;
}

/* Did the first predecessor say where its arc begins? One that named us, though others are there,
 * spoke of a ring that is no more, or lied. */
static bool knows_beginning(const struct ring *ring)
{
    return ring->is_told &&
           (!ring_same(&ring->predecessors[1], &ring->self) || !knows_others(ring));
}

/* Where the arc of the first predecessor begins, as far as is known. Also where it told us: since then
 * it may have met a member of another ring in its arc, and withdrawn. */
static struct ring_node beginning(const struct ring *ring, const struct ring_node *other)
{
    struct ring_node nearest = ring->self;

    if (knows_beginning(ring)) {
        nearest = ring->predecessors[1];
    }
    for (uint32_t i = 1; !knows_beginning(ring) && i < ring->predecessor_count; i++) {
        if (ring_between(&ring->predecessors[i], &nearest, &ring->predecessors[0])) {
            nearest = ring->predecessors[i];
        }
    }
    if (other != NULL && !ring_same(other, &ring->predecessors[0]) &&
        ring_between(other, &nearest, &ring->predecessors[0])) {
        nearest = *other;
    }
    return nearest;
}

/* Would taking over make the whole ring ours? Who has slept may be thought dead by then: others, of
 * whom it has not heard again yet, may have begun the ring anew. */
static bool is_last(const struct ring *ring)
{
    struct ring_node from = beginning(ring, NULL);

    return ring_same(&from, &ring->self) && !knows_others(ring);
}

uint64_t keeper_extend_ms(const struct ring *ring)
{
    /* Where we do not know its arc's beginning, it may have handed a part of it to somebody. */
    uint64_t clear_ms =
        knows_beginning(ring) ? ring->granted_ms : ring->granted_ms + ring_grant_ms(ring->paces);
    uint64_t alone_ms;

    if (ring->lost_ms == 0 || ring->predecessor_count == 0 || ring_is_alone(ring)) {
        return 0;
    }
    /* What it held, or granted, when it fell silent has run out by then. */
    clear_ms = sooner(clear_ms, ring->lost_ms + ring_grant_ms(ring->paces));
    alone_ms = ring->woke_ms + (uint64_t)RING_ALONE_MS * ring->pace_max;
    return ring->woke_ms != 0 && is_last(ring) && clear_ms < alone_ms ? alone_ms : clear_ms;
}

static void take_over(struct ring *ring, uint64_t now_ms, const struct ring_node *other,
                      const struct ring_node *nearest)
{
    struct ring_node from = beginning(ring, other);

    /* Who stands there may be of a ring that has met this one, and be the lost one's keeper by now. */
    if (nearest != NULL && ring_between(nearest, &ring->predecessors[0], &ring->self)) {
        begin_at(ring, nearest, now_ms);
        return;
    }
    if (ring_same(&from, &ring->self)) {
        /* Nobody before us is known, but others are there: whoever comes before us will ask. */
        if (!knows_others(ring)) {
            ring_become_alone(ring, now_ms);
        }
        ring->lost_ms = ring->lost_ms == 0 ? 0 : now_ms; /* looked at again later */
        return;
    }
    ring->predecessor_count--;
    memmove(&ring->predecessors[0], &ring->predecessors[1],
            ring->predecessor_count * sizeof(ring->predecessors[0]));
    if (ring->predecessor_count == 0 || !ring_same(&ring->predecessors[0], &from)) {
        push_predecessor(ring, &from);
    }
    new_first(ring, now_ms + ring_grant_ms(ring->paces));
}

void keeper_extend(struct ring *ring, const struct ring_event *event)
{
    uint64_t clear_ms = keeper_extend_ms(ring);

    if (ring->phase == RING_IN && clear_ms != 0 && event->now_ms >= clear_ms) {
        take_over(ring, event->now_ms, event->has_other ? &event->other : NULL,
                  event->has_nearest ? &event->nearest : NULL);
    }
}

void ring_see_epoch(struct ring *ring, uint64_t epoch)
{
    if (epoch > ring->epoch && epoch - ring->epoch < UINT32_MAX) {
        ring->epoch = epoch;
    }
}

/* With an arc, or more of it: the own one has at least that of what was handed over. */
void keeper_take_epoch(struct ring *ring, uint64_t epoch)
{
    ring_see_epoch(ring, epoch);
    ring->arc_epoch = ring->epoch;
}

void keeper_on_handed(struct ring *ring, const struct ring_event *event)
{
    if (ring->phase != RING_IN || ring_is_alone(ring) ||
        !ring_same(&ring->predecessors[0], &event->node)) {
        return;
    }
    keeper_take_epoch(ring, event->epoch);
    take_list(ring, event);
    ring->lost_ms = event->now_ms;
    ring->granted_ms = sooner(ring->granted_ms, event->now_ms);
    keeper_extend(ring, event);
}

/* ------------------------------------------------------------------ being asked */

static void hand_over(const struct ring *ring, struct ring_answer *answer)
{
    answer->verdict = RING_GRANTED;
    answer->is_handed = true;
    answer->other = ring->predecessors[1];
    answer->epoch = ring->epoch + 1;
}

/* From here on the newcomer answers for (the old predecessor, itself], and we for the rest. */
static void cut(struct ring *ring, const struct ring_event *event, struct ring_effects *effects)
{
    bool was_alone = ring_is_alone(ring);

    push_predecessor(ring, &event->node);
    ring->asked_ms = event->now_ms;
    new_first(ring, event->now_ms + ring_grant_ms(ring_pace(event->pace)));
    ring->is_told = !event->leased; /* one from another ring may begin elsewhere */
    ring->is_handed = true;
    if (was_alone) {
        /* It is our keeper now; what it is handed makes it wait for us as if we had asked. */
        ring->lease_ms = event->now_ms + LEASE_MS;
        ring_trust(ring, &event->node);
    }
    hand_over(ring, &effects->answer);
}

/* A node of another ring, with an arc and a lease of its own, stands in our arc: two rings that a
 * partition left have met. What is before it, its ring answers for: we withdraw at once. */
static void meet(struct ring *ring, const struct ring_event *event, struct ring_effects *effects)
{
    push_predecessor(ring, &event->node);
    ring->asked_ms = event->now_ms;
    new_first(ring, event->now_ms + ring_grant_ms(ring->paces)); /* of its own ring's */
    take_list(ring, event);
    if (may_grant(ring, event->now_ms)) {
        effects->answer.verdict = RING_GRANTED;
    }
}

static bool is_keeper_told(const struct ring *ring)
{
    const struct ring_node *keeper = ring_keeper(ring);

    return keeper != NULL && id_equal(&ring->acked_by.id, &keeper->node.id) &&
           ring->acked_version == ring_before_version(ring);
}

/* The answer that hands the last one its arc may be lost. Who is let in before that one has asked
 * again takes its place before us, knows nothing of what was handed, and could only wait until the
 * longest lease that it may have is over; and so would all who join there. */
static bool is_unconfirmed(const struct ring *ring, uint64_t now_ms)
{
    return ring->is_handed && now_ms - ring->asked_ms < RING_HANDED_MS;
}

static void on_newcomer(struct ring *ring, const struct ring_event *event,
                        struct ring_effects *effects)
{
    bool is_known = ring->has_newcomer && ring_same(&ring->newcomer, &event->node);

    effects->answer.verdict = RING_BUSY;
    if (event->leased && !ring_is_alone(ring)) {
        meet(ring, event, effects);
        return;
    }
    if (!may_grant(ring, event->now_ms)) {
        return;
    }
    if (ring_is_alone(ring) || (is_known && is_keeper_told(ring))) {
        if (!is_unconfirmed(ring, event->now_ms)) {
            cut(ring, event, effects);
        }
        ring->newcomer_ms = event->now_ms;
        return;
    }
    if (!is_known && ring->has_newcomer && event->now_ms - ring->newcomer_ms < RING_NEWCOMER_MS) {
        return; /* one after the other */
    }
    ring->newcomer_ms = event->now_ms;
    ring->has_newcomer = true;
    ring->newcomer = event->node;
    /* Again when it is known: what comes before us may have changed since the keeper was told. */
    if (ring_keeper(ring) != NULL) {
        ring_want(effects, RING_ASK, ring_keeper(ring));
    }
}

/* A lease that it was granted before may last longer than the one that it wants now. */
static void grant(struct ring *ring, const struct ring_event *event)
{
    uint64_t granted_ms = event->now_ms + ring_grant_ms(ring_pace(event->pace));

    if (granted_ms > ring->granted_ms) {
        ring->granted_ms = granted_ms;
    }
}

static void on_predecessor(struct ring *ring, const struct ring_event *event,
                           struct ring_effects *effects)
{
    if (ring->is_handed && (!event->joined || !event->leased)) {
        if (!may_grant(ring, event->now_ms)) {
            effects->answer.verdict = RING_BUSY;
            return;
        }
        grant(ring, event);
        /* The first answer was lost: what it has is from before. */
        hand_over(ring, &effects->answer);
        return;
    }
    if (!event->joined) {
        /* A new process that has no arc: what the old one had comes to us first. */
        effects->answer.verdict = RING_BUSY;
        keeper_lose(ring, &(struct ring_event){.now_ms = event->now_ms});
        return;
    }
    ring->is_handed = false;
    ring->lost_ms = 0;
    ring->asked_ms = event->now_ms;
    ring->first_pace = ring_pace(event->pace);
    take_list(ring, event);
    if (!may_grant(ring, event->now_ms)) {
        effects->answer.verdict = RING_BUSY;
        return;
    }
    grant(ring, event);
    effects->answer.verdict = RING_GRANTED;
}

/* Of those before us, as far as we heard of them, the first one behind the asker: each step from one
 * to the one before it would be a question. In a large community nobody tells us that one farther
 * away has died, and who were sent there would be sent there again: there, only our own neighbour. */
static struct ring_node nearest_to(const struct ring *ring, const struct ring_node *asker)
{
    uint32_t place = 0;

    while (ring->pace_max == 1 && place + 1 < ring->predecessor_count &&
           ring_between(&ring->predecessors[place + 1], asker, &ring->predecessors[place])) {
        place++;
    }
    return ring->predecessors[place];
}

void keeper_on_asked(struct ring *ring, const struct ring_event *event,
                     struct ring_effects *effects)
{
    struct ring_answer *answer = &effects->answer;

    ring->met_ms = event->joined ? event->now_ms : ring->met_ms;
    if (ring->phase != RING_IN) {
        answer->verdict = RING_IDLE;
        return;
    }
    CHECK(ring->predecessor_count > 0);
    ring_see_epoch(ring, event->epoch);
    if (ring_same(&ring->predecessors[0], &event->node)) {
        on_predecessor(ring, event, effects);
        answer->told_version = ring->told_version;
    } else if (ring_between(&event->node, &ring->predecessors[0], &ring->self)) {
        on_newcomer(ring, event, effects);
    } else {
        answer->verdict = RING_OTHER;
        answer->other = nearest_to(ring, &event->node);
    }
}
