// SPDX-License-Identifier: GPL-3.0-or-later
/* Members that give more than others store more, and what moves for it is never missing. */
#include "overlay/chunks/rebalance.h"

#include <criterion/criterion.h>

#include "network.h"
#include "overlay/state.h"

enum { MINUTE_MS = 60000, NODES = 12, CHUNKS = 240, UNIT_BYTES = 1 << 20 };

static struct chunk_id chunks[CHUNKS];
static struct overlay_stock_line lines[OVERLAY_STOCK_LINES_MAX];

static struct overlay_stock stock_of(uint32_t index)
{
    struct overlay_stock stock;

    overlay_stock(net.nodes[index].overlay, &stock, lines);
    return stock;
}

static uint32_t full_members_max; /* 0: as usual */

static void make_skewed(uint32_t count, uint32_t capacity_max)
{
    struct test_invitation invitation;

    make_community();
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    for (uint32_t i = 0; i < count; i++) {
        add_node();
        net.nodes[i].config.storage_bytes_max = (uint64_t)(1 + i % capacity_max) * UNIT_BYTES;
        net.nodes[i].config.full_members_max = full_members_max;
        start_node(i);
    }
    found_community(0);
    for (uint32_t i = 1; i < count; i++) {
        join_node(i, 0, &invitation, 1);
        run_for(200);
        memset(&net.nodes[i].done[1], 0, sizeof(net.nodes[i].done[1]));
    }
}

static void push_all(void)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint32_t node = i % net.node_count;
        struct overlay_event now;
        char text[32];

        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(node, text);
        now = now_event();
        overlay_chunk_put(net.nodes[node].overlay, &now, 1 + i,
                          &(struct overlay_spread){.chunk = chunks[i]}, &net.nodes[node].effects);
        perform(node);
        run_for(50);
        cr_assert_eq(net.nodes[node].done[1 + i].outcome, OVERLAY_OK);
    }
}

static void expect_copies(void)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint32_t count = 0;

        for (uint32_t node = 0; node < net.node_count; node++) {
            count +=
                net.nodes[node].running && overlay_has_chunk(net.nodes[node].overlay, &chunks[i]);
        }
        cr_assert_geq(count, CHUNK_COPIES, "chunk %u has %u copies", i, count);
    }
}

/* What a node stores for what it gives, 1 being the mean. */
static double load_of(uint32_t index)
{
    double home = 0;
    double given = 0;
    struct overlay_stock stock = stock_of(index);

    for (uint32_t i = 0; i < net.node_count; i++) {
        struct overlay_stock other = stock_of(i);

        home += (double)other.home_bytes;
        given += (double)other.bytes_max;
    }
    return (double)stock.home_bytes / (double)stock.bytes_max / (home / given);
}

static double highest_load(void)
{
    double highest = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        highest = load_of(i) > highest ? load_of(i) : highest;
    }
    return highest;
}

static uint32_t sent_chunks(void)
{
    return net.sent_count[minga_Message_chunk_data_tag];
}

Test(rebalance, who_gives_four_times_as_much_stores_that, .timeout = 300)
{
    uint32_t before;

    make_skewed(NODES, 4);
    run_for(5 * MINUTE_MS);
    push_all();
    before = sent_chunks();
    for (uint32_t i = 0; i < 20; i++) {
        run_for(MINUTE_MS);
        expect_copies();
    }
    cr_assert_leq(highest_load(), 1.3, "%.2f", highest_load());
    cr_assert_leq(sent_chunks() - before, CHUNK_COPIES * CHUNKS / 4, "%u copies sent",
                  sent_chunks() - before);
    end_network();
}

/* As a node sees them. */
static double highest_share(uint32_t node)
{
    const struct balance *table = &net.nodes[node].overlay->repair.rebalance.table;
    double highest = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        const struct balance_member *member = &table->members[i];
        double part = member->counts ? (double)member->load / (double)member->fair : 0;

        highest = part > highest ? part : highest;
    }
    return highest;
}

Test(rebalance, where_nothing_is_stored_all_find_their_places_within_a_minute, .timeout = 300)
{
    make_skewed(NODES, 8);
    run_for(MINUTE_MS);
    cr_assert_leq(highest_share(0), 1.1, "%.2f", highest_share(0));
    end_network();
}

static uint32_t count_changes(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += net.nodes[i].overlay->repair.rebalance.changed_count;
    }
    return count;
}

/* Whoever moves may make another one look again, but not for ever; nor is one that joins a reason for more
 * than those near it. */
Test(rebalance, an_idle_community_does_not_go_on_changing_positions, .timeout = 300)
{
    uint32_t before;

    make_skewed(NODES, 8);
    run_for(2 * MINUTE_MS);
    before = count_changes();
    cr_assert_leq(before, 3 * NODES, "%u changes", before);
    run_for(60 * MINUTE_MS);
    cr_assert_eq(count_changes(), before, "%u changes more", count_changes() - before);
    end_network();
}

Test(rebalance, who_gives_less_after_a_restart_hands_over_what_is_too_much, .timeout = 300)
{
    uint32_t before;

    make_skewed(NODES, 4);
    run_for(5 * MINUTE_MS);
    push_all();
    run_for(5 * MINUTE_MS);
    kill_node(3, false);
    net.nodes[3].config.storage_bytes_max /= 4;
    start_node(3);
    run_for(MINUTE_MS);
    cr_assert_gt(load_of(3), 2);
    before = sent_chunks();
    for (uint32_t i = 0; i < 60; i++) {
        run_for(MINUTE_MS);
        expect_copies();
    }
    cr_assert_leq(highest_load(), 1.3, "%.2f", highest_load());
    cr_assert_leq(sent_chunks() - before, CHUNK_COPIES * CHUNKS / 3, "%u copies sent",
                  sent_chunks() - before);
    end_network();
}

