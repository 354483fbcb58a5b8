// SPDX-License-Identifier: GPL-3.0-or-later
/* The manager record: what a successor must know, with secondaries before anything is asked. */
#include <errno.h>
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

static_assert(minga_Manager_size + 110 <= MANAGER_RECORD_BYTES_MAX, "the signed record fits");

int manager_record_open(struct bytes encoded, minga_Manager *record_out)
{
    minga_Signed signed_thing;
    struct public_key key;
    struct node_id node;

    if (encoded.length_bytes > MANAGER_RECORD_BYTES_MAX ||
        signed_decode(encoded, &signed_thing) < 0 ||
        signed_open(&signed_thing, PURPOSE_MANAGER, minga_Manager_fields, record_out) < 0) {
        return -EBADMSG;
    }
    memcpy(key.bytes, signed_thing.key, PUBLIC_KEY_BYTES);
    node = keys_node_id(&key);
    if (memcmp(node.id.bytes, record_out->node, ID_BYTES) != 0 ||
        record_out->generation >= COUNTER_END) {
        return -EBADMSG;
    }
    for (pb_size_t i = 0; i < record_out->placements_count; i++) {
        const minga_Placement *placement = &record_out->placements[i];
        uint32_t above = i == 0 ? 0 : record_out->placements[i - 1].slot;

        memcpy(node.id.bytes, placement->node, ID_BYTES);
        if ((placement->incarnation == 0) != id_is_zero(&node.id) || placement->slot <= above ||
            placement->slot > REPLICAS_PER_SERVICE_MAX || placement->incarnation >= COUNTER_END ||
            placement->given >= COUNTER_END) {
            return -EBADMSG;
        }
    }
    return 0;
}

static bool blob_store(struct turn *turn, const struct service *service, uint64_t token)
{
    struct overlay_blob blob = {.kind = BLOB_MANAGER, .key = service->id.id};

    blob.bytes = (struct bytes){service->stored, service->stored_bytes};
    return outbox_store_awaited(turn, &blob, token);
}

enum kept service_store(struct turn *turn, struct service *service, const minga_Manager *record,
                        struct bytes encoded, uint64_t token)
{
    struct epoch epoch = {.generation = record->generation};
    int order;

    CHECK(encoded.length_bytes <= MANAGER_RECORD_BYTES_MAX);
    service_learn_given(service, record);
    memcpy(epoch.node.id.bytes, record->node, ID_BYTES);
    order = epoch_compare(&epoch, &service->stored_epoch);
    if (order < 0 || (order == 0 && record->revision < service->stored_revision)) {
        return KEPT_NOT;
    }
    if (order == 0 && record->revision == service->stored_revision &&
        (service->stored_durably || service->stored_token != 0)) {
        return service->stored_durably ? KEPT_DURABLY : KEPT_WRITING; /* asked once more */
    }
    service->stored_durably = false;
    service->stored_epoch = epoch;
    service->stored_revision = record->revision;
    service->stored_bytes = encoded.length_bytes;
    memcpy(service->stored, encoded.data, encoded.length_bytes);
    service->stored_token = blob_store(turn, service, token) ? token : 0;
    return KEPT_WRITING;
}

/* Of which version is done what is done? A record names one: of the wanted version, and of the one
 * that the record before has named as long as nobody here knows what is wanted. */
static uint64_t done_version(const struct service *service)
{
    uint64_t version = service->version;

    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        const struct slot *slot = &service->slots[i];

        if (slot->phase == SLOT_DONE && slot->version > version) {
            version = slot->version;
        }
    }
    return version;
}

static void record_fill(const struct service *service, minga_Manager *record)
{
    *record = (minga_Manager)minga_Manager_init_zero;
    memcpy(record->service, service->id.id.bytes, ID_BYTES);
    record->generation = service->epoch.generation;
    memcpy(record->node, service->epoch.node.id.bytes, ID_BYTES);
    record->revision = service->revision;
    record->record_sequence = service->sequence;
    record->version = done_version(service);
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        const struct slot *slot = &service->slots[i];
        minga_Placement *placement = &record->placements[record->placements_count];

        if (slot->incarnation_max == 0) {
            continue;
        }
        record->placements_count++;
        placement->slot = (uint8_t)(i + 1);
        placement->given = slot->incarnation_max;
        placement->done = slot->phase == SLOT_DONE && slot->version == record->version;
        if (slot_holds_node(slot) || placement->done) {
            placement->incarnation = slot->incarnation;
            memcpy(placement->node, slot->node.id.bytes, ID_BYTES);
        }
    }
}

void service_spread(struct turn *turn, struct service *service)
{
    const struct surroundings *around = turn->around;
    struct node_id nodes[SAVE_COPIES + 1];
    uint32_t count = around->candidates(around->self, &service->id, SAVE_COPIES + 1, nodes);
    minga_AgentMessage message = minga_AgentMessage_init_zero;

    CHECK(service->stored_bytes > 0);
    message.which_body = minga_AgentMessage_save_manager_tag;
    message.body.save_manager.record.size = (pb_size_t)service->stored_bytes;
    memcpy(message.body.save_manager.record.bytes, service->stored, service->stored_bytes);
    service->save_ms = turn->now_ms;
    service->save_asked_count = 0;
    service->save_refused_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct ask ask = {.kind = ASK_SAVE, .to = nodes[i], .service = service->id};

        if (!id_equal(&nodes[i].id, &around->node.id)) {
            ask.number = service->revision;
            service->save_asked_count += outbox_message(turn, &ask, &message) ? 1 : 0;
        }
    }
    if (count <= 1) { /* nobody else manages: the local store must do */
        service->revision_saved = service->revision;
    }
}

void service_save(struct manager *manager, struct turn *turn, struct service *service)
{
    minga_Manager record;
    minga_Signed signed_thing;
    uint8_t encoded[MANAGER_RECORD_BYTES_MAX];
    int length;

    CHECK(service->lead == LEAD_LEADING);
    service->revision++;
    record_fill(service, &record);
    length = signed_make(minga_Manager_fields, &record, PURPOSE_MANAGER,
                         &manager->config.overlay.node_key, &signed_thing);
    CHECK(length == 0);
    length = signed_encode(&signed_thing, encoded, sizeof(encoded));
    CHECK(length > 0);
    service->generation_seen = service->epoch.generation;
    /* Ours stands over whatever was kept: it was made from it, with a higher epoch. */
    service->stored_epoch = service->epoch;
    service->stored_revision = service->revision;
    service->stored_durably = false;
    service->stored_token = 0;
    service->stored_bytes = (size_t)length;
    memcpy(service->stored, encoded, service->stored_bytes);
    (void)blob_store(turn, service, 0);
    service_spread(turn, service);
}
