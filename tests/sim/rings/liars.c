// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What lying nodes answer. Those who act together know each other and agree on the best story: the
 * liar nearest behind the key claims it, all others name that one and, of those before the key,
 * only liars; honest nodes are withheld. The crude ones claim every key for themselves.
 */
#include <string.h>

#include "tests/sim/rings/rings.h"

static void claim(struct world *world, const struct ring_key *key, struct seek_answer *answer)
{
    uint32_t place = world_find(world, &key->id);

    answer->owns = true;
    answer->has_arc = true;
    answer->epoch = UINT32_MAX;
    /* the true predecessor's position: nothing else is as credible */
    answer->from = world->hosts[world->order[(place + world->order_count - 1) % world->order_count]]
                       .node.position;
}

/* Liars from the key on, or backwards from it. */
static void name(struct world *world, uint32_t place, bool back, struct seek_answer *answer,
                 uint32_t count_max)
{
    uint32_t step = back ? 1 : 0;

    for (; step < world->order_count && answer->contact_count < count_max; step++) {
        uint32_t at = back ? place + world->order_count - step : place + step;
        const struct host *host = &world->hosts[world->order[at % world->order_count]];

        if (host->lies) {
            answer->contacts[answer->contact_count++] = host->node;
        }
    }
}

void liar_answer(struct world *world, struct host *host, const struct ring_key *key,
                 struct seek_answer *answer_out)
{
    uint32_t place = world_find(world, &key->id);

    memset(answer_out, 0, sizeof(*answer_out));
    if (world->options.liar_kind == LIARS_CRUDE) {
        claim(world, key, answer_out);
        return;
    }
    answer_out->presumed = true;
    name(world, place, false, answer_out, 2);
    if (id_equal(&answer_out->contacts[0].position.id, &host->node.position.id)) {
        claim(world, key, answer_out);
    }
    name(world, place, true, answer_out, SEEK_CONTACTS_MAX);
}
