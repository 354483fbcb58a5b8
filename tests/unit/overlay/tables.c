// SPDX-License-Identifier: GPL-3.0-or-later
/* The bounded tables: links, requests, chunks, records. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "overlay/chunks/chunks.h"
#include "overlay/links/links.h"
#include "overlay/records/records.h"
#include "overlay/requests.h"
#include "overlay/signed.h"

static struct id id_number(uint32_t number)
{
    return hash_of("minga test", (struct bytes){(const uint8_t *)&number, sizeof(number)});
}

Test(links, a_link_is_nobodys_until_it_is_greeted)
{
    struct links *links = calloc(1, sizeof(*links));

    cr_assert_eq(links_member(links, 5, 100), LINK_NOBODY);
    links_greeted(links, 5, 7, 100);
    cr_assert_eq(links_member(links, 5, 200), 7);
    links_forget(links, 7);
    cr_assert_eq(links_member(links, 5, 300), LINK_NOBODY);
    free(links);
}

Test(links, a_full_table_forgets_silent_links_and_keeps_busy_ones)
{
    struct links *links = calloc(1, sizeof(*links));

    links_greeted(links, 1, 7, 1);
    for (uint64_t i = 2; i < 4 * LINKS_MAX; i++) {
        links_greeted(links, i, 8, i);
        cr_assert_eq(links_member(links, i, i), 8);
        cr_assert_eq(links_member(links, 1, i), 7);
    }
    free(links);
}

Test(links, strangers_are_let_through_at_a_bounded_rate)
{
    struct links *links = calloc(1, sizeof(*links));
    uint32_t let_count = 0;

    for (uint64_t now_ms = 10000; now_ms < 11000; now_ms++) {
        for (int i = 0; i < 10; i++) {
            let_count += links_admit_stranger(links, now_ms);
        }
    }
    cr_assert_leq(let_count, JOINS_BURST_MAX + 1000 / JOIN_INTERVAL_MS);
    cr_assert_geq(let_count, 1000 / JOIN_INTERVAL_MS);
    free(links);
}

Test(requests, the_table_holds_so_many_and_no_more)
{
    struct requests *requests = calloc(1, sizeof(*requests));
    struct request *first = requests_new(requests, REQUEST_PING);
    uint64_t first_id = first->id;

    for (int i = 1; i < REQUESTS_MAX; i++) {
        cr_assert_not_null(requests_new(requests, REQUEST_PING));
    }
    cr_assert_null(requests_new(requests, REQUEST_PING));
    cr_assert_eq(requests_find(requests, first_id), first);
    requests_end(requests, first);
    cr_assert_null(requests_find(requests, first_id));
    first = requests_new(requests, REQUEST_PING);
    cr_assert_not_null(first);
    cr_assert_null(requests_find(requests, first_id), "an id is never used again");
    free(requests);
}

Test(requests, the_wake_up_is_the_earliest_deadline_or_repetition)
{
    struct requests *requests = calloc(1, sizeof(*requests));
    struct request *a = requests_new(requests, REQUEST_PING);
    struct request *b = requests_new(requests, REQUEST_PING);

    a->deadline_ms = 900;
    b->deadline_ms = 2000;
    cr_assert_eq(requests_wake(requests), 900);
    b->repeat_ms = 500;
    cr_assert_eq(requests_wake(requests), 500);
    requests_end(requests, a);
    requests_end(requests, b);
    cr_assert_eq(requests_wake(requests), 0);
    free(requests);
}

Test(chunks, what_is_added_is_found_until_it_is_removed)
{
    struct chunks *chunks = calloc(1, sizeof(*chunks));
    uint32_t cursor = 0;
    uint32_t count = 0;

    chunks->bytes_max = 1 << 30;
    for (uint32_t i = 0; i < 4000; i++) {
        struct chunk_id id = {id_number(i)};

        id.id.bytes[1] &= 0xf; /* crowd them, so that runs form */
        id.id.bytes[0] = 0;
        cr_assert_eq(chunks_add(chunks, &id, 10), 0);
    }
    for (uint32_t i = 0; i < 4000; i += 2) {
        struct chunk_id id = {id_number(i)};

        id.id.bytes[1] &= 0xf;
        id.id.bytes[0] = 0;
        chunks_remove(chunks, &id);
    }
    for (uint32_t i = 0; i < 4000; i++) {
        struct chunk_id id = {id_number(i)};

        id.id.bytes[1] &= 0xf;
        id.id.bytes[0] = 0;
        cr_assert_eq(chunks_find(chunks, &id) != NULL, i % 2 == 1);
    }
    while (chunks_next(chunks, &cursor) != NULL) {
        count++;
    }
    cr_assert_eq(count, 2000);
    cr_assert_eq(chunks->bytes, 20000);
    free(chunks);
}

