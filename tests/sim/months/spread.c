// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Members that give more and less: positions taken and given up, by the shipped balance.h, at the pace and
 * within the budget of rebalance.h. All see the same; who has just changed something is waited for by
 * everybody, and not only by those near by.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "overlay/chunks/rebalance.h"
#include "tests/sim/months/months.h"

enum { LOOK_S = 300, LOOK_CALM_S = 3600, SPARED_DAYS = 2, FREE_ROUNDS = 3 };

static bool is_home(const uint32_t *homes, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (homes[i] == node) {
            return true;
        }
    }
    return false;
}

/* Chunks that each node has and is a home of. Returns how many copies that are in all. */
static uint64_t count_stored(const struct months *months, uint64_t stored_out[MEMBERS_MAX])
{
    uint64_t all = 0;

    memset(stored_out, 0, MEMBERS_MAX * sizeof(stored_out[0]));
    for (uint32_t arc = 0; arc < move_arc_count(months); arc++) {
        uint32_t homes[HOMES_MAX];
        uint32_t count = move_homes(months, arc, homes);

        for (uint32_t number = months->first_in_arc[arc]; number != NOBODY;
             number = months->next_in_arc[number]) {
            const struct copies *chunk = &months->chunks[number];

            for (uint32_t i = 0; i < chunk->count; i++) {
                if (is_home(homes, count, chunk->holders[i])) {
                    stored_out[chunk->holders[i]]++;
                    all++;
                }
            }
        }
    }
    return all;
}

static bool counts(const struct months *months, const struct node *node)
{
    return !node->is_dead && (node->is_up || !habit_is_gone(&node->habit, months->now_s));
}

static void look(struct months *months)
{
    uint64_t stored[MEMBERS_MAX];
    uint64_t shares[MEMBERS_MAX];
    uint64_t all = count_stored(months, stored);

    memset(months->table.members, 0, sizeof(months->table.members));
    months->table.positions = &months->positions;
    for (uint32_t i = 0; i < months->options.node_count; i++) {
        months->table.members[i].counts = counts(months, &months->nodes[i]);
        months->table.members[i].capacity = months->nodes[i].capacity;
    }
    balance_be_fair(&months->table);
    balance_shares(&months->table, shares);
    for (uint32_t i = 0; i < months->options.node_count; i++) {
        months->table.members[i].load =
            all == 0 ? shares[i] : stored[i] * BALANCE_ONE / all * CHUNK_COPIES;
    }
}

static uint64_t bytes_of_share(const struct months *months, uint64_t share)
{
    return (share * months->chunk_count >> 32) * months->options.chunk_bytes;
}

static uint64_t given_bytes(const struct months *months, uint32_t node)
{
    uint64_t all = (uint64_t)months->options.node_count * months->options.chunks_per_node *
                   CHUNK_COPIES * 2 * months->options.chunk_bytes;
    uint64_t total = 0;

    for (uint32_t i = 0; i < months->options.node_count; i++) {
        total += months->nodes[i].capacity;
    }
    return all / total * months->nodes[node].capacity;
}

/* Nothing is stored yet: a change costs nothing. */
static void choose(struct months *months, uint32_t place)
{
    struct balance_change change;

    for (uint32_t step = 0; step < REBALANCE_STEPS_MAX; step++) {
        look(months);
        if (!balance_decide(&months->table, place, &months->nodes[place].key, BALANCE_FREE,
                            &change)) {
            return;
        }
        positions_set(&months->positions, place, &months->nodes[place].key, change.used);
    }
}

