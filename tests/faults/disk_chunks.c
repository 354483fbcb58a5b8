// SPDX-License-Identifier: GPL-3.0-or-later
/* What the core relies on of chunks. */
#include <string.h>

#include "tests/faults/disk_expect.h"

enum { CHUNK_BYTES = 5000 };

static uint8_t chunk_data[CHUNK_BYTES];

static struct chunk_id chunk_of(uint32_t number)
{
    for (uint32_t i = 0; i < CHUNK_BYTES; i++) {
        chunk_data[i] = (uint8_t)(number * 31 + i * i);
    }
    memcpy(chunk_data, &number, sizeof(number));
    return (struct chunk_id){hash_of(HASH_CHUNK, (struct bytes){chunk_data, CHUNK_BYTES})};
}

static void put_chunk(uint32_t number, uint64_t token)
{
    struct overlay_effect effect = {.kind = OVERLAY_STORE_CHUNK, .token = token};

    effect.chunk = chunk_of(number);
    effect.data = (struct bytes){chunk_data, CHUNK_BYTES};
    disk_subject.perform(&effect);
}

static void drop_chunk(uint32_t number)
{
    struct overlay_effect effect = {.kind = OVERLAY_DROP_CHUNK, .chunk = chunk_of(number)};

    disk_subject.perform(&effect);
}

static enum overlay_chunk_outcome outcome_of(uint64_t token)
{
    const struct overlay_event *event = wait_for(OVERLAY_CHUNK_STORED, token);

    return event == NULL ? OVERLAY_CHUNK_FAILED : event->outcome;
}

static bool was_there(uint64_t token)
{
    const struct overlay_event *event = wait_for(OVERLAY_CHUNK_STORED, token);

    return event != NULL && event->was_there;
}

/* What the last read said, or what was said of the chunk since. */
static const struct overlay_event *last_of(const struct chunk_id *chunk)
{
    for (uint32_t i = core.heard_count; i > 0; i--) {
        const struct overlay_event *event = &core.heard[i - 1];

        if ((event->kind == OVERLAY_CHUNK_READ || event->kind == OVERLAY_CHUNK_ABSENT) &&
            id_equal(&event->chunk.id, &chunk->id)) {
            return event;
        }
    }
    return NULL;
}

enum reading { READ_OK, READ_ROTTEN, READ_REFUSED, READ_ABSENT, READ_NOTHING };

static enum reading reading_of(const struct overlay_event *event)
{
    if (event == NULL) {
        return READ_NOTHING;
    }
    if (event->kind == OVERLAY_CHUNK_ABSENT) {
        return READ_ABSENT;
    }
    return event->outcome == OVERLAY_CHUNK_OK           ? READ_OK
           : event->outcome == OVERLAY_CHUNK_WRONG_HASH ? READ_ROTTEN
                                                        : READ_REFUSED;
}

static enum reading read_chunk(uint32_t number)
{
    struct chunk_id chunk = chunk_of(number);

    disk_subject.read(&chunk);
    disk_subject.wait(1);
    return reading_of(last_of(&chunk));
}

static bool is_listed(uint32_t number)
{
    struct chunk_id chunk = chunk_of(number);

    for (uint32_t i = 0; i < held.chunk_count; i++) {
        if (id_equal(&held.chunks[i].id, &chunk.id)) {
            expect(held.chunk_bytes[i] == CHUNK_BYTES, "a chunk of %lu bytes",
                   (unsigned long)held.chunk_bytes[i]);
            return true;
        }
    }
    return false;
}

static void chunk_is_there(void)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        put_chunk(i, i);
        const struct overlay_event *event = wait_for(OVERLAY_CHUNK_STORED, i);

        expect(event != NULL && event->outcome == OVERLAY_CHUNK_OK &&
                   event->chunk_bytes == CHUNK_BYTES,
               "chunk %u is not stored", i);
        expect(read_chunk(i) == READ_OK, "chunk %u cannot be read", i);
        crash_and_load(i % 2 == 0 ? DISK_CRASH_KILL : DISK_CRASH_POWER);
        for (uint32_t j = 1; j <= i; j++) {
            expect(is_listed(j) && read_chunk(j) == READ_OK, "chunk %u is lost in crash %u", j, i);
        }
    }
    put_chunk(1, 100);
    expect(outcome_of(100) == OVERLAY_CHUNK_OK, "the same once more");
    expect(was_there(100) && !was_there(1), "what was written is not told from what was there");
}