Test(chunks, a_share_is_a_hard_limit_to_the_byte)
{
    struct chunks *chunks = calloc(1, sizeof(*chunks));
    struct chunk_id id = {id_number(1)};
    const struct chunks_promised none = {0, 0};

    chunks->bytes_max = 3 * CHUNK_BLOCK_BYTES + 2 * CHUNK_EXTRA_BYTES;
    cr_assert(chunks_have_room(chunks, 3 * CHUNK_BLOCK_BYTES, none));
    cr_assert(!chunks_have_room(chunks, 3 * CHUNK_BLOCK_BYTES + 1, none));
    cr_assert(chunks_have_room(chunks, 1, (struct chunks_promised){CHUNKS_MAX - 1, 0}));
    cr_assert(!chunks_have_room(chunks, 1, (struct chunks_promised){CHUNKS_MAX, 0}));
    cr_assert(!chunks_have_room(chunks, 3 * CHUNK_BLOCK_BYTES,
                                (struct chunks_promised){1, CHUNK_EXTRA_BYTES + 1}));
    chunks_add(chunks, &id, 2 * CHUNK_BLOCK_BYTES - 1);
    cr_assert_eq(chunks->cost_bytes, 2 * CHUNK_BLOCK_BYTES + CHUNK_EXTRA_BYTES);
    cr_assert(chunks_have_room(chunks, CHUNK_BLOCK_BYTES, none));
    cr_assert(!chunks_have_room(chunks, CHUNK_BLOCK_BYTES + 1, none));
    cr_assert(!chunks_have_room(chunks, CHUNK_BLOCK_BYTES, (struct chunks_promised){1, 1}));
    chunks->bytes_max = 10;
    cr_assert(!chunks_have_room(chunks, 1, none), "a share that was made smaller is full");
    chunks_remove(chunks, &id);
    cr_assert_eq(chunks->cost_bytes, 0);
    free(chunks);
}

/* --- ranges of chunks */

static bool is_within(const struct chunks *chunks, const struct id *from, const struct id *to)
{
    struct chunks_walk walk = chunks_walk(chunks, from, to);
    uint32_t cursor = 0;
    uint32_t wanted_count = 0;
    uint32_t count = 0;
    const struct chunk *chunk;

    while ((chunk = chunks_next(chunks, &cursor)) != NULL) {
        wanted_count += id_in_arc(&chunk->id.id, from, to) ? 1 : 0;
    }
    while ((chunk = chunks_walk_next(chunks, &walk)) != NULL) {
        if (!id_in_arc(&chunk->id.id, from, to)) {
            return false;
        }
        count++;
    }
    return count == wanted_count && chunks_sum(chunks, from, to, 5).count == count;
}

Test(chunks, a_walk_of_any_arc_sees_all_in_it_once_and_nothing_else)
{
    struct chunks *chunks = calloc(1, sizeof(*chunks));
    struct chunk_id crowded = {{{0xff, 0xff, 0xff, 0xff}}};

    chunks->bytes_max = UINT64_MAX;
    for (uint32_t i = 0; i < 300; i++) {
        struct chunk_id id = {id_number(i)};

        (void)chunks_add(chunks, &id, 1);
    }
    for (uint8_t i = 0; i < 40; i++) { /* a run that goes over the end of the table */
        crowded.id.bytes[31] = i;
        (void)chunks_add(chunks, &crowded, 1);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        struct id from = id_number(1000 + i);
        struct id to = i % 3 == 0 ? from : id_number(9000 + i);

        if (i % 7 == 1) { /* both in one slot, in order or nearly around */
            to = from;
            to.bytes[31] ^= (uint8_t)(i % 2 + 1);
        }
        if (i % 7 == 2) {
            from = crowded.id;
            from.bytes[31] = (uint8_t)(i % 41);
        }
        cr_assert(is_within(chunks, &from, &to), "arc %u", i);
    }
    free(chunks);
}

