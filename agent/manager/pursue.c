// SPDX-License-Identifier: GPL-3.0-or-later
/* From what is to what is wanted: find nodes, save, ask to start, ask to stop. */
#include <stdio.h>
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

/*
 * It left or was expelled. One that is merely down may be back at once (its mingad was restarted,
 * its replica lives): its silence decides, after ABSENT_MS.
 */
bool node_is_gone(const struct manager *manager, const struct turn *turn,
                  const struct node_id *node)
{
    const struct surroundings *around = turn->around;
    const struct overlay_member *member = around->member(around->self, node);

    if (member == NULL) {
        return around->knows_all(around->self);
    }
    if (member->state == MEMBER_EXPELLED) {
        return true;
    }
    return !member->is_self && member->state == MEMBER_LEFT &&
           !manager_back_soon(manager, node, turn->now_ms);
}

bool node_is_down(const struct turn *turn, const struct node_id *node)
{
    const struct overlay_member *member = turn->around->member(turn->around->self, node);

    return member != NULL && !member->is_self && member->state == MEMBER_DOWN;
}

static void say_why(const struct service *service, const struct slot *slot, uint64_t incarnation,
                    minga_AskStop *stop)
{
    uint64_t version = slot->incarnation == incarnation ? slot->version : slot->retiring.version;

    if (service_wanted(service) > 0 && service_outdates(service, version)) {
        (void)snprintf(stop->reason, sizeof(stop->reason), "version %llu takes its place",
                       (unsigned long long)service->version);
    } else {
        (void)text_copy(stop->reason, sizeof(stop->reason), "stopped by its manager");
    }
}

void slot_ask_stop(struct turn *turn, const struct service *service, uint32_t slot_number,
                   const struct node_id *node, uint64_t incarnation)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_AskStop *stop = &message.body.ask_stop;
    struct ask ask = {.kind = ASK_STOP,
                      .to = *node,
                      .service = service->id,
                      .slot = slot_number,
                      .number = incarnation};

    message.which_body = minga_AgentMessage_ask_stop_tag;
    memcpy(stop->service, service->id.id.bytes, ID_BYTES);
    stop->slot = slot_number;
    stop->incarnation = incarnation;
    stop->has_epoch = true;
    stop->epoch = epoch_to_wire(&service->epoch);
    say_why(service, &service->slots[slot_number - 1], incarnation, stop);
    (void)outbox_message(turn, &ask, &message);
}

static void slot_ask_start(struct turn *turn, struct service *service, uint32_t index)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_AskStart *start = &message.body.ask_start;
    struct slot *slot = &service->slots[index];
    struct ask ask = {.kind = ASK_START,
                      .to = slot->node,
                      .service = service->id,
                      .slot = index + 1,
                      .number = slot->incarnation};

    CHECK(slot->phase == SLOT_SAVING || slot->put_off);
    CHECK(service->revision_saved >= slot->revision);
    if (service->version_known != service->version) {
        return; /* another was put in its place since: its record is on its way */
    }
    message.which_body = minga_AgentMessage_ask_start_tag;
    memcpy(start->service, service->id.id.bytes, ID_BYTES);
    start->slot = index + 1;
    start->incarnation = slot->incarnation;
    start->has_epoch = true;
    start->epoch = epoch_to_wire(&service->epoch);
    start->version_record.size = (pb_size_t)service->version_record_bytes;
    memcpy(start->version_record.bytes, service->version_record, service->version_record_bytes);
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX && start->others_count < 4; i++) {
        if (i != index && service->slots[i].phase == SLOT_PLACED) {
            memcpy(start->others[start->others_count++], service->slots[i].node.id.bytes, ID_BYTES);
        }
    }
    slot->asked_ms = turn->now_ms;
    slot->version = service->version_known;
    slot_enter(slot, SLOT_ASKING, slot->put_off ? slot->phase_ms : turn->now_ms);
    (void)outbox_message(turn, &ask, &message);
}

/* ------------------------------------------------------------------ finding nodes */

static bool slot_needs_node(const struct service *service, uint32_t index)
{
    const struct slot *slot = &service->slots[index];

    return index < service_wanted(service) &&
           slot->incarnation_max + 1 < COUNTER_END && /* a lie may have used them up: this slot's */
           (slot->phase == SLOT_EMPTY || (slot->phase == SLOT_PLACED && slot->leaving));
}

