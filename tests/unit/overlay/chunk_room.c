// SPDX-License-Identifier: GPL-3.0-or-later
/* The table of chunks and the storage share are hard limits, whatever comes at the same time. */
#include <criterion/criterion.h>

#include "offers.h"

enum { TOKENS = 3 };

static uint32_t stored_number;

/* The node's table has so many chunks afterwards, of which no test knows more. */
static void fill_table(uint32_t index, uint32_t count)
{
    struct chunks *chunks = &net.nodes[index].overlay->chunks;

    chunks->bytes_max = UINT64_C(1) << 40;
    while (chunks->count < count) {
        struct chunk_id id = {hash_of(
            "minga test", (struct bytes){(const uint8_t *)&stored_number, sizeof(stored_number)})};

        stored_number++;
        cr_assert_eq(chunks_add(chunks, &id, 1), 0);
    }
}

/* So much of the share is left. */
static void leave_bytes(uint32_t index, uint64_t bytes)
{
    struct overlay *overlay = net.nodes[index].overlay;

    cr_assert_eq(overlay->records.count, 0, "they take some of it, too");
    overlay->chunks.bytes_max = overlay->chunks.cost_bytes + bytes;
}

static struct chunk_id text_chunk(uint32_t number, uint32_t at)
{
    char text[32];

    snprintf(text, sizeof(text), "chunk number %u", number);
    return keep_text(at, text);
}

/* All in one message. */
static void start_puts(uint32_t index, const struct chunk_id *chunks)
{
    for (uint32_t i = 0; i < TOKENS; i++) {
        struct overlay_event now = now_event();

        overlay_chunk_put(net.nodes[index].overlay, &now, 1 + i,
                          &(struct overlay_spread){.chunk = chunks[i]}, &net.nodes[index].effects);
        perform(index);
    }
}

static void start_get(uint32_t index, uint64_t token, const struct chunk_id *chunk)
{
    struct overlay_event now = now_event();

    overlay_chunk_get(
        net.nodes[index].overlay, &now, token,
        &(struct overlay_wanted){.chunk = *chunk, .others = &net.nodes[0].id, .other_count = 1},
        &net.nodes[index].effects);
    perform(index);
}

static bool has(uint32_t index, const struct chunk_id *chunk)
{
    return overlay_has_chunk(net.nodes[index].overlay, chunk);
}

static void expect_what_is_said_to_be_held(const struct chunk_id *chunks, uint32_t held_count)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < TOKENS; i++) {
        const struct done *done = &net.nodes[0].done[1 + i];

        cr_assert(done->ended);
        cr_assert(done->outcome != OVERLAY_OK || done->copies < 2 || has(1, &chunks[i]),
                  "chunk %u is acknowledged with %u copies", i, done->copies);
        count += has(1, &chunks[i]) ? 1 : 0;
    }
    cr_assert_eq(count, held_count);
}

Test(chunk_room, what_has_no_place_in_the_table_is_not_acknowledged)
{
    struct chunk_id chunks[TOKENS];

    make_members(2);
    run_for(3000);
    for (uint32_t i = 0; i < TOKENS; i++) {
        chunks[i] = text_chunk(i, 0);
    }
    fill_table(1, CHUNKS_MAX - 1);
    start_puts(0, chunks);
    run_for(1000);
    expect_what_is_said_to_be_held(chunks, 1);
    end_network();
}

/* Room was promised, and is gone when the data comes. */
Test(chunk_room, what_comes_when_the_table_is_full_is_not_acknowledged_and_goes)
{
    struct chunk_id chunks[TOKENS];

    make_members(2);
    run_for(3000);
    for (uint32_t i = 0; i < TOKENS; i++) {
        chunks[i] = text_chunk(i, 0);
    }
    start_puts(0, chunks);
    while (!net.nodes[1].overlay->chunk_receives[TOKENS - 1].used) {
        cr_assert(step_once(net.now_ms + 1000));
    }
    fill_table(1, CHUNKS_MAX);
    run_for(1000);
    expect_what_is_said_to_be_held(chunks, 0);
    cr_assert_eq(net.nodes[1].dropped_count, TOKENS, "the files stay");
    end_network();
}

