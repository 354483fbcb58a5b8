// SPDX-License-Identifier: GPL-3.0-or-later
/* Look-ups of applications, of the fingers' repair and of newcomers, each by a seek of overlay/. */
#include <string.h>

#include "base/check.h"
#include "tests/sim/rings/rings.h"

struct router host_router(const struct world *world, const struct host *host)
{
    return (struct router){.ring = &host->ring,
                           .fingers = &host->fingers,
                           .locations = host->locations,
                           .now_ms = world->now_ms};
}

void host_learn(struct host *host, const struct fingers_event *event)
{
    struct fingers_effects effects;

    fingers_step(&host->fingers, event, &effects);
    if (host->locations == NULL) {
        return;
    }
    if (event->kind == FINGERS_LOST) {
        locations_forget(host->locations, &event->node);
    } else if (event->has_from) {
        locations_learn(host->locations, &event->node, &event->from);
    }
}

static void build_when_needed(struct world *world, struct host *host)
{
    if (!host->is_built && world->options.session_s == 0 && !world->options.is_split) {
        build_ring(world, host);
        build_fingers(world, host);
    }
}

static void count_result(struct world *world, const struct lookup *lookup, bool found,
                         bool is_right)
{
    struct results *results = &world->results;
    uint32_t hops = found ? lookup->seek.hop_count : 0;

    results->count++;
    results->asks += lookup->seek.ask_count;
    results->latency_ms += world->now_ms - lookup->begun_ms;
    if (!found) {
        results->unanswered++;
        return;
    }
    CHECK(hops <= ROUTE_HOPS_MAX + 1);
    results->hops += hops;
    results->hops_of[hops]++;
    results->right += is_right;
    results->wrong += !is_right;
}

static void release(struct world *world, struct lookup *lookup)
{
    lookup->is_used = false;
    lookup->generation++;
    world->free_lookups[world->free_count++] = (uint32_t)(lookup - world->lookups);
    world->active_count--;
}

/* A key whose true owner lies has no right answer. */
static bool is_liars_key(const struct world *world, const struct ring_key *key)
{
    const struct host *owner =
        &world->hosts[world->order[world_find(world, &key->id) % world->order_count]];

    return owner->lies;
}

static void finish(struct world *world, struct lookup *lookup)
{
    struct host *host = &world->hosts[lookup->asker];
    const struct seek *seek = &lookup->seek;
    bool is_right = false;

    for (uint32_t i = 0; seek->found && i < lookup->asked_count; i++) {
        if (&world->hosts[lookup->asked[i].host] == world_host(world, &seek->owner)) {
            is_right |= lookup->asked[i].is_right;
        }
    }
    if (lookup->purpose == FOR_WORK && is_liars_key(world, &seek->key)) {
        world->results.liars_keys++;
    } else if (lookup->purpose == FOR_WORK) {
        count_result(world, lookup, seek->found, is_right);
        world->results.right_on_arrival +=
            seek->found && world_is_current(world, &seek->owner) &&
            world_is_owner(world, world_host(world, &seek->owner), &seek->key);
    } else if (lookup->purpose == FOR_FINGER && seek->found) {
        host_learn(host, &(struct fingers_event){.kind = FINGERS_FOUND,
                                                 .node = seek->owner,
                                                 .has_from = true,
                                                 .from = seek->owner_from,
                                                 .target = seek->key});
    } else if (lookup->purpose == FOR_JOIN) {
        life_joined(world, host, seek);
    }
}

static void send_asks(struct world *world, struct lookup *lookup,
                      const struct seek_effects *effects)
{
    struct host *host = &world->hosts[lookup->asker];

    for (uint32_t i = 0; i < effects->ask_count; i++) {
        struct message message = {.kind = SEEK_NEXT,
                                  .number = (uint32_t)(lookup - world->lookups),
                                  .key = lookup->seek.key,
                                  .contacts_wanted = lookup->purpose == FOR_FINGER
                                                         ? (uint32_t)SEEK_CONTACTS_UPKEEP
                                                         : effects->contacts_wanted,
                                  .is_work = lookup->purpose == FOR_WORK};
        const struct host *to = world_host(world, &effects->asks[i]);

        if (to != NULL) {
            CHECK(lookup->asked_count < ASKED_MAX);
            lookup->asked[lookup->asked_count++] = (struct asked){to->index, world->now_ms, false};
        }
        world_send(world, host, &effects->asks[i], &message);
    }
}

static void step(struct world *world, struct lookup *lookup, struct seek_event *event)
{
    struct host *host = &world->hosts[lookup->asker];
    uint32_t number = (uint32_t)(lookup - world->lookups);
    struct seek_effects effects;

    event->now_ms = world->now_ms;
    seek_step(&lookup->seek, event, &effects);
    for (uint32_t i = 0; i < effects.lost_count; i++) {
        host_learn(host, &(struct fingers_event){.kind = FINGERS_LOST, .node = effects.lost[i]});
    }
    if (effects.done) {
        finish(world, lookup);
        release(world, lookup);
        return;
    }
    send_asks(world, lookup, &effects);
    if (lookup->timer_ms == 0 || effects.wake_ms < lookup->timer_ms) {
        lookup->timer_ms = effects.wake_ms;
        world_timer(world, TIMER_SEEK, effects.wake_ms, number, lookup->generation);
    }
}