Test(chunks, a_fingerprint_is_of_the_set_and_not_of_its_history)
{
    struct chunks *a = calloc(1, sizeof(*a));
    struct chunks *b = calloc(1, sizeof(*b));
    struct id zero = {{0}};
    struct chunks_sum sum;

    for (uint32_t i = 0; i < 200; i++) {
        struct chunk_id id = {id_number(i)};
        struct chunk_id other = {id_number(199 - i)};

        (void)chunks_add(a, &id, 1);
        (void)chunks_add(b, &other, 1);
    }
    sum = chunks_sum(a, &zero, &zero, 7);
    cr_assert_eq(sum.count, 200);
    cr_assert_eq(sum.sum, chunks_sum(b, &zero, &zero, 7).sum);
    cr_assert_neq(sum.sum, chunks_sum(b, &zero, &zero, 8).sum);
    chunks_remove(b, &(struct chunk_id){id_number(5)});
    (void)chunks_add(b, &(struct chunk_id){id_number(500)}, 1);
    cr_assert_eq(chunks_sum(b, &zero, &zero, 7).count, 200);
    cr_assert_neq(sum.sum, chunks_sum(b, &zero, &zero, 7).sum);
    free(a);
    free(b);
}

Test(chunks, a_bad_one_takes_its_place_and_is_not_had)
{
    struct chunks *chunks = calloc(1, sizeof(*chunks));
    struct id zero = {{0}};
    struct chunk_id bad = {id_number(3)};
    struct chunks_walk walk;
    uint64_t cost_bytes;

    chunks->bytes_max = UINT64_MAX;
    for (uint32_t i = 0; i < 5; i++) {
        (void)chunks_add(chunks, &(struct chunk_id){id_number(i)}, 10);
    }
    cost_bytes = chunks->cost_bytes;
    chunks_set_bad(chunks, chunks_entry(chunks, &bad), true);
    cr_assert(chunks_is_bad(chunks, &bad));
    cr_assert_null(chunks_find(chunks, &bad));
    cr_assert_eq(chunks_sum(chunks, &zero, &zero, 7).count, 4);
    walk = chunks_walk(chunks, &zero, &zero);
    for (const struct chunk *chunk; (chunk = chunks_walk_next(chunks, &walk)) != NULL;) {
        cr_assert_not(chunk->is_bad);
    }
    cr_assert_eq(chunks->cost_bytes, cost_bytes);
    cr_assert_eq(chunks->bad_bytes, 10);
    (void)chunks_add(chunks, &bad, 10);
    cr_assert_not_null(chunks_find(chunks, &bad));
    cr_assert_eq(chunks->bad_count + chunks->bad_bytes, 0);
    cr_assert_eq(chunks->cost_bytes, cost_bytes);
    chunks_set_bad(chunks, chunks_entry(chunks, &bad), true);
    chunks_remove(chunks, &bad);
    cr_assert_eq(chunks->bad_count + chunks->bad_bytes, 0);
    cr_assert_eq(chunks->count, 4);
    free(chunks);
}

/* --- records */

static struct record make_record(uint64_t sequence, const char *content, bool removed)
{
    struct secret_key secret;
    uint8_t seed[32] = {1};
    uint8_t encoded[RECORD_BYTES_MAX];
    minga_Record body = minga_Record_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key;
    struct record record;
    int length;

