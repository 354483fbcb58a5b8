// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/flows.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"

enum { YIELD_LOOKS = 64 }; /* at flows of other ports: a flood must not cost us a walk each */

static_assert(sizeof(struct flow_key) == 40, "keys are compared as bytes: no padding");
static_assert((FLOW_BUCKETS & (FLOW_BUCKETS - 1)) == 0, "a mask finds the bucket");
static_assert((int)FLOWS_MAX < (int)FLOW_NONE, "an index fits 16 bits");

/* Mixes eight bytes at a time; the seed is secret, and only even buckets are at stake. */
static uint32_t bucket_of(const struct flows *flows, const struct flow_key *key)
{
    const uint8_t *bytes = (const uint8_t *)key;
    uint64_t hash = flows->seed;

    for (size_t i = 0; i < sizeof(*key); i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, bytes + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 29 ^ flows->seed;
    }
    return (uint32_t)(hash >> 40) & (FLOW_BUCKETS - 1);
}

void flows_init(struct flows *flows, uint32_t per_port_max, uint64_t seed)
{
    CHECK(flows->count == 0 && per_port_max > 0);
    flows->seed = seed;
    flows->per_port_max = per_port_max;
    flows->free_head = FLOW_NONE;
    flows->fresh_count = 0;
    for (unsigned i = 0; i < 2; i++) {
        flows->lists[i] = (struct flow_list){FLOW_NONE, FLOW_NONE};
    }
    memset(flows->buckets, 0xff, sizeof(flows->buckets)); /* FLOW_NONE */
}

uint16_t flows_index(const struct flows *flows, const struct flow *flow)
{
    return (uint16_t)(flow - flows->entries);
}

struct flow *flows_at(struct flows *flows, uint32_t index, uint32_t version)
{
    struct flow *flow = index < flows->fresh_count ? &flows->entries[index] : NULL;

    return flow != NULL && flow->version == version && flow->fd >= 0 ? flow : NULL;
}

struct flow *flows_find(struct flows *flows, const struct flow_key *key)
{
    uint16_t index = flows->buckets[bucket_of(flows, key)];

    while (index != FLOW_NONE) {
        struct flow *flow = &flows->entries[index];

        if (memcmp(&flow->key, key, sizeof(*key)) == 0) {
            return flow;
        }
        index = flow->next_in_bucket;
    }
    return NULL;
}

/* --- the lists, oldest use first --- */

static void list_append(struct flows *flows, struct flow *flow)
{
    struct flow_list *list = &flows->lists[flow->answered ? 1 : 0];
    uint16_t index = flows_index(flows, flow);

    flow->older = list->newest;
    flow->newer = FLOW_NONE;
    if (list->newest != FLOW_NONE) {
        flows->entries[list->newest].newer = index;
    } else {
        list->oldest = index;
    }
    list->newest = index;
}

static void list_remove(struct flows *flows, const struct flow *flow)
{
    struct flow_list *list = &flows->lists[flow->answered ? 1 : 0];

    if (flow->older != FLOW_NONE) {
        flows->entries[flow->older].newer = flow->newer;
    } else {
        list->oldest = flow->newer;
    }
    if (flow->newer != FLOW_NONE) {
        flows->entries[flow->newer].older = flow->older;
    } else {
        list->newest = flow->older;
    }
}

static struct flow *oldest(struct flows *flows, bool answered)
{
    uint16_t index = flows->lists[answered ? 1 : 0].oldest;

    return index == FLOW_NONE ? NULL : &flows->entries[index];
}

struct flow *flows_oldest(struct flows *flows)
{
    struct flow *unanswered = oldest(flows, false);
    struct flow *answered = oldest(flows, true);

    if (unanswered == NULL || answered == NULL) {
        return unanswered != NULL ? unanswered : answered;
    }
    return answered->used_ms < unanswered->used_ms ? answered : unanswered;
}

/* --- coming and going --- */

