// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Anti-entropy of records: fingerprints of the ranges of which both are holders, as with chunks
 * (compare.c); what differs is named, page by page (sync.c), until it is equal. What costs bytes is
 * the difference.
 *
 * What this node has without being its holder (any more) has no counterpart to compare it with: it is
 * named to a holder after changes of the ring, and now and then.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

static void add_arc(struct compare *ranges, const struct compare_arc *arc)
{
    struct compare_arc *last = ranges->arc_count > 0 ? &ranges->arcs[ranges->arc_count - 1] : NULL;

    if (last != NULL && id_equal(&last->to.id, &arc->from.id)) {
        last->to = arc->to;
    } else if (ranges->arc_count < COMPARE_ARCS_MAX / 2) {
        ranges->arcs[ranges->arc_count++] = *arc;
    }
}

/* The keys whose image lies in the arc. */
static struct compare_arc turned_back(const struct compare_arc *arc, uint32_t turn)
{
    uint32_t back = (SYMMETRY - turn) % SYMMETRY;

    return (struct compare_arc){holders_image(&arc->from, back), holders_image(&arc->to, back),
                                false};
}

static bool both_hold(const struct overlay *overlay, const struct ring_key *key, uint32_t turn,
                      const struct node_id *peer)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t count = holders_of(overlay, key, turn, holders);
    uint32_t found_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        found_count += peer_is_self(overlay, &holders[i]) || id_equal(&holders[i].id, &peer->id);
    }
    return found_count == 2;
}

/* Holders are the same for all keys between two positions that follow each other, and for all whose
 * images lie there. */
static void add_shared(const struct overlay *overlay, struct compare *ranges, uint32_t turn)
{
    const struct membership *membership = &overlay->membership;

    for (uint32_t i = 0; i < membership->count && ranges->arc_count < COMPARE_ARCS_MAX / 2; i++) {
        uint32_t before = membership->by_position[(i + membership->count - 1) % membership->count];
        struct compare_arc arc = {
            membership->list[before].position,
            membership->list[membership->by_position[i]].position,
            false,
        };

        arc = turned_back(&arc, turn);
        if (both_hold(overlay, &arc.to, turn, &ranges->peer)) {
            add_arc(ranges, &arc);
        }
    }
}

static void add_arcs(const struct overlay *overlay, struct compare *ranges)
{
    for (uint32_t turn = 0; turn < SYMMETRY && overlay->sync.is_image; turn++) {
        struct compare_arc arc = turned_back(&overlay->sync.image_arc, turn);

        add_arc(ranges, &arc);
    }
    for (uint32_t turn = 0; turn < SYMMETRY && !overlay->sync.is_image; turn++) {
        add_shared(overlay, ranges, turn);
    }
}

void sync_records_begin(struct overlay *overlay)
{
    struct sync_session *sync = &overlay->sync;
    struct compare *ranges = &sync->ranges;

    sync->term = overlay->settled.term;
    sync->sent_count = 0;
    sync->covers = both_hold(overlay, &overlay->ring.self.position, 0, &sync->peer);
    memset(ranges, 0, sizeof(*ranges));
    ranges->of_records = true;
    ranges->peer = sync->peer;
    ranges->nonce = random_u64(&overlay->random);
    add_arcs(overlay, ranges);
    ranges->is_short = ranges->arc_count == COMPARE_ARCS_MAX / 2;
    sync_records_go_on(overlay);
}

void sync_start_image(struct overlay *overlay, const struct node_id *peer,
                      const struct compare_arc *arc)
{
    struct sync_session *sync = &overlay->sync;

    CHECK(!sync->active);
    memset(sync, 0, sizeof(*sync));
    sync->active = true;
    sync->peer = *peer;
    sync->section = minga_SyncSection_SYNC_RECORDS;
    sync->is_image = true;
    sync->image_arc = *arc;
    sync_records_begin(overlay);
}

static bool has_some_to_hand_over(const struct overlay *overlay)
{
    struct section section = sync_section(overlay);
    minga_Entry entry;

    return section_next(overlay, &section, NULL, &entry);
}

/* Then what is only the peer's. */
static void hand_over(struct overlay *overlay)
{
    struct sync_session *sync = &overlay->sync;
    bool is_due = sync->hands_over && !sync->is_handing;

    sync->is_handing = true;
    sync->record_arc.used = false;
    if (is_due && has_some_to_hand_over(overlay)) {
        sync_send_page(overlay);
    } else {
        sync_end_records(overlay);
    }
}

void sync_records_go_on(struct overlay *overlay)
{
    struct sync_session *sync = &overlay->sync;
    struct compare *ranges = &sync->ranges;

    sync->has_after = false;
    if (ranges->arc_count > 0 && ++ranges->page_count > COMPARE_PAGES_MAX) {
        ranges->arc_count = 0;
        ranges->is_short = true;
    }
    if (ranges->arc_count == 0) {
        hand_over(overlay);
    } else if (ranges->arcs[ranges->arc_count - 1].is_list) {
        const struct compare_arc *arc = &ranges->arcs[--ranges->arc_count];

        sync->record_arc = (struct sync_arc){true, arc->from, arc->to};
        sync_send_page(overlay);
    } else if (compare_ask(overlay, ranges, REQUEST_SYNC) == NULL) {
        sync->active = false;
    }
}

void sync_records_on_ranges(struct overlay *overlay, const minga_ChunkRangesReply *answer)
{
    compare_take(overlay, &overlay->sync.ranges, answer);
    sync_records_go_on(overlay);
}
