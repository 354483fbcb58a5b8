// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/inspect.h"

#include "overlay/ring/ring_internal.h"
#include "overlay/state.h"

enum { OVERDUE_MS_MAX = 3000 }; /* a request lives so much longer than its deadline at most */

bool inspect_in_ring(const struct overlay *overlay)
{
    return overlay->phase == PHASE_MEMBER && overlay->ring.phase == RING_IN;
}

static uint64_t left_ms(uint64_t until_ms, uint64_t now_ms)
{
    return until_ms > now_ms ? until_ms - now_ms : 0;
}

void inspect_lease(const struct overlay *overlay, uint64_t now_ms, struct inspect_lease *lease_out)
{
    const struct ring *ring = &overlay->ring;
    uint64_t extend_ms = keeper_extend_ms(ring);

    *lease_out = (struct inspect_lease){0};
    if (!inspect_in_ring(overlay) || ring_is_alone(ring)) {
        return;
    }
    lease_out->lease_ms = left_ms(ring->lease_ms, now_ms);
    lease_out->keeper = ring->acked_by;
    lease_out->has_before = ring->predecessor_count > 0;
    lease_out->before = ring->predecessors[0].node;
    lease_out->grant_ms = left_ms(extend_ms != 0 ? extend_ms : ring->granted_ms, now_ms);
}

uint64_t inspect_arc_epoch(const struct overlay *overlay)
{
    return overlay->ring.arc_epoch;
}

bool inspect_bans(const struct overlay *overlay, const struct id *node)
{
    return membership_banned(&overlay->membership.expulsions, node) != NULL;
}

bool inspect_revoked(const struct overlay *overlay, const struct public_key *invitation)
{
    struct id id = membership_invitation_id(invitation);

    return membership_banned(&overlay->membership.revocations, &id) != NULL;
}

uint32_t inspect_uses(const struct overlay *overlay, const struct public_key *invitation)
{
    return membership_uses(&overlay->membership, invitation);
}

uint32_t inspect_let_in(const struct overlay *overlay, const struct public_key *invitation)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        count +=
            !member->is_void && !member->is_expelled && keys_equal(&member->invitation, invitation)
                ? 1
                : 0;
    }
    return count;
}

bool inspect_is_void(const struct overlay *overlay)
{
    return overlay->self_index != MEMBER_NONE &&
           overlay->membership.list[overlay->self_index].is_void;
}

bool inspect_grants(const struct overlay *overlay)
{
    const struct ring *ring = &overlay->ring;

    /* The last: it has given its arc up in the same step. */
    return ring_is_leased(ring, overlay->now_ms) ||
           (ring->lapsed_ms != 0 && overlay->now_ms - ring->lapsed_ms >= RECLAIM_MS) ||
           (ring->phase == RING_JOINING && ring->begun_ms == overlay->now_ms);
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

static bool is_being_stored(const struct overlay *overlay, const struct put *put)
{
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        if (overlay->stores[i].used && overlay->stores[i].waiter.put == put->number) {
            return true;
        }
    }
    return false;
}

/* What is being written waits for something, which ends. */
static const char *inspect_puts(const struct overlay *overlay)
{
    uint32_t spreading_count = 0;

    for (uint32_t i = 0; i < PUTS_MAX; i++) {
        const struct put *put = &overlay->puts[i];

        spreading_count += put->phase == PUT_SPREADING;
        if (put->phase == PUT_FREE || put->phase == PUT_SPREADING) {
            continue;
        }
        if (put->is_storing ? !is_being_stored(overlay, put) : put->waiting_count == 0) {
            return "a write that waits for nothing";
        }
    }
    return spreading_count == overlay->spreading_count ? NULL : "spread writes counted wrongly";
}

static bool is_offered(const struct overlay *overlay, uint64_t number)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        const struct request *request = &overlay->requests.list[i];

        if ((request->kind == REQUEST_CHUNK_OFFER || request->kind == REQUEST_CHUNK_DATA) &&
            request->token == number) {
            return true;
        }
    }
    for (uint32_t i = 0; i < BULK_GROUPS_MAX; i++) {
        const struct bulk_group *group = &overlay->offers.groups[i];

        for (uint32_t k = 0; group->phase != BULK_FREE && k < group->count; k++) {
            if (group->keys[k].token == number) {
                return true;
            }
        }
    }
    return false;
}

/* One without candidates is being looked up. */
static const char *inspect_chunk_puts(const struct overlay *overlay)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        const struct chunk_put *put = &overlay->chunk_puts[i];

        if (put->used && put->candidate_count > 0 && !is_offered(overlay, put->number)) {
            return "a chunk that waits for nobody's answer";
        }
    }
    return NULL;
}

const char *inspect_tables(const struct overlay *overlay, uint64_t now_ms)
{
    const char *problem = inspect_requests(&overlay->requests, now_ms);

    if (overlay->membership.count > MEMBERS_MAX || overlay->records.count > RECORDS_MAX ||
        overlay->chunks.count > CHUNKS_MAX ||
        overlay->chunks.cost_bytes > overlay->chunks.bytes_max ||
        overlay->ring.successor_count > SUCCESSORS_MAX) {
        problem = "more in a table than fits";
    }
    if (problem == NULL) {
        problem = inspect_puts(overlay);
    }
    return problem != NULL ? problem : inspect_chunk_puts(overlay);
}

const char *const inspect_table_names[INSPECT_TABLES] = {
    "members", "requests", "records", "writes", "stores", "chunk offers", "chunk fetches",
};

uint32_t inspect_full(const struct overlay *overlay)
{
    uint32_t put_count = 0;
    uint32_t store_count = 0;
    uint32_t offer_count = 0;

    for (uint32_t i = 0; i < PUTS_MAX; i++) {
        put_count += overlay->puts[i].phase != PUT_FREE ? 1 : 0;
    }
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        store_count += overlay->stores[i].used ? 1 : 0;
    }
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        offer_count += overlay->chunk_puts[i].used ? 1 : 0;
    }
    return (overlay->membership.count == MEMBERS_MAX ? 1U : 0U) |
           (overlay->requests.used_count == REQUESTS_MAX ? 2U : 0U) |
           (overlay->records.count == RECORDS_MAX ? 4U : 0U) | (put_count == PUTS_MAX ? 8U : 0U) |
           (store_count == STORES_MAX ? 16U : 0U) | (offer_count == CHUNK_PUTS_MAX ? 32U : 0U) |
           (overlay->chunk_get_count == CHUNK_GETS_MAX ? 64U : 0U);
}
