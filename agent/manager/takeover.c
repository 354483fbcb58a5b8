// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Becoming the manager of a service and ceasing to be: fetch the last record, listen to what
 * executors report, lead with a higher epoch. A foreign higher epoch (two sides that met again)
 * begins the listening anew: what both sides run is judged together.
 */
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

/* What the last record says is where replicas are, until they report or do not. */
static void slots_from_record(struct turn *turn, struct service *service)
{
    minga_Manager record;

    if (service->stored_bytes == 0 ||
        manager_record_open((struct bytes){service->stored, service->stored_bytes}, &record) < 0) {
        return;
    }
    for (pb_size_t i = 0; i < record.placements_count; i++) {
        const minga_Placement *placement = &record.placements[i];
        struct slot *slot = &service->slots[placement->slot - 1];
        struct node_id node;
        bool twice = false;

        memcpy(node.id.bytes, placement->node, ID_BYTES);

        for (uint32_t j = 0; j < REPLICAS_PER_SERVICE_MAX; j++) {
            twice = twice || (slot_holds_node(&service->slots[j]) &&
                              id_equal(&service->slots[j].node.id, &node.id));
        }
        if (slot->phase != SLOT_EMPTY || (twice && !placement->done) ||
            placement->incarnation == 0) {
            continue;
        }
        if (placement->done && record.version == 0) {
            continue; /* of which version nobody knew */
        }
        slot_clear(slot, turn->now_ms);
        slot->incarnation = placement->incarnation;
        slot->node = node;
        if (placement->done) {
            slot->state = REPLICA_ENDED;
            slot->version = record.version;
            (void)text_copy(slot->reason, sizeof(slot->reason), "under another manager");
            slot_enter(slot, SLOT_DONE, turn->now_ms);
        } else {
            (void)text_copy(slot->reason, sizeof(slot->reason), "its manager has changed");
            slot_enter(slot, SLOT_PLACED, turn->now_ms);
        }
    }
}

static void listen_to_nodes(struct turn *turn, struct service *service)
{
    service->lead = LEAD_LISTENING;
    service->lead_ms = turn->now_ms;
    trace_service(turn, service, "listens");
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        service->slots[i].heard_ms = 0;
    }
}

/* Never what nobody else would read. */
static uint64_t generation_after(uint64_t generation)
{
    return generation + 1 < COUNTER_END ? generation + 1 : COUNTER_END - 1;
}

static void fetched_all(struct manager *manager, struct turn *turn, struct service *service)
{
    CHECK(service->lead == LEAD_FETCHING);
    if (service->generation_seen < service->stored_epoch.generation) {
        service->generation_seen = service->stored_epoch.generation;
    }
    service->blank_until_ms = service->stored_bytes == 0 ? turn->now_ms + BLANK_MS : 0;
    service->epoch.generation = generation_after(service->generation_seen);
    service->epoch.node = turn->around->node;
    service->revision = 0;
    service->revision_saved = 0;
    service->unseen_ms = 0;
    slots_from_record(turn, service);
    service_read_records(manager, turn, service);
    if (service->history) {
        listen_to_nodes(turn, service);
        return;
    }
    /* All who could know were asked and know of nothing: nothing was ever placed. */
    service->lead = LEAD_LEADING;
    service->lead_ms = turn->now_ms;
    trace_service(turn, service, "leads from the beginning");
    service_pursue(manager, turn, service);
}

void service_elect(struct manager *manager, struct turn *turn, struct service *service)
{
    const struct surroundings *around = turn->around;
    struct node_id nodes[FETCH_ASKED_MAX + 1];
    uint32_t count = around->candidates(around->self, &service->id, FETCH_ASKED_MAX + 1, nodes);
    minga_AgentMessage message = minga_AgentMessage_init_zero;

    CHECK(service->lead == LEAD_NOT);
    service->lead = LEAD_FETCHING;
    service->listened_ms = 0;
    service->lead_ms = turn->now_ms;
    service->record_pause_ms = 0;
    service->state_ms = 0; /* what it was when this node led before */
    service->history = service->history || service->stored_bytes > 0;
    service->fetch_waiting_count = 0;
    message.which_body = minga_AgentMessage_fetch_manager_tag;
    memcpy(message.body.fetch_manager.service, service->id.id.bytes, ID_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        struct ask ask = {.kind = ASK_FETCH, .to = nodes[i], .service = service->id};

        if (id_equal(&nodes[i].id, &around->node.id)) {
            continue;
        }
        if (outbox_message(turn, &ask, &message)) {
            service->fetch_waiting_count++;
        } else {
            service->history = true; /* too much to send at once: it may know what we do not */
        }
    }
    if (service->fetch_waiting_count == 0) {
        fetched_all(manager, turn, service);
    }
}