static bool service_needs_node(const struct service *service)
{
    for (uint32_t i = 0; i < service_wanted(service); i++) {
        if (slot_needs_node(service, i)) {
            return true;
        }
    }
    return false;
}

static void find_begin(struct turn *turn, struct service *service)
{
    const struct surroundings *around = turn->around;
    struct node_id nodes[OFFERS_MAX];
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    struct find *find = &service->find;

    find->round++;
    find->running = true;
    find->started_ms = turn->now_ms;
    find->retry_ms = turn->now_ms + FIND_RETRY_MS;
    find->offer_count =
        around->discover(around->self, &service->id, find->round, OFFERS_MAX, nodes);
    find->waiting_count = 0;
    message.which_body = minga_AgentMessage_find_tag;
    message.body.find = find_of(&service->id, &service->owner_key, &service->manifest);
    message.body.find.round = find->round;
    for (uint32_t i = 0; i < find->offer_count; i++) {
        const struct overlay_member *member = around->member(around->self, &nodes[i]);
        struct ask ask = {
            .kind = ASK_FIND, .to = nodes[i], .service = service->id, .number = find->round};

        find->offers[i] = (struct offer){.node = nodes[i]};
        if (member != NULL) {
            (void)text_copy(find->offers[i].zone, sizeof(find->offers[i].zone),
                            member->record.zone);
        }
        find->waiting_count += outbox_message(turn, &ask, &message) ? 1 : 0;
    }
}

/* Brings the offers' marks up to date with the slots, and says which zones are used. */
static void offers_mark(struct service *service, uint64_t now_ms, struct placement_request *request)
{
    request->used_zone_count = 0;
    for (uint32_t i = 0; i < service->find.offer_count; i++) {
        struct offer *offer = &service->find.offers[i];

        offer->avoid = service_avoids(service, &offer->node, now_ms);
        offer->taken = false;
        for (uint32_t j = 0; j < REPLICAS_PER_SERVICE_MAX; j++) {
            const struct slot *slot = &service->slots[j];
            bool here = slot_holds_node(slot) && id_equal(&slot->node.id, &offer->node.id);

            if (here && !slot->leaving && request->used_zone_count < REPLICAS_PER_SERVICE_MAX) {
                memcpy(request->used_zones[request->used_zone_count++], offer->zone,
                       sizeof(offer->zone));
            }
            offer->taken =
                offer->taken || here ||
                (slot->retiring.there && id_equal(&slot->retiring.node.id, &offer->node.id));
        }
    }
}

static void slot_assign(struct turn *turn, struct service *service, struct slot *slot,
                        const struct node_id *node)
{
    slot_retire_occupant(service, slot, turn->now_ms);
    slot_clear(slot, turn->now_ms);
    CHECK(slot->incarnation_max + 1 < COUNTER_END);
    slot->incarnation = ++slot->incarnation_max;
    slot->node = *node;
    slot_enter(slot, SLOT_SAVING, turn->now_ms);
    trace_slot(turn, service, slot, "chosen");
    service_check(service);
}

/* What stands in the way; of more nodes than are asked at once it is said of whom that is. */
static void explain(const struct manager *manager, struct service *service,
                    const struct placement_request *request)
{
    const struct find *find = &service->find;
    char why[REASON_CHARS_MAX + 1];

    manager->placement->explain(request, find->offers, find->offer_count, why);
    if (find->offer_count < OFFERS_MAX) {
        (void)text_copy(service->constraint, sizeof(service->constraint), why);
    } else {
        (void)snprintf(service->constraint, sizeof(service->constraint),
                       "of the %d nodes asked last: %.90s", OFFERS_MAX, why);
    }
}

static void find_end(struct manager *manager, struct turn *turn, struct service *service)
{
    struct placement_request request = {.need = manifest_limits(&service->manifest),
                                        .spread = service->manifest.spread,
                                        .manifest = &service->manifest};
    bool assigned = false;

    service->find.running = false;
    service->constraint[0] = '\0';
    for (uint32_t i = 0; i < service_wanted(service); i++) {
        int chosen;

        if (!slot_needs_node(service, i)) {
            continue;
        }
        offers_mark(service, turn->now_ms, &request);
        chosen =
            manager->placement->choose(&request, service->find.offers, service->find.offer_count);
        if (chosen < 0) {
            explain(manager, service, &request);
            break;
        }
        slot_assign(turn, service, &service->slots[i], &service->find.offers[chosen].node);
        service->slots[i].revision = service->revision + 1;
        assigned = true;
    }
    if (assigned) {
        service_save(manager, turn, service);
    }
}

