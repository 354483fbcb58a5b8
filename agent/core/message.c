// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/message.h"

#include <errno.h>
#include <string.h>

#include "base/keys.h"
#include "overlay/signed.h"

static_assert(REPLICAS_PER_SERVICE_MAX <= UINT8_MAX, "a slot travels as a byte");
static_assert(minga_AgentMessage_size <= PAYLOAD_BYTES_MAX, "the largest message fits");
static_assert(REPORT_REPLICAS_MAX ==
                  sizeof(((minga_Report *)0)->replicas) / sizeof(((minga_Report *)0)->replicas[0]),
              "the schema's bound is ours");

bool counter_is_near(uint64_t named, uint64_t known)
{
    return named < COUNTER_FREE ||
           (named < COUNTER_END && (named <= known || named - known <= COUNTER_STEP_MAX));
}

uint64_t counter_told(uint64_t named, uint64_t known)
{
    if (named <= known || !counter_is_near(named, known)) {
        return known;
    }
    if (named <= COUNTER_TOLD) {
        return named;
    }
    if (known < COUNTER_TOLD) {
        return COUNTER_TOLD;
    }
    return named - known <= COUNTER_STEP_MAX ? named : known + COUNTER_STEP_MAX;
}

int epoch_compare(const struct epoch *a, const struct epoch *b)
{
    if (a->generation != b->generation) {
        return a->generation < b->generation ? -1 : 1;
    }
    return id_compare(&a->node.id, &b->node.id);
}

struct epoch epoch_of(bool present, const minga_Epoch *wire)
{
    struct epoch epoch = {0};

    if (present) {
        epoch.generation = wire->generation;
        memcpy(epoch.node.id.bytes, wire->node, ID_BYTES);
    }
    return epoch;
}

minga_Epoch epoch_to_wire(const struct epoch *epoch)
{
    minga_Epoch wire = {.generation = epoch->generation};

    memcpy(wire.node, epoch->node.id.bytes, ID_BYTES);
    return wire;
}

minga_Limits limits_to_wire(const struct sandbox_limits *limits)
{
    return (minga_Limits){limits->cpu_permille, limits->memory_bytes, limits->disk_bytes,
                          limits->pid_count};
}

struct sandbox_limits limits_of(bool present, const minga_Limits *wire)
{
    if (!present) {
        return (struct sandbox_limits){0};
    }
    return (struct sandbox_limits){wire->cpu_permille, wire->memory_bytes, wire->disk_bytes,
                                   wire->pid_count};
}

minga_Activity activity_to_wire(const struct sandbox_activity *activity)
{
    return (minga_Activity){
        .connection_count = (uint32_t)activity->connection_count,
        .refused_count = activity->refused_count,
        .io_read_bytes = activity->io_read_bytes,
        .io_written_bytes = activity->io_written_bytes,
        .egress = activity->egress == SANDBOX_EGRESS_UP,
        .egress_lost = activity->egress == SANDBOX_EGRESS_LOST,
    };
}

struct sandbox_activity activity_of(bool present, const minga_Activity *wire)
{
    if (!present) {
        return (struct sandbox_activity){0};
    }
    return (struct sandbox_activity){
        .connection_count = wire->connection_count,
        .refused_count = wire->refused_count,
        .io_read_bytes = wire->io_read_bytes,
        .io_written_bytes = wire->io_written_bytes,
        .egress = wire->egress_lost ? SANDBOX_EGRESS_LOST
                  : wire->egress    ? SANDBOX_EGRESS_UP
                                    : SANDBOX_EGRESS_NONE,
    };
}

bool limits_fit(const struct sandbox_limits *need, const struct sandbox_limits *free,
                enum refusal *lacking_out)
{
    if (need->memory_bytes > free->memory_bytes) {
        *lacking_out = REFUSAL_MEMORY;
        return false;
    }
    if (need->cpu_permille > free->cpu_permille) {
        *lacking_out = REFUSAL_CPU;
        return false;
    }
    if (need->disk_bytes > free->disk_bytes) {
        *lacking_out = REFUSAL_DISK;
        return false;
    }
    if (need->pid_count > free->pid_count) {
        *lacking_out = REFUSAL_PIDS;
        return false;
    }
    return true;
}

