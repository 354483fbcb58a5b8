// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Members that give from 1 to 16 parts of disk, thousands of chunks, and the rule of balance.h: do all
 * store what they should, at what cost, and is there ever a copy too few?
 */
#include "overlay/chunks/balance.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"

enum { NODES_MAX = 64, CHUNKS = 4000, ROUNDS = 60 };

static struct positions positions;
static struct balance balance;
static struct public_key keys[NODES_MAX];
static uint64_t capacities[NODES_MAX];
static uint32_t node_count;
static struct id chunks[CHUNKS];
static bool has[CHUNKS][NODES_MAX];
static uint32_t stored[NODES_MAX];
static uint32_t moved_count; /* copies made */
static uint32_t fewest_copies;
static struct random randomness;

static struct id name_of(const char *what, uint32_t number)
{
    char text[48];

    snprintf(text, sizeof(text), "%s %u", what, number);
    return hash_of("minga test", bytes_of_text(text));
}

static void set(uint32_t node, uint16_t mask)
{
    positions_set(&positions, node, &keys[node], mask);
}

static void homes_of(const struct id *chunk, bool homes_out[NODES_MAX])
{
    struct positions_walk walk = positions_walk(&positions, chunk);

    memset(homes_out, 0, NODES_MAX * sizeof(*homes_out));
    for (uint32_t i = 0; i < CHUNK_COPIES; i++) {
        int node = positions_walk_next(&walk);

        if (node >= 0) {
            homes_out[node] = true;
        }
    }
}

/* As repair does it: first the new homes have it, then those that are none any more drop theirs. */
static void settle(bool is_first)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        bool homes[NODES_MAX];
        uint32_t copies = 0;

        homes_of(&chunks[i], homes);
        for (uint32_t node = 0; node < node_count; node++) {
            copies += has[i][node] ? 1 : 0;
        }
        fewest_copies = !is_first && copies < fewest_copies ? copies : fewest_copies;
        for (uint32_t node = 0; node < node_count; node++) {
            if (homes[node] && !has[i][node]) {
                has[i][node] = true;
                stored[node]++;
                moved_count += is_first ? 0 : 1;
            }
        }
        for (uint32_t node = 0; node < node_count; node++) {
            if (!homes[node] && has[i][node]) {
                has[i][node] = false;
                stored[node]--;
            }
        }
    }
}

static double load_of(uint32_t node)
{
    uint64_t total = 0;
    uint32_t all = 0;

    for (uint32_t i = 0; i < node_count; i++) {
        total += capacities[i];
        all += stored[i];
    }
    return (double)stored[node] / all * (double)total / (double)capacities[node];
}

static double highest_load(void)
{
    double highest = 0;

    for (uint32_t node = 0; node < node_count; node++) {
        highest = load_of(node) > highest ? load_of(node) : highest;
    }
    return highest;
}

/* What is known of all when the round begins. */
static void look(void)
{
    uint64_t shares[MEMBERS_MAX];
    uint32_t all = 0;

    memset(balance.members, 0, sizeof(balance.members));
    balance.positions = &positions;
    for (uint32_t i = 0; i < node_count; i++) {
        all += stored[i];
        balance.members[i].counts = true;
        balance.members[i].capacity = capacities[i];
    }
    balance_be_fair(&balance);
    balance_shares(&balance, shares);
    for (uint32_t i = 0; i < node_count; i++) {
        balance.members[i].load =
            all == 0 ? shares[i] : stored[i] * BALANCE_ONE * CHUNK_COPIES / all;
    }
}

/* A community in which everyone has its first position. */
static void make(uint32_t count, uint64_t seed, uint32_t capacity_max)
{
    memset(&positions, 0, sizeof(positions));
    memset(has, 0, sizeof(has));
    memset(stored, 0, sizeof(stored));
    moved_count = 0;
    fewest_copies = CHUNK_COPIES;
    node_count = count;
    random_init(&randomness, seed, "balance");
    for (uint32_t i = 0; i < CHUNKS; i++) {
        chunks[i] = name_of("chunk", (uint32_t)seed * CHUNKS + i);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct id id = name_of("node", (uint32_t)seed * NODES_MAX + i);

        memcpy(keys[i].bytes, id.bytes, sizeof(keys[i].bytes));
        capacities[i] = (1 + i % capacity_max) * 1000;
        set(i, 1);
    }
}

