// SPDX-License-Identifier: GPL-3.0-or-later
/* The last few replicas of a service that have ended: for people, nothing is decided by them. */
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

static_assert((int)ENDED_MAX <= (int)STATUS_PAGE_REPLICAS_MAX,
              "they are one page of the directory");

static bool is_noted(const struct service *service, const struct ended *ended)
{
    for (uint32_t i = 0; i < ENDED_MAX; i++) {
        const struct ended *known = &service->ended[i];

        if (known->slot == ended->slot && known->incarnation == ended->incarnation &&
            id_equal(&known->node.id, &ended->node.id)) {
            return true;
        }
    }
    return false;
}

/* Its end may be heard of more than once (silent, then back to be told to end): the first counts. */
void service_note_ended(struct service *service, const struct ended *ended)
{
    CHECK(ended->slot >= 1 && ended->slot <= REPLICAS_PER_SERVICE_MAX);
    CHECK(ended->state == REPLICA_ENDED || ended->state == REPLICA_FAILED);
    if (!is_noted(service, ended)) {
        service->ended[service->ended_next] = *ended;
        service->ended_next = (service->ended_next + 1) % ENDED_MAX;
    }
}

void slot_note_ended(struct service *service, const struct slot *slot, enum replica_state state,
                     const char *reason, uint64_t now_ms)
{
    struct ended ended = {.slot = (uint32_t)(slot - service->slots) + 1,
                          .incarnation = slot->incarnation,
                          .node = slot->node,
                          .state = state,
                          .ended_ms = now_ms,
                          .restart_count = slot->restart_count};

    (void)text_copy(ended.reason, sizeof(ended.reason), reason);
    service_note_ended(service, &ended);
}

static void ended_fill(const struct ended *ended, uint64_t now_ms, minga_SlotStatus *status)
{
    *status = (minga_SlotStatus)minga_SlotStatus_init_zero;
    status->slot = (uint8_t)ended->slot;
    status->incarnation = ended->incarnation;
    status->node.size = ID_BYTES;
    memcpy(status->node.bytes, ended->node.id.bytes, ID_BYTES);
    status->state = (uint32_t)ended->state;
    (void)text_copy(status->reason, sizeof(status->reason), ended->reason);
    status->age_ms = now_ms - ended->ended_ms;
    status->restart_count = ended->restart_count;
}

void service_fill_ended(const struct service *service, uint64_t now_ms, minga_StatusPage *page)
{
    for (uint32_t i = 0; i < ENDED_MAX; i++) { /* the newest first */
        const struct ended *ended =
            &service->ended[(service->ended_next + ENDED_MAX - 1 - i) % ENDED_MAX];

        if (ended->slot != 0) {
            ended_fill(ended, now_ms, &page->slots[page->slots_count++]);
        }
    }
}
