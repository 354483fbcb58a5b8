// SPDX-License-Identifier: GPL-3.0-or-later
/* Going on purpose: said to everyone, so that nobody has to find out. */
#include <string.h>

#include "overlay/ring/ring_internal.h"
#include "overlay/signed.h"
#include "overlay/state.h"

static void end_goodbye(struct overlay *overlay)
{
    uint64_t token = overlay->goodbye_token;

    overlay->goodbye_ms = 0;
    overlay->goodbye_token = 0;
    (void)effect_done(overlay, token, OVERLAY_OK, "");
}

void goodbye_tick(struct overlay *overlay)
{
    if (overlay->goodbye_ms != 0 && overlay->now_ms >= overlay->goodbye_ms) {
        end_goodbye(overlay);
    }
}

static void fill(const struct overlay *overlay, bool back_soon, minga_Message *message)
{
    minga_Goodbye *goodbye = &message->kind.goodbye;

    message_init(message, minga_Message_goodbye_tag);
    goodbye->back_soon = back_soon;
    memcpy(goodbye->node_record.bytes, overlay->record_encoded, overlay->record_bytes);
    goodbye->node_record.size = (pb_size_t)overlay->record_bytes;
}

/* Says goodbye to all but the first one that is told, the heir. */
static void say(struct overlay *overlay, const minga_Message *message, const struct node_id *heir)
{
    for (uint32_t i = 0; i < overlay->membership.count && i < SENDS_MAX / 2; i++) {
        const struct member *member = &overlay->membership.list[i];
        minga_Message copy = *message;

        if (!book_is_told(overlay, (int)i)) {
            continue;
        }
        if (!id_equal(&heir->id, &member->view.node.id)) {
            copy.kind.goodbye.predecessors_count = 0;
        }
        if (peer_request(overlay, REQUEST_GOODBYE, &member->view.node, &copy, GOODBYE_MS) != NULL) {
            overlay->goodbye_waiting++;
        }
    }
}

/* Whoever goes for good hands its arc to its keeper, and answers no more from then on: the keeper
 * takes over when it reads this, and there must never be two. */
static void leave(struct overlay *overlay, bool for_good)
{
    const struct ring_node *keeper = ring_keeper(&overlay->ring);
    struct node_id heir = keeper != NULL ? keeper->node : overlay->self;
    minga_Goodbye arc = minga_Goodbye_init_zero;
    minga_Message message;

    if (for_good) {
        place_fill_goodbye(overlay, &arc);
        overlay->record.leaving = true;
        gossip_describe(overlay, overlay->record.incarnation); /* and so leaves the ring */
    }
    fill(overlay, !for_good, &message);
    message.kind.goodbye.epoch = arc.epoch;
    message.kind.goodbye.predecessors_count = arc.predecessors_count;
    memcpy(message.kind.goodbye.predecessors, arc.predecessors, sizeof(arc.predecessors));
    say(overlay, &message, &heir);
}

void overlay_goodbye(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                     bool for_good, struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    overlay->goodbye_token = token;
    overlay->goodbye_waiting = 0;
    overlay->goodbye_ms = overlay->now_ms + GOODBYE_MS;
    if (overlay->phase == PHASE_MEMBER) {
        leave(overlay, for_good);
    }
    if (overlay->goodbye_waiting == 0) {
        end_goodbye(overlay);
    }
    state_leave(overlay);
}

/* Said before the member described itself as it is known by now: it has come back since. Taken for
 * news, this would take over an arc that the member answers for again. */
static bool is_late(const struct member *member, const minga_Goodbye *goodbye)
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_NodeRecord record = minga_NodeRecord_init_zero;

    if (signed_decode((struct bytes){goodbye->node_record.bytes, goodbye->node_record.size},
                      &envelope) < 0 ||
        signed_decode_body(minga_NodeRecord_fields,
                           (struct bytes){envelope.body.bytes, envelope.body.size}, &record) < 0) {
        return true;
    }
    return member->record_bytes > 0 && record.sequence < member->view.record.sequence;
}

static void hear_goodbye(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Goodbye *goodbye = &arrival->message->kind.goodbye;
    struct member *member = &overlay->membership.list[arrival->member];
    minga_Item item = minga_Item_init_zero;

    place_on_goodbye(overlay, arrival);
    item.kind = minga_ItemKind_ITEM_NODE;
    item.life = minga_Life_LIFE_ALIVE;
    memcpy(item.content.bytes, goodbye->node_record.bytes, goodbye->node_record.size);
    item.content.size = goodbye->node_record.size;
    (void)gossip_apply(overlay, &item);
    if (goodbye->back_soon) {
        member->back_soon_ms = overlay->now_ms + BACK_SOON_MS;
        detector_excuse(&overlay->detector, arrival->member, member->back_soon_ms);
    }
}

void goodbye_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    minga_Message message;

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    if (!is_late(&overlay->membership.list[arrival->member], &arrival->message->kind.goodbye)) {
        hear_goodbye(overlay, arrival);
    }
    message_init(&message, minga_Message_acknowledged_tag);
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

void goodbye_on_reply(struct overlay *overlay, const struct request *request,
                      const struct arrival *arrival)
{
    (void)request;
    (void)arrival;
    if (overlay->goodbye_waiting > 0 && --overlay->goodbye_waiting == 0 &&
        overlay->goodbye_ms != 0) {
        end_goodbye(overlay);
    }
}