/* All join an empty community, one after the other. */
static void begin(void)
{
    for (uint32_t i = 0; i < node_count; i++) {
        look();
        set(i, (uint16_t)((1U << balance_count(&balance, i)) - 1));
    }
}

/* Everybody looks once, in any order; the first of a calm community that changes something ends that. */
static uint32_t run_round(bool is_stored, enum balance_mood mood)
{
    uint32_t changed_count = 0;
    uint32_t first = (uint32_t)random_below(&randomness, node_count);

    for (uint32_t i = 0; i < node_count; i++) {
        uint32_t node = (first + i * 7) % node_count;
        struct balance_change change;

        look();
        if (mood == BALANCE_CALM && changed_count > 0) {
            mood = BALANCE_GENTLE;
        }
        if (balance_decide(&balance, node, &keys[node], mood, &change)) {
            set(node, change.used);
            if (is_stored) {
                settle(false);
            }
            changed_count++;
        }
    }
    return changed_count;
}

static uint32_t all_stored(void)
{
    uint32_t all = 0;

    for (uint32_t i = 0; i < node_count; i++) {
        all += stored[i];
    }
    return all;
}

/* Until nobody changes anything. */
static void run_until_calm(bool is_stored)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (run_round(is_stored, BALANCE_GENTLE) == 0 && run_round(is_stored, BALANCE_CALM) == 0) {
            return;
        }
    }
    cr_assert(false, "it goes on for ever");
}

Test(balance, members_that_give_from_1_to_16_parts_store_what_they_should, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        make(32, seed, 16);
        begin();
        run_until_calm(false);
        settle(true);
        run_until_calm(true);
        cr_assert_leq(highest_load(), 1.3, "seed %u: %.2f", (uint32_t)seed, highest_load());
        cr_assert_eq(fewest_copies, CHUNK_COPIES);
        cr_assert_leq(moved_count, all_stored() / 5, "seed %u: %u of %u moved", (uint32_t)seed,
                      moved_count, all_stored());
    }
}

static double highest_share(void)
{
    double highest = 0;

    look();
    for (uint32_t i = 0; i < node_count; i++) {
        double part = (double)balance.members[i].load / (double)balance.members[i].fair;

        highest = part > highest ? part : highest;
    }
    return highest;
}

/* What is pushed right after finds it so. */
Test(balance, where_nothing_is_stored_all_soon_stand_where_nobody_is_to_store_much_more,
     .timeout = 300)
{
    double sum = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint32_t rounds = 0;

        make(32, seed, 16);
        begin();
        while (rounds < ROUNDS && run_round(false, BALANCE_FREE) > 0) {
            rounds++;
        }
        cr_assert_leq(rounds, 16, "seed %u: %u rounds", (uint32_t)seed, rounds);
        cr_assert_leq(highest_share(), 1.2, "seed %u: %.2f", (uint32_t)seed, highest_share());
        sum += highest_share();
    }
    cr_assert_leq(sum / 20, 1.1, "%.3f", sum / 20);
}

Test(balance, a_community_that_stores_all_at_first_positions_gets_there_step_by_step,
     .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        make(32, seed, 16);
        settle(true);
        cr_assert_gt(highest_load(), 2);
        run_until_calm(true);
        cr_assert_leq(highest_load(), 1.3, "seed %u: %.2f", (uint32_t)seed, highest_load());
        cr_assert_eq(fewest_copies, CHUNK_COPIES);
        cr_assert_leq(moved_count, 2 * all_stored());
    }
}

