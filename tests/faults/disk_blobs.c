// SPDX-License-Identifier: GPL-3.0-or-later
/* What the core relies on of blobs. */
#include <string.h>

#include "tests/faults/disk_expect.h"

enum { BLOB_BYTES = 300, MANY = 1500 };

static void put(uint32_t number, uint32_t version, uint64_t token)
{
    uint8_t bytes[BLOB_BYTES];
    struct overlay_effect effect = {
        .kind = OVERLAY_STORE, .token = token, .is_unhurried = token == 0};

    memset(bytes, (int)(number + version), sizeof(bytes));
    memcpy(bytes, &version, sizeof(version));
    effect.blob.kind = BLOB_RECORD;
    effect.blob.number = number;
    if (version > 0) { /* 0: deletes */
        effect.blob.bytes = (struct bytes){bytes, sizeof(bytes)};
    }
    disk_subject.perform(&effect);
}

/* 0: not there. */
static uint32_t version_of(uint32_t number)
{
    for (uint32_t i = 0; i < held.blob_count; i++) {
        if (held.blobs[i].number == number) {
            uint32_t version;

            memcpy(&version, held.bytes[i], sizeof(version));
            expect(held.blobs[i].bytes.length_bytes == BLOB_BYTES &&
                       held.bytes[i][15] == (uint8_t)(number + version),
                   "blob %u has another content", number);
            return version;
        }
    }
    return 0;
}

static bool is_stored(uint64_t token)
{
    const struct overlay_event *event = wait_for(OVERLAY_STORED, token);

    return event != NULL && !event->failed;
}

/* ------------------------------------------------------------------ writes */

static void answered_is_there(void)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        put(i, 1, i);
        expect(is_stored(i), "write %u failed", i);
        crash_and_load(i % 2 == 0 ? DISK_CRASH_KILL : DISK_CRASH_POWER);
        for (uint32_t j = 1; j <= i; j++) {
            expect(version_of(j) == 1, "blob %u is lost in crash %u", j, i);
        }
    }
}

static void answers_in_order(void)
{
    enum { COUNT = 300 };

    for (uint32_t i = 1; i <= COUNT; i++) {
        put(i, 1, i);
        if (i % 7 == 0) {
            disk_subject.wait(1);
        }
    }
    (void)wait_for(OVERLAY_STORED, COUNT);
    disk_subject.wait(50);
    expect(core.heard_count == COUNT, "%u answers", core.heard_count);
    for (uint32_t i = 0; i < core.heard_count; i++) {
        expect(core.heard[i].token == i + 1 && !core.heard[i].failed, "answer %u is of %lu", i,
               (unsigned long)core.heard[i].token);
    }
}

static void unasked_is_durable_too(void)
{
    put(1, 1, 0);
    disk_subject.wait(UNHURRIED_MS + RETRIED_MS);
    expect(core.heard_count == 0, "an answer that nobody wants");
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 1, "what nobody waits for is not written");
}

/* Order holds between those that somebody waits for and the others, too. */
static void unasked_goes_with_the_next(void)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        put(1, i, 0);
        put(2, i, i);
        expect(is_stored(i), "write %u failed", i);
        crash_and_load(DISK_CRASH_POWER);
        expect(version_of(1) == i, "one behind it was durable first");
    }
}