void service_fetched(struct manager *manager, struct turn *turn, struct service *service,
                     const minga_AgentMessage *reply)
{
    minga_Manager record;
    struct bytes encoded;

    if (service->lead != LEAD_FETCHING || service->fetch_waiting_count == 0) {
        return;
    }
    service->fetch_waiting_count--;
    if (reply == NULL || reply->which_body != minga_AgentMessage_fetch_reply_tag) {
        service->history = true; /* it may know what we do not */
    } else if (reply->body.fetch_reply.record.size > 0) {
        encoded = (struct bytes){reply->body.fetch_reply.record.bytes,
                                 reply->body.fetch_reply.record.size};
        if (manager_record_open(encoded, &record) == 0 &&
            memcmp(record.service, service->id.id.bytes, ID_BYTES) == 0 &&
            service_believes(service, &record, true)) {
            (void)service_store(turn, service, &record, encoded, 0);
        }
        service->history = true;
    }
    if (service->fetch_waiting_count == 0) {
        fetched_all(manager, turn, service);
    }
}

void service_resign(struct turn *turn, struct service *service)
{
    CHECK(service->lead != LEAD_NOT);
    trace_service(turn, service, "resigns");
    if (service->stored_bytes > 0) {
        service_spread(turn, service); /* the new leader is among the candidates */
    }
    service->lead = LEAD_NOT;
    service->find.running = false;
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        service->slots[i].retiring.there = false;
        slot_clear(&service->slots[i], turn->now_ms);
    }
}

static void go_above(struct service *service, uint64_t generation)
{
    service->epoch.generation = generation_after(generation);
}

void service_raise(struct service *service, struct turn *turn, uint64_t generation)
{
    if (generation < service->epoch.generation || service->lead == LEAD_NOT ||
        generation + 1 >= COUNTER_END) {
        return;
    }
    service->generation_seen = generation;
    service->history = true;
    if (service->lead == LEAD_FETCHING) {
        return;
    }
    go_above(service, generation);
    slots_from_record(turn, service);
    listen_to_nodes(turn, service);
}

void service_pass(struct manager *manager, struct turn *turn, struct service *service,
                  uint64_t generation)
{
    bool has_just_listened =
        service->listened_ms != 0 && turn->now_ms < service->listened_ms + LISTEN_AGAIN_MS;

    if (service->lead == LEAD_LEADING ? !has_just_listened : service->lead != LEAD_LISTENING) {
        service_raise(service, turn, generation);
        return;
    }
    if (generation < service->epoch.generation || generation + 1 >= COUNTER_END) {
        return;
    }
    if (service->lead == LEAD_LISTENING) {
        go_above(service, generation);
    } else if (turn->now_ms >= service->passed_ms + PASS_AGAIN_MS) {
        service->passed_ms = turn->now_ms;
        go_above(service, generation);
        trace_service(turn, service, "leads on above it");
        service_save(manager, turn, service);
    }
}

/* Everything that should be somewhere has been heard: no need to listen on. */
static bool heard_all(const struct service *service)
{
    uint32_t heard_count = 0;

    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        const struct slot *slot = &service->slots[i];

        if (slot_holds_node(slot) && slot->heard_ms == 0) {
            return false;
        }
        heard_count += slot->heard_ms != 0 || slot->phase == SLOT_DONE ? 1 : 0;
    }
    return heard_count > 0 && heard_count >= service_wanted(service);
}

static void listened(struct manager *manager, struct turn *turn, struct service *service)
{
    service->lead = LEAD_LEADING;
    service->lead_ms = turn->now_ms;
    service->listened_ms = turn->now_ms;
    trace_service(turn, service, "leads");
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        struct slot *slot = &service->slots[i];

        if (slot_holds_node(slot) && slot->heard_ms == 0 &&
            !manager_back_soon(manager, &slot->node, turn->now_ms)) {
            slot_note_ended(service, slot, REPLICA_FAILED, "not heard by its new manager",
                            turn->now_ms);
            slot_clear(slot, turn->now_ms);
        }
        if (service->known && slot_is_undone(service, i)) {
            slot_clear(slot, turn->now_ms); /* before it is told to anybody */
        }
    }
    service_save(manager, turn, service);
    service_pursue(manager, turn, service);
}

void service_takeover_tick(struct manager *manager, struct turn *turn, struct service *service)
{
    if (service->lead == LEAD_FETCHING && turn->now_ms >= service->lead_ms + FETCH_MS) {
        service->fetch_waiting_count = 0;
        service->history = true;
        fetched_all(manager, turn, service);
    }
    if (service->lead == LEAD_LISTENING) {
        if (!service->known) {
            service_read_records(manager, turn, service);
        }
        if (turn->now_ms >= service->lead_ms + LISTEN_MS ||
            (service->known && heard_all(service))) {
            listened(manager, turn, service);
        }
    }
}
