// SPDX-License-Identifier: GPL-3.0-or-later
/* What a full table of records forgets, for what, and what never. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/random.h"
#include "overlay/records/records.h"

#define DAY_S ((uint64_t)86400)
#define NOW_S ((uint64_t)1790000000)

static const struct records_moment now = {.wall_unix_s = NOW_S};

static struct service_id service_number(uint32_t number)
{
    return (struct service_id){
        hash_of("minga test", (struct bytes){(const uint8_t *)&number, sizeof(number)})};
}

static struct record service_of(uint32_t number, uint64_t version, uint64_t fallback)
{
    struct service_id service = service_number(number);
    struct record record = {.sequence = 1, .version = version, .fallback_version = fallback};

    record.key = record_key(&service, minga_RecordKind_RECORD_SERVICE, 0);
    record.owner.bytes[0] = 1;
    record.written_unix_s = NOW_S - 4000 * DAY_S; /* however old: it is in use */
    record.hash = hash_of("minga test", (struct bytes){(const uint8_t *)&number, sizeof(number)});
    return record;
}

static struct record version_of(uint32_t service, uint64_t number)
{
    struct record record = service_of(service, 0, 0);

    record.key = record_key(&record.key.service, minga_RecordKind_RECORD_VERSION, number);
    record.hash.bytes[0] ^= (uint8_t)(number + 1);
    record.hash.bytes[1] ^= (uint8_t)((number + 1) >> 8);
    return record;
}

static struct record tombstone(uint32_t number, uint64_t days)
{
    struct record record = service_of(number, 0, 0);

    record.removed = true;
    record.written_unix_s = NOW_S - days * DAY_S;
    return record;
}

static void keep(struct records *records, struct record record)
{
    cr_assert_eq(records_merge(records, &record), RECORD_NEWER);
}

static bool has(const struct records *records, const struct record *record)
{
    return records_find(records, &record->key) != NULL;
}

/* With services of another owner, all in use. */
static void fill_table(struct records *records, uint32_t up_to)
{
    for (uint32_t i = 0; records->count < up_to; i++) {
        struct record record = service_of(100000 + i, 1, 0);

        record.owner.bytes[0] = 2;
        keep(records, record);
    }
}

/* As a holder takes it: in place of what it is let have. Returns whether it was taken. */
static bool take(struct records *records, const struct record *record)
{
    struct record_key forgotten;

    if (records_weigh(records, record) != RECORD_NEWER) {
        return false;
    }
    if (!has(records, record)) {
        enum record_room room = records_room(records, record, &now, &forgotten);

        if (room == ROOM_NONE) {
            return false;
        }
        if (room == ROOM_INSTEAD) {
            records_forget(records, &forgotten);
        }
    }
    cr_assert_eq(records_merge(records, record), RECORD_NEWER);
    return true;
}

Test(record_room, what_was_removed_longest_ago_goes_and_not_before_90_days)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record_key forgotten;
    struct record more = service_of(8000, 1, 0);

    for (uint32_t i = 0; i < 5; i++) {
        keep(records, tombstone(9000 + i, 120 - 10 * i)); /* 120, 110, ... 80 days */
    }
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_FREE);
    fill_table(records, RECORDS_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        struct record oldest = tombstone(9000 + i, 0);

        more = service_of(8000 + i, 1, 0);
        cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_INSTEAD);
        cr_assert(id_equal(&forgotten.service.id, &oldest.key.service.id), "%u", i);
        cr_assert(take(records, &more));
        cr_assert_not(has(records, &oldest));
        cr_assert_eq(records->count, RECORDS_MAX);
    }
    more = service_of(8003, 1, 0);
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_NONE, "90 days are not over");
    free(records);
}

static bool is_written(const void *context, const struct record_key *key)
{
    return id_equal(&((const struct record_key *)context)->service.id, &key->service.id);
}

/* Who writes anew what would go first keeps nobody out: the next one goes. */
Test(record_room, what_is_being_written_anew_does_not_go)
{
    struct records *records = calloc(1, sizeof(*records));
    const struct record first = tombstone(9000, 110), second = tombstone(9001, 100);
    const struct record more = service_of(8000, 1, 0);
    struct records_moment moment = {NOW_S, 0, is_written, &first.key};
    struct record_key forgotten;

    keep(records, first);
    keep(records, second);
    fill_table(records, RECORDS_MAX);
    cr_assert_eq(records_room(records, &more, &moment, &forgotten), ROOM_INSTEAD);
    cr_assert(id_equal(&forgotten.service.id, &second.key.service.id));
    records_forget(records, &second.key);
    keep(records, service_of(8001, 1, 0));
    cr_assert_eq(records_room(records, &more, &moment, &forgotten), ROOM_NONE);
    free(records);
}