static void chunk_whole_or_absent(void)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t first = round * 10;
        uint32_t answered_count = 0;

        for (uint32_t i = 1; i <= 10; i++) {
            put_chunk(first + i, first + i);
        }
        disk_subject.wait(round / 3);
        bool is_answered[11] = {false};

        for (uint32_t i = 1; i <= 10; i++) {
            is_answered[i] = told(OVERLAY_CHUNK_STORED, first + i) == 1;
            answered_count += is_answered[i] ? 1 : 0;
        }
        crash_and_load(round % 2 == 0 ? DISK_CRASH_KILL : DISK_CRASH_POWER);
        for (uint32_t i = 1; i <= 10; i++) {
            expect(is_listed(first + i) ? read_chunk(first + i) == READ_OK : !is_answered[i],
                   "round %u: chunk %u of %u", round, i, answered_count);
        }
    }
}

static void wrong_chunk_is_refused(void)
{
    struct overlay_effect effect = {.kind = OVERLAY_STORE_CHUNK, .token = 1, .chunk = chunk_of(1)};

    (void)chunk_of(2);
    effect.data = (struct bytes){chunk_data, CHUNK_BYTES};
    disk_subject.perform(&effect);
    expect(outcome_of(1) == OVERLAY_CHUNK_WRONG_HASH, "another content is taken");
    effect.token = 2;
    effect.chunk.id = hash_of(HASH_CHUNK, (struct bytes){chunk_data, 0});
    effect.data = (struct bytes){chunk_data, 0};
    disk_subject.perform(&effect);
    expect(outcome_of(2) == OVERLAY_CHUNK_WRONG_HASH, "an empty chunk is taken");
    load();
    expect(held.chunk_count == 0 && read_chunk(1) == READ_ABSENT, "something of it is kept");
}

static void many_chunks_at_once(void)
{
    enum { COUNT = 100 };
    uint32_t stored_count = 0;

    for (uint32_t i = 1; i <= COUNT; i++) {
        put_chunk(i, i);
    }
    for (uint32_t i = 1; i <= COUNT; i++) {
        enum overlay_chunk_outcome outcome = outcome_of(i);

        expect(outcome == OVERLAY_CHUNK_OK || outcome == OVERLAY_CHUNK_FAILED, "outcome %d",
               (int)outcome);
        expect(read_chunk(i) == (outcome == OVERLAY_CHUNK_OK ? READ_OK : READ_ABSENT),
               "what was said of %u is not so", i);
        stored_count += outcome == OVERLAY_CHUNK_OK ? 1 : 0;
        if (outcome != OVERLAY_CHUNK_OK) {
            put_chunk(i, COUNT + i);
            expect(outcome_of(COUNT + i) == OVERLAY_CHUNK_OK, "later it failed, too");
        }
    }
    expect(stored_count > 0 && stored_count < COUNT, "%u of %u: a bound is not simulated",
           stored_count, COUNT);
    for (uint32_t i = 1; i <= COUNT; i++) {
        expect(told(OVERLAY_CHUNK_STORED, i) == 1, "chunk %u has %u answers", i,
               told(OVERLAY_CHUNK_STORED, i));
    }
}

static bool node_says_refused(bool refused)
{
    return disk_subject.refuses() == refused;
}

static void chunk_on_full_disk(void)
{
    put_chunk(1, 1);
    expect(outcome_of(1) == OVERLAY_CHUNK_OK, "failed");
    disk_subject.set_fault(DISK_FAULT_FULL);
    put_chunk(2, 2);
    expect(outcome_of(2) == OVERLAY_CHUNK_REFUSED, "a full disk took a chunk");
    put_chunk(1, 3);
    expect(outcome_of(3) == OVERLAY_CHUNK_OK, "what is there takes no room");
    expect(was_there(3), "a full disk seems to take something again");
    expect(node_says_refused(true), "the node says that its disk takes something again");
    disk_subject.set_fault(DISK_FAULT_NONE);
    disk_subject.wait(RETRIED_MS);
    crash_and_load(DISK_CRASH_KILL);
    expect(is_listed(1) && !is_listed(2), "a refused chunk is kept, or a kept one gone");
    put_chunk(2, 4);
    expect(outcome_of(4) == OVERLAY_CHUNK_OK, "with room again");
    expect(node_says_refused(false), "the node does not say that its disk takes something again");
}

