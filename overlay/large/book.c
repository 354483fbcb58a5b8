// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The table of members as the address book of a large community: a newcomer takes the place of
 * whoever is missed least. Whatever holds an index is cleared with it.
 *
 * Never given up: this node, its ring neighbours, those with requests under way or being watched,
 * the sender of the present message, and who joins through this node at present. Then, least missed
 * first: the expelled; those who are gone for longest (but the last few remain: they are dialled
 * again, which is how the sides of a split find each other); those not heard for longest, without a
 * link before those with one, then fingers, and last those near by who count on this node.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    LOST_KEPT = 8,
    GUEST_MS = 2 * JOIN_REPEAT_MS,
    ASKED_LATELY_MS = 2 * RING_PACE_MAX * STABILISE_MS,
};

struct pins {
    bool pinned[MEMBERS_MAX];
    bool is_finger[MEMBERS_MAX];
    bool counts_on_us[MEMBERS_MAX];
};

static void pin(const struct overlay *overlay, struct pins *pins, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    if (index != MEMBER_NONE) {
        pins->pinned[index] = true;
    }
}

static void pin_ring(const struct overlay *overlay, struct pins *pins)
{
    const struct ring *ring = &overlay->ring;

    for (uint32_t i = 0; i < ring->predecessor_count; i++) {
        pin(overlay, pins, &ring->predecessors[i].node);
    }
    if (ring->has_newcomer) {
        pin(overlay, pins, &ring->newcomer.node);
    }
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        pin(overlay, pins, &ring->successors[i].node);
    }
}

static void favour_fingers(const struct overlay *overlay, struct pins *pins)
{
    for (uint32_t i = 0; i < overlay->fingers.count; i++) {
        int index = membership_find(&overlay->membership, &overlay->fingers.list[i].node.node);

        if (index != MEMBER_NONE) {
            pins->is_finger[index] = true;
        }
    }
}

/* The ring's lists do not name leaves, and seldom has this node to do with one: but it is among those
 * who watch them. Nor do they name one that takes this node for its keeper, as long as those between
 * them are not known to be gone: were it forgotten, its arc would be taken with theirs. */
static void favour_near(const struct overlay *overlay, struct pins *pins)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        pins->counts_on_us[i] = (membership_is_leaf(member) || book_has_asked(overlay, (int)i)) &&
                                book_is_near(overlay, &member->position);
    }
}

static void pin_requests(const struct overlay *overlay, struct pins *pins)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        const struct request *request = &overlay->requests.list[i];

        if (request->kind != REQUEST_FREE) {
            pin(overlay, pins, &request->to);
        }
    }
}

static void pin_all(const struct overlay *overlay, struct pins *pins)
{
    memset(pins, 0, sizeof(*pins));
    if (overlay->self_index != MEMBER_NONE) {
        pins->pinned[overlay->self_index] = true;
    }
    if (overlay->speaker != MEMBER_NONE) {
        pins->pinned[overlay->speaker] = true;
    }
    if (overlay->sync.active) {
        pin(overlay, pins, &overlay->sync.peer);
    }
    if (overlay->guest_ms != 0 && overlay->now_ms - overlay->guest_ms < GUEST_MS) {
        pin(overlay, pins, &overlay->guest);
    }
    pin_ring(overlay, pins);
    pin_requests(overlay, pins);
    favour_fingers(overlay, pins);
    favour_near(overlay, pins);
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct watched *watched = &overlay->detector.list[i];

        pins->pinned[i] = pins->pinned[i] || watched->watched || watched->accused;
    }
}

static bool is_lost(const struct member *member)
{
    return !membership_is_up(member) && member->view.state != MEMBER_EXPELLED;
}

/* When it was last of use; the class stands above. */
static uint64_t worth_of(const struct member *member, const struct pins *pins, uint32_t index,
                         bool spare_lost)
{
    uint64_t used_ms = member->heard_ms > member->sent_ms ? member->heard_ms : member->sent_ms;
    uint64_t class = 3;

    if (member->view.state == MEMBER_EXPELLED) {
        class = 0;
    } else if (is_lost(member)) {
        class = spare_lost ? 7 : 1;
        used_ms = member->view.changed_ms;
    } else if (pins->counts_on_us[index]) {
        class = 6;
    } else if (pins->is_finger[index]) {
        class = 5;
    } else if (member->linked) {
        class = 4;
    }
    return class << 56 | used_ms;
}

