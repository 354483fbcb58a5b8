// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/requests.h"

#include <stddef.h>
#include <string.h>

#include "base/check.h"

bool request_is_prompt(enum request_kind kind)
{
    static const bool prompt[] = {
        [REQUEST_PING] = true,         [REQUEST_SYNC] = true,        [REQUEST_STABILISE] = true,
        [REQUEST_LOOKUP] = true,       [REQUEST_GOODBYE] = true,     [REQUEST_RECORD_READ] = true,
        [REQUEST_PUT_READ] = true,     [REQUEST_CHUNK_OFFER] = true, [REQUEST_BROADCAST] = true,
        [REQUEST_CHUNK_OFFERS] = true, [REQUEST_SEEK] = true,        [REQUEST_COMPARE] = true,
        [REQUEST_KINDS_COUNT] = false,
    };

    CHECK(kind < REQUEST_KINDS_COUNT);
    return prompt[kind];
}

bool request_is_to(const struct request *request, const struct node_id *node)
{
    return id_equal(&request->to.id, &node->id) ||
           (request->has_other && id_equal(&request->other.id, &node->id));
}

static bool is_for_another(enum request_kind kind)
{
    return kind == REQUEST_PROBE_FOR || kind == REQUEST_JOIN_RELAY || kind == REQUEST_ROUTE_RELAY ||
           kind == REQUEST_LOOKUP_RELAY;
}

bool requests_may_ask_for(const struct requests *requests, const struct asker *asker)
{
    uint32_t count = 0;
    uint32_t its_count = 0;

    if (requests->used_count < REQUESTS_MAX / 4) {
        return true;
    }
    for (uint32_t i = 0; i < requests->top; i++) {
        const struct request *request = &requests->list[i];

        if (is_for_another(request->kind)) {
            count++;
            its_count += id_equal(&request->asker.node.id, &asker->node.id);
        }
    }
    return count < REQUESTS_MAX / 2 && its_count < REQUESTS_MAX / 4;
}

struct request *requests_new(struct requests *requests, enum request_kind kind)
{
    CHECK(kind != REQUEST_FREE);
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        struct request *request = &requests->list[i];

        if (request->kind == REQUEST_FREE) {
            memset(request, 0, offsetof(struct request, bytes));
            request->kind = kind;
            /* The slot is part of the id: a reply finds its request without a search. */
            requests->last_id++;
            request->id = requests->last_id * REQUESTS_MAX + i;
            requests->used_count++;
            if (i >= requests->top) {
                requests->top = i + 1;
            }
            return request;
        }
    }
    return NULL;
}

struct request *requests_find(struct requests *requests, uint64_t id)
{
    struct request *request = &requests->list[id % REQUESTS_MAX];

    return request->kind != REQUEST_FREE && request->id == id ? request : NULL;
}

void requests_end(struct requests *requests, struct request *request)
{
    CHECK(request->kind != REQUEST_FREE);
    CHECK(requests->used_count > 0);
    request->kind = REQUEST_FREE;
    requests->used_count--;
    while (requests->top > 0 && requests->list[requests->top - 1].kind == REQUEST_FREE) {
        requests->top--;
    }
}

uint64_t requests_wake(const struct requests *requests)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; i < requests->top; i++) {
        const struct request *request = &requests->list[i];
        uint64_t next_ms = request->deadline_ms;

        if (request->kind == REQUEST_FREE) {
            continue;
        }
        if (request->repeat_ms != 0 && request->repeat_ms < next_ms) {
            next_ms = request->repeat_ms;
        }
        if (wake_ms == 0 || next_ms < wake_ms) {
            wake_ms = next_ms;
        }
    }
    return wake_ms;
}
