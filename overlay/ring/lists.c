// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring/lists.h"

#include <stddef.h>

#include "base/check.h"

static const struct list_copy *find(const struct list_history *history, uint32_t version)
{
    for (uint32_t i = 0; i < LIST_COPIES; i++) {
        if (version != 0 && history->copies[i].version == version) {
            return &history->copies[i];
        }
    }
    return NULL;
}

static void insert(struct list_copy *copy, const struct node_id *node)
{
    uint32_t place = copy->count;

    CHECK(copy->count < SUCCESSORS_MAX);
    for (; place > 0 && id_compare(&copy->nodes[place - 1].id, &node->id) > 0; place--) {
        copy->nodes[place] = copy->nodes[place - 1];
    }
    copy->nodes[place] = *node;
    copy->count++;
}

static uint32_t version_of(const struct list_copy *copy)
{
    return ring_list_version(copy->nodes, copy->count);
}

static struct list_copy copy_of(const struct ring *ring)
{
    struct list_copy copy = {0};

    for (uint32_t i = 0; i < ring->successor_count; i++) {
        insert(&copy, &ring->successors[i].node);
    }
    copy.version = version_of(&copy);
    return copy;
}

uint32_t list_version(const struct ring *ring)
{
    return copy_of(ring).version;
}

void list_history_note(struct list_history *history, const struct ring *ring)
{
    struct list_copy copy = copy_of(ring);

    if (find(history, copy.version) == NULL) {
        history->copies[history->next] = copy;
        history->next = (history->next + 1) % LIST_COPIES;
    }
}

static bool is_successor(const struct ring *ring, const struct node_id *node)
{
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        if (id_equal(&ring->successors[i].node.id, &node->id)) {
            return true;
        }
    }
    return false;
}

static bool has(const struct list_copy *copy, const struct node_id *node)
{
    for (uint32_t i = 0; i < copy->count; i++) {
        if (id_equal(&copy->nodes[i].id, &node->id)) {
            return true;
        }
    }
    return false;
}

bool list_history_change(const struct list_history *history, const struct ring *ring,
                         uint32_t known, struct list_change *change_out)
{
    const struct list_copy *copy = find(history, known);

    *change_out = (struct list_change){0};
    if (copy == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < copy->count; i++) {
        if (is_successor(ring, &copy->nodes[i])) {
            change_out->kept |= 1U << i;
        }
    }
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        if (has(copy, &ring->successors[i].node)) {
            continue;
        }
        if (change_out->added_count == LIST_ADDED_MAX) {
            return false;
        }
        change_out->added[change_out->added_count++] = ring->successors[i];
    }
    return true;
}

void list_copy_set(struct list_copy *copy, uint32_t version, const struct node_id *nodes,
                   uint32_t count)
{
    CHECK(count <= SUCCESSORS_MAX);
    copy->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        insert(copy, &nodes[i]);
    }
    copy->version = version_of(copy) == version ? version : 0;
}

bool list_copy_change(struct list_copy *copy, uint32_t version, uint32_t kept,
                      const struct node_id *added, uint32_t added_count)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < copy->count; i++) {
        if ((kept >> i & 1U) != 0) {
            copy->nodes[count++] = copy->nodes[i];
        }
    }
    copy->count = count;
    copy->version = version;
    for (uint32_t i = 0; i < added_count; i++) {
        if (copy->count == SUCCESSORS_MAX || has(copy, &added[i])) {
            copy->version = 0;
            return false;
        }
        insert(copy, &added[i]);
    }
    if (version_of(copy) != version) {
        copy->version = 0;
        return false;
    }
    return true;
}