/* The asker itself may own the key: no hop. */
static bool is_own(struct world *world, struct host *asker, const struct ring_key *key,
                   enum purpose purpose, uint64_t begun_ms)
{
    struct lookup own = {.begun_ms = begun_ms};
    struct ring_key from;

    if (!world_owns(world, asker, key)) {
        return false;
    }
    if (purpose == FOR_WORK && !is_liars_key(world, key)) {
        bool is_right = world_is_owner(world, asker, key);

        count_result(world, &own, true, is_right);
        world->results.right_on_arrival += is_right;
    } else if (purpose == FOR_FINGER) {
        from = asker->ring.predecessors[0].position;
        host_learn(asker, &(struct fingers_event){.kind = FINGERS_FOUND,
                                                  .node = asker->node,
                                                  .has_from = true,
                                                  .from = from,
                                                  .target = *key});
    }
    return true;
}

void lookup_begin(struct world *world, struct host *asker, const struct ring_key *key,
                  enum purpose purpose)
{
    struct lookup *lookup;
    struct router router;

    build_when_needed(world, asker);
    if (is_own(world, asker, key, purpose, world->now_ms)) {
        return;
    }
    CHECK(world->free_count > 0);
    lookup = &world->lookups[world->free_lookups[--world->free_count]];
    world->active_count++;
    lookup->is_used = true;
    lookup->purpose = purpose;
    lookup->asker = asker->index;
    lookup->asker_generation = asker->generation;
    lookup->begun_ms = world->now_ms;
    lookup->timer_ms = 0;
    lookup->asked_count = 0;
    router = host_router(world, asker);
    step(world, lookup,
         &(struct seek_event){.kind = SEEK_START,
                              .key = *key,
                              .router = &router,
                              .witness_count =
                                  purpose == FOR_WORK ? world->options.witness_count : 0});
}

void lookup_on_ask(struct world *world, struct host *host, const struct message *message)
{
    struct seek_answer answer;
    struct message reply = {.kind = SEEK_REPLY,
                            .number = message->number,
                            .key = message->key,
                            .contacts_wanted = message->contacts_wanted,
                            .is_work = message->is_work,
                            .answer = &answer};
    struct router router = host_router(world, host);

    build_when_needed(world, host);
    if (world->options.session_s > 0) {
        /* Who asks is there. */
        host_learn(host,
                   &(struct fingers_event){.kind = FINGERS_KNOWN, .node = message->from_node});
    }
    if (host->lies) {
        liar_answer(world, host, &message->key, &answer);
    } else {
        seek_fill_answer(&router, &message->key, message->contacts_wanted, &answer);
        reply.is_right = answer.owns && world_is_owner(world, host, &message->key);
    }
    world_send(world, host, &message->from_node, &reply);
}

void lookup_on_reply(struct world *world, struct host *host, const struct message *message)
{
    struct lookup *lookup = &world->lookups[message->number];
    struct fingers_event known = {.kind = FINGERS_KNOWN, .node = message->from_node};

    if (!lookup->is_used || lookup->asker != host->index ||
        lookup->asker_generation != host->generation ||
        !id_equal(&lookup->seek.key.id, &message->key.id)) {
        return; /* it has ended */
    }
    for (uint32_t i = 0; i < lookup->asked_count; i++) {
        if (lookup->asked[i].host == message->from) {
            lookup->asked[i].is_right = message->is_right;
            known.rtt_ms = (uint32_t)(world->now_ms - lookup->asked[i].sent_ms);
        }
    }
    known.has_from = message->answer->has_arc;
    known.from = message->answer->from;
    host_learn(host, &known);
    step(world, lookup,
         &(struct seek_event){
             .kind = SEEK_ANSWER, .node = message->from_node, .answer = message->answer});
}

void lookup_on_timer(struct world *world, uint32_t number, uint32_t generation)
{
    struct lookup *lookup = &world->lookups[number];
    const struct host *host = &world->hosts[lookup->asker];

    if (!lookup->is_used || lookup->generation != generation || lookup->timer_ms > world->now_ms) {
        return;
    }
    if (!host->is_up || host->generation != lookup->asker_generation) {
        release(world, lookup); /* whoever asked is dead */
        return;
    }
    lookup->timer_ms = 0;
    if (is_own(world, &world->hosts[lookup->asker], &lookup->seek.key, lookup->purpose,
               lookup->begun_ms)) {
        release(world, lookup); /* its lease is back */
        return;
    }
    step(world, lookup, &(struct seek_event){.kind = SEEK_TICK});
}
