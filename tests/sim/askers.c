// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/askers.h"

#include <stddef.h>

#include "base/attributes.h"
#include "tests/sim/intruder.h"
#include "tests/sim/world.h"

static const struct asker {
    uint32_t from; /* of a pending request's service */
    uint32_t count;
    void (*answered)(struct world *, const struct pending *, const struct core_answer *);
    void (*dropped)(struct world *, const struct pending *); /* NULL: it does not mind */
} askers[] = {
    {LOOKUP_SERVICE, LOOKUPS_MAX, check_lookup_answered, check_lookup_dropped},
    {READ_SERVICE, READS_MAX, check_reads_answered, check_reads_dropped},
    {INTRUDER_SERVICE, 1, intruder_answered, NULL},
};

static const struct asker *find(const struct pending *pending)
{
    for (size_t i = 0; i < ARRAY_COUNT(askers); i++) {
        if (pending->service >= askers[i].from &&
            pending->service < askers[i].from + askers[i].count) {
            return &askers[i];
        }
    }
    return NULL;
}

void askers_tick(struct world *world)
{
    check_lookup_tick(world);
    check_reads_tick(world);
}

bool askers_answered(struct world *world, const struct pending *pending,
                     const struct core_answer *answer)
{
    const struct asker *asker = find(pending);

    if (asker != NULL) {
        asker->answered(world, pending, answer);
    }
    return asker != NULL;
}

bool askers_dropped(struct world *world, const struct pending *pending)
{
    const struct asker *asker = find(pending);

    if (asker != NULL && asker->dropped != NULL) {
        asker->dropped(world, pending);
    }
    return asker != NULL;
}