Test(record_room, what_is_on_its_way_to_the_disk_has_a_place)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record more = service_of(8000, 1, 0);
    struct record_key forgotten;

    keep(records, tombstone(9000, 100));
    fill_table(records, RECORDS_MAX - 2);
    cr_assert_eq(records_room(records, &more,
                              &(struct records_moment){.wall_unix_s = NOW_S, .coming_count = 1},
                              &forgotten),
                 ROOM_FREE);
    cr_assert_eq(records_room(records, &more,
                              &(struct records_moment){.wall_unix_s = NOW_S, .coming_count = 2},
                              &forgotten),
                 ROOM_INSTEAD);
    free(records);
}

Test(record_room, those_of_who_was_expelled_go_first_of_all)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record orphan = service_of(7, 3, 2);
    struct record more = service_of(8000, 1, 0);
    struct record_key forgotten;

    orphan.is_orphan = true;
    keep(records, tombstone(9000, 1000));
    keep(records, service_of(1, 100, 99));
    keep(records, version_of(1, 1));
    keep(records, orphan);
    fill_table(records, RECORDS_MAX);
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_INSTEAD);
    cr_assert(id_equal(&forgotten.service.id, &orphan.key.service.id));
    free(records);
}

Test(record_room, the_versions_of_a_removed_service_go_before_its_tombstone)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record removed = tombstone(9000, 100);
    struct record version = version_of(9000, 1);
    struct record_key forgotten;
    struct record more = service_of(8000, 1, 0);

    version.written_unix_s = NOW_S - 200 * DAY_S;
    keep(records, removed);
    keep(records, version);
    fill_table(records, RECORDS_MAX);
    cr_assert(take(records, &more));
    cr_assert_not(has(records, &version), "first what only the tombstone marks");
    cr_assert(has(records, &removed));
    more = service_of(8001, 1, 0);
    cr_assert(take(records, &more));
    cr_assert_not(has(records, &removed));
    more = service_of(8002, 1, 0);
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_NONE);
    free(records);
}

Test(record_room, superseded_versions_go_and_what_may_run_never)
{
    struct records *records = calloc(1, sizeof(*records));
    uint32_t taken_count = 0;

    keep(records, service_of(1, 30, 29));
    keep(records, service_of(2, 50, 20)); /* rolled back once, or not started for long */
    for (uint64_t number = 1; number <= 60; number++) {
        keep(records, version_of(1, number));
        keep(records, version_of(2, number));
        keep(records, version_of(3, number)); /* of a service that nobody here knows */
    }
    fill_table(records, RECORDS_MAX);
    for (uint32_t i = 0; i < 100; i++) {
        struct record more = service_of(8000 + i, 1, 0);

        taken_count += take(records, &more) ? 1 : 0;
    }
    cr_assert_eq(taken_count, (29 - SUPERSEDED_KEPT - 1) + (20 - SUPERSEDED_KEPT - 1));
    for (uint64_t number = 1; number <= 60; number++) {
        struct record of_first = version_of(1, number);
        struct record of_second = version_of(2, number);
        struct record of_unknown = version_of(3, number);

        cr_assert_eq(has(records, &of_first), number >= 29 - SUPERSEDED_KEPT);
        cr_assert_eq(has(records, &of_second), number >= 20 - SUPERSEDED_KEPT);
        cr_assert(has(records, &of_unknown));
    }
    free(records);
}

Test(record_room, the_version_that_lies_farthest_behind_goes_first)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record_key forgotten;
    struct record more = service_of(8000, 1, 0);
    struct record busy = version_of(1, 900);
    struct record quiet = version_of(2, 1);

    keep(records, tombstone(9000, 1000));
    keep(records, service_of(1, 1000, 999));
    keep(records, busy);
    keep(records, service_of(2, 20, 19));
    keep(records, quiet);
    fill_table(records, RECORDS_MAX);
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_INSTEAD);
    cr_assert(id_equal(&forgotten.service.id, &busy.key.service.id));
    cr_assert(take(records, &more));
    more = service_of(8001, 1, 0);
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_INSTEAD);
    cr_assert(id_equal(&forgotten.service.id, &quiet.key.service.id), "then, not the tombstone");
    free(records);
}

Test(record_room, a_removed_service_has_superseded_versions_like_any)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record removed = tombstone(1, 1);
    struct record more = service_of(8000, 1, 0);
    struct record_key forgotten;

    removed.version = 100;
    removed.fallback_version = 99;
    keep(records, removed);
    for (uint64_t number = 94; number <= 100; number++) {
        keep(records, version_of(1, number));
    }
    fill_table(records, RECORDS_MAX);
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_INSTEAD, "no need to wait");
    cr_assert_eq(forgotten.number, version_of(1, 94).key.number);
    cr_assert(take(records, &more));
    more = service_of(8001, 1, 0);
    cr_assert_eq(records_room(records, &more, &now, &forgotten), ROOM_NONE,
                 "the rest after 90 days");
    free(records);
}

