// SPDX-License-Identifier: GPL-3.0-or-later
/* Chunks whose files cannot be read, or hold something else. */
#include <criterion/criterion.h>

#include "network.h"
#include "overlay/state.h"

enum { CHUNKS = 8, MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };

static struct chunk_id chunks[CHUNKS];

static struct overlay_reference wiki(void)
{
    return (struct overlay_reference){{{{1}}}, {{{2}}}};
}

/* Node 0 pushes them for a service, and they are where they belong. */
static void store_chunks(uint32_t member_count)
{
    char text[32];

    make_members(member_count);
    run_for(2 * MINUTE_MS); /* all have taken their positions */
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct overlay_event now;
        struct overlay_spread spread;

        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(0, text);
        now = now_event();
        spread = (struct overlay_spread){.chunk = chunks[i], .reference = wiki()};
        overlay_chunk_put(net.nodes[0].overlay, &now, 1 + i, &spread, &net.nodes[0].effects);
        perform(0);
        run_for(300);
        cr_assert_eq(net.nodes[0].done[1 + i].outcome, OVERLAY_OK);
    }
    run_for(2 * MINUTE_MS);
}

static bool has(uint32_t index, uint32_t chunk)
{
    return overlay_has_chunk(net.nodes[index].overlay, &chunks[chunk]);
}

static void tell_read(uint32_t index, uint32_t chunk, enum overlay_chunk_outcome outcome)
{
    struct overlay_event read = now_event();

    read.kind = OVERLAY_CHUNK_READ;
    read.chunk = chunks[chunk];
    read.chunk_bytes = outcome == OVERLAY_CHUNK_OK ? strlen("chunk number 0") : 0;
    read.outcome = outcome;
    overlay_step(net.nodes[index].overlay, &read, &net.nodes[index].effects);
    perform(index);
}

static struct overlay_stock_line lines[OVERLAY_STOCK_LINES_MAX];

static struct overlay_stock stock_of(uint32_t index)
{
    struct overlay_stock stock;

    overlay_stock(net.nodes[index].overlay, &stock, lines);
    return stock;
}

static const struct overlay_stock_line *the_line(void)
{
    for (uint32_t i = 0; i < OVERLAY_STOCK_LINES_MAX; i++) {
        if (lines[i].used) {
            return &lines[i];
        }
    }
    cr_assert_fail("nothing is stored for anybody");
    return NULL;
}

/* Somebody who is at home for the chunk, beside node 0. */
static uint32_t a_home(uint32_t chunk)
{
    uint32_t index = 1;

    while (!has(index, chunk)) {
        index++;
    }
    return index;
}

Test(bad_chunks, an_only_copy_that_cannot_be_read_keeps_its_place_and_is_had_again)
{
    struct overlay_stock before;
    struct overlay_stock stock;

    store_chunks(1);
    before = stock_of(0);
    cr_assert_eq(the_line()->scarce_count, CHUNKS);
    tell_read(0, 0, OVERLAY_CHUNK_REFUSED);
    tell_read(0, 1, OVERLAY_CHUNK_WRONG_HASH);
    cr_assert(!has(0, 0) && !has(0, 1) && has(0, 2));
    stock = stock_of(0);
    cr_assert_eq(stock.bad_count, 2);
    cr_assert_eq(stock.bad_bytes, 2 * strlen("chunk number 0"));
    cr_assert_eq(stock.bytes, before.bytes, "the files are still there");
    cr_assert_eq(the_line()->copies_least, 0);
    cr_assert_eq(the_line()->copies_most, 1);
    run_for(5 * MINUTE_MS);
    tell_read(0, 0, OVERLAY_CHUNK_REFUSED);
    cr_assert_not(has(0, 0));
    cr_assert_eq(stock_of(0).rotten_count, 2, "each is counted once");
    tell_read(0, 0, OVERLAY_CHUNK_OK);
    tell_read(0, 1, OVERLAY_CHUNK_OK);
    stock = stock_of(0);
    cr_assert(has(0, 0) && has(0, 1));
    cr_assert_eq(stock.bad_count, 0);
    cr_assert_eq(stock.bad_bytes, 0);
    cr_assert_eq(stock.bytes, before.bytes);
    cr_assert_eq(the_line()->chunk_count, CHUNKS);
    end_network();
}

static void restart(uint32_t index)
{
    kill_node(index, false);
    start_node(index);
    run_for(1000);
}

Test(bad_chunks, what_is_bad_is_known_after_a_restart_and_so_is_what_is_good_again)
{
    struct overlay_stock before;

    store_chunks(1);
    before = stock_of(0);
    tell_read(0, 0, OVERLAY_CHUNK_REFUSED);
    tell_read(0, 1, OVERLAY_CHUNK_WRONG_HASH);
    restart(0);
    cr_assert(!has(0, 0) && !has(0, 1) && has(0, 2));
    cr_assert_eq(stock_of(0).bad_count, 2);
    cr_assert_eq(stock_of(0).bad_bytes, 2 * strlen("chunk number 0"));
    cr_assert_eq(stock_of(0).bytes, before.bytes);
    cr_assert_eq(the_line()->chunk_count, CHUNKS, "for whom it is, is known, too");
    tell_read(0, 1, OVERLAY_CHUNK_OK);
    restart(0);
    cr_assert(!has(0, 0) && has(0, 1));
    cr_assert_eq(stock_of(0).bad_count, 1);
    tell_read(0, 0, OVERLAY_CHUNK_OK);
    restart(0);
    cr_assert(has(0, 0) && has(0, 1));
    cr_assert_eq(stock_of(0).bad_count, 0);
    cr_assert_eq(stock_of(0).bad_bytes, 0);
    cr_assert_eq(stock_of(0).bytes, before.bytes);
    end_network();
}

