// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/manager/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

struct manager *manager_new(const struct core_config *config, const struct placement *placement)
{
    struct manager *manager = calloc(1, sizeof(*manager));

    if (manager == NULL) {
        return NULL;
    }
    manager->config = *config;
    manager->placement = placement;
    return manager;
}

void manager_free(struct manager *manager)
{
    free(manager);
}

int manager_load(struct manager *manager, const struct overlay_blob *blob)
{
    minga_Manager record;
    struct service_id id = {blob->key};
    struct service *service;

    if (manager_record_open(blob->bytes, &record) < 0 ||
        memcmp(record.service, id.id.bytes, ID_BYTES) != 0) {
        return -EBADMSG;
    }
    service = service_make(manager, NULL, &id);
    if (service == NULL) {
        return -EBADMSG;
    }
    service->stored_epoch.generation = record.generation;
    memcpy(service->stored_epoch.node.id.bytes, record.node, ID_BYTES);
    service->stored_revision = record.revision;
    service->stored_durably = true;
    service->stored_bytes = blob->bytes.length_bytes;
    memcpy(service->stored, blob->bytes.data, blob->bytes.length_bytes);
    service_learn_given(service, &record);
    return 0;
}

/* A removed service of which nothing runs any more needs no manager and no record. */
static bool forget_if_removed(struct turn *turn, struct service *service)
{
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        if (slot_holds_node(&service->slots[i]) || service->slots[i].retiring.there) {
            return false;
        }
    }
    service_drop(turn, service);
    return true;
}

static bool record_is_tombstone(const struct turn *turn, const struct service_id *id)
{
    const struct surroundings *around = turn->around;
    struct bytes encoded = around->record(around->self, id, minga_RecordKind_RECORD_SERVICE, 0);
    minga_Record record;

    return record_read(encoded, &record) == 0 && record.removed;
}

static void look_at(struct manager *manager, struct turn *turn, struct service *service)
{
    bool leads = service_leads(&service->id, turn);

    if (leads && service->lead == LEAD_NOT) {
        service_elect(manager, turn, service);
    } else if (!leads && service->lead != LEAD_NOT) {
        service_resign(turn, service);
    } else if (leads) {
        service_pursue(manager, turn, service);
    }
}

void manager_look_around(struct manager *manager, struct turn *turn)
{
    struct service_id id;
    uint32_t cursor = 0;

    while (turn->around->service_next(turn->around->self, &cursor, &id)) {
        if (service_by_id(manager, &id) == NULL && service_leads(&id, turn) &&
            !record_is_tombstone(turn, &id)) {
            (void)service_make(manager, turn, &id); /* full: others' records are still kept */
        }
    }
    for (uint32_t i = 0; i < manager->high_water; i++) {
        if (manager->services[i].used && !service_expires(turn, &manager->services[i])) {
            look_at(manager, turn, &manager->services[i]);
        }
    }
}

void manager_record(struct manager *manager, struct turn *turn, const struct service_id *id)
{
    struct service *service = service_by_id(manager, id);
    bool removed = record_is_tombstone(turn, id);

    if (service == NULL && !removed && service_leads(id, turn)) {
        service = service_make(manager, turn, id);
    }
    if (service == NULL ||
        (removed && service->lead == LEAD_NOT && forget_if_removed(turn, service))) {
        return;
    }
    look_at(manager, turn, service);
    if (service->removed) {
        (void)forget_if_removed(turn, service);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void manager_free_changed(struct manager *manager, struct turn *turn)
{
    for (uint32_t i = 0; i < manager->high_water; i++) {
        struct service *service = &manager->services[i];

        if (service->used && service->lead == LEAD_LEADING && service->constraint[0] != '\0' &&
            !service->find.running) {
            service->find.retry_ms =
                earlier(service->find.retry_ms, service->find.started_ms + FIND_PAUSE_MS);
            service_pursue(manager, turn, service);
        }
    }
}

/* After a silence of our own nobody else may be called silent. */
static void forgive_silence(struct service *service, uint64_t now_ms)
{
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        struct slot *slot = &service->slots[i];

        if (slot->phase == SLOT_PLACED) {
            slot->phase_ms = now_ms;
        }
        slot->retiring.heard_ms = now_ms;
    }
}

void manager_tick(struct manager *manager, struct turn *turn)
{
    bool slept = manager->last_tick_ms != 0 && turn->now_ms > manager->last_tick_ms + SLEEP_GAP_MS;

    manager->last_tick_ms = turn->now_ms;
    for (uint32_t i = 0; i < manager->high_water; i++) {
        struct service *service = &manager->services[i];

        if (!service->used || service->lead == LEAD_NOT) {
            continue;
        }
        if (slept) {
            forgive_silence(service, turn->now_ms);
        }
        /* What was looked up grows old without a word. */
        if (!turn->around->knows_all(turn->around->self) && !service_leads(&service->id, turn)) {
            service_resign(turn, service);
            continue;
        }
        if (service_expires(turn, service)) {
            continue;
        }
        service_takeover_tick(manager, turn, service);
        service_pursue(manager, turn, service);
        if (service->removed && service->lead == LEAD_LEADING) {
            (void)forget_if_removed(turn, service);
        }
    }
}

static uint64_t service_wake_ms(const struct service *service, uint64_t last_tick_ms)
{
    uint64_t wake_ms = last_tick_ms + HEARTBEAT_MS;

    if (service->lead == LEAD_FETCHING) {
        return earlier(wake_ms, service->lead_ms + FETCH_MS);
    }
    if (service->lead == LEAD_LISTENING) {
        return earlier(wake_ms, service->lead_ms + LISTEN_MS);
    }
    if (service->find.running) {
        wake_ms = earlier(wake_ms, service->find.started_ms + FIND_MS);
    }
    if (service->revision_saved < service->revision) {
        wake_ms = earlier(wake_ms, service->save_ms + SAVE_MS);
    }
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        const struct slot *slot = &service->slots[i];

        if (slot->down && slot->heard_ms + ABSENT_MS >= last_tick_ms) {
            wake_ms = earlier(wake_ms, slot->heard_ms + ABSENT_MS + 1);
        }
        if (slot->put_off) {
            wake_ms = earlier(wake_ms, slot->asked_ms + START_AGAIN_MS);
        }
    }
    return wake_ms;
}

