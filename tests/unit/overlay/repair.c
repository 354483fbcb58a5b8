// SPDX-License-Identifier: GPL-3.0-or-later
/* Chunks whose holders sleep, die, lose their disks, and come back. */
#include "overlay/chunks/repair.h"

#include <criterion/criterion.h>

#include "network.h"
#include "overlay/chunks/homes.h"
#include "overlay/state.h"

enum { CHUNKS = 24, MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };

static struct chunk_id chunks[CHUNKS];

static void spread(uint32_t index, uint64_t token, const struct chunk_id *chunk)
{
    struct overlay_event now = now_event();

    overlay_chunk_put(net.nodes[index].overlay, &now, token,
                      &(struct overlay_spread){.chunk = *chunk}, &net.nodes[index].effects);
    perform(index);
    run_for(300);
    cr_assert_eq(net.nodes[index].done[token].outcome, OVERLAY_OK);
}

/* Node 0 pushes them, and they are where they belong. */
static void store_chunks(uint32_t member_count)
{
    char text[32];

    make_members(member_count);
    run_for(2 * MINUTE_MS); /* all have taken their positions */
    for (uint32_t i = 0; i < CHUNKS; i++) {
        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(0, text);
        spread(0, 1 + i, &chunks[i]);
    }
    run_for(2 * MINUTE_MS);
}

static bool has(uint32_t index, uint32_t chunk)
{
    return net.nodes[index].running && overlay_has_chunk(net.nodes[index].overlay, &chunks[chunk]);
}

static uint32_t count_up(uint32_t chunk)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += has(i, chunk) ? 1 : 0;
    }
    return count;
}

static uint32_t sent_chunks(void)
{
    return net.sent_count[minga_Message_chunk_data_tag];
}

static void expect_copies(void)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        cr_assert(count_up(i) >= HOMES_UP, "chunk %u has %u copies", i, count_up(i));
    }
}

static uint32_t count_held(uint32_t index)
{
    return overlay_counters(net.nodes[index].overlay).chunk_count;
}

Test(repair, a_member_that_sleeps_an_hour_and_comes_back_moves_nothing)
{
    uint32_t before;

    store_chunks(8);
    before = sent_chunks();
    kill_node(3, false);
    run_for(HOUR_MS);
    expect_copies();
    start_node(3);
    run_for(5 * MINUTE_MS);
    cr_assert_eq(sent_chunks(), before, "%u chunks moved", sent_chunks() - before);
    end_network();
}

Test(repair, when_one_copy_alone_is_up_a_second_is_made_after_a_restart_s_time)
{
    store_chunks(8);
    kill_node(3, false);
    kill_node(5, false);
    kill_node(6, false);
    run_for(HOMES_RESTART_MS / 2);
    run_for(REPAIR_SETTLED_MS + 20000);
    expect_copies();
    end_network();
}

Test(repair, a_copy_that_is_alone_because_others_sleep_waits_for_one_that_restarts)
{
    uint32_t before;

    store_chunks(8);
    kill_node(3, false);
    run_for(HOMES_LATELY_MS + 60000);
    before = sent_chunks();
    kill_node(5, false);
    run_for(HOMES_LATELY_MS - 60000);
    cr_assert_eq(sent_chunks(), before);
    start_node(5);
    run_for(2 * MINUTE_MS);
    cr_assert_eq(sent_chunks(), before);
    kill_node(5, false); /* this time it stays away */
    run_for(HOMES_LATELY_MS + 3 * MINUTE_MS);
    expect_copies();
    end_network();
}

Test(repair, three_that_only_restart_move_nothing)
{
    uint32_t before;

    store_chunks(8);
    before = sent_chunks();
    kill_node(3, false);
    kill_node(5, false);
    kill_node(6, false);
    run_for(15000);
    start_node(3);
    start_node(5);
    start_node(6);
    run_for(3 * MINUTE_MS);
    cr_assert_eq(sent_chunks(), before);
    end_network();
}

Test(repair, one_that_comes_back_without_its_disk_gets_what_it_should_hold)
{
    uint32_t held;

    store_chunks(6);
    held = count_held(2);
    cr_assert_gt(held, 4);
    kill_node(2, false);
    net.nodes[2].chunk_count = 0;
    run_for(10000);
    start_node(2);
    run_for(2 * MINUTE_MS);
    cr_assert_eq(count_held(2), held);
    end_network();
}

