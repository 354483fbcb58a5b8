// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/queue.h"

#include <stdlib.h>

#include "base/check.h"

static bool is_before(const struct event *a, const struct event *b)
{
    if (a->at_ms != b->at_ms) {
        return a->at_ms < b->at_ms;
    }
    return a->sequence < b->sequence;
}

static void grow(struct queue *queue)
{
    size_t capacity = queue->capacity == 0 ? 4096 : queue->capacity * 2;
    struct event *heap = reallocarray(queue->heap, capacity, sizeof(*heap));

    CHECK(heap != NULL);
    queue->heap = heap;
    queue->capacity = capacity;
}

void queue_push(struct queue *queue, const struct event *event)
{
    size_t at;
    struct event moved = *event;

    CHECK(event->run != NULL);
    if (moved.sequence == 0) {
        moved.sequence = ++queue->next_sequence;
    }
    if (queue->count == queue->capacity) {
        grow(queue);
    }
    at = queue->count++;
    while (at > 0 && is_before(&moved, &queue->heap[(at - 1) / 2])) {
        queue->heap[at] = queue->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->heap[at] = moved;
}

static void sift_down(struct queue *queue, struct event moved)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= queue->count) {
            break;
        }
        if (child + 1 < queue->count && is_before(&queue->heap[child + 1], &queue->heap[child])) {
            child++;
        }
        if (!is_before(&queue->heap[child], &moved)) {
            break;
        }
        queue->heap[at] = queue->heap[child];
        at = child;
    }
    queue->heap[at] = moved;
}

bool queue_pop(struct queue *queue, struct event *event_out)
{
    if (queue->count == 0) {
        return false;
    }
    *event_out = queue->heap[0];
    queue->count--;
    if (queue->count > 0) {
        sift_down(queue, queue->heap[queue->count]);
    }
    return true;
}

void queue_done(struct queue *queue)
{
    for (size_t i = 0; i < queue->count; i++) {
        free(queue->heap[i].payload);
    }
    free(queue->heap);
    *queue = (struct queue){0};
}
