// SPDX-License-Identifier: GPL-3.0-or-later
/* This node's place on the ring: membership's hints in, messages and the arc out. */
#include <string.h>

#include "overlay/state.h"

static struct ring_node ring_node_of(const struct member *member)
{
    return (struct ring_node){member->view.node, member->position};
}

static void send_stabilise(struct overlay *overlay, const struct node_id *to)
{
    minga_Message message;

    message_init(&message, minga_Message_stabilise_tag);
    (void)peer_request(overlay, REQUEST_STABILISE, to, &message, STABILISE_MS);
}

static void send_rectify(struct overlay *overlay, const struct node_id *to)
{
    minga_Message message;

    message_init(&message, minga_Message_rectify_tag);
    message.kind.rectify.epoch = overlay->ring.epoch;
    (void)peer_request(overlay, REQUEST_RECTIFY, to, &message, STABILISE_MS);
}

/* New neighbours hold other records: compare with all who share some with us. */
static void compare_with_neighbours(struct overlay *overlay)
{
    struct node_id nodes[2 * RECORD_COPIES];
    uint32_t count = overlay->routing->neighbour_set(&overlay->router, 2 * RECORD_COPIES, nodes);

    for (uint32_t i = 0; i < count; i++) {
        sync_want(overlay, membership_find(&overlay->membership, &nodes[i]));
    }
}

/* Records are compared at once. Chunks are large, and most members that go come back soon: they
 * are compared when the ring has been quiet for a while. */
static void on_ring_changed(struct overlay *overlay)
{
    overlay->chunk_quiet_ms = overlay->now_ms + SYNC_MS;
    compare_with_neighbours(overlay);
}

static void tell_arc(struct overlay *overlay)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_ARC);

    if (effect != NULL) {
        effect->arc_from = overlay->ring.arc_from;
        effect->arc_to = overlay->ring.self.position;
        effect->arc_epoch = overlay->ring.epoch;
    }
}

static void keep_epoch(struct overlay *overlay)
{
    uint8_t bytes[8];

    if (overlay->ring.epoch == overlay->stored_epoch) {
        return;
    }
    overlay->stored_epoch = overlay->ring.epoch;
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(overlay->ring.epoch >> (56 - 8 * i));
    }
    effect_store(overlay,
                 &(struct overlay_blob){.kind = BLOB_SELF, .bytes = {bytes, sizeof(bytes)}}, 0);
}

static void perform(struct overlay *overlay, const struct ring_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        switch (effects->list[i].kind) {
        case RING_SEND_STABILISE:
            send_stabilise(overlay, &effects->list[i].to);
            break;
        case RING_SEND_RECTIFY:
            send_rectify(overlay, &effects->list[i].to);
            break;
        case RING_ARC:
            tell_arc(overlay);
            break;
        }
    }
}

static void step(struct overlay *overlay, struct ring_event *event,
                 struct ring_effects *effects_out)
{
    event->now_ms = overlay->now_ms;
    ring_step(&overlay->ring, event, effects_out);
    perform(overlay, effects_out);
    keep_epoch(overlay);
}

void place_event(struct overlay *overlay, struct ring_event *event)
{
    struct ring_effects effects;

    step(overlay, event, &effects);
    if (event->kind != RING_TICK) {
        watch_neighbours(overlay);
    }
}

void place_known(struct overlay *overlay, int index)
{
    struct ring_event event = {.kind = RING_KNOWN};

    if (index == overlay->self_index) {
        return;
    }
    event.node = ring_node_of(&overlay->membership.list[index]);
    place_event(overlay, &event);
    on_ring_changed(overlay);
}

/* The nearest member before us that is up: it takes the place of a predecessor that is gone. */
static bool find_predecessor(const struct overlay *overlay, struct ring_node *node_out)
{
    const struct membership *membership = &overlay->membership;
    uint32_t place = membership_place(membership, &overlay->ring.self.position.id);

    for (uint32_t step = 1; step < membership->count; step++) {
        int index = membership->by_position[(place + membership->count - step) % membership->count];

        if (index != overlay->self_index && membership_in_ring(&membership->list[index])) {
            *node_out = ring_node_of(&membership->list[index]);
            return true;
        }
    }
    return false;
}