void service_offered(struct manager *manager, struct turn *turn, struct service *service,
                     const struct ask *ask, const minga_AgentMessage *reply)
{
    struct find *find = &service->find;

    if (!find->running || ask->number != find->round || find->waiting_count == 0 ||
        service->lead != LEAD_LEADING) {
        return;
    }
    find->waiting_count--;
    for (uint32_t i = 0; i < find->offer_count; i++) {
        struct offer *offer = &find->offers[i];
        const minga_Offer *wire;

        if (!id_equal(&offer->node.id, &ask->to.id) || reply == NULL ||
            reply->which_body != minga_AgentMessage_offer_tag) {
            continue;
        }
        wire = &reply->body.offer;
        offer->answered = true;
        offer->refusal = (enum refusal)wire->refusal;
        offer->free = limits_of(wire->has_free, &wire->free);
        offer->contribution = limits_of(wire->has_contribution, &wire->contribution);
        offer->uptime_ms = wire->uptime_ms;
    }
    if (find->waiting_count == 0) {
        find_end(manager, turn, service);
        service_pursue(manager, turn, service);
    }
}

/* ------------------------------------------------------------------ one slot */

/* Refused because that node does not, or not yet, know us as the manager. */
static bool puts_off(const minga_AgentMessage *reply)
{
    return reply != NULL && reply->which_body == minga_AgentMessage_ask_reply_tag &&
           reply->body.ask_reply.refusal == REFUSAL_MANAGER;
}

/* Refused because a higher incarnation ran there, before we knew of the service. */
static bool learned_incarnation(struct slot *slot, const minga_AgentMessage *reply, uint64_t now_ms)
{
    if (reply == NULL || reply->which_body != minga_AgentMessage_ask_reply_tag ||
        reply->body.ask_reply.refusal != REFUSAL_STALE ||
        reply->body.ask_reply.incarnation < slot->incarnation) {
        return false;
    }
    return slot_told(slot, reply->body.ask_reply.incarnation, now_ms);
}

void service_started(struct manager *manager, struct turn *turn, struct service *service,
                     const struct ask *ask, const minga_AgentMessage *reply)
{
    struct slot *slot = &service->slots[ask->slot - 1];
    bool accepted = reply != NULL && reply->which_body == minga_AgentMessage_ask_reply_tag &&
                    reply->body.ask_reply.refusal == REFUSAL_NONE;

    CHECK(ask->slot >= 1 && ask->slot <= REPLICAS_PER_SERVICE_MAX);
    if (slot->phase != SLOT_ASKING || slot->incarnation != ask->number ||
        !id_equal(&slot->node.id, &ask->to.id)) {
        return;
    }
    if (accepted) {
        slot->heard_ms = turn->now_ms;
        slot->state = REPLICA_FETCHING;
        slot->state_ms = turn->now_ms;
        slot_enter(slot, SLOT_PLACED, turn->now_ms);
    } else if (puts_off(reply)) {
        slot->put_off = true;
        (void)text_copy(slot->reason, sizeof(slot->reason), "its node looks up its manager");
    } else {
        trace_slot(turn, service, slot, reply == NULL ? "no answer" : "refused");
        if (!learned_incarnation(slot, reply, turn->now_ms)) {
            service_avoid(service, &slot->node, turn->now_ms + REFUSED_MS);
        }
        slot_clear(slot, turn->now_ms);
        if (reply != NULL && reply->which_body == minga_AgentMessage_ask_reply_tag) {
            (void)text_copy(slot->reason, sizeof(slot->reason), reply->body.ask_reply.reason);
        }
        service->find.retry_ms = turn->now_ms; /* the next candidate, at once */
    }
    service_pursue(manager, turn, service);
}

static void slot_end(struct turn *turn, struct service *service, uint32_t index)
{
    struct slot *slot = &service->slots[index];

    slot->asked_ms = turn->now_ms;
    slot_enter(slot, SLOT_ENDING, slot->phase == SLOT_ENDING ? slot->phase_ms : turn->now_ms);
    slot_ask_stop(turn, service, index + 1, &slot->node, slot->incarnation);
}

static bool slot_is_silent(const struct manager *manager, const struct slot *slot, uint64_t now_ms)
{
    return slot->phase == SLOT_PLACED && now_ms > slot->heard_ms + ABSENT_MS &&
           now_ms > slot->phase_ms + ABSENT_MS && !manager_back_soon(manager, &slot->node, now_ms);
}