static void crash_leaves_a_beginning(void)
{
    enum { COUNT = 60 };
    uint64_t token = 0;

    for (uint32_t round = 1; round <= 2 * ROUNDS; round++) {
        uint64_t before = token;
        uint32_t there_count = 0;
        uint32_t answered_count = 0;

        for (uint32_t i = 1; i <= COUNT; i++) {
            put(i, round, ++token);
            if (i * 7 % (round + 1) == 0) {
                disk_subject.wait(1);
            }
        }
        for (uint32_t i = 1; i <= COUNT; i++) {
            answered_count += told(OVERLAY_STORED, before + i);
        }
        crash_and_load(round % 2 == 0 ? DISK_CRASH_KILL : DISK_CRASH_POWER);
        while (there_count < COUNT && version_of(there_count + 1) == round) {
            there_count++;
        }
        expect(there_count >= answered_count, "%u answered, %u there", answered_count, there_count);
        for (uint32_t i = there_count + 1; i <= COUNT; i++) {
            expect(version_of(i) < round, "a hole at %u before %u", there_count + 1, i);
        }
        for (uint32_t i = 1; i <= COUNT; i++) { /* all as before, for the next round */
            put(i, round, ++token);
        }
        expect(is_stored(token), "the next process cannot write");
    }
}

static void last_version_stands(void)
{
    for (uint32_t i = 1; i <= 40; i++) {
        put(1, i, i % 3 == 0 ? 0 : i);
    }
    expect(is_stored(40), "the last one failed");
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 40, "version %u", version_of(1));
    put(1, 0, 41);
    put(1, 7, 42);
    put(2, 7, 43);
    put(2, 0, 44);
    expect(is_stored(44), "the last one failed");
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 7 && version_of(2) == 0, "%u and %u", version_of(1), version_of(2));
}

static void deleted_stays_deleted(void)
{
    put(1, 1, 1);
    put(2, 1, 2);
    expect(is_stored(2), "failed");
    put(1, 0, 3);
    put(9, 0, 4); /* was never there */
    expect(is_stored(3) && is_stored(4), "a deletion failed");
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 0 && version_of(2) == 1, "%u and %u", version_of(1), version_of(2));
}

static void many_at_once(void)
{
    for (uint32_t i = 1; i <= MANY; i++) {
        put(i, 1, i % 3 == 0 ? 0 : i);
    }
    put(MANY + 1, 1, MANY + 1);
    (void)wait_for(OVERLAY_STORED, MANY + 1);
    disk_subject.wait(RETRIED_MS);
    crash_and_load(DISK_CRASH_POWER);
    uint32_t lost_count = 0;

    for (uint32_t i = 1; i <= MANY + 1; i++) {
        lost_count += version_of(i) == 1 ? 0 : 1;
        expect(told(OVERLAY_STORED, i) == (i % 3 == 0 && i <= MANY ? 0 : 1), "%u answers to %u",
               told(OVERLAY_STORED, i), i);
    }
    expect(lost_count == 0, "%u of %u writes are lost", lost_count, MANY);
}

/* ------------------------------------------------------------------ writes that fail */

static void failed_is_tried_again(void)
{
    put(1, 1, 1);
    expect(is_stored(1), "failed");
    disk_subject.set_fault(DISK_FAULT_WRITE_ONCE);
    put(2, 1, 2);
    expect(!is_stored(2), "it did not fail");
    disk_subject.wait(RETRIED_MS);
    expect(told(OVERLAY_STORED, 2) == 1, "told %u times", told(OVERLAY_STORED, 2));
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 1, "what was there before is lost");
    expect(version_of(2) == 1, "not tried again");
}

static void failed_goes_with_the_next(void)
{
    disk_subject.set_fault(DISK_FAULT_WRITE_ONCE);
    put(1, 1, 1);
    expect(!is_stored(1), "it did not fail");
    put(2, 1, 2);
    expect(is_stored(2), "the next one failed");
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 1, "a later write was durable first");
}

static void nothing_behind_a_failed_one(void)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        disk_subject.set_fault(DISK_FAULT_WRITE_ONCE);
        put(1, i, 2 * i - 1);
        disk_subject.wait(i % 3);
        put(2, i, 2 * i);
        (void)wait_for(OVERLAY_STORED, 2 * i);
        crash_and_load(DISK_CRASH_POWER);
        expect(version_of(2) < i || version_of(1) == i, "round %u: blob 1 has version %u", i,
               version_of(1));
    }
}

