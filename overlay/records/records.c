// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/records/records.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "overlay/signed.h"

enum { KIND_SHIFT = 56 };

struct record_key record_key(const struct service_id *service, minga_RecordKind kind,
                             uint64_t number)
{
    return (struct record_key){*service, (uint64_t)kind << KIND_SHIFT |
                                             (number & (((uint64_t)1 << KIND_SHIFT) - 1))};
}

minga_RecordKind record_kind(const struct record_key *key)
{
    return (minga_RecordKind)(key->number >> KIND_SHIFT);
}

uint64_t record_number(const struct record_key *key)
{
    return key->number & (((uint64_t)1 << KIND_SHIFT) - 1);
}

/* Which versions may run; of a content that makes no sense, any. */
static void read_service(const minga_Record *body, struct record *record_out)
{
    minga_Service service = minga_Service_init_zero;

    record_out->version = 0;
    record_out->fallback_version = 0;
    if (body->kind == minga_RecordKind_RECORD_SERVICE &&
        signed_decode_body(minga_Service_fields,
                           (struct bytes){body->content.bytes, body->content.size},
                           &service) == 0) {
        record_out->version = service.version;
        record_out->fallback_version = service.fallback_version;
    }
}

static int read_record(struct bytes encoded, const minga_Signed *envelope,
                       struct record *record_out)
{
    minga_Record body = minga_Record_init_zero;
    struct service_id service;

    if (signed_decode_body(minga_Record_fields,
                           (struct bytes){envelope->body.bytes, envelope->body.size}, &body) < 0 ||
        memcmp(envelope->key, body.owner_key, PUBLIC_KEY_BYTES) != 0) {
        return -EBADMSG;
    }
    if ((body.kind != minga_RecordKind_RECORD_SERVICE &&
         body.kind != minga_RecordKind_RECORD_VERSION) ||
        body.number >> KIND_SHIFT != 0 || body.sequence == 0 || body.name[0] == '\0' ||
        (body.kind == minga_RecordKind_RECORD_SERVICE) != (body.number == 0)) {
        return -EBADMSG;
    }
    memcpy(record_out->owner.bytes, body.owner_key, PUBLIC_KEY_BYTES);
    service = keys_service_id(&record_out->owner, body.name);
    record_out->key = record_key(&service, body.kind, body.number);
    record_out->sequence = body.sequence;
    record_out->removed = body.removed;
    record_out->is_orphan = false;
    record_out->written_unix_s = body.written_unix_s;
    read_service(&body, record_out);
    record_out->hash = hash_of(HASH_RECORD, encoded);
    record_out->length_bytes = encoded.length_bytes;
    memcpy(record_out->bytes, encoded.data, encoded.length_bytes);
    return 0;
}

int record_glance(struct bytes encoded, struct record *record_out)
{
    minga_Signed envelope = minga_Signed_init_zero;

    if (encoded.length_bytes > RECORD_BYTES_MAX || signed_decode(encoded, &envelope) < 0) {
        return -EBADMSG;
    }
    return read_record(encoded, &envelope, record_out);
}

int record_open(struct bytes encoded, struct record *record_out)
{
    minga_Signed envelope = minga_Signed_init_zero;

    if (encoded.length_bytes > RECORD_BYTES_MAX || signed_decode(encoded, &envelope) < 0 ||
        !signed_verify(&envelope, PURPOSE_RECORD)) {
        return -EBADMSG;
    }
    return read_record(encoded, &envelope, record_out);
}

