// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/rings/rings.h"

static void put32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

struct ring_key world_random_key(struct random *random)
{
    struct ring_key key;

    for (int i = 0; i < ID_BYTES; i += 8) {
        uint64_t word = random_u64(random);

        memcpy(&key.id.bytes[i], &word, sizeof(word));
    }
    return key;
}

/* Where a node is on the ring is random; its id names its host, which stands for an address. */
struct ring_node world_make_node(uint32_t index, uint32_t generation, struct random *random)
{
    struct ring_node node = {.position = world_random_key(random)};

    node.node.id = world_random_key(random).id;
    put32(&node.node.id.bytes[24], index);
    put32(&node.node.id.bytes[28], generation);
    return node;
}

struct host *world_host(struct world *world, const struct ring_node *node)
{
    uint32_t index = get32(&node->node.id.bytes[24]);

    return index < world->host_count ? &world->hosts[index] : NULL;
}

bool world_is_current(const struct world *world, const struct ring_node *node)
{
    uint32_t index = get32(&node->node.id.bytes[24]);

    return index < world->host_count && world->hosts[index].is_up &&
           id_equal(&world->hosts[index].node.node.id, &node->node.id);
}

uint32_t world_find(const struct world *world, const struct id *key)
{
    uint32_t low = 0;
    uint32_t high = world->order_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (id_compare(&world->hosts[world->order[middle]].node.position.id, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void world_place(struct world *world, struct host *host)
{
    uint32_t place = world_find(world, &host->node.position.id);

    CHECK(world->order_count < world->host_count);
    memmove(&world->order[place + 1], &world->order[place],
            (world->order_count - place) * sizeof(world->order[0]));
    world->order[place] = host->index;
    world->order_count++;
}

void world_unplace(struct world *world, struct host *host)
{
    uint32_t place = world_find(world, &host->node.position.id);

    CHECK(place < world->order_count && world->order[place] == host->index);
    world->order_count--;
    memmove(&world->order[place], &world->order[place + 1],
            (world->order_count - place) * sizeof(world->order[0]));
}

/* On a torus of 160 ms across: round trips of 10 to 120 ms, 65 in the mean. */
uint32_t world_delay_ms(struct world *world, const struct host *a, const struct host *b,
                        bool jitter)
{
    double x = fabs(a->x - b->x);
    double y = fabs(a->y - b->y);
    double delay_ms;

    x = x > 0.5 ? 1 - x : x;
    y = y > 0.5 ? 1 - y : y;
    delay_ms = 3 + 75 * sqrt(x * x + y * y);
    if (jitter) {
        delay_ms *= 1 + 0.2 * random_unit(&world->random_net);
    }
    return (uint32_t)delay_ms + 1;
}

static bool is_reached(const struct world *world, const struct host *from, const struct host *to)
{
    return !world->is_cut || from->index % 2 == to->index % 2;
}

static struct message *copy(const struct message *message)
{
    struct message *result = malloc(sizeof(*result));

    CHECK(result != NULL);
    *result = *message;
    if (message->answer != NULL) {
        result->answer = malloc(sizeof(*result->answer));
        CHECK(result->answer != NULL);
        *result->answer = *message->answer;
    }
    if (message->ring != NULL) {
        result->ring = malloc(sizeof(*result->ring));
        CHECK(result->ring != NULL);
        *result->ring = *message->ring;
    }
    return result;
}

static void discard(struct message *message)
{
    if (message != NULL) {
        free(message->answer);
        free(message->ring);
        free(message);
    }
}

void world_count(struct world *world, struct host *from, const struct message *message)
{
    size_t bytes;

    if (world->options.session_s == 0 && !world->options.is_split) {
        return; /* a ring that stands still has no upkeep */
    }
    bytes = size_of_message(message) + FRAMING_BYTES;
    if (message->is_work) {
        world->work_bytes += bytes;
        return;
    }
    from->sent_bytes += bytes;
    world->bytes_by_kind[message->kind] += bytes;
    world->count_by_kind[message->kind]++;
}

/* The ring sees time pass slowly in a large community: its periods and leases become longer. */
bool world_owns(const struct world *world, const struct host *host, const struct ring_key *key)
{
    return ring_responsible(&host->ring, key, world->now_ms);
}

void world_send(struct world *world, struct host *from, const struct ring_node *to,
                const struct message *message)
{
    struct host *host = world_host(world, to);
    bool is_lost = random_below(&world->random_net, 1000) < world->options.loss_permille;
    struct event event = {.timer = TIMER_RING};

    world_count(world, from, message);
    if (is_lost || host == NULL || !world_is_current(world, to) || !is_reached(world, from, host)) {
        return;
    }
    event.at_ms = world->now_ms + world_delay_ms(world, from, host, true);
    event.to = host->index;
    event.generation = host->generation;
    event.message = copy(message);
    event.message->from = from->index;
    event.message->from_generation = from->generation;
    event.message->from_node = from->node;
    queue_push(world, event);
}

void world_timer(struct world *world, enum timer_kind kind, uint64_t at_ms, uint32_t to,
                 uint32_t generation)
{
    queue_push(world,
               (struct event){.at_ms = at_ms, .to = to, .generation = generation, .timer = kind});
}

bool world_is_owner(const struct world *world, const struct host *host, const struct ring_key *key)
{
    uint32_t place = world_find(world, &key->id);
    uint32_t near_count = world->order_count < 64 ? world->order_count : 64;

    for (uint32_t i = 0; i < near_count; i++) {
        const struct host *other = &world->hosts[world->order[(place + i) % world->order_count]];

        if (other != host && other->is_built && !other->lies && is_reached(world, host, other) &&
            world_owns(world, other, key)) {
            return false;
        }
    }
    return world_owns(world, host, key);
}

uint64_t world_bytes(const struct world *world)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < world->host_count; i++) {
        bytes += world->hosts[i].sent_bytes;
    }
    return bytes;
}

static void fill_zipf(struct world *world)
{
    double sum = 0;

    world->zipf = calloc(world->options.zipf_keys, sizeof(*world->zipf));
    CHECK(world->zipf != NULL);
    for (uint32_t i = 0; i < world->options.zipf_keys; i++) {
        sum += 1.0 / (i + 1);
        world->zipf[i] = sum;
    }
}

struct world *world_new(const struct options *options)
{
    struct world *world = calloc(1, sizeof(*world));

    CHECK(world != NULL);
    world->options = *options;
    world->now_ms = 1000;
    random_init(&world->random_keys, options->seed, "rings keys");
    random_init(&world->random_net, options->seed, "rings network");
    random_init(&world->random_life, options->seed, "rings life");
    world->host_count = options->node_count;
    world->hosts = calloc(world->host_count, sizeof(*world->hosts));
    world->order = calloc(world->host_count, sizeof(*world->order));
    world->lookup_capacity = 65536;
    world->lookups = calloc(world->lookup_capacity, sizeof(*world->lookups));
    world->free_lookups = calloc(world->lookup_capacity, sizeof(*world->free_lookups));
    CHECK(world->hosts != NULL && world->order != NULL);
    CHECK(world->lookups != NULL && world->free_lookups != NULL);
    for (uint32_t i = 0; i < world->lookup_capacity; i++) {
        world->free_lookups[world->free_count++] = world->lookup_capacity - 1 - i;
    }
    for (uint32_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];

        host->index = i;
        host->x = random_unit(&world->random_net);
        host->y = random_unit(&world->random_net);
        host->lies = random_below(&world->random_life, 1000) < options->liar_permille;
        host->is_up = true;
        host->node = world_make_node(i, 0, &world->random_life);
    }
    if (options->zipf_keys > 0) {
        fill_zipf(world);
    }
    return world;
}

