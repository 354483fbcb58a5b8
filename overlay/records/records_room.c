// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a full table of records forgets for a new one, in this order:
 *
 * 1. orphans;
 * 2. superseded versions, the one that lies farthest behind its service first. Those in use, the
 *    fallback, all that were pushed since, and SUPERSEDED_KEPT before them, stay;
 * 3. what was removed, longest ago first, never before TOMBSTONE_DAYS_MIN: a holder that was away for
 *    longer may bring that back, to be removed again. The versions of a removed service go before its
 *    tombstone, without which they would seem alive.
 *
 * The order is total, and the same for all who have the same service records. A record takes the place of
 * none that goes later than itself. So what a full table has only ever moves on in this order, and two of
 * them come to an end of exchanging what they lack.
 */
#include "base/ids.h"
#include "overlay/records/records.h"

enum { DAY_S = 86400 };

enum rank_class { RANK_ORPHAN, RANK_SUPERSEDED, RANK_REMOVED, RANK_STAYS };

/* The lowest goes first. */
struct rank {
    enum rank_class class;
    uint64_t order; /* within the class */
    bool is_last;   /* of those with that order: a tombstone outlasts the versions it marks */
};

static bool is_version(const struct record *record)
{
    return record_kind(&record->key) == minga_RecordKind_RECORD_VERSION;
}

/* How far is a version behind all that may run? 0: it is not, or may soon be needed. */
static uint64_t behind_by(const struct record *service, const struct record *record)
{
    uint64_t first = service->version;
    uint64_t number = record_number(&record->key);

    if (service->fallback_version > 0 && service->fallback_version < first) {
        first = service->fallback_version;
    }
    return first > SUPERSEDED_KEPT && number < first - SUPERSEDED_KEPT
               ? first - SUPERSEDED_KEPT - number
               : 0;
}

/* When was it removed, itself or with its service? False when it was not. */
static bool removed_at(const struct record *service, const struct record *record,
                       uint64_t *removed_unix_s_out)
{
    if (record->removed) {
        *removed_unix_s_out = record->written_unix_s;
        return true;
    }
    if (is_version(record) && service != NULL && service->removed &&
        service->written_unix_s >= record->written_unix_s) {
        *removed_unix_s_out = service->written_unix_s;
        return true;
    }
    return false;
}

/* `service`: the record of its service, when it is known. */
static struct rank rank_of(const struct record *service, const struct record *record,
                           uint64_t wall_unix_s)
{
    const uint64_t age_s = (uint64_t)TOMBSTONE_DAYS_MIN * DAY_S;
    uint64_t removed_unix_s;

    if (record->is_orphan) {
        return (struct rank){.class = RANK_ORPHAN};
    }
    if (is_version(record) && service != NULL && behind_by(service, record) > 0) {
        return (struct rank){RANK_SUPERSEDED, UINT64_MAX - behind_by(service, record), false};
    }
    if (removed_at(service, record, &removed_unix_s) && wall_unix_s > age_s &&
        removed_unix_s < wall_unix_s - age_s) {
        return (struct rank){RANK_REMOVED, removed_unix_s, !is_version(record)};
    }
    return (struct rank){.class = RANK_STAYS};
}

static bool goes_before(const struct rank *a, const struct record_key *a_key, const struct rank *b,
                        const struct record_key *b_key)
{
    int order;

    if (a->class != b->class) {
        return a->class < b->class;
    }
    if (a->order != b->order) {
        return a->order < b->order;
    }
    if (a->is_last != b->is_last) {
        return b->is_last;
    }
    order = id_compare(&a_key->service.id, &b_key->service.id);
    return order != 0 ? order < 0 : a_key->number < b_key->number;
}

static bool is_coming(const struct records_moment *moment, const struct record_key *key)
{
    return moment->is_coming != NULL && moment->is_coming(moment->context, key);
}

/* The first to be forgotten; of one owner, or of all (NULL). */
static const struct record *first_to_go(const struct records *records,
                                        const struct public_key *owner,
                                        const struct records_moment *moment, struct rank *rank_out)
{
    const struct record *service = NULL; /* it lies right before its versions */
    const struct record *found = NULL;

    for (uint32_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[records->order[i]];
        struct rank rank;

        if (!is_version(record)) {
            service = record;
        } else if (service != NULL &&
                   !id_equal(&service->key.service.id, &record->key.service.id)) {
            service = NULL;
        }
        if (owner != NULL && !keys_equal(&record->owner, owner)) {
            continue;
        }
        rank = rank_of(service, record, moment->wall_unix_s);
        if (rank.class != RANK_STAYS &&
            (found == NULL || goes_before(&rank, &record->key, rank_out, &found->key)) &&
            !is_coming(moment, &record->key)) {
            *rank_out = rank;
            found = record;
        }
    }
    return found;
}

/* While there is little room for others. */
static bool has_its_part(const struct records *records, const struct public_key *owner)
{
    uint32_t count = 0;

    if (records->count < RECORDS_MAX - RECORDS_MAX / 4) {
        return false;
    }
    for (uint32_t i = 0; i < records->count && count < RECORDS_OF_ONE_MAX; i++) {
        count += keys_equal(&records->list[i].owner, owner);
    }
    return count == RECORDS_OF_ONE_MAX;
}

enum record_room records_room(const struct records *records, const struct record *record,
                              const struct records_moment *moment, struct record_key *forgotten_out)
{
    const struct record_key key =
        record_key(&record->key.service, minga_RecordKind_RECORD_SERVICE, 0);
    const struct public_key *of_owner =
        has_its_part(records, &record->owner) ? &record->owner : NULL;
    const struct record *first;
    struct rank rank;
    struct rank first_rank;

    if (of_owner == NULL && records->count + moment->coming_count < RECORDS_MAX) {
        return ROOM_FREE;
    }
    first = first_to_go(records, of_owner, moment, &first_rank);
    rank = rank_of(records_find(records, &key), record, moment->wall_unix_s);
    if (first == NULL || !goes_before(&first_rank, &first->key, &rank, &record->key)) {
        return ROOM_NONE;
    }
    *forgotten_out = first->key;
    return ROOM_INSTEAD;
}

const char *records_why_no_room(const struct records *records, const struct public_key *owner)
{
    return has_its_part(records, owner)
               ? "its owner has a quarter of the room for records, and all of those are in use"
               : "the table of records is full, or too many writes are under way";
}
