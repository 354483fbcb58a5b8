// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/own_disk.h"

#include "base/bytes.h"
#include "tests/sim/world.h"

enum { OWN_DISK_LOOK_MS = 2000 };

static void run_look(struct world *world, struct event *event);

static void tell(struct world *world, uint32_t node, bool refuses)
{
    struct core_event *told = world->core_event;

    world->nodes[node].disk.is_refusing = refuses;
    if (refuses) {
        world_after_process(world, OWN_DISK_LOOK_MS, (struct event){.run = run_look, .node = node});
    }
    *told = (struct core_event){.kind = CORE_DISK};
    (void)text_copy(told->reason, sizeof(told->reason), refuses ? "No space left on device" : "");
    world_step(world, node, told);
}

static void run_look(struct world *world, struct event *event)
{
    if (!world->nodes[event->node].disk.is_refusing) {
        return;
    }
    if (disk_is_full(world, event->node)) {
        world_after_process(world, OWN_DISK_LOOK_MS,
                            (struct event){.run = run_look, .node = event->node});
    } else {
        tell(world, event->node, false);
    }
}

void own_disk_note(struct world *world, uint32_t node, bool is_refused)
{
    if (is_refused != world->nodes[node].disk.is_refusing) {
        tell(world, node, is_refused);
    }
}