static int compare(const struct record_key *a, const struct record_key *b)
{
    int order = id_compare(&a->service.id, &b->service.id);

    if (order != 0) {
        return order;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

static uint32_t place_of(const struct records *records, const struct record_key *key)
{
    uint32_t low = 0;
    uint32_t high = records->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(&records->list[records->order[middle]].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct records *records, uint32_t place, const struct record_key *key)
{
    return place < records->count && compare(&records->list[records->order[place]].key, key) == 0;
}

const struct record *records_find(const struct records *records, const struct record_key *key)
{
    uint32_t place = place_of(records, key);

    return is_at(records, place, key) ? &records->list[records->order[place]] : NULL;
}

const struct record *records_next(const struct records *records, const struct record_key *after)
{
    uint32_t place = 0;

    if (after != NULL) {
        place = place_of(records, after);
        place += is_at(records, place, after);
    }
    while (place < records->count && records->list[records->order[place]].is_orphan) {
        place++;
    }
    return place < records->count ? &records->list[records->order[place]] : NULL;
}

const struct record *records_next_in(const struct records *records, const struct record_key *after,
                                     const struct id *from, const struct id *to)
{
    const struct record *record = records_next(records, after);
    struct record_key last_before = {{*from}, UINT64_MAX};

    if (record == NULL || id_in_arc(&record->key.service.id, from, to)) {
        return record;
    }
    if (id_compare(&record->key.service.id, from) > 0) {
        return NULL; /* past the end of an arc that does not go round */
    }
    record = records_next(records, &last_before);
    return record != NULL && id_in_arc(&record->key.service.id, from, to) ? record : NULL;
}

enum record_merge record_compare(const struct record *stands, const struct record *comes)
{
    int order = id_compare(&comes->hash, &stands->hash);

    if (comes->sequence != stands->sequence) {
        return comes->sequence > stands->sequence ? RECORD_NEWER : RECORD_OLDER;
    }
    if (order == 0) {
        return RECORD_SAME;
    }
    return order < 0 ? RECORD_NEWER : RECORD_OLDER;
}

enum record_merge records_weigh(const struct records *records, const struct record *record)
{
    const struct record *stands = records_find(records, &record->key);

    return stands != NULL ? record_compare(stands, record) : RECORD_NEWER;
}

static void take_out(struct records *records, uint32_t place)
{
    uint16_t index = records->order[place];
    uint16_t last = (uint16_t)(records->count - 1);

    memmove(&records->order[place], &records->order[place + 1],
            (records->count - place - 1) * sizeof(records->order[0]));
    records->count--;
    if (index == last) {
        return;
    }
    records->list[index] = records->list[last];
    for (uint32_t i = 0; i < records->count; i++) {
        if (records->order[i] == last) {
            records->order[i] = index;
        }
    }
}

void records_forget(struct records *records, const struct record_key *key)
{
    uint32_t place = place_of(records, key);

    CHECK(is_at(records, place, key));
    take_out(records, place);
}

enum record_merge records_merge(struct records *records, const struct record *record)
{
    uint32_t place = place_of(records, &record->key);

    if (is_at(records, place, &record->key)) {
        struct record *stands = &records->list[records->order[place]];
        enum record_merge merge = record_compare(stands, record);

        if (merge == RECORD_NEWER) {
            *stands = *record;
        }
        return merge;
    }
    if (records->count == RECORDS_MAX) {
        return RECORD_NO_ROOM;
    }
    memmove(&records->order[place + 1], &records->order[place],
            (records->count - place) * sizeof(records->order[0]));
    records->order[place] = (uint16_t)records->count;
    records->list[records->count++] = *record;
    return RECORD_NEWER;
}

struct chunks_sum records_sum(const struct records *records, const struct id *from,
                              const struct id *to, uint64_t nonce)
{
    struct record_key after = {{*from}, UINT64_MAX};
    uint32_t place = place_of(records, &after);
    struct chunks_sum sum = {0, 0};

    for (uint32_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[records->order[(place + i) % records->count]];

        if (!id_in_arc(&record->key.service.id, from, to)) {
            break; /* they lie in order, round the ring */
        }
        if (record->is_orphan) {
            continue;
        }
        sum.count++;
        sum.sum += chunks_mix(&record->hash, nonce);
    }
    return sum;
}
