// SPDX-License-Identifier: GPL-3.0-or-later
/* A member gives less storage than what lies with it: the rest goes, and is elsewhere before. */
#include <criterion/criterion.h>

#include "network.h"
#include "overlay/chunks/repair.h"
#include "overlay/state.h"

enum { CHUNKS = 40, MINUTE_MS = 60000, COST_BYTES = CHUNK_BLOCK_BYTES + CHUNK_EXTRA_BYTES };

static struct chunk_id chunks[CHUNKS];

static void store_chunks(uint32_t member_count)
{
    char text[32];

    make_members(member_count);
    run_for(2 * MINUTE_MS);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct overlay_event now;

        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(0, text);
        now = now_event();
        overlay_chunk_put(net.nodes[0].overlay, &now, 1 + i,
                          &(struct overlay_spread){.chunk = chunks[i]}, &net.nodes[0].effects);
        perform(0);
        run_for(300);
        cr_assert_eq(net.nodes[0].done[1 + i].outcome, OVERLAY_OK);
    }
    run_for(2 * MINUTE_MS);
}

static void give(uint32_t index, uint64_t bytes_max)
{
    struct overlay_event now = now_event();

    overlay_set_storage(net.nodes[index].overlay, &now, bytes_max, &net.nodes[index].effects);
    perform(index);
}

static void store_no_more(uint32_t index)
{
    struct overlay_event now = now_event();

    net.nodes[index].config.description.stores = false;
    overlay_describe(net.nodes[index].overlay, &now, &net.nodes[index].config.description,
                     &net.nodes[index].effects);
    perform(index);
}

static void limit_upload(uint32_t index, uint64_t bytes_per_s)
{
    struct overlay_event now = now_event();

    overlay_set_rates(net.nodes[index].overlay, &now, (struct overlay_rates){bytes_per_s, 0});
}

/* Everybody has fetched them. */
static void keep_everywhere(void)
{
    char text[32];

    for (uint32_t node = 0; node < net.node_count; node++) {
        for (uint32_t i = 0; i < CHUNKS; i++) {
            snprintf(text, sizeof(text), "chunk number %u", i);
            if (!overlay_has_chunk(net.nodes[node].overlay, &chunks[i])) {
                (void)keep_text(node, text);
            }
        }
    }
}

static uint64_t used(uint32_t index)
{
    return overlay_chunk_bytes(net.nodes[index].overlay);
}

static uint32_t count_up(uint32_t chunk)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += net.nodes[i].running && overlay_has_chunk(net.nodes[i].overlay, &chunks[chunk]);
    }
    return count;
}

static void expect_copies(uint32_t least)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        cr_assert_geq(count_up(i), least, "chunk %u has %u copies", i, count_up(i));
    }
}

/* Looks often, for the copies must be there at each moment. */
static void run_with_copies(uint64_t ms, uint32_t least)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        run_for(100);
        expect_copies(least);
    }
}

static uint32_t fullest(void)
{
    uint32_t index = 1;

    for (uint32_t i = 2; i < net.node_count; i++) {
        index = used(i) > used(index) ? i : index;
    }
    return index;
}

Test(shed, who_gives_less_stores_less_soon_and_no_copy_is_missing_meanwhile)
{
    uint32_t node;

    store_chunks(6);
    node = fullest();
    cr_assert_gt(used(node), (uint64_t)6 * COST_BYTES, "else this shows nothing");
    give(node, (uint64_t)4 * COST_BYTES);
    run_with_copies(MINUTE_MS, CHUNK_COPIES);
    cr_assert_leq(used(node), (uint64_t)4 * COST_BYTES);
    run_with_copies(10 * MINUTE_MS, CHUNK_COPIES);
    cr_assert_leq(used(node), (uint64_t)4 * COST_BYTES, "nor does it come back");
    end_network();
}

Test(shed, what_others_turn_out_to_have_is_not_waited_for_as_if_it_had_been_sent)
{
    store_chunks(4);
    keep_everywhere();
    limit_upload(1, 1); /* one offer is minutes of it, until it is answered */
    run_for(1000);
    give(1, 0);
    run_with_copies(10000, CHUNK_COPIES);
    cr_assert_eq(used(1), 0);
    end_network();
}

