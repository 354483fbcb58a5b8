// SPDX-License-Identifier: GPL-3.0-or-later
/* Nodes come and go after a law, and look keys up meanwhile; or the network is cut and healed. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/ring/neighbourhood.h"
#include "overlay/ring/ring_internal.h"
#include "tests/sim/rings/rings.h"

enum { FINGERS_LOOK_MS = 3000, JOIN_AGAIN_MS = 1000, SPLIT_CHECK_MS = 100 };

/* Weibull with the mean that was asked for; of shape 1 it is the exponential law. */
static uint64_t session_ms(struct world *world)
{
    double shape = world->options.weibull_shape_permille / 1000.0;
    double scale_ms = world->options.session_s * 1000.0 / tgamma(1 + 1 / shape);
    double point = 1 - random_unit(&world->random_life);

    return (uint64_t)(scale_ms * pow(-log(point), 1 / shape)) + 1;
}

static struct host *random_host(struct world *world, const struct host *but)
{
    for (;;) {
        struct host *host = &world->hosts[random_below(&world->random_life, world->host_count)];

        if (host != but && host->is_up && host->ring.phase == RING_IN && host->has_joined) {
            return host;
        }
    }
}

static void plan_death(struct world *world, const struct host *host)
{
    if (world->options.session_s > 0) {
        world_timer(world, TIMER_DEATH, world->now_ms + session_ms(world), host->index,
                    host->generation);
    }
}

static void look_at_fingers(struct world *world, struct host *host)
{
    struct neighbourhood near;
    struct fingers_event event = {.kind = FINGERS_TICK, .now_ms = world->now_ms};
    struct fingers_effects effects = {0};
    uint64_t next_ms;

    if (host->ring.phase == RING_IN) {
        neighbourhood_of(&host->ring, &near);
        event.near_distance = neighbourhood_reach(&near, &host->node.position);
        fingers_step(&host->fingers, &event, &effects);
    }
    if (effects.look_up) {
        lookup_begin(world, host, &effects.target, FOR_FINGER);
    }
    next_ms = fingers_wake_ms(&host->fingers);
    if (next_ms <= world->now_ms || next_ms > world->now_ms + FINGERS_LOOK_MS) {
        next_ms = world->now_ms + FINGERS_LOOK_MS;
    }
    world_timer(world, TIMER_FINGERS, next_ms, host->index, host->generation);
}

/* ------------------------------------------------------------------ births and deaths */

static void seek_place(struct world *world, struct host *host)
{
    const struct host *contact = random_host(world, host);
    struct fingers_event event = {.kind = FINGERS_TICK, .now_ms = world->now_ms};

    /* The contact that an invitation names; nothing is near yet. */
    host_learn(host, &event);
    event.kind = FINGERS_KNOWN;
    event.node = contact->node;
    host_learn(host, &event);
    lookup_begin(world, host, &host->node.position, FOR_JOIN);
}

void life_joined(struct world *world, struct host *host, const struct seek *seek)
{
    struct ring_event event = {.kind = RING_KNOWN, .node = seek->owner};

    if (!seek->found) {
        world_timer(world, TIMER_FINGERS, world->now_ms + JOIN_AGAIN_MS, host->index,
                    host->generation);
        return;
    }
    neighbours_step(world, host, &event, NULL);
    event = (struct ring_event){.kind = RING_BEGIN};
    neighbours_step(world, host, &event, NULL);
    world_timer(world, TIMER_FINGERS, world->now_ms + FINGERS_LOOK_MS, host->index,
                host->generation);
}

static void forget_all(struct host *host)
{
    host->has_joined = false;
    host->timer_ms = 0;
    host->redial_ms = 0;
    host->ring_count = 0;
    memset(&host->list, 0, sizeof(host->list));
    memset(&host->lists, 0, sizeof(host->lists));
    host->asker_ms = 0;
    memset(host->lost, 0, sizeof(host->lost));
    memset(host->questions, 0, sizeof(host->questions));
    memset(&host->list_from, 0, sizeof(host->list_from));
    memset(&host->before, 0, sizeof(host->before));
    if (host->locations != NULL) {
        locations_init(host->locations);
    }
}

static void be_born(struct world *world, struct host *host)
{
    struct ring_event kept = {.kind = RING_KEPT, .epoch = UINT64_MAX};

    forget_all(host);
    host->generation++;
    host->node = world_make_node(host->index, host->generation, &world->random_life);
    host->is_up = true;
    host->born_ms = world->now_ms;
    world->births++;
    world_place(world, host);
    ring_init(&host->ring, &host->node, 0);
    ring_set_pace_max(&host->ring, world->options.pace);
    fingers_init(&host->fingers, &host->node);
    neighbours_step(world, host, &kept, NULL);
    plan_death(world, host);
    seek_place(world, host);
}

/* Another takes its place, so that the number of nodes stays. */
static void die(struct world *world, struct host *host)
{
    if (random_below(&world->random_life, 1000) < world->options.leave_permille) {
        neighbours_leave(world, host);
    }
    world_unplace(world, host);
    host->is_up = false;
    host->generation++;
    be_born(world, host);
}