static void failed_never_hides_a_later_one(void)
{
    disk_subject.set_fault(DISK_FAULT_WRITE_ONCE);
    put(1, 1, 1);
    put(2, 1, 0);
    expect(!is_stored(1), "it did not fail");
    put(1, 2, 2);
    put(2, 0, 3);
    expect(is_stored(2) && is_stored(3), "the later one failed");
    disk_subject.wait(RETRIED_MS);
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 2 && version_of(2) == 0, "%u and %u", version_of(1), version_of(2));
}

/* Also while the first is being written: no older one may come after it. */
static void overtaken_while_it_fails(void)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        disk_subject.set_fault(DISK_FAULT_WRITE_ONCE);
        put(1, 2 * i - 1, 2 * i - 1);
        disk_subject.wait(i % 3);
        put(1, 2 * i, 2 * i);
        (void)wait_for(OVERLAY_STORED, 2 * i);
        disk_subject.wait(i % 4 == 0 ? RETRIED_MS : 0);
        disk_subject.set_fault(DISK_FAULT_NONE);
        put(2, i, 1000 + i);
        expect(is_stored(1000 + i), "failed");
        crash_and_load(DISK_CRASH_POWER);
        expect(version_of(1) == 2 * i, "round %u: version %u", i, version_of(1));
    }
}

static void full_disk(void)
{
    put(1, 1, 1);
    put(2, 1, 2);
    expect(is_stored(2), "failed");
    disk_subject.set_fault(DISK_FAULT_FULL);
    put(1, 2, 3);
    put(2, 0, 4);
    put(3, 1, 5);
    put(4, 1, 0);
    expect(!is_stored(3) && !is_stored(4) && !is_stored(5), "a full disk took something");
    disk_subject.wait(RETRIED_MS);
    crash_and_load(DISK_CRASH_KILL);
    expect(version_of(1) == 1 && version_of(2) == 1 && held.blob_count == 2,
           "what was there is not there any more: %u blobs", held.blob_count);
    disk_subject.set_fault(DISK_FAULT_FULL);
    put(1, 3, 6);
    put(2, 0, 7);
    put(4, 1, 0);
    expect(!is_stored(7), "a full disk took something");
    disk_subject.wait(RETRIED_MS);
    disk_subject.set_fault(DISK_FAULT_NONE); /* somebody made room */
    disk_subject.wait(RETRIED_MS);
    expect(told(OVERLAY_STORED, 6) == 1 && told(OVERLAY_STORED, 7) == 1, "told twice");
    crash_and_load(DISK_CRASH_POWER);
    expect(version_of(1) == 3 && version_of(2) == 0 && version_of(4) == 1,
           "not all came to the disk by itself: %u %u %u", version_of(1), version_of(2),
           version_of(4));
}

/* ------------------------------------------------------------------ the list */

const struct behaviour disk_blobs[] = {
    {"what is answered is there after a crash", answered_is_there},
    {"answers come once each and in order", answers_in_order},
    {"what nobody waits for is written, too", unasked_is_durable_too},
    {"what nobody waits for is durable before what is behind it", unasked_goes_with_the_next},
    {"a crash leaves a beginning of the writes", crash_leaves_a_beginning},
    {"of several versions the last one stands", last_version_stands},
    {"what is deleted stays deleted", deleted_stays_deleted},
    {"a thousand writes at once are all written", many_at_once},
    {"a write that failed is tried again", failed_is_tried_again},
    {"a write that failed goes with the next one", failed_goes_with_the_next},
    {"nothing behind a write that failed is durable before it", nothing_behind_a_failed_one},
    {"a write that failed never hides a later one", failed_never_hides_a_later_one},
    {"nor one that came while it failed", overtaken_while_it_fails},
    {"a full disk loses nothing, and takes all when there is room", full_disk},
};
const uint32_t disk_blobs_count = ARRAY_COUNT(disk_blobs);