Test(record_room, one_owner_leaves_others_a_quarter_of_the_room)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record other = service_of(1, 1, 0);
    struct record_key forgotten;
    uint32_t count = 0;

    for (; count < RECORDS_MAX; count++) {
        struct record greedy = service_of(1000 + count, 1, 0);

        if (!take(records, &greedy)) {
            break;
        }
    }
    cr_assert_eq(count, RECORDS_MAX / 4 * 3);
    other.owner.bytes[0] = 2;
    cr_assert(strstr(records_why_no_room(records, &records->list[0].owner), "quarter") != NULL);
    cr_assert(strstr(records_why_no_room(records, &other.owner), "full") != NULL);
    for (uint32_t i = 0; i < RECORDS_MAX / 4; i++) {
        other.key.service = service_number(900000 + i);
        cr_assert(take(records, &other));
    }
    other.key.service = service_number(1);
    cr_assert_eq(records_room(records, &other, &now, &forgotten), ROOM_NONE);
    other = service_of(1000, 1, 0);
    other.sequence = 2;
    cr_assert(take(records, &other), "what is there goes on");
    free(records);
}

Test(record_room, who_has_its_part_pushes_on_in_place_of_its_own)
{
    struct records *records = calloc(1, sizeof(*records));
    struct record service = service_of(1, 0, 0);
    struct record_key forgotten;

    keep(records, service_of(2, 1000, 999)); /* somebody else's, that lies far behind */
    keep(records, version_of(2, 1));
    for (uint32_t i = 0; i < 2; i++) {
        records->list[i].owner.bytes[0] = 2;
    }
    fill_table(records, RECORDS_MAX / 4 * 3);
    keep(records, service);
    for (uint64_t number = 1; number < 3 * RECORDS_OF_ONE_MAX; number++) {
        struct record version = version_of(1, number);

        cr_assert(take(records, &version), "%lu", number);
        service.sequence++;
        service.version = number;
        service.fallback_version = number - 1;
        cr_assert(take(records, &service));
        cr_assert_leq(records->count, RECORDS_MAX / 4 * 3 + RECORDS_OF_ONE_MAX);
    }
    struct record not_its_own = version_of(2, 1);
    struct record early = version_of(1, 5);

    cr_assert(has(records, &not_its_own));
    cr_assert_not(has(records, &early));
    cr_assert_eq(records_room(records, &early, &now, &forgotten), ROOM_NONE, "it would go first");
    free(records);
}

/* --- two full tables */

enum { KINDS = 40, DRAWN_MAX = RECORDS_MAX + RECORDS_MAX / 4 };

struct drawn {
    uint32_t count;
    struct record list[DRAWN_MAX];
};

/* Some 40 busy services, each with its versions, and tombstones of all ages. */
static void draw(struct drawn *drawn, struct random *random)
{
    drawn->count = 0;
    for (uint32_t i = 0; i < KINDS; i++) {
        drawn->list[drawn->count++] = service_of(i, 60, 60 - random_below(random, 20));
        drawn->list[drawn->count - 1].owner.bytes[0] = (uint8_t)(i + 1);
    }
    for (uint32_t i = 0; drawn->count < DRAWN_MAX; i++) {
        uint32_t service = i % KINDS;
        bool is_tombstone = i >= 64 * KINDS;
        struct record record = is_tombstone ? tombstone(1000 + i, random_below(random, 400))
                                            : version_of(service, 1 + i / KINDS);

        record.owner.bytes[0] = (uint8_t)(service + 1);
        drawn->list[drawn->count++] = record;
    }
}

/* Each is offered what it lacks of the other's. Returns how many were taken. */
static uint32_t exchange(struct records *a, struct records *b)
{
    struct records *tables[2] = {a, b};
    uint32_t taken_count = 0;

    for (uint32_t side = 0; side < 2; side++) {
        const struct records *from = tables[side];

        for (uint32_t i = 0; i < from->count; i++) {
            struct record record = from->list[i];

            taken_count += !has(tables[1 - side], &record) && take(tables[1 - side], &record);
        }
    }
    return taken_count;
}

static void exchange_to_the_end(struct random *random)
{
    const struct id all = {{0}};
    struct drawn *drawn = calloc(1, sizeof(*drawn));
    struct records *a = calloc(1, sizeof(*a));
    struct records *b = calloc(1, sizeof(*b));
    uint32_t round_count = 0;

    draw(drawn, random);
    for (uint32_t i = 0; i < drawn->count; i++) {
        bool is_new = i >= RECORDS_MAX - RECORDS_MAX / 8;

        (void)(is_new && random_below(random, 2) == 0 ? false : take(a, &drawn->list[i]));
        (void)(is_new && random_below(random, 2) == 0 ? false : take(b, &drawn->list[i]));
    }
    cr_assert_eq(a->count, RECORDS_MAX);
    cr_assert_eq(b->count, RECORDS_MAX);
    cr_assert_neq(records_sum(a, &all, &all, 1).sum, records_sum(b, &all, &all, 1).sum);
    while (exchange(a, b) > 0) {
        cr_assert_lt(++round_count, 20, "they never come to an end");
    }
    cr_assert_geq(round_count, 1);
    free(drawn);
    free(a);
    free(b);
}

Test(record_room, two_full_tables_come_to_an_end_of_what_they_lack)
{
    struct random random;

    random_init(&random, 11, "exchange");
    for (uint32_t i = 0; i < 3; i++) {
        exchange_to_the_end(&random);
    }
}