uint64_t manager_wake_ms(const struct manager *manager)
{
    uint64_t wake_ms = UINT64_MAX;

    for (uint32_t i = 0; i < manager->high_water; i++) {
        const struct service *service = &manager->services[i];

        if (service->used && service->lead != LEAD_NOT) {
            wake_ms = earlier(wake_ms, service_wake_ms(service, manager->last_tick_ms));
        }
    }
    return wake_ms;
}

/* ------------------------------------------------------------------ others' messages */

/* Sides that met again see each other's managers at any rank: what they gave out is not given again. */
static void learn_of_anybody(struct manager *manager, const struct turn *turn,
                             const struct service_id *id, const minga_Manager *record)
{
    struct service *service = service_by_id(manager, id);

    if (service != NULL) {
        service_told_record(service, record, turn->now_ms);
    }
}

uint64_t manager_save(struct manager *manager, struct turn *turn,
                      const struct manager_saving *saving, minga_SaveReply *reply_out)
{
    struct bytes encoded = {saving->message->record.bytes, saving->message->record.size};
    enum kept kept;
    minga_Manager record;
    struct service_id id;
    struct service *service;

    CHECK(saving->token != 0);
    *reply_out = (minga_SaveReply)minga_SaveReply_init_zero;
    if (manager_record_open(encoded, &record) < 0) {
        return 0;
    }
    memcpy(id.id.bytes, record.service, ID_BYTES);
    memcpy(reply_out->service, record.service, ID_BYTES);
    reply_out->revision = record.revision;
    if (!may_save(turn, &id, saving->from)) {
        learn_of_anybody(manager, turn, &id, &record);
        reply_out->foreign = true;
        return 0;
    }
    service = service_make(manager, turn, &id);
    /* Not believed is as no room: whoever leads goes on without. */
    if (service == NULL ||
        !service_believes(service, &record, may_manage(turn->around, &id, saving->from))) {
        return 0;
    }
    kept = service_store(turn, service, &record, encoded, saving->token);
    if (service->lead != LEAD_NOT && kept != KEPT_NOT) {
        service_raise(service, turn, record.generation); /* then ours is the higher again */
    }
    if (service->lead == LEAD_LISTENING || service->lead == LEAD_LEADING) {
        reply_out->generation = service->epoch.generation;
        return 0;
    }
    reply_out->generation = service->stored_epoch.generation;
    reply_out->saved = kept != KEPT_NOT;
    return kept == KEPT_WRITING ? service->stored_token : 0;
}

void manager_stored(struct manager *manager, uint64_t token, bool failed)
{
    CHECK(token != 0);
    for (uint32_t i = 0; i < manager->high_water; i++) {
        struct service *service = &manager->services[i];

        if (service->used && service->stored_token == token) {
            service->stored_token = 0;
            service->stored_durably = !failed;
        }
    }
}