void limits_add(struct sandbox_limits *sum, const struct sandbox_limits *more)
{
    sum->cpu_permille += more->cpu_permille;
    sum->memory_bytes += more->memory_bytes;
    sum->disk_bytes += more->disk_bytes;
    sum->pid_count += more->pid_count;
}

static uint64_t minus(uint64_t all, uint64_t part)
{
    return all > part ? all - part : 0;
}

struct sandbox_limits limits_minus(const struct sandbox_limits *all,
                                   const struct sandbox_limits *part)
{
    return (struct sandbox_limits){
        minus(all->cpu_permille, part->cpu_permille),
        minus(all->memory_bytes, part->memory_bytes),
        minus(all->disk_bytes, part->disk_bytes),
        minus(all->pid_count, part->pid_count),
    };
}

static bool key_is_sane(uint32_t slot, uint64_t incarnation)
{
    return slot >= 1 && slot <= REPLICAS_PER_SERVICE_MAX && incarnation >= 1 &&
           incarnation < COUNTER_END;
}

static bool replica_is_sane(const minga_ReplicaReport *replica)
{
    return key_is_sane(replica->slot, replica->incarnation) && replica->state <= REPLICA_FAILED &&
           replica->health <= HEALTH_FAILING && replica->next_try_s <= RESTART_MS_MAX / 1000 &&
           replica->epoch.generation < COUNTER_END;
}

static void report_clean(minga_Report *report)
{
    pb_size_t count = 0;

    for (pb_size_t i = 0; i < report->replicas_count; i++) {
        if (replica_is_sane(&report->replicas[i])) {
            report->replicas[count++] = report->replicas[i];
        }
    }
    report->replicas_count = count;
}

static bool verdicts_are_sane(const minga_ReportReply *reply)
{
    for (pb_size_t i = 0; i < reply->verdicts_count; i++) {
        if (reply->verdicts[i].verdict >= VERDICT_COUNT ||
            reply->verdicts[i].epoch.generation >= COUNTER_END) {
            return false;
        }
    }
    return true;
}

/* A history, which has no count of slots, begins with what ended last. */
static bool slots_are_in_order(const minga_StatusPage *page)
{
    for (pb_size_t i = 1; i < page->slots_count; i++) {
        if (page->head.slot_count > 0 && page->slots[i].slot <= page->slots[i - 1].slot) {
            return false;
        }
    }
    return true;
}

static bool page_is_sane(const minga_StatusPage *page)
{
    if (page->head.state > SERVICE_STOPPING || page->head.slot_count > REPLICAS_PER_SERVICE_MAX ||
        !slots_are_in_order(page)) {
        return false;
    }
    for (pb_size_t i = 0; i < page->slots_count; i++) {
        const minga_SlotStatus *slot = &page->slots[i];

        if (slot->slot < 1 || slot->slot > REPLICAS_PER_SERVICE_MAX ||
            slot->state > REPLICA_FAILED || slot->health > HEALTH_FAILING ||
            slot->next_try_s > RESTART_MS_MAX / 1000 ||
            (slot->node.size != 0 && slot->node.size != ID_BYTES)) {
            return false;
        }
    }
    return true;
}

static bool services_are_sane(const minga_ServicesPage *page)
{
    for (pb_size_t i = 0; i < page->services_count; i++) {
        if (page->services[i].state > SERVICE_STOPPING) {
            return false;
        }
    }
    return true;
}

static bool message_is_sane(const minga_AgentMessage *message)
{
    switch (message->which_body) {
    case minga_AgentMessage_offer_tag:
        return message->body.offer.refusal < REFUSAL_COUNT;
    case minga_AgentMessage_ask_start_tag:
        return key_is_sane(message->body.ask_start.slot, message->body.ask_start.incarnation) &&
               message->body.ask_start.has_epoch &&
               message->body.ask_start.epoch.generation < COUNTER_END;
    case minga_AgentMessage_ask_stop_tag:
        return key_is_sane(message->body.ask_stop.slot, message->body.ask_stop.incarnation) &&
               message->body.ask_stop.has_epoch &&
               message->body.ask_stop.epoch.generation < COUNTER_END;
    case minga_AgentMessage_ask_reply_tag:
        return message->body.ask_reply.refusal < REFUSAL_COUNT &&
               message->body.ask_reply.incarnation < COUNTER_END;
    case minga_AgentMessage_save_reply_tag:
        return message->body.save_reply.generation < COUNTER_END;
    case minga_AgentMessage_report_tag:
        return message->body.report.mood < MOOD_COUNT;
    case minga_AgentMessage_report_reply_tag:
        return verdicts_are_sane(&message->body.report_reply);
    case minga_AgentMessage_status_page_tag:
        return page_is_sane(&message->body.status_page);
    case minga_AgentMessage_services_page_tag:
        return services_are_sane(&message->body.services_page);
    default:
        return message->which_body != 0;
    }
}