static void chunk_with_a_bad_write(void)
{
    disk_subject.set_fault(DISK_FAULT_WRITE_ONCE);
    put_chunk(1, 1);
    expect(outcome_of(1) == OVERLAY_CHUNK_REFUSED, "it did not fail");
    crash_and_load(DISK_CRASH_KILL);
    expect(!is_listed(1), "a refused chunk is kept");
    put_chunk(1, 2);
    expect(outcome_of(2) == OVERLAY_CHUNK_OK, "once more");
    expect(told(OVERLAY_CHUNK_STORED, 1) == 1, "told %u times", told(OVERLAY_CHUNK_STORED, 1));
}

static void rotten_is_kept_and_replaced(void)
{
    struct chunk_id chunk = chunk_of(1);

    put_chunk(1, 1);
    expect(outcome_of(1) == OVERLAY_CHUNK_OK, "failed");
    disk_subject.rot(&chunk);
    expect(read_chunk(1) == READ_ROTTEN, "rot is not found");
    crash_and_load(DISK_CRASH_KILL);
    expect(is_listed(1), "a rotten one is gone before a copy came");
    expect(read_chunk(1) == READ_ROTTEN, "it has mended itself");
    disk_subject.set_fault(DISK_FAULT_FULL);
    put_chunk(1, 2);
    expect(outcome_of(2) == OVERLAY_CHUNK_REFUSED, "a full disk took a copy");
    disk_subject.set_fault(DISK_FAULT_NONE);
    put_chunk(1, 3);
    expect(outcome_of(3) == OVERLAY_CHUNK_OK && read_chunk(1) == READ_OK, "not replaced");
    crash_and_load(DISK_CRASH_POWER);
    expect(is_listed(1) && read_chunk(1) == READ_OK, "the copy is lost");
}

static void unreadable_is_looked_at_again(void)
{
    struct chunk_id chunk = chunk_of(1);

    put_chunk(1, 1);
    expect(outcome_of(1) == OVERLAY_CHUNK_OK, "failed");
    disk_subject.set_fault(DISK_FAULT_READ_ONCE);
    expect(read_chunk(1) == READ_REFUSED, "it could be read");
    for (uint32_t ms = 0; ms < PATIENCE_MS && reading_of(last_of(&chunk)) != READ_OK; ms += 100) {
        disk_subject.wait(100);
    }
    const struct overlay_event *last = last_of(&chunk);

    expect(last != NULL && reading_of(last) == READ_OK && last->chunk_bytes == CHUNK_BYTES,
           "nobody looked again");
}

/* What a slow read saw is no longer so when it ends. */
static void read_before_it_was_written(void)
{
    struct chunk_id chunk = chunk_of(1);

    if (disk_subject.begin_read == NULL) {
        return;
    }
    disk_subject.begin_read(&chunk);
    put_chunk(1, 1);
    expect(outcome_of(1) == OVERLAY_CHUNK_OK, "failed");
    disk_subject.end_read(&chunk);
    expect(disk_core_knows(&core, &chunk) != NULL, "a chunk that came is told to be absent");
    disk_subject.rot(&chunk);
    disk_subject.begin_read(&chunk);
    put_chunk(1, 2);
    expect(outcome_of(2) == OVERLAY_CHUNK_OK && !was_there(2), "not replaced");
    put_chunk(2, 3);
    expect(outcome_of(3) == OVERLAY_CHUNK_OK, "failed");
    disk_subject.end_read(&chunk);
    expect(last_of(&chunk) == NULL, "what was replaced is told to be rotten");
    disk_subject.rot(&chunk);
    expect(read_chunk(1) == READ_ROTTEN, "rot since the write is not told");
}

/* It says nothing of the disk. */
static void too_few_descriptors(void)
{
    if (disk_subject.fail_opens == NULL) {
        return;
    }
    disk_subject.fail_opens();
    put_chunk(1, 1);
    const struct overlay_event *event = wait_for(OVERLAY_CHUNK_STORED, 1);

    expect(event != NULL && event->outcome == OVERLAY_CHUNK_FAILED,
           "the disk is said to refuse it");
    expect(node_says_refused(false), "and that it takes nothing");
    disk_subject.set_fault(DISK_FAULT_NONE);
    put_chunk(1, 2);
    expect(outcome_of(2) == OVERLAY_CHUNK_OK, "later it failed, too");
}