bool flows_have_room(struct flows *flows, uint16_t service_port, uint64_t now_ms,
                     struct flow **yields_out)
{
    struct flow *flow = oldest(flows, false);

    CHECK(service_port < PORTS_PER_SERVICE_MAX);
    bool port_is_full = flows->count_of_port[service_port] >= flows->per_port_max;
    *yields_out = NULL;
    if (flows->count < FLOWS_MAX && !port_is_full) {
        return true;
    }
    for (unsigned i = 0; i < YIELD_LOOKS && flow != NULL; i++) {
        if (flow->used_ms + FLOW_YIELDS_MS > now_ms) {
            return false; /* all that follow were used later still */
        }
        if (!port_is_full || flow->key.service_port == service_port) {
            *yields_out = flow;
            return false;
        }
        flow = flow->newer == FLOW_NONE ? NULL : &flows->entries[flow->newer];
    }
    return false;
}

struct flow *flows_add(struct flows *flows, const struct flow_key *key, uint64_t now_ms)
{
    uint32_t bucket = bucket_of(flows, key);
    struct flow *flow;
    uint32_t version;

    CHECK(flows->count < FLOWS_MAX && key->service_port < PORTS_PER_SERVICE_MAX);
    if (flows->free_head != FLOW_NONE) {
        flow = &flows->entries[flows->free_head];
        flows->free_head = flow->next_in_bucket;
    } else {
        CHECK(flows->fresh_count < FLOWS_MAX);
        flow = &flows->entries[flows->fresh_count++];
    }
    version = flow->version + 1;
    *flow = (struct flow){.key = *key,
                          .fd = -1,
                          .outside_fd = -1,
                          .used_ms = now_ms,
                          .version = version,
                          .next_in_bucket = flows->buckets[bucket]};
    flows->buckets[bucket] = flows_index(flows, flow);
    flows->count++;
    flows->count_of_port[key->service_port]++;
    list_append(flows, flow);
    return flow;
}

void flows_touch(struct flows *flows, struct flow *flow, bool answer, uint64_t now_ms)
{
    list_remove(flows, flow);
    flow->answered = flow->answered || answer;
    flow->used_ms = now_ms;
    list_append(flows, flow);
}

void flows_remove(struct flows *flows, struct flow *flow)
{
    uint16_t index = flows_index(flows, flow);
    uint16_t *place = &flows->buckets[bucket_of(flows, &flow->key)];

    while (*place != index) {
        CHECK(*place != FLOW_NONE);
        place = &flows->entries[*place].next_in_bucket;
    }
    *place = flow->next_in_bucket;
    list_remove(flows, flow);
    CHECK(flows->count > 0 && flows->count_of_port[flow->key.service_port] > 0);
    flows->count--;
    flows->count_of_port[flow->key.service_port]--;
    flow->fd = -1;
    flow->outside_fd = -1;
    flow->version++;
    flow->next_in_bucket = flows->free_head;
    flows->free_head = index;
}

/* --- time --- */

static uint64_t end_ms(const struct flows *flows, bool answered)
{
    uint16_t index = flows->lists[answered ? 1 : 0].oldest;

    if (index == FLOW_NONE) {
        return UINT64_MAX;
    }
    return flows->entries[index].used_ms +
           (uint64_t)(answered ? FLOW_ANSWERED_MS_MAX : FLOW_UNANSWERED_MS_MAX);
}

struct flow *flows_expired(struct flows *flows, uint64_t now_ms)
{
    for (unsigned answered = 0; answered < 2; answered++) {
        if (end_ms(flows, answered != 0) <= now_ms) {
            return oldest(flows, answered != 0);
        }
    }
    return NULL;
}

uint64_t flows_wakeup_ms(const struct flows *flows)
{
    uint64_t unanswered_ms = end_ms(flows, false);
    uint64_t answered_ms = end_ms(flows, true);

    return unanswered_ms < answered_ms ? unanswered_ms : answered_ms;
}
