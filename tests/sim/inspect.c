// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/inspect.h"

#include "overlay/state.h"

enum { OVERDUE_MS_MAX = 3000 }; /* a request lives so much longer than its deadline at most */

bool inspect_in_ring(const struct overlay *overlay)
{
    return overlay->phase == PHASE_MEMBER && overlay->ring.phase == RING_IN;
}

static const char *inspect_requests(const struct requests *requests, uint64_t now_ms)
{
    uint32_t used_count = 0;

    if (requests->top > REQUESTS_MAX) {
        return "more requests than fit";
    }
    for (uint32_t i = 0; i < requests->top; i++) {
        const struct request *request = &requests->list[i];

        if (request->kind == REQUEST_FREE) {
            continue;
        }
        used_count++;
        if (now_ms > request->deadline_ms + OVERDUE_MS_MAX) {
            return "a request that ought to have ended";
        }
    }
    return used_count == requests->used_count ? NULL : "requests that are counted wrongly";
}

/* What is being written waits for something, which ends. */
static const char *inspect_puts(const struct overlay *overlay)
{
    bool stores[PUTS_MAX] = {false};

    for (uint32_t i = 0; i < STORES_MAX; i++) {
        if (overlay->stores[i].used && overlay->stores[i].for_put) {
            stores[overlay->stores[i].put] = true;
        }
    }
    for (uint32_t i = 0; i < PUTS_MAX; i++) {
        const struct put *put = &overlay->puts[i];

        if (put->phase != PUT_FREE &&
            (put->phase == PUT_STORING ? !stores[i] : put->waiting_count == 0)) {
            return "a write that waits for nothing";
        }
    }
    return NULL;
}

const char *inspect_tables(const struct overlay *overlay, uint64_t now_ms)
{
    const char *problem = inspect_requests(&overlay->requests, now_ms);

    if (overlay->membership.count > MEMBERS_MAX || overlay->records.count > RECORDS_MAX ||
        overlay->chunks.count > CHUNKS_MAX || overlay->chunks.bytes > overlay->chunks.bytes_max ||
        overlay->ring.successor_count > SUCCESSORS_MAX) {
        problem = "more in a table than fits";
    }
    return problem != NULL ? problem : inspect_puts(overlay);
}