void manager_fetch(const struct manager *manager, const minga_FetchManager *fetch,
                   minga_FetchReply *reply_out)
{
    *reply_out = (minga_FetchReply)minga_FetchReply_init_zero;
    memcpy(reply_out->service, fetch->service, ID_BYTES);
    for (uint32_t i = 0; i < manager->high_water; i++) {
        const struct service *service = &manager->services[i];

        if (service->used && memcmp(service->id.id.bytes, fetch->service, ID_BYTES) == 0) {
            reply_out->record.size = (pb_size_t)service->stored_bytes;
            memcpy(reply_out->record.bytes, service->stored, service->stored_bytes);
            return;
        }
    }
}

/* ------------------------------------------------------------------ ends of what was asked */

/* Not saved without a higher epoch. Who does not see that it should save will soon; else its table
 * or disk is full. Only when all are so does the service go on without: it is not better soon. */
static bool all_refuse(struct service *service, const minga_SaveReply *reply, uint64_t now_ms)
{
    if (reply->revision != service->revision) {
        return false;
    }
    if (reply->foreign && service->unseen_ms == 0) {
        service->unseen_ms = now_ms;
    }
    if (reply->foreign && now_ms < service->unseen_ms + UNSEEN_MS) {
        return false;
    }
    return ++service->save_refused_count >= service->save_asked_count;
}

static void saved(struct manager *manager, struct turn *turn, struct service *service,
                  const struct ask *ask, const minga_AgentMessage *message)
{
    const minga_SaveReply *reply;

    if (message == NULL || message->which_body != minga_AgentMessage_save_reply_tag ||
        service->lead == LEAD_NOT || service->lead == LEAD_FETCHING) {
        return; /* by time it is spread again */
    }
    reply = &message->body.save_reply;
    if (!reply->saved && reply->generation >= service->epoch.generation &&
        may_manage(turn->around, &service->id, &ask->to) &&
        counter_is_vouched(reply->generation, service_generation(service))) {
        service_raise(service, turn, reply->generation); /* another led meanwhile */
        return;
    }
    if (!reply->saved && !all_refuse(service, reply, turn->now_ms)) {
        return;
    }
    if (reply->saved && reply->revision == service->revision) {
        service->unseen_ms = 0;
    }
    if (reply->revision <= service->revision && reply->revision > service->revision_saved) {
        service->revision_saved = reply->revision;
        service_pursue(manager, turn, service);
    }
}

static void stopped(struct turn *turn, struct service *service, const struct ask *ask,
                    const minga_AgentMessage *reply)
{
    struct slot *slot = &service->slots[ask->slot - 1];

    CHECK(ask->slot >= 1 && ask->slot <= REPLICAS_PER_SERVICE_MAX);
    if (reply != NULL && reply->which_body == minga_AgentMessage_ask_reply_tag &&
        reply->body.ask_reply.refusal == REFUSAL_UNKNOWN && slot->phase == SLOT_ENDING &&
        slot->incarnation == ask->number && id_equal(&slot->node.id, &ask->to.id)) {
        slot_note_ended(service, slot, REPLICA_ENDED, "stopped by its manager", turn->now_ms);
        slot_clear(slot, turn->now_ms);
    }
}

void manager_answered(struct manager *manager, struct turn *turn, const struct ask *ask,
                      const minga_AgentMessage *reply)
{
    struct service *service = service_by_id(manager, &ask->service);

    if (service == NULL || service->lead == LEAD_NOT) {
        return;
    }
    switch (ask->kind) {
    case ASK_FIND:
        service_offered(manager, turn, service, ask, reply);
        break;
    case ASK_START:
        service_started(manager, turn, service, ask, reply);
        break;
    case ASK_STOP:
        stopped(turn, service, ask, reply);
        service_pursue(manager, turn, service);
        break;
    case ASK_SAVE:
        saved(manager, turn, service, ask, reply);
        break;
    case ASK_FETCH:
        service_fetched(manager, turn, service, reply);
        break;
    case ASK_NOTHING:
    case ASK_REPORT:
    case ASK_RECORD:
    case ASK_CHUNK:
    case ASK_STATUS:
    case ASK_SERVICES:
    case ASK_LOGS:
    case ASK_EXEC:
    case ASK_PASS:
    case ASK_OFFER:
    case ASK_REQUEST:
        break;
    }
}

void manager_record_got(struct manager *manager, struct turn *turn, const struct ask *ask,
                        struct bytes encoded)
{
    struct service *service = service_by_id(manager, &ask->service);
    minga_Record record;

    if (service == NULL || owner_record_open(encoded, &ask->service, &record) < 0) {
        return;
    }
    service_take_record(service, turn, encoded, ask->record_kind);
    service_takeover_tick(manager, turn, service);
    service_pursue(manager, turn, service);
}
