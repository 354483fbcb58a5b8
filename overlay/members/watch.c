// SPDX-License-Identifier: GPL-3.0-or-later
/* The failure detector's verdicts, and pings. */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    HELPER_CANDIDATES = 2 * PROBE_HELPERS,
    FAR_HELPERS = 2,
    FEW_HELPERS = 3,
    NEIGHBOUR_MS = 1000, /* so long a neighbour, and it is dialled */
};
static_assert((int)HELPER_CANDIDATES <= (int)NEAR_SORTED_MAX,
              "helpers are sorted by how near they are");

void watch_ping(struct overlay *overlay, int index, uint64_t accused_incarnation)
{
    minga_Message message;
    struct request *request;

    message_init(&message, minga_Message_ping_tag);
    message.kind.ping.accused_incarnation = accused_incarnation;
    request = peer_request(overlay, REQUEST_PING, &overlay->membership.list[index].view.node,
                           &message, REPLY_MS);
    if (request != NULL) {
        request->repeat_ms = 0; /* the detector repeats */
    }
}

struct helpers {
    uint32_t count;
    struct node_id nodes[HELPER_CANDIDATES];
};

static void add_helper(const struct overlay *overlay, int index, int helper,
                       struct helpers *helpers)
{
    const struct member *member = &overlay->membership.list[helper];

    if (helper != index && helper != overlay->self_index && member->view.state == MEMBER_UP &&
        helpers->count < HELPER_CANDIDATES) {
        helpers->nodes[helpers->count++] = member->view.node;
    }
}

/* Where not everyone knows everyone, those around a neighbour do. */
static void find_neighbours(const struct overlay *overlay, int index, struct helpers *helpers)
{
    const struct ring *ring = &overlay->ring;

    for (uint32_t i = 0; i < ring->predecessor_count + ring->successor_count; i++) {
        const struct ring_node *node = i < ring->predecessor_count
                                           ? &ring->predecessors[i]
                                           : &ring->successors[i - ring->predecessor_count];
        int helper = membership_find(&overlay->membership, &node->node);

        if (helper != MEMBER_NONE) {
            add_helper(overlay, index, helper, helpers);
        }
    }
}

/* A few others, chosen at random, those who answer soonest first. */
static void find_helpers(struct overlay *overlay, int index, struct helpers *helpers)
{
    uint32_t count = overlay->membership.count;
    uint32_t start = (uint32_t)random_below(&overlay->random, count);

    if (overlay->large && watch_is_neighbour(overlay, &overlay->membership.list[index].view.node)) {
        find_neighbours(overlay, index, helpers);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            add_helper(overlay, index, (int)((start + i) % count), helpers);
        }
    }
    near_sort(overlay, helpers->nodes, helpers->count);
}

/* In a large community each broken link is looked into, also that to one far away: were many asked
 * then, and links break often, the questions would break the next ones. */
static uint32_t helpers_wanted(const struct overlay *overlay, int index, bool is_few)
{
    const struct node_id *node = &overlay->membership.list[index].view.node;

    if (overlay->large && !watch_is_neighbour(overlay, node)) {
        return FAR_HELPERS;
    }
    return is_few ? FEW_HELPERS : PROBE_HELPERS;
}

/* Asks helpers whether they still see the member. */
static void probe_via(struct overlay *overlay, int index, bool is_few)
{
    const struct node_id *suspect = &overlay->membership.list[index].view.node;
    uint32_t wanted_count = helpers_wanted(overlay, index, is_few);
    struct helpers helpers = {0};

    find_helpers(overlay, index, &helpers);
    for (uint32_t i = 0; i < helpers.count && i < wanted_count; i++) {
        minga_Message message;
        struct request *request;

        message_init(&message, minga_Message_probe_via_tag);
        message_put_id(message.kind.probe_via.node, &suspect->id);
        request = peer_request(overlay, REQUEST_PROBE_VIA, &helpers.nodes[i], &message, REPLY_MS);
        if (request != NULL) {
            request->repeat_ms = 0;
            request->token = (uint64_t)index;
        }
    }
}

static void set_suspect(struct overlay *overlay, int index, bool suspect)
{
    struct member *member = &overlay->membership.list[index];
    enum member_state from = suspect ? MEMBER_UP : MEMBER_SUSPECT;
    struct overlay_effect *effect;

    if (member->view.state != from) {
        return;
    }
    member->view.state = suspect ? MEMBER_SUSPECT : MEMBER_UP;
    member->view.changed_ms = overlay->now_ms;
    effect = effect_add(overlay, OVERLAY_MEMBER);
    if (effect != NULL) {
        effect->node = member->view.node;
        effect->state = member->view.state;
    }
}