void place_lost(struct overlay *overlay, int index)
{
    struct ring_event event = {.kind = RING_LOST};

    event.node = ring_node_of(&overlay->membership.list[index]);
    event.has_other = find_predecessor(overlay, &event.other);
    place_event(overlay, &event);
    /* The list may have been full before: fill it from the membership. */
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];
        struct ring_event known = {.kind = RING_KNOWN};

        if ((int)i != overlay->self_index && membership_in_ring(member)) {
            struct ring_effects effects;

            known.node = ring_node_of(member);
            step(overlay, &known, &effects);
        }
    }
    on_ring_changed(overlay);
}

void place_tick(struct overlay *overlay)
{
    struct ring_event event = {.kind = RING_TICK};

    place_event(overlay, &event);
    if (overlay->chunk_quiet_ms != 0 && overlay->now_ms >= overlay->chunk_quiet_ms) {
        overlay->chunk_quiet_ms = 0;
        compare_with_neighbours(overlay);
    }
}

void place_on_stabilise(struct overlay *overlay, const struct arrival *arrival)
{
    const struct ring *ring = &overlay->ring;
    minga_Message message;
    minga_StabiliseReply *answer = &message.kind.stabilise_reply;

    message_init(&message, minga_Message_stabilise_reply_tag);
    answer->joined = ring->phase == RING_IN;
    answer->epoch = ring->epoch;
    if (ring->has_predecessor) {
        message_put_id(answer->predecessor, &ring->predecessor.node.id);
    }
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        message_put_id(answer->successors[i], &ring->successors[i].node.id);
    }
    answer->successors_count = (pb_size_t)ring->successor_count;
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

/* A node that another one names counts only if it is up here too. */
static bool take_node(struct overlay *overlay, const pb_byte_t bytes[ID_BYTES],
                      struct ring_node *node_out)
{
    struct node_id node = {message_id(bytes)};
    int index = membership_find(&overlay->membership, &node);

    if (index == MEMBER_NONE || !membership_in_ring(&overlay->membership.list[index])) {
        contacts_named(overlay, &node);
        return false;
    }
    *node_out = ring_node_of(&overlay->membership.list[index]);
    return true;
}

void place_on_rectify(struct overlay *overlay, const struct arrival *arrival)
{
    struct ring_event event = {.kind = RING_ASKED_TO_RECTIFY};
    struct ring_effects effects;
    minga_Message message;

    if (!membership_in_ring(&overlay->membership.list[arrival->member])) {
        return;
    }
    event.node = ring_node_of(&overlay->membership.list[arrival->member]);
    event.epoch = arrival->message->kind.rectify.epoch;
    step(overlay, &event, &effects);
    watch_neighbours(overlay);
    message_init(&message, minga_Message_rectify_reply_tag);
    message.kind.rectify_reply.accepted = effects.accepted;
    message.kind.rectify_reply.epoch = overlay->ring.epoch;
    if (effects.has_before) {
        message_put_id(message.kind.rectify_reply.predecessor, &effects.before.node.id);
    }
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

static void take_stabilised(struct overlay *overlay, const minga_StabiliseReply *answer,
                            struct ring_event *event)
{
    event->kind = RING_STABILISED;
    event->epoch = answer->epoch;
    event->has_other = take_node(overlay, answer->predecessor, &event->other);
    for (pb_size_t i = 0; i < answer->successors_count && event->successor_count < SUCCESSORS_MAX;
         i++) {
        if (take_node(overlay, answer->successors[i], &event->successors[event->successor_count])) {
            event->successor_count++;
        }
    }
}

void place_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival)
{
    struct ring_event event = {0};
    const minga_Message *message = arrival->message;

    if (arrival->member == MEMBER_NONE ||
        !membership_in_ring(&overlay->membership.list[arrival->member])) {
        return;
    }
    event.node = ring_node_of(&overlay->membership.list[arrival->member]);
    if (request->kind == REQUEST_STABILISE &&
        message->which_kind == minga_Message_stabilise_reply_tag) {
        take_stabilised(overlay, &message->kind.stabilise_reply, &event);
    } else if (request->kind == REQUEST_RECTIFY &&
               message->which_kind == minga_Message_rectify_reply_tag) {
        event.kind = RING_RECTIFIED;
        event.accepted = message->kind.rectify_reply.accepted;
        event.epoch = message->kind.rectify_reply.epoch;
        event.has_other = take_node(overlay, message->kind.rectify_reply.predecessor, &event.other);
    } else {
        return;
    }
    place_event(overlay, &event);
}