Test(shed, a_faster_line_is_used_at_once)
{
    uint32_t node;

    store_chunks(6);
    node = fullest();
    limit_upload(node, 1);
    run_for(1000);
    give(node, 0);
    run_with_copies(10000, CHUNK_COPIES);
    cr_assert_gt(used(node), 0, "else this shows nothing");
    limit_upload(node, 1 << 20);
    run_with_copies(10000, CHUNK_COPIES);
    cr_assert_eq(used(node), 0);
    end_network();
}

Test(shed, who_stores_no_more_hands_everything_on)
{
    uint32_t node;

    store_chunks(6);
    node = fullest();
    store_no_more(node);
    run_with_copies(2 * MINUTE_MS, CHUNK_COPIES);
    cr_assert_eq(used(node), 0);
    run_with_copies(10 * MINUTE_MS, CHUNK_COPIES);
    cr_assert_eq(used(node), 0);
    end_network();
}

Test(shed, before_the_deadline_as_many_copies_as_should_be_are_waited_for_and_then_one)
{
    store_chunks(3);
    kill_node(2, false); /* comes back without its disk, and has no room */
    net.nodes[2].chunk_count = 0;
    net.nodes[2].config.storage_bytes_max = 4;
    start_node(2);
    run_for(MINUTE_MS);
    give(0, 0);
    run_with_copies(SHED_MS - MINUTE_MS, CHUNK_COPIES - 1);
    cr_assert_eq(overlay_counters(net.nodes[0].overlay).chunk_count, CHUNKS);
    run_for(3 * MINUTE_MS);
    cr_assert_eq(used(0), 0, "node 1 has all of it");
    expect_copies(1);
    end_network();
}

Test(shed, the_last_copy_stays_until_somebody_takes_it)
{
    store_chunks(1);
    give(0, 0);
    run_for(30 * MINUTE_MS);
    expect_copies(1);
    cr_assert(net.nodes[0].overlay->repair.shed.is_active);
    end_network();
}

Test(shed, two_that_shed_at_once_do_not_count_on_each_other)
{
    store_chunks(2);
    give(0, 0);
    give(1, 0);
    run_with_copies(30 * MINUTE_MS, 1);
    end_network();
}

Test(shed, all_that_shed_at_once_lose_nothing_and_get_rid_of_it_when_there_is_room_again)
{
    store_chunks(4);
    for (uint32_t i = 0; i < 4; i++) {
        give(i, (uint64_t)4 * COST_BYTES);
    }
    run_with_copies(30 * MINUTE_MS, 1);
    give(3, (uint64_t)CHUNKS * COST_BYTES);
    run_with_copies(10 * MINUTE_MS, 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_leq(used(i), (uint64_t)4 * COST_BYTES, "node %u", i);
    }
    end_network();
}

Test(shed, giving_enough_again_ends_it)
{
    uint32_t before;

    store_chunks(6);
    give(1, 1);
    cr_assert(net.nodes[1].overlay->repair.shed.is_active);
    give(1, UINT64_C(1) << 30);
    cr_assert_not(net.nodes[1].overlay->repair.shed.is_active);
    before = overlay_counters(net.nodes[1].overlay).chunk_count;
    run_for(5 * MINUTE_MS);
    cr_assert_geq(overlay_counters(net.nodes[1].overlay).chunk_count, before);
    end_network();
}

Test(shed, less_given_while_a_member_was_off_goes_after_its_start)
{
    uint32_t node;

    store_chunks(6);
    node = fullest();
    kill_node(node, false);
    net.nodes[node].config.storage_bytes_max = (uint64_t)4 * COST_BYTES;
    start_node(node);
    run_with_copies(3 * MINUTE_MS, CHUNK_COPIES - 1);
    cr_assert_leq(used(node), (uint64_t)4 * COST_BYTES);
    run_for(10 * MINUTE_MS);
    expect_copies(CHUNK_COPIES);
    end_network();
}