    keys_from_seed(seed, &secret);
    key = keys_public(&secret);
    body.kind = minga_RecordKind_RECORD_SERVICE;
    memcpy(body.owner_key, key.bytes, 32);
    strcpy(body.name, "wiki");
    body.sequence = sequence;
    body.removed = removed;
    body.content.size = (pb_size_t)strlen(content);
    memcpy(body.content.bytes, content, strlen(content));
    cr_assert_eq(signed_make(minga_Record_fields, &body, PURPOSE_RECORD, &secret, &envelope), 0);
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    cr_assert_gt(length, 0);
    cr_assert_eq(record_open((struct bytes){encoded, (size_t)length}, &record), 0);
    return record;
}

Test(records, the_higher_sequence_stands_and_a_tombstone_is_a_version_like_any)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record first = make_record(1, "a", false);
    struct record second = make_record(2, "", true);

    cr_assert_eq(records_merge(records, &first), RECORD_NEWER);
    cr_assert_eq(records_merge(records, &first), RECORD_SAME);
    cr_assert_eq(records_merge(records, &second), RECORD_NEWER);
    cr_assert_eq(records_merge(records, &first), RECORD_OLDER);
    cr_assert(records_find(records, &first.key)->removed);
    cr_assert_eq(records->count, 1);
    free(records);
}

Test(records, of_two_with_one_sequence_all_choose_the_same)
{
    struct records *here = calloc(1, sizeof(*here));
    struct records *there = calloc(1, sizeof(*there));
    struct record a = make_record(3, "left", false);
    struct record b = make_record(3, "right", false);

    records_merge(here, &a);
    records_merge(here, &b);
    records_merge(there, &b);
    records_merge(there, &a);
    cr_assert(id_equal(&records_find(here, &a.key)->hash, &records_find(there, &a.key)->hash));
    free(here);
    free(there);
}

Test(records, any_altered_byte_is_refused)
{
    struct record record = make_record(1, "content", false);
    struct record out;

    for (size_t i = 0; i < record.length_bytes; i++) {
        record.bytes[i] ^= 2;
        cr_assert_eq(record_open((struct bytes){record.bytes, record.length_bytes}, &out), -EBADMSG,
                     "byte %zu", i);
        record.bytes[i] ^= 2;
    }
}

Test(records, the_table_refuses_beyond_its_limit_and_walks_in_order)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record record = make_record(1, "a", false);
    const struct record *walked = NULL;
    uint32_t count = 0;

    for (uint32_t i = 0; i < RECORDS_MAX; i++) {
        record.key.service.id = id_number(i);
        cr_assert_eq(records_merge(records, &record), RECORD_NEWER);
    }
    record.key.service.id = id_number(RECORDS_MAX);
    cr_assert_eq(records_merge(records, &record), RECORD_NO_ROOM);
    while ((walked = records_next(records, walked == NULL ? NULL : &walked->key)) != NULL) {
        cr_assert_lt(count++, RECORDS_MAX);
    }
    cr_assert_eq(count, RECORDS_MAX);
    free(records);
}

static const struct record *next_by_walking(const struct records *records,
                                            const struct record_key *after, const struct id *from,
                                            const struct id *to)
{
    const struct record *record = records_next(records, after);

    while (record != NULL && !id_in_arc(&record->key.service.id, from, to)) {
        record = records_next(records, &record->key);
    }
    return record;
}

Test(records, a_walk_of_an_arc_finds_what_a_walk_of_all_does)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record record = make_record(1, "a", false);
    uint32_t found_count = 0;

    for (uint32_t i = 10; i < 50; i += 4) {
        record.key.service.id = (struct id){{(uint8_t)i}};
        for (record.key.number = 0; record.key.number < 2; record.key.number++) {
            cr_assert_eq(records_merge(records, &record), RECORD_NEWER);
        }
    }
    for (uint32_t i = 0; i < 60 * 60; i++) { /* each arc, those round the ring, and the whole one */
        struct id from = {{(uint8_t)(i % 60)}};
        struct id to = {{(uint8_t)(i / 60)}};
        const struct record *walked = NULL;

        do {
            const struct record_key *after = walked == NULL ? NULL : &walked->key;

            walked = next_by_walking(records, after, &from, &to);
            cr_assert_eq(records_next_in(records, after, &from, &to), walked, "arc %u", i);
            found_count += walked != NULL;
        } while (walked != NULL);
    }
    cr_assert_gt(found_count, 1000);
    free(records);
}