static void work(struct world *world)
{
    struct host *asker = random_host(world, NULL);
    struct ring_key key = next_key(world);

    lookup_begin(world, asker, &key, FOR_WORK);
    if (++world->work_count < world->options.lookup_count) {
        world_timer(world, TIMER_WORK,
                    world->work_begun_ms + (uint64_t)world->options.minutes * 60000 *
                                               world->work_count / world->options.lookup_count,
                    0, 0);
    }
}

void life_on_timer(struct world *world, const struct event *event)
{
    struct host *host = &world->hosts[event->to];

    if (event->timer == TIMER_WORK) {
        work(world);
        return;
    }
    if (!host->is_up || host->generation != event->generation) {
        return;
    }
    if (event->timer == TIMER_DEATH) {
        die(world, host);
    } else if (event->timer == TIMER_FINGERS) {
        if (host->ring.phase == RING_OUT) {
            seek_place(world, host);
        } else {
            look_at_fingers(world, host);
        }
    } else if (event->at_ms == host->timer_ms) {
        neighbours_tick(world, host);
    }
}

/* ------------------------------------------------------------------ whole runs */

/* Everyone as after a long quiet time; from here on the protocol itself. */
static void begin_ideal(struct world *world)
{
    uint64_t period_ms = (uint64_t)STABILISE_MS * world->options.pace;

    for (uint32_t i = 0; i < world->host_count; i++) {
        world_place(world, &world->hosts[i]);
    }
    for (uint32_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];

        build_ring(world, host);
        build_fingers(world, host);
        build_lease(world, host);
        host->has_joined = true;
        host->before = host->ring.predecessors[0];
        host->before_heard_ms = world->now_ms;
        host->redial_ms = world->now_ms + random_below(&world->random_life, period_ms);
        host->ring.next_ms = world->now_ms + random_below(&world->random_life, period_ms);
        neighbours_plan(world, host);
        world_timer(world, TIMER_FINGERS,
                    world->now_ms + random_below(&world->random_life, FINGERS_LOOK_MS), i, 0);
        plan_death(world, host);
    }
}

void life_begin(struct world *world)
{
    begin_ideal(world);
    world_run(world, world->now_ms + (uint64_t)world->options.warm_minutes * 60000);
    world->results.bytes_start = world_bytes(world);
    world->results.start_ms = world->now_ms;
    memset(world->bytes_by_kind, 0, sizeof(world->bytes_by_kind));
    memset(world->count_by_kind, 0, sizeof(world->count_by_kind));
    world->work_bytes = 0;
    world->births = 0;
    world->joined_count = 0;
    world->join_ms = 0;
    world->lost_alive = 0;
    world->work_begun_ms = world->now_ms;
    world_timer(world, TIMER_WORK, world->now_ms, 0, 0);
    world_run(world, world->now_ms + (uint64_t)world->options.minutes * 60000);
    world_run(world, world->now_ms + SEEK_DEADLINE_MS); /* the last answers */
}

/* How many hosts are not between their true neighbours, or may not answer; in a cut network the
 * neighbours are those of the own half. */
static uint32_t misplaced(const struct world *world)
{
    uint32_t count = 0;

    for (uint32_t place = 0; place < world->order_count; place++) {
        const struct host *host = &world->hosts[world->order[place]];
        const struct host *next = host;
        uint32_t step = 1;

        do {
            next = &world->hosts[world->order[(place + step++) % world->order_count]];
        } while (world->is_cut && next->index % 2 != host->index % 2);
        count += host->ring.successor_count == 0 ||
                 !ring_same(&host->ring.successors[0], &next->node) ||
                 next->ring.predecessor_count == 0 ||
                 !ring_same(&next->ring.predecessors[0], &host->node) ||
                 !ring_is_leased(&host->ring, world->now_ms);
    }
    return count;
}

static uint32_t run_until_ideal(struct world *world, const char *what)
{
    uint64_t begun_ms = world->now_ms;
    double period_ms = STABILISE_MS * world->options.pace;

    while (misplaced(world) > 0 && world->now_ms - begun_ms < 600000) {
        world_run(world, world->now_ms + SPLIT_CHECK_MS);
    }
    printf("%s: %.1f s, %.1f stabilise periods; misplaced %u\n", what,
           (double)(world->now_ms - begun_ms) / 1000,
           (double)(world->now_ms - begun_ms) / period_ms, misplaced(world));
    return misplaced(world) > 0 ? UINT32_MAX
                                : (uint32_t)ceil((double)(world->now_ms - begun_ms) / period_ms);
}

uint32_t life_run_split(struct world *world)
{
    begin_ideal(world);
    world_run(world, world->now_ms + 60000);
    (void)run_until_ideal(world, "before the cut");
    world->is_cut = true;
    (void)run_until_ideal(world, "cut, until two rings");
    world_run(world, world->now_ms + (uint64_t)world->options.minutes * 60000);
    world->is_cut = false;
    return run_until_ideal(world, "healed, until one ring");
}