Test(repair, what_was_pushed_while_a_home_was_away_is_handed_over_when_it_returns)
{
    uint32_t home_count = 0;

    make_members(4);
    run_for(3000);
    kill_node(2, false);
    run_for(10000);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        char text[32];

        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(0, text);
        spread(0, 1 + i, &chunks[i]);
    }
    start_node(2);
    run_for(2 * MINUTE_MS);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        if (chunk_is_home(net.nodes[0].overlay, &chunks[i], &net.nodes[2].overlay->self)) {
            cr_assert(has(2, i), "chunk %u", i);
            home_count++;
        }
    }
    cr_assert_gt(home_count, 0);
    end_network();
}

Test(repair, a_chunk_that_is_gone_is_fetched_again_within_seconds)
{
    struct overlay_event absent = {.kind = OVERLAY_CHUNK_ABSENT};
    uint32_t index = 1;

    store_chunks(6);
    while (!has(index, 0)) {
        index++;
    }
    absent.now_ms = net.now_ms;
    absent.wall_unix_s = net.wall_unix_s;
    absent.chunk = chunks[0];
    overlay_step(net.nodes[index].overlay, &absent, &net.nodes[index].effects);
    perform(index);
    cr_assert_not(has(index, 0));
    run_for(3000); /* a question on a link that the other side has hung up goes nowhere */
    cr_assert(has(index, 0));
    cr_assert_eq(overlay_counters(net.nodes[index].overlay).chunks_rotten, 1);
    end_network();
}

Test(repair, equal_holders_compare_with_few_small_messages)
{
    uint32_t asked;

    store_chunks(4);
    asked = net.sent_count[minga_Message_chunk_ranges_tag];
    run_for(HOUR_MS);
    asked = net.sent_count[minga_Message_chunk_ranges_tag] - asked;
    cr_assert_geq(asked, 4 * 40, "each about once a minute");
    cr_assert_leq(asked, 4 * 90);
    end_network();
}

Test(repair, a_full_member_is_asked_less_and_less_often)
{
    uint32_t listed;

    store_chunks(4);
    kill_node(2, false);
    net.nodes[2].chunk_count = 0;
    net.nodes[2].config.storage_bytes_max = 4;
    start_node(2);
    run_for(10 * MINUTE_MS);
    cr_assert_eq(count_held(2), 0);
    listed = net.sent_count[minga_Message_chunk_ranges_tag];
    run_for(10 * MINUTE_MS);
    cr_assert_leq(net.sent_count[minga_Message_chunk_ranges_tag] - listed, 4 * 3 * 15);
    end_network();
}

Test(repair, no_more_is_sent_than_the_upload_share)
{
    uint64_t since_ms;
    uint32_t before;

    make_community();
    {
        struct test_invitation invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);

        for (uint32_t i = 0; i < 2; i++) {
            net.nodes[add_node()].config.upload_bytes_per_s = 2; /* a chunk in 8 s or so */
            start_node(i);
        }
        found_community(0);
        join_node(1, 0, &invitation, 1);
    }
    run_for(3000);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        char text[32];

        snprintf(text, sizeof(text), "chunk number %02u", i);
        chunks[i] = keep_text(0, text); /* and is not spread: only repair does that */
    }
    before = sent_chunks();
    since_ms = net.now_ms;
    run_for(MINUTE_MS);
    cr_assert_leq((sent_chunks() - before) * strlen("chunk number 00"),
                  2 * (REPAIR_BURST_S + (net.now_ms - since_ms) / 1000) +
                      strlen("chunk number 00"));
    cr_assert_gt(sent_chunks(), before);
    run_for(20 * MINUTE_MS);
    cr_assert_eq(count_held(1), CHUNKS);
    end_network();
}

Test(repair, a_home_whose_disk_was_full_is_given_its_chunks_when_there_is_room)
{
    char text[32];

    make_members(4); /* one of them has three quarters, on average */
    run_for(3000);
    net.nodes[2].disk_full = true;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(0, text);
        spread(0, 1 + i, &chunks[i]);
        cr_assert_not(has(2, i));
    }
    run_for(10 * MINUTE_MS);
    cr_assert_eq(count_held(2), 0);
    net.nodes[2].disk_full = false;
    run_for(5 * MINUTE_MS);
    cr_assert_geq(count_held(2), CHUNKS / 4);
    end_network();
}

Test(repair, a_disk_that_takes_nothing_is_not_sent_everything_again_and_again)
{
    char text[32];
    uint32_t before;

    make_members(4);
    run_for(3000);
    net.nodes[2].disk_full = true;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(0, text);
        spread(0, 1 + i, &chunks[i]);
    }
    cr_assert_leq(sent_chunks(), CHUNKS * 2 + 8, "nor for a push: %u", sent_chunks());
    before = sent_chunks();
    run_for(HOUR_MS);
    cr_assert_leq(sent_chunks() - before, 60 + 10, "%u", sent_chunks() - before);
    cr_assert_eq(count_held(2), 0);
    end_network();
}
