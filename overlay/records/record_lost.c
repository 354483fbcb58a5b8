// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Two machines of one owner write on top of the same version, in two parts of a parted community:
 * both writes are acknowledged, and when the parts have met one of them stands. Whoever sees both
 * tells the owner's nodes, so that the person who wrote the other one learns of it. That they show
 * the lost write itself, signed, is all the proof there need be.
 */
#include <string.h>

#include "overlay/signed.h"
#include "overlay/state.h"

static bool is_ours(const struct overlay *overlay, const struct public_key *owner)
{
    return overlay->self_index != MEMBER_NONE &&
           memcmp(overlay->membership.list[overlay->self_index].view.owner_key.bytes, owner->bytes,
                  PUBLIC_KEY_BYTES) == 0;
}

static void read_name(const struct record *record, char name_out[NAME_CHARS_MAX + 1])
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Record body = minga_Record_init_zero;

    name_out[0] = '\0';
    if (signed_decode((struct bytes){record->bytes, record->length_bytes}, &envelope) == 0 &&
        signed_decode_body(minga_Record_fields,
                           (struct bytes){envelope.body.bytes, envelope.body.size}, &body) == 0) {
        (void)text_copy(name_out, NAME_CHARS_MAX + 1, body.name);
    }
}

/* The newest first; the oldest is forgotten. */
static void note(struct overlay *overlay, const struct record *record)
{
    struct lost_writes *lost = &overlay->lost;
    struct overlay_lost *entry = &lost->list[0];

    for (uint32_t i = 0; i < lost->count; i++) {
        if (id_equal(&lost->list[i].hash, &record->hash)) {
            return;
        }
    }
    if (lost->count < LOST_WRITES_MAX) {
        lost->count++;
    }
    memmove(&lost->list[1], &lost->list[0], (lost->count - 1) * sizeof(lost->list[0]));
    memset(entry, 0, sizeof(*entry));
    entry->service = record->key.service;
    entry->kind = record_kind(&record->key);
    entry->number = record_number(&record->key);
    entry->sequence = record->sequence;
    entry->lost_unix_s = overlay->wall_unix_s;
    entry->hash = record->hash;
    read_name(record, entry->name);
    effect_trace(overlay, "write %llu of %s is lost to another one",
                 (unsigned long long)record->sequence, entry->name);
}

static bool is_told(struct overlay *overlay, const struct id *hash)
{
    struct lost_writes *lost = &overlay->lost;

    for (uint32_t i = 0; i < LOST_WRITES_MAX; i++) {
        if (id_equal(&lost->told[i], hash)) {
            return true;
        }
    }
    lost->told[lost->told_next] = *hash;
    lost->told_next = (lost->told_next + 1) % LOST_WRITES_MAX;
    return false;
}

static void tell_nodes_of(struct overlay *overlay, const struct record *record)
{
    const struct membership *membership = &overlay->membership;
    uint32_t told_count = 0;
    minga_Message message;

    message_init(&message, minga_Message_record_lost_tag);
    memcpy(message.kind.record_lost.record.bytes, record->bytes, record->length_bytes);
    message.kind.record_lost.record.size = (pb_size_t)record->length_bytes;
    for (uint32_t i = 0; i < membership->count && told_count < LOST_TOLD_MAX; i++) {
        const struct overlay_member *member = &membership->list[i].view;

        if (member->state == MEMBER_UP && !member->is_self &&
            memcmp(member->owner_key.bytes, record->owner.bytes, PUBLIC_KEY_BYTES) == 0) {
            peer_send(overlay, &member->node, &message, NULL);
            told_count++;
        }
    }
}

void record_lost_look(struct overlay *overlay, const struct record *stands,
                      const struct record *comes)
{
    const struct record *loser = comes;

    if (stands->sequence != comes->sequence || id_equal(&stands->hash, &comes->hash)) {
        return;
    }
    if (record_compare(stands, comes) == RECORD_NEWER) {
        loser = stands;
    }
    if (is_told(overlay, &loser->hash)) {
        return;
    }
    if (is_ours(overlay, &loser->owner)) {
        note(overlay, loser);
    }
    tell_nodes_of(overlay, loser);
}

void record_lost_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_RecordLost *told = &arrival->message->kind.record_lost;
    const struct record *stands;
    struct record record;

    if (record_open((struct bytes){told->record.bytes, told->record.size}, &record) < 0 ||
        !is_ours(overlay, &record.owner)) {
        return;
    }
    stands = records_find(&overlay->records, &record.key);
    if (stands == NULL || !id_equal(&stands->hash, &record.hash)) {
        note(overlay, &record);
    }
}

bool overlay_lost(const struct overlay *overlay, uint32_t index, struct overlay_lost *lost_out)
{
    if (index >= overlay->lost.count) {
        return false;
    }
    *lost_out = overlay->lost.list[index];
    return true;
}