Test(balance, equal_members_store_equally, .timeout = 300)
{
    make(NODES_MAX, 3, 1);
    begin();
    run_until_calm(false);
    settle(true);
    run_until_calm(true);
    cr_assert_leq(highest_load(), 1.3, "%.2f", highest_load());
}

Test(balance, one_that_gives_much_less_now_hands_over_its_excess_and_little_more, .timeout = 300)
{
    double ratios = 0;

    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint32_t excess;

        make(32, seed, 4);
        begin();
        run_until_calm(false);
        settle(true);
        run_until_calm(true);
        moved_count = 0;
        capacities[3] /= 4;
        excess = stored[3] - stored[3] / 4;
        cr_assert_gt(load_of(3), 2.5);
        run_until_calm(true);
        cr_assert_leq(highest_load(), 1.3, "seed %u: %.2f", (uint32_t)seed, highest_load());
        cr_assert_eq(fewest_copies, CHUNK_COPIES);
        /* Neighbours who store too much by it hand some of it on. */
        cr_assert_leq(moved_count, 4 * excess, "seed %u: %u moved for %u", (uint32_t)seed,
                      moved_count, excess);
        ratios += (double)moved_count / excess;
    }
    cr_assert_leq(ratios / 8, 2.0, "%.2f times the excess moves", ratios / 8);
}

Test(balance, where_all_have_everything_nothing_changes)
{
    make(3, 1, 3);
    settle(true);
    cr_assert_eq(run_round(true, BALANCE_GENTLE), 0);
    cr_assert_eq(moved_count, 0);
}

Test(balance, shares_are_those_of_the_homes)
{
    uint64_t shares[MEMBERS_MAX];

    make(20, 9, 5);
    begin();
    settle(true);
    look();
    balance_shares(&balance, shares);
    for (uint32_t i = 0; i < node_count; i++) {
        double expected = (double)shares[i] / BALANCE_ONE * CHUNKS;

        cr_assert_float_eq(stored[i], expected, 40 + expected / 8, "%u: %u, expected %.0f", i,
                           stored[i], expected);
    }
}

Test(balance, a_change_does_what_was_foretold, .timeout = 300)
{
    struct balance_change change;
    uint32_t changed_count = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t before[MEMBERS_MAX];
        uint64_t after[MEMBERS_MAX];
        uint64_t gained = 0;

        make(24, seed, 6);
        look();
        for (uint32_t i = 0; i < node_count; i++) {
            balance_shares(&balance, before);
            if (!balance_decide(&balance, i, &keys[i], BALANCE_GENTLE, &change)) {
                continue;
            }
            set(i, change.used);
            balance_shares(&balance, after);
            for (uint32_t k = 0; k < node_count; k++) {
                gained += after[k] > before[k] ? after[k] - before[k] : 0;
            }
            cr_assert_leq(gained, change.moved + 1000);
            cr_assert_gt(change.gain, BALANCE_GAIN);
            changed_count++;
            break;
        }
    }
    cr_assert_gt(changed_count, 15);
}

Test(balance, nobody_is_to_store_more_than_everything_once)
{
    static const uint64_t gives[] = {16, 1, 1, 1};

    make(4, 1, 1);
    memcpy(capacities, gives, sizeof(gives));
    look();
    cr_assert_eq(balance.members[0].fair, BALANCE_ONE);
    for (uint32_t i = 1; i < 4; i++) {
        cr_assert_float_eq((double)balance.members[i].fair / BALANCE_ONE, 2.0 / 3, 0.001);
    }
}

Test(balance, more_storage_begins_with_more_positions)
{
    make(32, 1, 16);
    capacities[1] = 0;
    capacities[2] = UINT64_MAX / 64;
    look();
    cr_assert_eq(balance_count(&balance, 1), 1);
    cr_assert_eq(balance_count(&balance, 2), POSITIONS_MAX);
    make(32, 1, 1);
    look();
    cr_assert_eq(balance_count(&balance, 5), BALANCE_USUAL);
}