static void absent_is_said(void)
{
    expect(read_chunk(1) == READ_ABSENT, "a chunk from nowhere");
}

static void dropped_is_gone(void)
{
    put_chunk(1, 1);
    put_chunk(2, 2);
    expect(outcome_of(1) == OVERLAY_CHUNK_OK && outcome_of(2) == OVERLAY_CHUNK_OK, "failed");
    drop_chunk(1);
    drop_chunk(1);
    drop_chunk(3); /* was never there */
    disk_subject.wait(200);
    load();
    expect(!is_listed(1) && is_listed(2), "not that one");
    expect(read_chunk(1) == READ_ABSENT, "it can be read");
    put_chunk(3, 3); /* the folder is durable with it */
    expect(outcome_of(3) == OVERLAY_CHUNK_OK, "failed");
    crash_and_load(DISK_CRASH_POWER);
    expect(!is_listed(1) && is_listed(2) && is_listed(3), "it is back");
}

/* A crash may bring it back, whole: nobody waits for a deletion. */
static void dropped_may_come_back(void)
{
    uint32_t back_count = 0;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        put_chunk(i, i);
        expect(outcome_of(i) == OVERLAY_CHUNK_OK, "failed");
        drop_chunk(i);
        disk_subject.wait(i % 2 == 0 ? 0 : 20);
        crash_and_load(i % 3 == 0 ? DISK_CRASH_KILL : DISK_CRASH_POWER);
        if (is_listed(i)) {
            back_count++;
            expect(read_chunk(i) == READ_OK, "a part of %u came back", i);
        }
    }
    expect(back_count > 0, "that it may come back is not simulated");
}

/* What comes again while it is being dropped is there when it is acknowledged. */
static void dropped_and_put_again(void)
{
    for (uint32_t i = 1; i <= 200; i++) {
        put_chunk(1, 3 * i);
        expect(outcome_of(3 * i) == OVERLAY_CHUNK_OK, "failed");
        drop_chunk(2 + i % 5);
        drop_chunk(1);
        put_chunk(1, 3 * i + 1);
        expect(outcome_of(3 * i + 1) == OVERLAY_CHUNK_OK, "failed");
        disk_subject.wait(i % 20 == 0 ? 20 : 0);
        if (read_chunk(1) != READ_OK) {
            expect(false, "round %u: acknowledged, and dropped", i);
            return;
        }
    }
}

/* Dropped while it is written once more: whoever was told last that it is there is right. */
static void put_and_dropped_meanwhile(void)
{
    for (uint32_t i = 1; i <= 200; i++) {
        struct chunk_id chunk = chunk_of(1);

        put_chunk(1, 3 * i);
        expect(outcome_of(3 * i) == OVERLAY_CHUNK_OK, "failed");
        put_chunk(1, 3 * i + 1);
        drop_chunk(1);
        (void)outcome_of(3 * i + 1);
        disk_subject.wait(10);
        if (disk_core_knows(&core, &chunk) != NULL && read_chunk(1) != READ_OK) {
            expect(false, "round %u: told that it is there, and it is not", i);
            return;
        }
    }
}

/* ------------------------------------------------------------------ the list */

const struct behaviour disk_chunks[] = {
    {"a stored chunk is there after a crash", chunk_is_there},
    {"a crash leaves whole chunks only", chunk_whole_or_absent},
    {"a chunk that is another one is refused", wrong_chunk_is_refused},
    {"too many chunks at once fail, and may be tried again", many_chunks_at_once},
    {"a full disk refuses chunks that it has not", chunk_on_full_disk},
    {"a chunk whose write fails is refused", chunk_with_a_bad_write},
    {"a rotten chunk is kept until a copy comes", rotten_is_kept_and_replaced},
    {"a chunk that cannot be read is looked at again", unreadable_is_looked_at_again},
    {"what was written since a read began is not said to be bad", read_before_it_was_written},
    {"a chunk fails while nothing can be opened, and may be tried again", too_few_descriptors},
    {"a chunk that is not there is said to be absent", absent_is_said},
    {"a dropped chunk is gone", dropped_is_gone},
    {"a dropped chunk may come back in a crash", dropped_may_come_back},
    {"a chunk that comes again while it is dropped is there", dropped_and_put_again},
    {"a chunk that is dropped while it is written is as was said", put_and_dropped_meanwhile},
};
const uint32_t disk_chunks_count = ARRAY_COUNT(disk_chunks);
