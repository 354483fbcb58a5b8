// SPDX-License-Identifier: GPL-3.0-or-later
/* What the rule of repair makes of who is up: copies, and the bytes that they cost. */
#include "base/check.h"
#include "tests/sim/months/months.h"

enum { LOOKS_MAX = 1000 /* for something dispensable */ };

struct run { /* the homes of the chunks in an arc */
    uint32_t arc;
    uint32_t count;
    uint32_t homes[HOMES_MAX];
};

static enum home_life life_of(const struct months *months, const struct node *node)
{
    if (node->is_up) {
        return HOME_UP;
    }
    return homes_life((months->now_s - node->went_s) * 1000,
                      habit_is_gone(&node->habit, months->now_s));
}

uint32_t move_arc_count(const struct months *months)
{
    return months->options.skew > 0 ? months->positions.count : months->options.node_count;
}

/* Nodes in ring order from the end of an arc on, each once. */
struct round {
    const struct months *months;
    struct positions_walk walk;
    uint32_t arc;
    uint32_t passed_count;
};

static struct round round_from(const struct months *months, uint32_t arc)
{
    struct round round = {.months = months, .arc = arc};

    if (months->options.skew > 0) {
        round.walk = positions_walk(&months->positions, &months->positions.list[arc].key.id);
    }
    return round;
}

static uint32_t round_next(struct round *round)
{
    const struct options *options = &round->months->options;
    int member;

    if (round->passed_count == options->node_count) {
        return NOBODY;
    }
    if (options->skew > 0) {
        member = positions_walk_next(&round->walk);
        return member < 0 ? NOBODY : (uint32_t)member;
    }
    return (round->arc + round->passed_count++) % options->node_count;
}

uint32_t move_homes(const struct months *months, uint32_t arc, uint32_t homes_out[HOMES_MAX])
{
    struct round round = round_from(months, arc);
    struct homes_walk walk = {0};
    uint32_t place;

    while (!homes_done(&walk) && (place = round_next(&round)) != NOBODY) {
        uint32_t index = walk.counted;

        if (homes_take(&walk, life_of(months, &months->nodes[place]),
                       habit_is_steady(&months->nodes[place].habit, months->now_s))) {
            homes_out[index] = place;
        }
    }
    return walk.counted;
}

static bool has(const struct copies *chunk, uint32_t node)
{
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (chunk->holders[i] == node) {
            return true;
        }
    }
    return false;
}

static bool is_among(const uint32_t *homes, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (homes[i] == node) {
            return true;
        }
    }
    return false;
}

/* All homes that are up have it: a copy elsewhere can make room. */
static bool is_handed_over(const struct months *months, const struct copies *chunk,
                           const uint32_t *homes, uint32_t count)
{
    uint32_t held_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (months->nodes[homes[i]].is_up && !has(chunk, homes[i])) {
            return false;
        }
        held_count += has(chunk, homes[i]) ? 1 : 0;
    }
    return held_count >= HOMES_UP;
}

static uint32_t capacity_of(const struct months *months)
{
    return 3 * months->options.chunks_per_node * months->options.capacity_percent / 100;
}

/* Of a full node: something that others hold and it need not. */
static bool make_room(struct months *months, uint32_t node)
{
    uint32_t start = (uint32_t)random_below(&months->keys, months->chunk_count);

    for (uint32_t i = 0; i < months->chunk_count && i < LOOKS_MAX; i++) {
        uint32_t number = (start + i) % months->chunk_count;
        struct copies *chunk = &months->chunks[number];
        uint32_t homes[HOMES_MAX];
        uint32_t count;

        if (!has(chunk, node)) {
            continue;
        }
        count = move_homes(months, months->arc_of[number], homes);
        if (is_among(homes, count, node) || !is_handed_over(months, chunk, homes, count)) {
            continue;
        }
        for (uint32_t j = 0; j < chunk->count; j++) {
            if (chunk->holders[j] == node) {
                chunk->holders[j] = chunk->holders[--chunk->count];
            }
        }
        months->nodes[node].chunk_count--;
        months->evicted_count++;
        return true;
    }
    return false;
}

static bool add_copy(struct months *months, struct copies *chunk, uint32_t node)
{
    if (months->options.capacity_percent > 0 &&
        months->nodes[node].chunk_count >= capacity_of(months) && !make_room(months, node)) {
        return false;
    }
    if (chunk->count == COPIES_MAX) {
        return false;
    }
    chunk->holders[chunk->count++] = (uint16_t)node;
    months->nodes[node].chunk_count++;
    return true;
}

/* Somebody who is up and may send now; NOBODY, and whether one will. */
static uint32_t find_source(struct months *months, const struct copies *chunk, bool *later_out)
{
    for (uint32_t i = 0; i < chunk->count; i++) {
        struct node *node = &months->nodes[chunk->holders[i]];

        if (!node->is_up) {
            continue;
        }
        if (bucket_is_open(&node->upload, months->now_s * 1000)) {
            return chunk->holders[i];
        }
        *later_out = true;
    }
    return NOBODY;
}

/* Where a home has no room, the next ones behind the homes are offered it: one of them has it, or
 * takes it. Returns whether it was taken. */