static void declare_dead(struct overlay *overlay, int index, bool is_gone)
{
    struct member *member = &overlay->membership.list[index];
    minga_Item item = minga_Item_init_zero;

    if (!membership_is_up(member) ||
        !membership_bury(&overlay->membership, index, member->incarnation)) {
        return;
    }
    member->refused = is_gone;
    effect_trace(overlay, "node %02x%02x is dead: silent for %llu ms",
                 member->view.node.id.bytes[0], member->view.node.id.bytes[1],
                 (unsigned long long)(overlay->now_ms - member->heard_ms));
    item.kind = minga_ItemKind_ITEM_DEATH;
    message_put_id(item.node, &member->view.node.id);
    item.incarnation = member->incarnation;
    gossip_refresh(overlay, index);
    tell_everyone(overlay, &item);
}

/* Over a new link: the transport waits before it dials a broken one again, and only a new
 * connection shows whether the process is still there. */
static void redial(struct overlay *overlay, int index)
{
    peer_hang_up(overlay, &overlay->membership.list[index].view.node);
    watch_ping(overlay, index, 0);
}

/* What passes between two leaves passes through relays: that it does not says too little, and whom
 * one leaf asks to look has no other way to the other. Others watch it. And a leaf that has just come
 * cannot be dialled before it has found relays; nor can one that has found others since, by whoever
 * has only been told of it: it tells those around it. */
static bool may_accuse(const struct overlay *overlay, int index)
{
    const struct member *member = &overlay->membership.list[index];

    if (!membership_is_leaf(member)) {
        return true;
    }
    if (reach_is_leaf(overlay)) {
        return false;
    }
    return member->heard_ms != 0 || (ring_has(&overlay->ring, &member->position) &&
                                     overlay->now_ms - member->admitted_ms >= RELAY_FOUND_MS);
}

/* Silent, and others hold it for dead: that they told everyone has not reached us. Nobody is told again;
 * and did it live, it would say so to all. */
static bool believe_dead(struct overlay *overlay, int index)
{
    struct member *member = &overlay->membership.list[index];

    if (member->told_dead == 0 ||
        !membership_bury(&overlay->membership, index, member->told_dead - 1)) {
        return false;
    }
    effect_trace(overlay, "believes that node %02x%02x is dead", member->view.node.id.bytes[0],
                 member->view.node.id.bytes[1]);
    gossip_refresh(overlay, index);
    return true;
}

static void perform(struct overlay *overlay, const struct detector_verdict *verdict)
{
    switch (verdict->kind) {
    case VERDICT_PROBE:
        watch_ping(overlay, verdict->member, 0);
        break;
    case VERDICT_REDIAL:
        redial(overlay, verdict->member);
        break;
    case VERDICT_PROBE_VIA:
        probe_via(overlay, verdict->member, verdict->is_few);
        break;
    case VERDICT_SUSPECT:
        set_suspect(overlay, verdict->member, true);
        break;
    case VERDICT_ALIVE:
        set_suspect(overlay, verdict->member, false);
        break;
    case VERDICT_DEAD:
        if (may_accuse(overlay, verdict->member)) {
            declare_dead(overlay, verdict->member, verdict->is_gone);
        } else if (!believe_dead(overlay, verdict->member)) {
            set_suspect(overlay, verdict->member, false);
        }
        break;
    }
}

void watch_event(struct overlay *overlay, enum detector_event_kind kind, int index)
{
    struct detector_verdicts verdicts;

    detector_step(&overlay->detector, (struct detector_event){kind, index, overlay->now_ms},
                  &verdicts);
    for (uint32_t i = 0; i < verdicts.count; i++) {
        perform(overlay, &verdicts.list[i]);
    }
    /* The detector may have forgotten its suspicion (we had slept), or watch it no more. */
    if (kind == DETECTOR_HEARD) {
        set_suspect(overlay, index, false);
    }
}

bool watch_is_neighbour(const struct overlay *overlay, const struct node_id *node)
{
    const struct ring *ring = &overlay->ring;

    if (ring->predecessor_count > 0 && id_equal(&ring->predecessors[0].node.id, &node->id)) {
        return true;
    }
    /* All up to the one that grants the lease: the first ones may be about to join. */
    for (uint32_t i = 0; i < ring->successor_count && i <= ring->keeper; i++) {
        if (id_equal(&ring->successors[i].node.id, &node->id)) {
            return true;
        }
    }
    return false;
}

/* A watched member's end shows in a link of our own. While many join at once neighbours are so for
 * moments only: each is dialled when it has remained one. A link that broke before may not be
 * dialled again for long by the transport: a new one shows at once whether anybody is there. */
static void keep_link(struct overlay *overlay, int index)
{
    struct member *member = &overlay->membership.list[index];

    if (overlay->phase != PHASE_MEMBER) {
        return;
    }
    if (member->is_broken) {
        redial(overlay, index);
    } else if (!member->linked && overlay->now_ms - member->near_ms >= NEIGHBOUR_MS) {
        peer_greet(overlay, &member->view.node);
    }
}