int agent_message_decode(struct bytes payload, minga_AgentMessage *message_out)
{
    if (payload.length_bytes == 0 || payload.length_bytes > PAYLOAD_BYTES_MAX ||
        signed_decode_body(minga_AgentMessage_fields, payload, message_out) < 0 ||
        !message_is_sane(message_out)) {
        return -EBADMSG;
    }
    if (message_out->which_body == minga_AgentMessage_report_tag) {
        report_clean(&message_out->body.report);
    }
    return 0;
}

int owner_record_open(struct bytes encoded, const struct service_id *service,
                      minga_Record *record_out)
{
    minga_Signed signed_thing;
    struct public_key owner;
    struct service_id id;

    if (signed_decode(encoded, &signed_thing) < 0 ||
        signed_open(&signed_thing, PURPOSE_RECORD, minga_Record_fields, record_out) < 0 ||
        memcmp(signed_thing.key, record_out->owner_key, PUBLIC_KEY_BYTES) != 0) {
        return -EBADMSG;
    }
    memcpy(owner.bytes, record_out->owner_key, PUBLIC_KEY_BYTES);
    id = keys_service_id(&owner, record_out->name);
    return id_equal(&id.id, &service->id) ? 0 : -EBADMSG;
}

int record_read(struct bytes encoded, minga_Record *record_out)
{
    minga_Signed signed_thing;

    if (encoded.length_bytes == 0 || signed_decode(encoded, &signed_thing) < 0) {
        return -EBADMSG;
    }
    return signed_decode_body(minga_Record_fields,
                              (struct bytes){signed_thing.body.bytes, signed_thing.body.size},
                              record_out);
}

int service_content_read(const minga_Record *record, minga_Service *service_out)
{
    struct bytes content = {record->content.bytes, record->content.size};

    return signed_decode_body(minga_Service_fields, content, service_out);
}

int version_open(const minga_Record *record, minga_Version *version_out,
                 struct manifest *manifest_out)
{
    struct bytes content = {record->content.bytes, record->content.size};
    struct bytes canonical;

    if (record->kind != minga_RecordKind_RECORD_VERSION ||
        signed_decode_body(minga_Version_fields, content, version_out) < 0) {
        return -EBADMSG;
    }
    canonical = (struct bytes){version_out->manifest.bytes, version_out->manifest.size};
    if (manifest_decode(canonical, manifest_out) < 0 ||
        strcmp(manifest_out->name, record->name) != 0) {
        return -EBADMSG;
    }
    return 0;
}

struct sandbox_limits manifest_limits(const struct manifest *manifest)
{
    return (struct sandbox_limits){manifest->cpu_permille, manifest->memory_bytes,
                                   manifest->disk_bytes, manifest->pid_count};
}

minga_Find find_of(const struct service_id *service, const struct public_key *owner_key,
                   const struct manifest *manifest)
{
    minga_Find find = minga_Find_init_zero;
    struct owner_id owner = keys_owner_id(owner_key);
    struct sandbox_limits need = manifest_limits(manifest);

    memcpy(find.service, service->id.bytes, ID_BYTES);
    find.has_need = true;
    find.need = limits_to_wire(&need);
    find.archs_count = (pb_size_t)manifest->arch_count;
    for (uint32_t i = 0; i < manifest->arch_count; i++) {
        find.archs[i] = (uint32_t)manifest->archs[i];
    }
    find.labels_count = (pb_size_t)manifest->label_count;
    for (uint32_t i = 0; i < manifest->label_count; i++) {
        memcpy(find.labels[i], manifest->labels[i], sizeof(find.labels[i]));
    }
    find.port_count = manifest->port_count;
    find.egress = manifest->egress == MANIFEST_EGRESS_INTERNET;
    memcpy(find.owner, owner.id.bytes, ID_BYTES);
    return find;
}