static bool pass_on(struct months *months, struct copies *chunk, const struct run *run)
{
    struct round round = round_from(months, run->arc);
    uint32_t place;

    for (uint32_t i = 0; i < HOMES_MAX && (place = round_next(&round)) != NOBODY; i++) {
        if (!months->nodes[place].is_up || is_among(run->homes, run->count, place)) {
            continue;
        }
        if (has(chunk, place)) {
            return false;
        }
        if (add_copy(months, chunk, place)) {
            return true;
        }
    }
    return false;
}

static bool give(struct months *months, struct copies *chunk, const struct run *run, uint32_t home)
{
    bool is_later = false;
    uint32_t source = find_source(months, chunk, &is_later);
    uint64_t bytes = months->options.chunk_bytes;

    if (source == NOBODY || (!add_copy(months, chunk, home) && !pass_on(months, chunk, run))) {
        return !is_later;
    }
    bucket_take(&months->nodes[source].upload, bytes);
    months->nodes[source].sent_bytes += bytes;
    if (months->now_s >= (uint64_t)months->options.from_day * DAY_S) {
        months->moved_bytes += bytes;
    } else {
        months->learning_bytes += bytes;
    }
    return true;
}

/* Returns whether all was done that can be. */
static bool look_at(struct months *months, uint32_t arc)
{
    struct run run = {.arc = arc};
    bool is_done = true;

    run.count = move_homes(months, arc, run.homes);

    for (uint32_t number = months->first_in_arc[arc]; number != NOBODY;
         number = months->next_in_arc[number]) {
        struct copies *chunk = &months->chunks[number];

        for (uint32_t i = 0; i < run.count; i++) {
            if (months->nodes[run.homes[i]].is_up && !has(chunk, run.homes[i])) {
                is_done = give(months, chunk, &run, run.homes[i]) && is_done;
            }
        }
    }
    return is_done;
}

void move_all(struct months *months)
{
    for (uint32_t i = 0; i < move_arc_count(months); i++) {
        if (months->is_dirty[i]) {
            months->is_dirty[i] = !look_at(months, i);
        }
    }
}

void move_touch(struct months *months, uint32_t node)
{
    uint32_t count = months->options.node_count;

    for (uint32_t i = 0; months->options.skew > 0 && i < move_arc_count(months); i++) {
        months->is_dirty[i] = true; /* its positions are everywhere */
    }
    for (uint32_t i = 0; i < 2 * HOMES_MAX && i < count; i++) {
        months->is_dirty[(node + count - i) % count] = true;
    }
}

static uint32_t arc_of(const struct months *months, uint64_t key)
{
    uint32_t low = 0;
    uint32_t high = months->options.node_count;
    struct id id = {{0}};

    if (months->options.skew > 0) {
        for (uint32_t i = 0; i < 8; i++) {
            id.bytes[i] = (uint8_t)(key >> (56 - 8 * i));
        }
        return positions_place(&months->positions, &id);
    }

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (months->nodes[middle].position < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low % months->options.node_count;
}

static void put_in_arc(struct months *months, uint32_t number)
{
    uint32_t arc = arc_of(months, months->chunks[number].key);

    months->arc_of[number] = arc;
    months->next_in_arc[number] = months->first_in_arc[arc];
    months->first_in_arc[arc] = number;
}

void move_sort(struct months *months)
{
    for (uint32_t i = 0; i < ARCS_MAX; i++) {
        months->first_in_arc[i] = NOBODY;
        months->is_dirty[i] = true;
    }
    for (uint32_t i = 0; i < months->chunk_count; i++) {
        put_in_arc(months, i);
    }
}

static struct copies *new_chunk(struct months *months)
{
    uint32_t number = months->chunk_count;
    struct copies *chunk = &months->chunks[number];

    CHECK(number < months->chunk_capacity);
    *chunk = (struct copies){.key = random_u64(&months->keys)};
    put_in_arc(months, number);
    months->chunk_count++;
    return chunk;
}

/* A push: to the first three that are up and have room. It is the owner's own traffic. */
void move_write(struct months *months)
{
    struct copies *chunk = new_chunk(months);
    uint32_t arc = months->arc_of[months->chunk_count - 1];

    struct round round = round_from(months, arc);
    uint32_t place;

    while (chunk->count < CHUNK_COPIES && (place = round_next(&round)) != NOBODY) {
        if (months->nodes[place].is_up && add_copy(months, chunk, place)) {
            chunk->acknowledged[chunk->acknowledged_count++] = (uint16_t)place;
        }
    }
    months->is_dirty[arc] = true;
}

static void count_loss(struct months *months, const struct copies *chunk)
{
    for (uint32_t i = 0; i < chunk->acknowledged_count; i++) {
        if (!months->nodes[chunk->acknowledged[i]].is_dead) {
            months->lost_count++;
            return;
        }
    }
    months->unavoidable_count++;
}

void move_forget(struct months *months, uint32_t node)
{
    for (uint32_t i = 0; i < months->chunk_count; i++) {
        struct copies *chunk = &months->chunks[i];

        for (uint32_t j = 0; j < chunk->count; j++) {
            if (chunk->holders[j] == node) {
                chunk->holders[j] = chunk->holders[--chunk->count];
                if (chunk->count == 0) {
                    count_loss(months, chunk);
                }
                break;
            }
        }
    }
    months->nodes[node].chunk_count = 0;
}