static int least_missed(const struct overlay *overlay)
{
    const struct membership *membership = &overlay->membership;
    struct pins pins;
    uint64_t least_worth = UINT64_MAX;
    uint32_t lost_count = 0;
    int least = MEMBER_NONE;

    pin_all(overlay, &pins);
    for (uint32_t i = 0; i < membership->count; i++) {
        lost_count += is_lost(&membership->list[i]);
    }
    for (uint32_t i = 0; i < membership->count; i++) {
        uint64_t worth = worth_of(&membership->list[i], &pins, i, lost_count <= LOST_KEPT);

        if (!pins.pinned[i] && worth < least_worth) {
            least_worth = worth;
            least = (int)i;
        }
    }
    return least;
}

/* Everything that knows the member by its index. */
static void forget(struct overlay *overlay, int index)
{
    const struct member *member = &overlay->membership.list[index];
    struct node_id node = member->view.node;

    CHECK(index != overlay->self_index && index != overlay->speaker);
    if (member->linked) {
        peer_hang_up(overlay, &node);
    }
    far_lost(overlay, index);
    links_forget(&overlay->links, index);
    detector_forget(&overlay->detector, index);
    sync_forget(overlay, index);
    habits_forget(overlay, index);
    repair_forget(overlay, index);
    if (overlay->started) {
        effect_store(overlay, &(struct overlay_blob){.kind = BLOB_ADMISSION, .key = node.id}, 0);
        effect_store(overlay, &(struct overlay_blob){.kind = BLOB_NODE, .key = node.id}, 0);
    }
}

bool book_is_near(const struct overlay *overlay, const struct ring_key *position)
{
    const struct ring *ring = &overlay->ring;

    if (ring->successor_count < SUCCESSORS_MAX || ring->predecessor_count == 0) {
        return true;
    }
    return id_in_arc(&position->id, &ring->predecessors[ring->predecessor_count - 1].position.id,
                     &ring->successors[SUCCESSORS_MAX - 1].position.id);
}

int book_admit(struct overlay *overlay, const struct admission *admission, struct bytes encoded,
               bool met)
{
    struct ring_key position = keys_position(&admission->node_key, 0);
    bool is_self = id_equal(&admission->node.id, &overlay->self.id);
    bool added;
    int victim;

    if (overlay->membership.count < overlay->members_max) {
        return membership_admit(&overlay->membership, admission, encoded, &added);
    }
    if (overlay->full_members_max >= overlay->members_max && !is_self) {
        return -ENOSPC; /* this table is meant to hold everyone, and is full */
    }
    if (overlay->started && !overlay->large) {
        scale_overflow(overlay);
    }
    if (!is_self && (!overlay->started || (!met && !book_is_near(overlay, &position)))) {
        return -ENOSPC;
    }
    victim = least_missed(overlay);
    if (victim == MEMBER_NONE) {
        return -ENOSPC;
    }
    forget(overlay, victim);
    return membership_replace(&overlay->membership, victim, admission, encoded);
}

bool book_has_asked(const struct overlay *overlay, int index)
{
    uint64_t asked_ms = overlay->membership.list[index].asked_ms;

    return asked_ms != 0 && overlay->now_ms - asked_ms <= ASKED_LATELY_MS;
}

bool book_has_leaf(const struct overlay *overlay, int index)
{
    const struct member *member = &overlay->membership.list[index];
    const struct ring *ring = &overlay->ring;

    return membership_is_leaf(member) && membership_is_up(member) && ring->predecessor_count > 0 &&
           index != overlay->self_index &&
           id_in_arc(&member->position.id, &ring->predecessors[0].position.id,
                     &ring->self.position.id);
}

bool book_is_told(const struct overlay *overlay, int index)
{
    const struct member *member = &overlay->membership.list[index];
    uint64_t used_ms = member->heard_ms > member->sent_ms ? member->heard_ms : member->sent_ms;

    if (index == overlay->self_index || !membership_is_up(member)) {
        return false;
    }
    return !overlay->large || book_is_neighbour(overlay, &member->view.node) ||
           book_has_leaf(overlay, index) || (used_ms != 0 && overlay->now_ms - used_ms < LATELY_MS);
}

bool book_is_neighbour(const struct overlay *overlay, const struct node_id *node)
{
    const struct ring *ring = &overlay->ring;

    for (uint32_t i = 0; i < ring->predecessor_count; i++) {
        if (id_equal(&ring->predecessors[i].node.id, &node->id)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        if (id_equal(&ring->successors[i].node.id, &node->id)) {
            return true;
        }
    }
    return false;
}
