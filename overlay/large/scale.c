// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * How large is the community, and is everyone still to know everyone?
 *
 * Up to full_members_max each node counts whom it sees. Beyond, the density of its neighbours tells:
 * k successors on a share s of the ring mean k / s nodes. That is 20 % off on one node, so nodes
 * average it with those they meet (as in push-pull averaging, Jelasity et al. 2005): all come to
 * about the same number, and change from one mode to the other within a short time.
 */
#include "overlay/state.h"

enum {
    SCALE_MS = 1000,
    REDIAL_MS = 100,
    REDIAL_MS_MIN = 1000,
    REDIAL_MS_MAX = 60000,
    SCALE_DECAY = 8,
    LARGE_PACE = RING_PACE_MAX,
    BELIEVE_MS = 60000,    /* a node that has just begun knows too few to doubt */
    LIE_MAX = 4,           /* nobody is believed who is so many times off our own count */
    SHRINK_PERMILLE = 800, /* of full_members_max: back to full membership */
    SHRINK_WAIT_MS = 10000,
    OVERFLOW_WAIT_MS = 600000, /* more were ever admitted than fit: not back before */
};

static uint32_t count_up(const struct membership *membership)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < membership->count; i++) {
        count += membership_is_up(&membership->list[i]);
    }
    return count;
}

uint32_t scale_of_ring(const struct ring *ring)
{
    const struct ring_key *last = &ring->successors[SUCCESSORS_MAX - 1].position;
    struct id distance;
    uint64_t share = 0;

    if (ring->successor_count < SUCCESSORS_MAX) {
        return ring->successor_count + 1;
    }
    distance = id_distance(&ring->self.position.id, &last->id);
    for (int i = 0; i < 4; i++) {
        share = share << 8 | distance.bytes[i];
    }
    return (uint32_t)(((uint64_t)SUCCESSORS_MAX << 32) / (share + 1 + ((uint64_t)1 << 12)));
}

uint32_t scale_seen(const struct overlay *overlay)
{
    uint32_t known = count_up(&overlay->membership);
    uint32_t node_count;

    if (!overlay->large) {
        return known;
    }
    node_count = scale_of_ring(&overlay->ring);
    return node_count > known ? node_count : known; /* there are at least those that are seen */
}

uint32_t scale_size(const struct overlay *overlay)
{
    return overlay->large ? (uint32_t)(overlay->size_average / SCALE_ONE) : scale_seen(overlay);
}

/* The first of them to get through across a healed cut is enough: together they dial ten times a
 * second, and each spends the less on the dead the more they are. */
uint64_t scale_redial_ms(uint32_t node_count)
{
    uint64_t wait_ms = (uint64_t)REDIAL_MS * node_count;

    wait_ms = wait_ms < REDIAL_MS_MAX ? wait_ms : REDIAL_MS_MAX;
    return wait_ms > REDIAL_MS_MIN ? wait_ms : REDIAL_MS_MIN;
}

void scale_up(struct overlay *overlay, uint32_t node_count)
{
    if (overlay->large || overlay->self_index == MEMBER_NONE) {
        return;
    }
    overlay->large = true;
    overlay->membership.is_part = true;
    overlay->large_ms = overlay->now_ms + SHRINK_WAIT_MS;
    overlay->size_average = (uint64_t)node_count * SCALE_ONE;
    overlay->size_own = overlay->size_average;
    overlay->routing = &router_near;
    effect_trace(overlay, "keeps a part of the membership from now on: about %u nodes", node_count);
    ring_set_pace_max(&overlay->ring, LARGE_PACE);
    record_owners_weigh_all(overlay);
    chain_keep(overlay);
    far_init(overlay);
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if (membership_in_ring(&overlay->membership.list[i])) {
            far_known(overlay, (int)i);
        }
    }
}

void scale_overflow(struct overlay *overlay)
{
    scale_up(overlay, scale_seen(overlay));
    overlay->large_ms = overlay->now_ms + OVERFLOW_WAIT_MS;
}

static void scale_down(struct overlay *overlay)
{
    struct node_id nodes[2 * SUCCESSORS_MAX];
    uint32_t count = overlay->routing->neighbour_set(&overlay->router, 2 * SUCCESSORS_MAX, nodes);

    overlay->large = false;
    overlay->membership.is_part = false;
    overlay->routing = &router_full;
    ring_set_pace_max(&overlay->ring, 1);
    record_owners_weigh_all(overlay);
    effect_trace(overlay, "knows everyone from now on: about %u nodes",
                 (uint32_t)(overlay->size_average / SCALE_ONE));
    for (uint32_t i = 0; i < count; i++) {
        sync_want(overlay, membership_find(&overlay->membership, &nodes[i]));
    }
}

void scale_hear(struct overlay *overlay, const minga_Digest *digest)
{
    uint64_t theirs = digest->size;
    uint64_t own = overlay->large ? overlay->size_own : (uint64_t)scale_seen(overlay) * SCALE_ONE;
    bool is_new = overlay->now_ms - overlay->started_ms < BELIEVE_MS;

    if (!digest->large || theirs == 0 || overlay->phase != PHASE_MEMBER) {
        return;
    }
    if (!is_new && (theirs > own * LIE_MAX || theirs * LIE_MAX < own)) {
        return;
    }
    if (overlay->large) {
        overlay->size_average = (overlay->size_average + theirs) / 2;
    } else if (theirs > (uint64_t)overlay->full_members_max * SCALE_ONE) {
        scale_up(overlay, (uint32_t)(theirs / SCALE_ONE));
    }
}

/* Who has lost many at once is one of fewer: it does not wait as it did as one of many. */
static void dial_sooner(struct overlay *overlay, uint32_t node_count)
{
    uint64_t wait_ms = scale_redial_ms(node_count);

    if (overlay->redial_ms > overlay->now_ms + wait_ms / 2 + wait_ms) {
        overlay->redial_ms =
            overlay->now_ms + wait_ms / 2 + random_below(&overlay->random, wait_ms);
    }
}

void scale_tick(struct overlay *overlay)
{
    uint64_t node_count;

    if (overlay->now_ms < overlay->scale_ms || overlay->phase != PHASE_MEMBER) {
        return;
    }
    overlay->scale_ms = overlay->now_ms + SCALE_MS;
    far_tick(overlay);
    node_count = (uint64_t)scale_seen(overlay);
    dial_sooner(overlay, (uint32_t)node_count);
    if (!overlay->large) {
        if (node_count > overlay->full_members_max) {
            scale_up(overlay, (uint32_t)node_count);
        }
        return;
    }
    overlay->size_own = node_count * SCALE_ONE;
    overlay->size_average =
        (overlay->size_average * (SCALE_DECAY - 1) + node_count * SCALE_ONE) / SCALE_DECAY;
    if (overlay->now_ms >= overlay->large_ms && overlay->ring.phase == RING_IN &&
        overlay->size_average * 1000 <=
            (uint64_t)overlay->full_members_max * SHRINK_PERMILLE * SCALE_ONE &&
        node_count <= overlay->full_members_max) {
        scale_down(overlay);
    }
}
