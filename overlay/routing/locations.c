// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/locations.h"

#include <string.h>

#include "base/check.h"

void locations_init(struct locations *locations)
{
    locations->used_count = 0;
    locations->count = 0;
}

/* The place of the first position that is not before the key. */
static uint32_t place_of(const struct locations *locations, const struct id *key)
{
    uint32_t low = 0;
    uint32_t high = locations->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (id_compare(&locations->list[middle].node.position.id, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void remove_at(struct locations *locations, uint32_t place)
{
    locations->count--;
    memmove(&locations->list[place], &locations->list[place + 1],
            (locations->count - place) * sizeof(locations->list[0]));
}

static int find(const struct locations *locations, const struct ring_node *node)
{
    uint32_t place = place_of(locations, &node->position.id);

    if (place < locations->count &&
        id_equal(&locations->list[place].node.position.id, &node->position.id)) {
        return (int)place;
    }
    return -1;
}

static void remove_oldest(struct locations *locations)
{
    uint32_t oldest = 0;

    for (uint32_t i = 1; i < locations->count; i++) {
        if (locations->list[i].used < locations->list[oldest].used) {
            oldest = i;
        }
    }
    remove_at(locations, oldest);
}

/* Who stands strictly inside the new arc has gone: its neighbour answers for it. */
static void remove_inside(struct locations *locations, const struct location *arc)
{
    while (locations->count > 0) {
        uint32_t end = place_of(locations, &arc->node.position.id);
        uint32_t before = (end + locations->count - 1) % locations->count;
        const struct id *position = &locations->list[before].node.position.id;

        if (id_equal(position, &arc->node.position.id) ||
            !id_in_arc(position, &arc->from.id, &arc->node.position.id)) {
            return;
        }
        remove_at(locations, before);
    }
}

/* The next arc cannot begin before the new one ends. */
static void cut_next(struct locations *locations, const struct location *arc)
{
    uint32_t place = place_of(locations, &arc->node.position.id);
    struct location *next;

    if (locations->count == 0) {
        return;
    }
    next = &locations->list[place % locations->count];
    if (id_in_arc(&arc->node.position.id, &next->from.id, &next->node.position.id) &&
        !id_equal(&arc->node.position.id, &next->node.position.id)) {
        next->from = arc->node.position;
    }
}

void locations_learn(struct locations *locations, const struct ring_node *node,
                     const struct ring_key *from)
{
    struct location arc = {*node, *from, ++locations->used_count};
    int known = find(locations, node);
    uint32_t place;

    if (known >= 0) {
        remove_at(locations, (uint32_t)known);
    }
    remove_inside(locations, &arc);
    cut_next(locations, &arc);
    if (locations->count == LOCATIONS_MAX) {
        remove_oldest(locations);
    }
    place = place_of(locations, &node->position.id);
    memmove(&locations->list[place + 1], &locations->list[place],
            (locations->count - place) * sizeof(locations->list[0]));
    locations->list[place] = arc;
    locations->count++;
    CHECK(locations->count <= LOCATIONS_MAX);
}

void locations_forget(struct locations *locations, const struct ring_node *node)
{
    int place = find(locations, node);

    if (place >= 0) {
        remove_at(locations, (uint32_t)place);
    }
}

void locations_touch(struct locations *locations, const struct ring_node *node)
{
    int place = find(locations, node);

    if (place >= 0) {
        locations->list[place].used = ++locations->used_count;
    }
}

const struct location *locations_owner(const struct locations *locations,
                                       const struct ring_key *key)
{
    const struct location *location;

    if (locations->count == 0) {
        return NULL;
    }
    location = &locations->list[place_of(locations, &key->id) % locations->count];
    return id_in_arc(&key->id, &location->from.id, &location->node.position.id) ? location : NULL;
}

uint32_t locations_before(const struct locations *locations, const struct ring_key *self,
                          const struct ring_key *key, uint32_t count_max,
                          const struct location **locations_out)
{
    uint32_t place = place_of(locations, &key->id);
    uint32_t count = 0;

    for (uint32_t step = 1; step <= locations->count && count < count_max; step++) {
        const struct location *location =
            &locations->list[(place + locations->count - step) % locations->count];

        if (!id_in_arc(&location->node.position.id, &self->id, &key->id) ||
            id_equal(&location->node.position.id, &key->id)) {
            break;
        }
        locations_out[count++] = location;
    }
    return count;
}
