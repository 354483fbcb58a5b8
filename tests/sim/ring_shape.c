// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/ring_shape.h"

#include <stddef.h>

/* Where does following the successors come round to? Some node of the cycle. */
static uint32_t cycle_of(const struct ring_shape *shape, uint32_t node)
{
    for (uint32_t step = 0; step < shape->count; step++) {
        node = shape->best[node];
    }
    return node;
}

static bool cycle_has(const struct ring_shape *shape, uint32_t cycle, uint32_t node)
{
    for (uint32_t at = shape->best[cycle]; at != cycle; at = shape->best[at]) {
        if (at == node) {
            return true;
        }
    }
    return cycle == node;
}

/* Once round the ring passes zero once. */
static bool is_ordered(const struct ring_shape *shape, uint32_t cycle)
{
    uint32_t wrap_count = 0;
    uint32_t at = cycle;

    do {
        uint32_t next = shape->best[at];

        wrap_count += id_compare(&shape->positions[next], &shape->positions[at]) <= 0 ? 1 : 0;
        at = next;
    } while (at != cycle);
    return wrap_count == 1;
}

const char *ring_shape_problem(const struct ring_shape *shape, uint32_t *node_out)
{
    uint32_t in_count = 0;
    uint32_t cycle = shape->count;

    for (uint32_t node = 0; node < shape->count; node++) {
        in_count += shape->in[node] ? 1 : 0;
    }
    for (uint32_t node = 0; node < shape->count && in_count > 1; node++) {
        *node_out = node;
        if (shape->in[node] && shape->best[node] == shape->count) {
            return "has no successor that lives";
        }
    }
    for (uint32_t node = 0; node < shape->count && in_count > 1; node++) {
        if (!shape->in[node]) {
            continue;
        }
        *node_out = node;
        if (cycle == shape->count) {
            cycle = cycle_of(shape, node);
            if (!is_ordered(shape, cycle)) {
                return "leads to a ring that goes round more than once";
            }
        } else if (!cycle_has(shape, cycle, cycle_of(shape, node))) {
            return "leads to another ring than the first node";
        }
    }
    return NULL;
}