static void grow(uint32_t count)
{
    struct test_invitation invitation = make_invitation(1, net.wall_unix_s + 1000000, 0);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = add_node();

        net.nodes[node].config.full_members_max = full_members_max;
        net.nodes[node].config.storage_bytes_max = UNIT_BYTES;
        start_node(node);
        join_node(node, 0, &invitation, 1);
        run_for(2000);
        memset(&net.nodes[node].done[1], 0, sizeof(net.nodes[node].done[1]));
    }
}

static uint32_t position_count(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        count += stock_of(i).position_count;
    }
    return count;
}

/* Copies sent while so many nodes become members beyond those who know all. */
static uint32_t moved_beyond(uint32_t count)
{
    uint32_t before = sent_chunks();

    grow(count);
    run_for(20 * MINUTE_MS);
    cr_assert_not(overlay_knows_all(net.nodes[0].overlay));
    expect_copies();
    return sent_chunks() - before;
}

Test(rebalance, a_community_that_outgrows_full_membership_has_gone_to_first_positions_before,
     .timeout = 300)
{
    uint32_t moved;

    full_members_max = 16;
    make_skewed(NODES, 4);
    run_for(5 * MINUTE_MS);
    push_all();
    run_for(5 * MINUTE_MS);
    cr_assert_gt(position_count(), NODES + NODES / 2, "%u", position_count());
    grow(3); /* 15 of 16 */
    for (uint32_t i = 0; i < 180; i++) {
        run_for(MINUTE_MS);
        expect_copies();
    }
    cr_assert_eq(position_count(), NODES);
    cr_assert(overlay_knows_all(net.nodes[0].overlay));
    moved = moved_beyond(2); /* two newcomers of 17 are homes of an eighth of it */
    cr_assert_leq(moved, CHUNK_COPIES * CHUNKS / 5, "%u copies sent", moved);
    end_network();
}

Test(rebalance, positions_are_kept_over_a_restart)
{
    struct overlay_stock before;
    struct overlay_stock after;

    make_skewed(8, 8);
    run_for(5 * MINUTE_MS);
    before = stock_of(7);
    cr_assert_gt(before.position_count, 1);
    kill_node(7, false);
    start_node(7);
    run_for(2000);
    after = stock_of(7);
    cr_assert_eq(after.position_count, before.position_count);
    for (uint32_t i = 0; i < before.position_count; i++) {
        cr_assert(id_equal(&before.positions[i].id, &after.positions[i].id));
    }
    end_network();
}

/* It names neither what it gives nor any positions, as before there were such fields. */
static void be_older(uint32_t index)
{
    net.nodes[index].overlay->record.storage_kib = 0;
    net.nodes[index].overlay->repair.rebalance.next_ms = UINT64_MAX;
}

Test(rebalance, while_an_older_member_stores_all_keep_to_first_positions)
{
    struct test_invitation invitation;

    make_community();
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    for (uint32_t i = 0; i < 6; i++) {
        start_node(add_node());
    }
    be_older(2);
    found_community(0);
    for (uint32_t i = 1; i < 6; i++) {
        join_node(i, 0, &invitation, 1);
    }
    run_for(10 * MINUTE_MS);
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_eq(stock_of(i).position_count, 1, "node %u", i);
        cr_assert_eq(net.nodes[0].overlay->membership.positions.masks[i], 1);
    }
    end_network();
}

/* A text whose chunk lives at that node, or does not. */
static struct chunk_id text_for(uint32_t index, bool is_home, uint32_t *number, char text_out[32])
{
    for (;;) {
        struct chunk_id chunk;

        snprintf(text_out, 32, "text number %u", (*number)++);
        chunk = (struct chunk_id){hash_of(HASH_CHUNK, bytes_of_text(text_out))};
        if (chunk_is_home(net.nodes[0].overlay, &chunk, &net.nodes[index].id) == is_home) {
            return chunk;
        }
    }
}

static void push(const char *text, uint64_t token)
{
    struct chunk_id chunk = keep_text(0, text);
    struct overlay_event now = now_event();

    overlay_chunk_put(net.nodes[0].overlay, &now, token, &(struct overlay_spread){.chunk = chunk},
                      &net.nodes[0].effects);
    perform(0);
    run_for(500);
    cr_assert_eq(net.nodes[0].done[token].outcome, OVERLAY_OK);
}

Test(rebalance, what_lives_here_takes_the_place_of_what_was_only_fetched)
{
    struct overlay *overlay;
    struct chunk_id fetched[3];
    struct chunk_id chunk;
    uint32_t number = 0;
    char text[32];

    make_members(8);
    run_for(2 * MINUTE_MS);
    overlay = net.nodes[5].overlay;
    for (uint32_t i = 0; i < 3; i++) {
        fetched[i] = text_for(5, false, &number, text);
        push(text, 1 + i);
        for (uint32_t k = 0; k < 4 && !overlay_has_chunk(overlay, &fetched[i]); k++) {
            struct overlay_event now = now_event(); /* a question may go nowhere */

            overlay_chunk_get(overlay, &now, 10 + 4 * i + k,
                              &(struct overlay_wanted){.chunk = fetched[i]}, &net.nodes[5].effects);
            perform(5);
            run_for(15000);
        }
        cr_assert(overlay_has_chunk(overlay, &fetched[i]));
    }
    overlay->chunks.bytes_max = overlay->chunks.cost_bytes + 1000;
    chunk = text_for(5, true, &number, text);
    push(text, 9);
    run_for(MINUTE_MS);
    cr_assert(overlay_has_chunk(overlay, &chunk));
    cr_assert_eq(overlay->chunks.count, 3);
    end_network();
}
