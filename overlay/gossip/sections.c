// SPDX-License-Identifier: GPL-3.0-or-later
/* The sections of anti-entropy: each is a sorted list of entries of what this node has. */
#include <string.h>

#include "overlay/state.h"

static bool next_ban(const struct ban_table *table, const struct record_key *after,
                     minga_Entry *entry_out)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (after == NULL || id_compare(&table->list[i].key, &after->service.id) > 0) {
            message_put_id(entry_out->id, &table->list[i].key);
            return true;
        }
    }
    return false;
}

/* A member's version: 0 when nothing is known of its life; a death outranks the record. */
static uint64_t node_version(const struct member *member)
{
    if (member->life == LIFE_UNKNOWN || member->record_bytes == 0) {
        return 0;
    }
    return member->view.record.sequence << 1 | (member->life == LIFE_DEAD ? 1 : 0);
}

static bool is_compared(const struct section *section, const struct member *member)
{
    return !section->arc.used ||
           id_in_arc(&member->position.id, &section->arc.from.id, &section->arc.to.id);
}

static bool next_member(const struct overlay *overlay, const struct section *section,
                        const struct record_key *after, minga_Entry *entry_out)
{
    const struct membership *membership = &overlay->membership;
    uint32_t low = 0;
    uint32_t high = membership->count;

    while (after != NULL && low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct member *member = &membership->list[membership->by_id[middle]];

        if (id_compare(&member->view.node.id, &after->service.id) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    while (low < membership->count &&
           !is_compared(section, &membership->list[membership->by_id[low]])) {
        low++;
    }
    if (low >= membership->count) {
        return false;
    }
    message_put_id(entry_out->id, &membership->list[membership->by_id[low]].view.node.id);
    if (section->kind == minga_SyncSection_SYNC_ADMISSIONS) {
        entry_out->version = membership_version(&membership->list[membership->by_id[low]],
                                                section->arc.used, &entry_out->check);
    }
    if (section->kind == minga_SyncSection_SYNC_NODES) {
        entry_out->version = node_version(&membership->list[membership->by_id[low]]);
        entry_out->check =
            entry_out->version == 0 ? 0 : membership->list[membership->by_id[low]].record_check;
    }
    return true;
}

static bool holds(const struct overlay *overlay, const struct service_id *service,
                  const struct node_id *node)
{
    return holders_has_any(overlay, &(struct ring_key){service->id}, node);
}

static minga_Entry entry_of(const struct record *record)
{
    minga_Entry entry = {
        .number = record->key.number,
        .version = record->sequence,
        .check = id_top(&record->hash),
    };

    message_put_id(entry.id, &record->key.service.id);
    return entry;
}

bool section_find_record(const struct overlay *overlay, const minga_Entry *named,
                         minga_Entry *entry_out)
{
    struct record_key key = {{message_id(named->id)}, named->number};
    const struct record *record = records_find(&overlay->records, &key);

    if (record == NULL || record->is_orphan) {
        return false;
    }
    *entry_out = entry_of(record);
    return true;
}

static bool is_handed(const struct overlay *overlay, const struct section *section,
                      const struct service_id *service)
{
    return holds(overlay, service, &section->peer) && !holds(overlay, service, &overlay->self);
}

/* The last key that has the same holders where all know all. False where it is the ring's last. */
static bool end_of_holders(const struct membership *membership, const struct service_id *service,
                           struct record_key *last_out)
{
    uint32_t place = membership_place(membership, &service->id);
    const struct id *end = &membership->list[membership->by_position[place]].position.id;

    *last_out = (struct record_key){{*end}, UINT64_MAX};
    return id_compare(end, &service->id) >= 0;
}

/* The next one that only the other side holds. Where all know all, the holders are the same for all
 * keys between two positions that follow each other: one look for each, however many records. */
static const struct record *next_handed(const struct overlay *overlay,
                                        const struct section *section,
                                        const struct record_key *after)
{
    const struct membership *membership = &overlay->membership;
    const struct record *record = records_next(&overlay->records, after);

    while (record != NULL && !is_handed(overlay, section, &record->key.service)) {
        struct record_key last = record->key;

        if (!overlay->large && !end_of_holders(membership, &record->key.service, &last)) {
            return NULL;
        }
        record = records_next(&overlay->records, &last);
    }
    return record;
}

/* Those of a range that both hold; or what only the other side holds. */
static bool next_record(const struct overlay *overlay, const struct section *section,
                        const struct record_key *after, minga_Entry *entry_out)
{
    const struct record *record =
        section->arc.used
            ? records_next_in(&overlay->records, after, &section->arc.from.id, &section->arc.to.id)
            : next_handed(overlay, section, after);

    if (record == NULL) {
        return false;
    }
    *entry_out = entry_of(record);
    return true;
}

bool section_next(const struct overlay *overlay, const struct section *section,
                  const struct record_key *after, minga_Entry *entry_out)
{
    *entry_out = (minga_Entry)minga_Entry_init_zero;
    switch (section->kind) {
    case minga_SyncSection_SYNC_EXPULSIONS:
        return next_ban(&overlay->membership.expulsions, after, entry_out);
    case minga_SyncSection_SYNC_REVOCATIONS:
        return next_ban(&overlay->membership.revocations, after, entry_out);
    case minga_SyncSection_SYNC_ADMISSIONS:
    case minga_SyncSection_SYNC_NODES:
        return next_member(overlay, section, after, entry_out);
    case minga_SyncSection_SYNC_RECORDS:
        return next_record(overlay, section, after, entry_out);
    case minga_SyncSection_SYNC_CHUNKS: /* a hash table, walked by cursor: see sync.c */
    default:
        return false;
    }
}

bool section_wants(const struct overlay *overlay, minga_SyncSection section,
                   const minga_Entry *entry)
{
    struct service_id service = {message_id(entry->id)};
    struct record_key key = {service, entry->number};
    const struct record *record;

    if (section != minga_SyncSection_SYNC_RECORDS) {
        return true;
    }
    record = records_find(&overlay->records, &key);
    if (record != NULL && record->is_orphan) {
        return false;
    }
    return holds(overlay, &service, &overlay->self);
}

/* Where only neighbours are known, whoever names a range of records says that it holds it: it may
 * answer for an image of it, far away. */
bool section_for_peer(const struct overlay *overlay, const struct section *section,
                      const minga_Entry *entry)
{
    struct service_id service = {message_id(entry->id)};

    return section->kind != minga_SyncSection_SYNC_RECORDS ||
           (overlay->large && section->arc.used) || holds(overlay, &service, &section->peer);
}

static void put_content(minga_Item *item, minga_ItemKind kind, const uint8_t *bytes,
                        size_t length_bytes)
{
    item->kind = kind;
    memcpy(item->content.bytes, bytes, length_bytes);
    item->content.size = (pb_size_t)length_bytes;
}

static bool ban_message(const struct ban_table *table, const struct id *key, minga_ItemKind kind,
                        minga_Message *message_out)
{
    const struct ban *ban = membership_banned(table, key);

    if (ban == NULL) {
        return false;
    }
    message_init(message_out, minga_Message_item_tag);
    put_content(&message_out->kind.item, kind, ban->bytes, ban->length_bytes);
    return true;
}

static bool member_message(const struct overlay *overlay, minga_SyncSection section,
                           const struct id *key, minga_Message *message_out)
{
    struct node_id node = {*key};
    int index = membership_find(&overlay->membership, &node);
    const struct member *member;
    minga_Item *item = &message_out->kind.item;

    if (index == MEMBER_NONE) {
        return false;
    }
    member = &overlay->membership.list[index];
    message_init(message_out, minga_Message_item_tag);
    if (section == minga_SyncSection_SYNC_ADMISSIONS) {
        put_content(item, minga_ItemKind_ITEM_ADMISSION, member->admission,
                    member->admission_bytes);
        return true;
    }
    if (member->record_bytes == 0) {
        return false;
    }
    put_content(item, minga_ItemKind_ITEM_NODE, member->record, member->record_bytes);
    item->life = (minga_Life)member->life;
    item->incarnation = member->incarnation;
    return true;
}

static bool record_message(const struct overlay *overlay, const minga_Entry *entry,
                           minga_Message *message_out)
{
    struct record_key key = {{message_id(entry->id)}, entry->number};
    const struct record *record = records_find(&overlay->records, &key);

    if (record == NULL) {
        return false;
    }
    message_init(message_out, minga_Message_record_copy_tag);
    memcpy(message_out->kind.record_copy.record.bytes, record->bytes, record->length_bytes);
    message_out->kind.record_copy.record.size = (pb_size_t)record->length_bytes;
    return true;
}

bool section_message(const struct overlay *overlay, minga_SyncSection section,
                     const minga_Entry *entry, minga_Message *message_out)
{
    struct id key = message_id(entry->id);

    switch (section) {
    case minga_SyncSection_SYNC_EXPULSIONS:
        return ban_message(&overlay->membership.expulsions, &key, minga_ItemKind_ITEM_EXPULSION,
                           message_out);
    case minga_SyncSection_SYNC_REVOCATIONS:
        return ban_message(&overlay->membership.revocations, &key, minga_ItemKind_ITEM_REVOCATION,
                           message_out);
    case minga_SyncSection_SYNC_ADMISSIONS:
    case minga_SyncSection_SYNC_NODES:
        return member_message(overlay, section, &key, message_out);
    case minga_SyncSection_SYNC_RECORDS:
        return record_message(overlay, entry, message_out);
    case minga_SyncSection_SYNC_CHUNKS:
    default:
        return false;
    }
}