void world_free(struct world *world)
{
    for (size_t i = 0; i < world->heap_count; i++) {
        discard(world->heap[i].message);
    }
    for (uint32_t i = 0; i < world->host_count; i++) {
        free(world->hosts[i].locations);
    }
    free(world->zipf);
    free(world->heap);
    free(world->lookups);
    free(world->free_lookups);
    free(world->order);
    free(world->hosts);
    free(world);
}

static void deliver(struct world *world, const struct event *event)
{
    struct host *host = &world->hosts[event->to];

    if (!host->is_up || host->generation != event->generation) {
        return;
    }
    switch (event->message->kind) {
    case SEEK_NEXT:
        lookup_on_ask(world, host, event->message);
        break;
    case SEEK_REPLY:
        lookup_on_reply(world, host, event->message);
        break;
    case RING_QUESTION:
    case RING_REPLY:
    case RING_GOODBYE:
    case PING:
    case PONG:
    case WHO:
    case CONTACTS:
    case KINDS:
        neighbours_on_message(world, host, event->message);
        break;
    }
}

void world_run(struct world *world, uint64_t until_ms)
{
    struct event event;

    while (queue_pop(world, until_ms, &event)) {
        CHECK(event.at_ms >= world->now_ms);
        world->now_ms = event.at_ms;
        if (event.message != NULL) {
            deliver(world, &event);
            discard(event.message);
        } else if (event.timer == TIMER_SEEK) {
            lookup_on_timer(world, event.to, event.generation);
        } else {
            life_on_timer(world, &event);
        }
    }
    if (until_ms != UINT64_MAX && world->now_ms < until_ms) {
        world->now_ms = until_ms;
    }
}
