// SPDX-License-Identifier: GPL-3.0-or-later
/* Events by time, and in the order of their making where that is equal: a binary heap. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/rings/rings.h"

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order);
}

void queue_push(struct world *world, struct event event)
{
    size_t place;

    if (world->heap_count == world->heap_size_count) {
        world->heap_size_count = world->heap_size_count == 0 ? 4096 : 2 * world->heap_size_count;
        world->heap = realloc(world->heap, world->heap_size_count * sizeof(*world->heap));
        CHECK(world->heap != NULL);
    }
    event.order = world->event_count++;
    place = world->heap_count++;
    while (place > 0 && is_before(&event, &world->heap[(place - 1) / 2])) {
        world->heap[place] = world->heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    world->heap[place] = event;
}

bool queue_pop(struct world *world, uint64_t until_ms, struct event *event_out)
{
    size_t place = 0;
    struct event last;

    if (world->heap_count == 0 || world->heap[0].at_ms > until_ms) {
        return false;
    }
    *event_out = world->heap[0];
    last = world->heap[--world->heap_count];
    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= world->heap_count) {
            break;
        }
        if (child + 1 < world->heap_count &&
            is_before(&world->heap[child + 1], &world->heap[child])) {
            child++;
        }
        if (!is_before(&world->heap[child], &last)) {
            break;
        }
        world->heap[place] = world->heap[child];
        place = child;
    }
    world->heap[place] = last;
    return true;
}