Test(bad_chunks, another_s_copy_takes_the_place_of_one_that_is_bad_within_seconds)
{
    uint32_t index;
    uint64_t before;

    store_chunks(6);
    index = a_home(0);
    before = overlay_chunk_bytes(net.nodes[index].overlay);
    tell_read(index, 0, OVERLAY_CHUNK_REFUSED);
    cr_assert_not(has(index, 0));
    run_for(3000);
    cr_assert(has(index, 0));
    cr_assert_eq(stock_of(index).bad_count, 0);
    cr_assert_eq(overlay_chunk_bytes(net.nodes[index].overlay), before);
    end_network();
}

Test(bad_chunks, a_full_node_takes_a_copy_too_in_place_of_the_bad_one)
{
    struct overlay_event now;
    uint32_t index;
    uint64_t before;

    store_chunks(6);
    index = a_home(0);
    before = overlay_chunk_bytes(net.nodes[index].overlay);
    now = now_event();
    overlay_set_storage(net.nodes[index].overlay, &now, before, &net.nodes[index].effects);
    perform(index);
    tell_read(index, 0, OVERLAY_CHUNK_WRONG_HASH);
    run_for(2 * MINUTE_MS);
    cr_assert(has(index, 0));
    cr_assert_eq(overlay_chunk_bytes(net.nodes[index].overlay), before);
    end_network();
}

Test(bad_chunks, who_has_a_bad_one_says_so_when_it_is_asked_and_when_it_is_compared)
{
    uint32_t index;
    uint32_t other;

    store_chunks(3);
    index = a_home(0);
    other = index == 1 ? 2 : 1;
    cr_assert(has(0, 0) && has(other, 0));
    net.nodes[index].overlay->repair.refused_until_ms = net.now_ms + HOUR_MS; /* nothing is taken */
    tell_read(index, 0, OVERLAY_CHUNK_REFUSED);
    run_for(5 * MINUTE_MS);
    cr_assert_not(has(index, 0));
    /* Both others have heard that it is not there. */
    (void)stock_of(0);
    cr_assert_eq(the_line()->copies_least, 2);
    (void)stock_of(index);
    cr_assert_leq(the_line()->copies_least, 2);
    end_network();
}

Test(bad_chunks, a_file_that_was_cut_short_is_replaced_by_one_of_another_size)
{
    uint32_t index;
    uint64_t bytes;

    store_chunks(6);
    index = a_home(0);
    (void)stock_of(index);
    bytes = the_line()->bytes;
    kill_node(index, false);
    for (uint32_t i = 0; i < net.nodes[index].chunk_count; i++) { /* so its disk is found */
        if (id_equal(&net.nodes[index].chunks[i].id.id, &chunks[0].id)) {
            net.nodes[index].chunks[i].length_bytes = 3;
        }
    }
    start_node(index);
    run_for(2000);
    tell_read(index, 0, OVERLAY_CHUNK_WRONG_HASH);
    run_for(2 * MINUTE_MS);
    cr_assert(has(index, 0));
    cr_assert_eq(stock_of(index).bad_count, 0);
    cr_assert_eq(the_line()->bytes, bytes);
    end_network();
}

Test(bad_chunks, what_is_garbage_goes_also_when_it_cannot_be_read)
{
    store_chunks(1);
    tell_read(0, 0, OVERLAY_CHUNK_REFUSED);
    tell_read(0, 1, OVERLAY_CHUNK_WRONG_HASH);
    cr_assert_gt(overlay_chunk_bytes(net.nodes[0].overlay), 0);
    for (uint32_t i = 0; i < 6; i++) { /* no version has these chunks: the push had failed */
        net.now_ms += 7 * HOUR_MS;
        run_for(5 * MINUTE_MS);
    }
    cr_assert_eq(overlay_chunk_bytes(net.nodes[0].overlay), 0);
    cr_assert_eq(stock_of(0).bad_count, 0);
    end_network();
}

static uint32_t count_notes(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.nodes[0].blob_count; i++) {
        count += net.nodes[0].blobs[i].kind == BLOB_CHUNK ? 1 : 0;
    }
    return count;
}

Test(bad_chunks, that_one_was_bad_is_forgotten_with_it)
{
    struct overlay_event lost;

    make_members(1);
    chunks[0] = keep_text(0, "chunk number 0"); /* for nobody that is known */
    tell_read(0, 0, OVERLAY_CHUNK_REFUSED);
    cr_assert_eq(count_notes(), 1);
    lost = now_event();
    lost.kind = OVERLAY_CHUNK_ABSENT;
    lost.chunk = chunks[0];
    overlay_step(net.nodes[0].overlay, &lost, &net.nodes[0].effects);
    perform(0);
    cr_assert_eq(count_notes(), 0);
    net.nodes[0].chunk_count = 0;
    chunks[0] = keep_text(0, "chunk number 0");
    restart(0);
    cr_assert(has(0, 0), "the new one is good");
    tell_read(0, 0, OVERLAY_CHUNK_REFUSED);
    tell_read(0, 0, OVERLAY_CHUNK_OK);
    cr_assert_eq(count_notes(), 0, "and of a good one for nobody there is nothing to note");
    restart(0);
    cr_assert(has(0, 0));
    end_network();
}