/* The predecessor asks us as often as it says, and we our keeper. */
static uint32_t pace_of(const struct overlay *overlay, const struct node_id *node)
{
    const struct ring *ring = &overlay->ring;

    return ring->predecessor_count > 0 && id_equal(&ring->predecessors[0].node.id, &node->id)
               ? ring->first_pace
               : ring->pace;
}

/* Nobody stands next to a leaf: who answers for its id watches it, and it watches its relays. */
static bool is_watched(const struct overlay *overlay, const struct member *member)
{
    if (!membership_is_up(member) || member->view.is_self) {
        return false;
    }
    return membership_is_leaf(member) ? ring_has(&overlay->ring, &member->position)
                                      : watch_is_neighbour(overlay, &member->view.node) ||
                                            leaf_is_relay(overlay, &member->view.node);
}

void watch_neighbours(struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        struct member *member = &overlay->membership.list[i];
        bool watch = is_watched(overlay, member);

        detector_watch(&overlay->detector, (int)i, watch, overlay->now_ms);
        if (!watch) {
            member->near_ms = 0;
        } else {
            if (member->near_ms == 0) {
                member->near_ms = overlay->now_ms;
            }
            keep_link(overlay, (int)i);
            detector_expect(&overlay->detector, (int)i, pace_of(overlay, &member->view.node));
        }
    }
}

void watch_on_ping(struct overlay *overlay, const struct arrival *arrival)
{
    uint64_t accused = arrival->message->kind.ping.accused_incarnation;
    minga_Message message;

    if (accused != 0 && accused >= overlay->record.incarnation) {
        gossip_refute(overlay, accused);
    }
    message_init(&message, minga_Message_pong_tag);
    message.kind.pong.digest = membership_digest(&overlay->membership);
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

/* Is it probed for somebody already? *is_his_out: for this one. */
static bool is_probed(const struct overlay *overlay, const struct node_id *node,
                      const struct asker *asker, bool *is_his_out)
{
    bool is_probed = false;

    *is_his_out = false;
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        const struct request *request = &overlay->requests.list[i];

        if (request->kind == REQUEST_PROBE_FOR && id_equal(&request->to.id, &node->id)) {
            is_probed = true;
            *is_his_out = *is_his_out || id_equal(&request->asker.node.id, &asker->node.id);
        }
    }
    return is_probed;
}

/* Who asks and asks makes us dial a third one once, and leaves room in the table. */
void watch_on_probe_via(struct overlay *overlay, const struct arrival *arrival)
{
    struct node_id node = {message_id(arrival->message->kind.probe_via.node)};
    int index = membership_find(&overlay->membership, &node);
    struct request *request;
    minga_Message message;
    bool is_his = false;
    bool is_dialled = is_probed(overlay, &node, &arrival->asker, &is_his);

    if (index == MEMBER_NONE || index == overlay->self_index || is_his ||
        !requests_may_ask_for(&overlay->requests, &arrival->asker)) {
        return;
    }
    if (!is_dialled && !overlay->membership.list[index].is_up &&
        !(membership_is_leaf(&overlay->membership.list[index]) &&
          overlay->membership.list[index].has_caller)) {
        peer_hang_up(overlay, &node); /* a new link, at once: it may be refused */
    }
    message_init(&message, minga_Message_ping_tag);
    request = peer_request(overlay, REQUEST_PROBE_FOR, &node, &message, REPLY_MS);
    if (request != NULL) {
        request->asker = arrival->asker;
        request->repeat_ms = 0;
    }
}

/* Nobody answered on behalf of whom it was probed: say at least that we looked. */
void watch_on_timeout(struct overlay *overlay, const struct request *request)
{
    int index = membership_find(&overlay->membership, &request->to);
    minga_Message message;

    message_init(&message, minga_Message_probe_result_tag);
    message.kind.probe_result.refused =
        index != MEMBER_NONE && overlay->membership.list[index].is_refused;
    peer_reply(overlay, &request->asker, &message, NULL);
}

static void take_result(struct overlay *overlay, int index, const minga_Message *message)
{
    if (message->which_kind != minga_Message_probe_result_tag) {
        return;
    }
    if (message->kind.probe_result.alive) {
        watch_event(overlay, DETECTOR_HEARD, index);
    } else if (message->kind.probe_result.refused) {
        watch_event(overlay, DETECTOR_DENIED, index);
    }
}

void watch_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival)
{
    minga_Message message;

    if (request->kind == REQUEST_PROBE_FOR) {
        message_init(&message, minga_Message_probe_result_tag);
        message.kind.probe_result.alive = true;
        peer_reply(overlay, &request->asker, &message, NULL);
    } else if (request->kind == REQUEST_PROBE_VIA) {
        take_result(overlay, (int)request->token, arrival->message);
        return;
    }
    if (arrival->member != MEMBER_NONE && arrival->message->which_kind == minga_Message_pong_tag &&
        membership_differs(&overlay->membership, arrival->message->kind.pong.digest)) {
        digests_differ(overlay, arrival->member);
    }
}
