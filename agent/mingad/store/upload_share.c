// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/upload_share.h"

#include <stddef.h>

#include "base/check.h"

static bool is_idle(const struct upload_asker *asker)
{
    return asker->job_count == 0 && atomic_load(&asker->unsent_bytes) == 0;
}

struct upload_asker *upload_share_begin(struct upload_share *share, const struct node_id *node,
                                        uint64_t link)
{
    struct upload_asker *free_place = NULL;

    for (uint32_t i = 0; i < UPLOAD_ASKERS_MAX; i++) {
        struct upload_asker *asker = &share->list[i];

        if (is_idle(asker)) {
            free_place = free_place == NULL ? asker : free_place;
        } else if (asker->link == link && id_equal(&asker->node.id, &node->id)) {
            asker->job_count++;
            return asker;
        }
    }
    if (free_place != NULL) {
        free_place->node = *node;
        free_place->link = link;
        free_place->turn = 0;
        free_place->job_count = 1;
    }
    return free_place;
}

void upload_share_end(struct upload_asker *asker)
{
    CHECK(asker->job_count > 0);
    asker->job_count--;
}

uint64_t upload_share_turn(struct upload_share *share, struct upload_asker *asker)
{
    asker->turn = (asker->turn > share->turn ? asker->turn : share->turn) + 1;
    return asker->turn;
}

bool upload_share_may_send(const struct upload_asker *asker, uint64_t unsent_bytes)
{
    return unsent_bytes < UPLOAD_BYTES_MAX ||
           (unsent_bytes < UPLOAD_BYTES_HARD && atomic_load(&asker->unsent_bytes) == 0);
}
