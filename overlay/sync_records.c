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

#include "overlay/state.h"

/* Holders are the same for all keys between two positions that follow each other. */
static void add_shared(const struct overlay *overlay, struct compare *ranges)
{
    const struct membership *membership = &overlay->membership;

    for (uint32_t i = 0; i < membership->count && ranges->arc_count < COMPARE_ARCS_MAX / 2; i++) {
        uint32_t before = membership->by_position[(i + membership->count - 1) % membership->count];
        const struct ring_key *from = &membership->list[before].position;
        const struct ring_key *to = &membership->list[membership->by_position[i]].position;
        struct compare_arc *next = &ranges->arcs[ranges->arc_count];

        if (!section_holds(overlay, to, &overlay->self) ||
            !section_holds(overlay, to, &ranges->peer)) {
            continue;
        }
        if (ranges->arc_count > 0 && id_equal(&next[-1].to.id, &from->id)) {
            next[-1].to = *to;
        } else {
            *next = (struct compare_arc){*from, *to, false};
            ranges->arc_count++;
        }
    }
}

void sync_records_begin(struct overlay *overlay)
{
    struct sync_session *sync = &overlay->sync;
    struct compare *ranges = &sync->ranges;

    sync->term = overlay->settled.term;
    sync->sent_count = 0;
    sync->covers = section_holds(overlay, &overlay->ring.self.position, &sync->peer) &&
                   section_holds(overlay, &overlay->ring.self.position, &overlay->self);
    memset(ranges, 0, sizeof(*ranges));
    ranges->of_records = true;
    ranges->peer = sync->peer;
    ranges->nonce = random_u64(&overlay->random);
    add_shared(overlay, ranges);
    ranges->is_short = ranges->arc_count == COMPARE_ARCS_MAX / 2;
    sync_records_go_on(overlay);
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