Test(chunk_room, what_a_user_pushes_into_a_full_table_does_not_count_as_stored_here)
{
    struct chunk_id chunk;
    struct overlay_event now;

    make_members(2);
    run_for(3000);
    fill_table(0, CHUNKS_MAX);
    chunk = text_chunk(0, 0);
    cr_assert_not(has(0, &chunk));
    cr_assert_eq(net.nodes[0].dropped_count, 1);
    now = now_event();
    overlay_chunk_put(net.nodes[0].overlay, &now, 1, &(struct overlay_spread){.chunk = chunk},
                      &net.nodes[0].effects);
    perform(0);
    run_for(1000);
    cr_assert(net.nodes[0].done[1].ended);
    cr_assert_leq(net.nodes[0].done[1].copies, 1);
    end_network();
}

/* Each may have a megabyte, and there is one: they take turns. */
Test(chunk_room, one_megabyte_is_promised_to_one_fetch_at_a_time)
{
    struct chunk_id chunks[TOKENS];
    struct overlay *overlay;

    make_members(8);
    run_for(3000);
    overlay = net.nodes[7].overlay;
    overlay->record.stores = false; /* nobody else brings anything */
    for (uint32_t i = 0; i < TOKENS; i++) {
        chunks[i] = text_chunk(i, 0);
    }
    leave_bytes(7, chunk_cost_bytes(CHUNK_BYTES_MAX) + (TOKENS - 1) * chunk_cost_bytes(1));
    for (uint32_t i = 0; i < TOKENS; i++) {
        start_get(7, 1 + i, &chunks[i]);
    }
    cr_assert(overlay_has_room(overlay, 1, 0, 0));
    cr_assert(!overlay_has_room(overlay, CHUNK_BYTES_MAX / 2, 0, 0), "it is promised");
    cr_assert(!overlay_has_room(overlay, 1, 1, TOKENS * chunk_cost_bytes(1)));
    run_for(5000);
    for (uint32_t i = 0; i < TOKENS; i++) {
        cr_assert_eq(net.nodes[7].done[1 + i].outcome, OVERLAY_OK);
        cr_assert(net.nodes[7].done[1 + i].ended && has(7, &chunks[i]));
    }
    end_network();
}

/* It may be smaller than the megabyte that it was promised. */
Test(chunk_room, who_offers_what_a_fetch_leaves_no_room_for_yet_is_told_to_wait)
{
    const uint32_t half = CHUNK_BYTES_MAX / 2;
    struct chunk_id chunk;

    make_members(8);
    run_for(3000);
    chunk = text_chunk(0, 0);
    leave_bytes(7, chunk_cost_bytes(CHUNK_BYTES_MAX));
    start_get(7, 1, &chunk);
    cr_assert_not(net.nodes[7].done[1].ended);
    cr_assert_eq(judge_sized(7, 1, "half of it", true, half), minga_ChunkAnswer_CHUNK_BUSY);
    leave_bytes(7, chunk_cost_bytes(half) - 1);
    cr_assert_eq(judge_sized(7, 1, "half of it", true, half), minga_ChunkAnswer_CHUNK_FULL);
    leave_bytes(7, chunk_cost_bytes(CHUNK_BYTES_MAX));
    run_for(5000);
    cr_assert_eq(net.nodes[7].done[1].outcome, OVERLAY_OK);
    cr_assert_eq(judge_sized(7, 1, "half of it", true, half), minga_ChunkAnswer_CHUNK_SEND);
    end_network();
}

Test(chunk_room, what_is_fetched_into_a_share_that_is_full_by_then_goes)
{
    struct chunk_id chunk;

    make_members(8);
    run_for(3000);
    net.nodes[7].overlay->record.stores = false;
    chunk = text_chunk(0, 0);
    start_get(7, 1, &chunk);
    cr_assert_not(net.nodes[7].done[1].ended);
    leave_bytes(7, 0);
    run_for(5000);
    cr_assert(net.nodes[7].done[1].ended);
    cr_assert_eq(net.nodes[7].done[1].outcome, OVERLAY_FULL);
    cr_assert_not(has(7, &chunk));
    cr_assert_eq(net.nodes[7].dropped_count, 1);
    end_network();
}

/* The edge has too much under way at the moment. */
Test(chunk_room, a_fetch_that_the_edge_has_no_memory_for_is_tried_again)
{
    struct chunk_id chunk;

    make_members(8);
    run_for(3000);
    net.nodes[7].overlay->record.stores = false;
    chunk = text_chunk(0, 0);
    net.nodes[7].chunks_to_fail = 3;
    start_get(7, 1, &chunk);
    run_for(5000);
    cr_assert(net.nodes[7].done[1].ended);
    cr_assert_eq(net.nodes[7].done[1].outcome, OVERLAY_OK);
    cr_assert(has(7, &chunk));
    end_network();
}