void spread_begin(struct months *months)
{
    uint32_t count = months->options.node_count;

    for (uint32_t i = 0; i < count; i++) {
        struct node *node = &months->nodes[i];
        uint64_t name[2] = {months->options.seed, i};
        struct id id = hash_of("minga months", (struct bytes){(const uint8_t *)name, sizeof(name)});

        memcpy(node->key.bytes, id.bytes, sizeof(node->key.bytes));
        node->capacity = 1 + i % months->options.skew;
        node->look_s = months->now_s + random_below(&months->life, LOOK_S);
        positions_set(&months->positions, i, &node->key, 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = given_bytes(months, i);

        bucket_init(&months->nodes[i].moves, bytes / REBALANCE_HOURS / HOUR_S + 1,
                    bytes / REBALANCE_HOURS, months->now_s * 1000);
        look(months);
        positions_set(&months->positions, i, &months->nodes[i].key,
                      (uint16_t)((1U << balance_count(&months->table, i)) - 1));
        choose(months, i);
    }
    for (uint32_t round = 0; round < FREE_ROUNDS; round++) {
        for (uint32_t i = 0; i < count; i++) {
            choose(months, i);
        }
    }
    move_sort(months);
}

/* Has everybody heard of the last change, and what it moved? */
static bool is_quiet(const struct months *months)
{
    uint64_t pause_ms =
        REBALANCE_TELL_MS + (uint64_t)months->options.node_count * REBALANCE_TELL_MEMBER_MS;

    return months->now_s * 1000 >= months->changed_s * 1000 + pause_ms;
}

static void change_one(struct months *months, uint32_t place)
{
    struct node *node = &months->nodes[place];
    bool is_calm = months->now_s * 1000 >= months->changed_s * 1000 + REBALANCE_CALM_MS;
    struct balance_change change;

    look(months);
    if (!balance_decide(&months->table, place, &node->key, is_calm ? BALANCE_CALM : BALANCE_GENTLE,
                        &change) ||
        bytes_of_share(months, change.moved) > given_bytes(months, place)) {
        return;
    }
    bucket_take(&node->moves, bytes_of_share(months, change.moved));
    positions_set(&months->positions, place, &node->key, change.used);
    node->change_s =
        months->now_s +
        (REBALANCE_SETTLE_MS / 2 + random_below(&months->life, REBALANCE_SETTLE_MS)) / 1000;
    months->changed_s = months->now_s;
    months->change_count++;
    move_sort(months);
}

/* One of those that give most gives a quarter of it. */
static void give_less(struct months *months)
{
    uint64_t stored[MEMBERS_MAX];
    uint32_t place = 0;

    (void)count_stored(months, stored);
    for (uint32_t i = 0; i < months->options.node_count; i++) {
        const struct node *node = &months->nodes[i];

        if (node->law == LAW_ALWAYS && node->capacity > months->nodes[place].capacity) {
            place = i;
        }
    }
    months->nodes[place].capacity = (months->nodes[place].capacity + 3) / 4;
    months->excess_bytes = stored[place] * 3 / 4 * months->options.chunk_bytes;
    months->excess_from_bytes = months->moved_bytes;
}

void spread_tick(struct months *months)
{
    const struct options *options = &months->options;
    bool is_calm = months->now_s >= months->changed_s + 2 * HOUR_S;

    if (options->less_day > 0 && months->excess_bytes == 0 &&
        months->now_s >= (uint64_t)options->less_day * DAY_S) {
        give_less(months);
    }
    for (uint32_t i = 0; i < options->node_count; i++) {
        struct node *node = &months->nodes[i];

        if (!node->is_up || months->now_s < node->look_s) {
            continue;
        }
        node->look_s = months->now_s + (uint64_t)(is_calm ? LOOK_CALM_S : LOOK_S) / 2 +
                       random_below(&months->life, is_calm ? LOOK_CALM_S : LOOK_S);
        if (months->now_s >= node->change_s && is_quiet(months) &&
            bucket_is_open(&node->moves, months->now_s * 1000)) {
            change_one(months, i);
        }
    }
}

void spread_check(struct months *months)
{
    const struct options *options = &months->options;
    uint64_t stored[MEMBERS_MAX];
    uint64_t all = count_stored(months, stored);
    uint64_t given = 0;
    uint64_t day = months->now_s / DAY_S;

    if (day < options->from_day || (options->less_day > 0 && day >= options->less_day &&
                                    day < options->less_day + SPARED_DAYS)) {
        return;
    }
    for (uint32_t i = 0; i < options->node_count; i++) {
        given += counts(months, &months->nodes[i]) ? months->nodes[i].capacity : 0;
    }
    for (uint32_t i = 0; i < options->node_count && all > 0; i++) {
        double load =
            (double)stored[i] / (double)months->nodes[i].capacity / ((double)all / (double)given);

        months->load_worst = load > months->load_worst ? load : months->load_worst;
    }
}