/* Why nobody waits any longer for what was placed there. */
static const char *slot_loss(const struct manager *manager, const struct turn *turn,
                             const struct slot *slot)
{
    if (!slot_holds_node(slot)) {
        return NULL;
    }
    if (node_is_gone(manager, turn, &slot->node)) {
        return "its node has left the community";
    }
    if (slot_is_silent(manager, slot, turn->now_ms) || (slot->down && slot->phase != SLOT_PLACED)) {
        return slot->down ? "its node is down" : "its node does not report it any more";
    }
    return NULL;
}

static bool slot_is_wanted(const struct service *service, uint32_t index)
{
    return index < service_wanted(service) &&
           !service_outdates(service, service->slots[index].version);
}

bool slot_is_undone(const struct service *service, uint32_t index)
{
    const struct slot *slot = &service->slots[index];

    CHECK(service->known);
    return slot->phase == SLOT_DONE && (!slot_is_wanted(service, index) ||
                                        (service->version_known == slot->version &&
                                         service->manifest.restart == MANIFEST_RESTART_ALWAYS));
}

static void slot_review(struct manager *manager, struct turn *turn, struct service *service,
                        uint32_t index)
{
    struct slot *slot = &service->slots[index];
    bool wanted = slot_is_wanted(service, index);
    const char *loss;

    retiring_review(manager, turn, service, index);
    slot->down = slot_holds_node(slot) && node_is_down(turn, &slot->node);
    loss = slot_loss(manager, turn, slot);
    if (loss != NULL) {
        trace_slot(turn, service, slot, "gone or silent");
        if (slot->phase == SLOT_PLACED || slot->phase == SLOT_ENDING) {
            slot_note_ended(service, slot, REPLICA_FAILED, loss, turn->now_ms);
        }
        slot_clear(slot, turn->now_ms);
        service->find.retry_ms = turn->now_ms;
    }
    if (slot->phase == SLOT_ASKING && turn->now_ms >= slot->phase_ms + START_MS) {
        service_avoid(service, &slot->node, turn->now_ms + REFUSED_MS);
        slot_clear(slot, turn->now_ms);
        service->find.retry_ms = turn->now_ms;
    }
    if (slot_is_undone(service, index)) {
        slot_clear(slot, turn->now_ms);
        service_save(manager, turn, service);
    }
    if (!wanted && slot->phase == SLOT_SAVING) {
        slot_clear(slot, turn->now_ms);
    }
    if (!wanted && (slot->phase == SLOT_ASKING || slot->phase == SLOT_PLACED)) {
        slot_end(turn, service, index);
    }
    if (slot->phase == SLOT_ENDING && turn->now_ms >= slot->asked_ms + STOP_RETRY_MS) {
        slot_end(turn, service, index);
    }
    if ((slot->phase == SLOT_SAVING && service->revision_saved >= slot->revision) ||
        (slot->put_off && turn->now_ms >= slot->asked_ms + START_AGAIN_MS)) {
        slot_ask_start(turn, service, index);
    }
}

/* What is due for the slots. False: there is nothing to pursue (any more). */
static bool review(struct manager *manager, struct turn *turn, struct service *service)
{
    if (service->lead != LEAD_LEADING) {
        return false;
    }
    service_read_records(manager, turn, service);
    if (!service->known) {
        return false;
    }
    if ((service->revision_saved < service->revision &&
         turn->now_ms >= service->save_ms + SAVE_MS) ||
        (service->unseen_ms != 0 && turn->now_ms >= service->save_ms + UNSEEN_AGAIN_MS)) {
        service_spread(turn, service);
    }
    for (uint32_t i = REPLICAS_PER_SERVICE_MAX; i > 0; i--) { /* highest slots end first */
        slot_review(manager, turn, service, i - 1);
    }
    return true;
}

void service_pursue(struct manager *manager, struct turn *turn, struct service *service)
{
    if (!review(manager, turn, service)) {
        return;
    }
    if (service->find.running && turn->now_ms >= service->find.started_ms + FIND_MS) {
        find_end(manager, turn, service);
        if (!review(manager, turn, service)) {
            return;
        }
    }
    if (!service->find.running && turn->now_ms >= service->find.retry_ms &&
        service->version_known == service->version && service->version != 0 &&
        service_needs_node(service)) {
        find_begin(turn, service);
    }
    service_check(service);
    service_update_state(service, turn->now_ms);
}
