// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Anti-entropy of chunks. Two members both are homes of the same ranges of the ring, and should hold
 * the same chunks there: they compare fingerprints of the ranges, cut those that differ into eight,
 * and so on, until so few are left that they are named. What is equal costs one question; a
 * difference costs some steps more, however much there is besides.
 *
 * A fingerprint is the sum of the chunks' ids, each mixed with a nonce of the session: nobody can
 * choose chunks whose absence does not show.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

/* ------------------------------------------------------------------ ranges */

static struct chunks_sum sum_of(const struct overlay *overlay, bool of_records,
                                const struct compare_arc *arc, uint64_t nonce)
{
    return of_records ? records_sum(&overlay->records, &arc->from.id, &arc->to.id, nonce)
                      : chunks_sum(&overlay->chunks, &arc->from.id, &arc->to.id, nonce);
}

static bool is_shared(const struct overlay *overlay, const struct ring_key *key,
                      const struct node_id *peer)
{
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, key, homes);
    bool has_self = false;
    bool has_peer = false;

    for (uint32_t i = 0; i < count; i++) {
        has_self = has_self || peer_is_self(overlay, &homes[i].node);
        has_peer = has_peer || id_equal(&homes[i].node.id, &peer->id);
    }
    return has_self && has_peer;
}

static void add_shared(const struct overlay *overlay, struct compare *compare)
{
    uint32_t count = chunk_arc_count(overlay);

    for (uint32_t i = 0; i < count && compare->arc_count < COMPARE_ARCS_MAX / 2; i++) {
        struct chunk_arc arc = chunk_arc(overlay, i);
        struct compare_arc *next = &compare->arcs[compare->arc_count];

        if (!is_shared(overlay, &arc.to, &compare->peer)) {
            continue;
        }
        if (compare->arc_count > 0 && id_equal(&next[-1].to.id, &arc.from.id)) {
            next[-1].to = arc.to;
        } else {
            *next = (struct compare_arc){arc.from, arc.to, false};
            compare->arc_count++;
        }
    }
}

/* The top 64 bits of a range's length; 0 stands for all of the ring. */
static uint64_t length_of(const struct compare_arc *arc)
{
    struct id distance = id_distance(&arc->from.id, &arc->to.id);

    return id_top(&distance);
}

static struct ring_key moved_on(const struct ring_key *from, uint64_t by)
{
    struct ring_key key = *from;
    uint64_t top = id_top(&from->id) + by;

    for (int i = 7; i >= 0; i--) {
        key.id.bytes[i] = (uint8_t)top;
        top >>= 8;
    }
    return key;
}

/* The index-th of eight equal parts. */
static struct compare_arc part_of(const struct compare_arc *arc, uint32_t index)
{
    bool is_ring = id_equal(&arc->from.id, &arc->to.id);
    uint64_t step = is_ring ? UINT64_C(1) << 61 : length_of(arc) / COMPARE_PARTS;
    struct compare_arc part = *arc;

    part.from = moved_on(&arc->from, index * step);
    if (index + 1 < COMPARE_PARTS) {
        part.to = moved_on(&arc->from, (index + 1) * step);
    }
    return part;
}

static bool can_be_cut(const struct compare_arc *arc)
{
    return id_equal(&arc->from.id, &arc->to.id) || length_of(arc) >= COMPARE_PARTS;
}

/* ------------------------------------------------------------------ asking */

static void end(struct overlay *overlay, bool ok)
{
    struct compare *compare = &overlay->repair.compare;

    compare->active = false;
    repair_compared(overlay, &compare->peer, ok && !compare->differs);
}

static void put_arc(uint8_t *from_out, uint8_t *to_out, const struct compare_arc *arc)
{
    message_put_id(from_out, &arc->from.id);
    message_put_id(to_out, &arc->to.id);
}

struct request *compare_ask(struct overlay *overlay, struct compare *compare,
                            enum request_kind kind)
{
    minga_Message message;
    minga_ChunkRanges *ranges = &message.kind.chunk_ranges;

    message_init(&message, minga_Message_chunk_ranges_tag);
    ranges->nonce = compare->nonce;
    ranges->records = compare->of_records;
    compare->asked_count = 0;
    while (compare->arc_count > 0 && compare->asked_count < COMPARE_ASKED_MAX &&
           !compare->arcs[compare->arc_count - 1].is_list) {
        struct compare_arc arc = compare->arcs[--compare->arc_count];
        struct chunks_sum sum = sum_of(overlay, compare->of_records, &arc, compare->nonce);
        minga_ChunkRange *range = &ranges->ranges[compare->asked_count];

        put_arc(range->from, range->to, &arc);
        range->count = sum.count;
        range->sum = sum.sum;
        compare->asked[compare->asked_count++] = arc;
    }
    ranges->ranges_count = (pb_size_t)compare->asked_count;
    return peer_request(overlay, kind, &compare->peer, &message, COMPARE_MS);
}

/* Names all that are here in a range. */
static struct request *ask_list(struct overlay *overlay)
{
    struct compare *compare = &overlay->repair.compare;
    struct compare_arc arc = compare->arcs[--compare->arc_count];
    const struct chunk *chunk;
    struct chunks_walk walk = chunks_walk(&overlay->chunks, &arc.from.id, &arc.to.id);
    minga_Message message;
    minga_Summary *summary = &message.kind.summary;

    message_init(&message, minga_Message_summary_tag);
    summary->section = minga_SyncSection_SYNC_CHUNKS;
    summary->has_arc = true;
    put_arc(summary->arc.from, summary->arc.to, &arc);
    summary->to_end = true;
    compare->asked[0] = arc;
    compare->asked_count = 0;
    compare->listed_count = 0;
    while ((chunk = chunks_walk_next(&overlay->chunks, &walk)) != NULL) {
        if (compare->listed_count == COMPARE_LIST_MAX) {
            summary->to_end = false; /* what is not named may be here all the same */
            break;
        }
        message_put_id(summary->entries[compare->listed_count].id, &chunk->id.id);
        summary->entries[compare->listed_count].version = chunk->bytes;
        compare->listed[compare->listed_count++] = chunk->id;
    }
    summary->entries_count = (pb_size_t)compare->listed_count;
    return peer_request(overlay, REQUEST_COMPARE, &compare->peer, &message, COMPARE_MS);
}

static void go_on(struct overlay *overlay)
{
    struct compare *compare = &overlay->repair.compare;
    const struct request *request;

    if (compare->arc_count == 0 || ++compare->page_count > COMPARE_PAGES_MAX) {
        end(overlay, compare->arc_count == 0);
        return;
    }
    request = compare->arcs[compare->arc_count - 1].is_list
                  ? ask_list(overlay)
                  : compare_ask(overlay, compare, REQUEST_COMPARE);
    if (request == NULL) {
        end(overlay, false);
    }
}

void compare_start(struct overlay *overlay, int index)
{
    struct compare *compare = &overlay->repair.compare;

    memset(compare, 0, sizeof(*compare));
    compare->active = true;
    compare->peer = overlay->membership.list[index].view.node;
    compare->nonce = random_u64(&overlay->random);
    add_shared(overlay, compare);
    go_on(overlay);
}

static void add_arc(struct compare *compare, const struct compare_arc *arc)
{
    if (compare->arc_count == COMPARE_ARCS_MAX) {
        compare->is_short = true; /* another session follows */
        return;
    }
    compare->arcs[compare->arc_count++] = *arc;
}

static void cut(struct overlay *overlay, struct compare *compare, const struct compare_arc *arc,
                const minga_ChunkPart *parts)
{
    for (uint32_t i = 0; i < COMPARE_PARTS; i++) {
        struct compare_arc part = part_of(arc, i);
        struct chunks_sum ours = sum_of(overlay, compare->of_records, &part, compare->nonce);

        if (ours.count == parts[i].count && ours.sum == parts[i].sum) {
            continue;
        }
        part.is_list =
            (uint64_t)ours.count + parts[i].count <= COMPARE_LIST_MAX || !can_be_cut(&part);
        add_arc(compare, &part);
    }
}

void compare_take(struct overlay *overlay, struct compare *compare,
                  const minga_ChunkRangesReply *answer)
{
    uint32_t asked_count = compare->asked_count;
    uint32_t part_count = 0;

    for (uint32_t i = 0; i < asked_count; i++) {
        struct compare_arc arc = compare->asked[i];

        if ((answer->differing >> i & 1) == 0) {
            continue;
        }
        compare->differs = true;
        if (!can_be_cut(&arc)) {
            arc.is_list = true;
            add_arc(compare, &arc);
        } else if (part_count + COMPARE_PARTS <= answer->parts_count) {
            cut(overlay, compare, &arc, &answer->parts[part_count]);
        }
        part_count += COMPARE_PARTS;
    }
}

static void push_wanted(struct overlay *overlay, const struct chunk_id *chunk)
{
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, &(struct ring_key){chunk->id}, homes);

    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&homes[i].node.id, &overlay->repair.compare.peer.id)) {
            (void)chunk_put_push(overlay, chunk, &homes[i]);
        }
    }
}

static void on_list_answered(struct overlay *overlay, const minga_SummaryReply *answer)
{
    struct compare *compare = &overlay->repair.compare;

    compare->differs = compare->differs || answer->wanted_count > 0 || answer->sent > 0;
    for (pb_size_t i = 0; i < answer->wanted_count; i++) {
        if (answer->wanted[i] < compare->listed_count) {
            push_wanted(overlay, &compare->listed[answer->wanted[i]]);
        }
    }
}

void compare_on_reply(struct overlay *overlay, const struct request *request,
                      const struct arrival *arrival)
{
    struct compare *compare = &overlay->repair.compare;
    const minga_Message *message = arrival->message;

    if (!compare->active || !id_equal(&request->to.id, &compare->peer.id)) {
        return;
    }
    if (message->which_kind == minga_Message_chunk_ranges_reply_tag) {
        compare_take(overlay, compare, &message->kind.chunk_ranges_reply);
    } else if (message->which_kind == minga_Message_summary_reply_tag) {
        on_list_answered(overlay, &message->kind.summary_reply);
    } else {
        end(overlay, false);
        return;
    }
    go_on(overlay);
}

void compare_on_timeout(struct overlay *overlay, const struct request *request)
{
    if (overlay->repair.compare.active &&
        id_equal(&request->to.id, &overlay->repair.compare.peer.id)) {
        end(overlay, false);
    }
}

/* ------------------------------------------------------------------ answering, without state */

static struct compare_arc range_of(const minga_ChunkRange *range)
{
    return (struct compare_arc){{message_id(range->from)}, {message_id(range->to)}, false};
}

static bool do_overlap(const struct compare_arc *a, const struct compare_arc *b)
{
    return id_in_arc(&a->to.id, &b->from.id, &b->to.id) ||
           id_in_arc(&b->to.id, &a->from.id, &a->to.id);
}

/* Then one question would walk the table more than twice. Those of records may: images' arcs turned back
 * to the first neighbourhood. */
static bool any_overlap(const minga_ChunkRanges *ranges)
{
    for (pb_size_t i = 1; i < ranges->ranges_count; i++) {
        struct compare_arc arc = range_of(&ranges->ranges[i]);

        for (pb_size_t j = 0; j < i; j++) {
            struct compare_arc other = range_of(&ranges->ranges[j]);

            if (do_overlap(&arc, &other)) {
                return true;
            }
        }
    }
    return false;
}

/* What one member's questions may have walked: a whole session at once, and then so much a second. */
static bool may_walk(struct overlay *overlay, int index)
{
    struct member *member = &overlay->membership.list[index];
    uint64_t forgiven = (overlay->now_ms - member->walked_ms) * WALKED_EACH_MS;

    member->walked_ms = overlay->now_ms;
    member->walked = member->walked > forgiven ? member->walked - forgiven : 0;
    return member->walked < WALKED_MAX;
}

static void note_walked(struct overlay *overlay, const struct arrival *arrival, uint64_t count)
{
    uint64_t all_count = arrival->message->kind.chunk_ranges.records ? overlay->records.count
                                                                     : overlay->chunks.count;

    all_count = all_count < WALKED_SMALL ? WALKED_SMALL : all_count;
    overlay->membership.list[arrival->member].walked += 1000 * count / all_count;
}

void compare_on_ranges(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_ChunkRanges *ranges = &arrival->message->kind.chunk_ranges;
    uint64_t walked_count = 0;
    minga_Message message;
    minga_ChunkRangesReply *answer = &message.kind.chunk_ranges_reply;

    if (!ranges->records && any_overlap(ranges)) {
        peer_refuse(overlay, &arrival->asker, minga_RefusedCode_REFUSED_OTHER, "ranges overlap");
        return;
    }
    if (!may_walk(overlay, arrival->member)) {
        message_init(&message, minga_Message_busy_tag); /* it is repeated */
        peer_reply(overlay, &arrival->asker, &message, NULL);
        return;
    }
    message_init(&message, minga_Message_chunk_ranges_reply_tag);
    for (pb_size_t i = 0; i < ranges->ranges_count; i++) {
        struct compare_arc arc = range_of(&ranges->ranges[i]);
        struct chunks_sum sum = sum_of(overlay, ranges->records, &arc, ranges->nonce);

        walked_count += sum.count;
        if (sum.count == ranges->ranges[i].count && sum.sum == ranges->ranges[i].sum) {
            continue;
        }
        answer->differing |= UINT32_C(1) << i;
        walked_count += sum.count; /* once more */
        for (uint32_t j = 0; can_be_cut(&arc) && j < COMPARE_PARTS; j++) {
            struct compare_arc part = part_of(&arc, j);

            sum = sum_of(overlay, ranges->records, &part, ranges->nonce);
            answer->parts[answer->parts_count++] = (minga_ChunkPart){sum.count, sum.sum};
        }
    }
    note_walked(overlay, arrival, walked_count);
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

static bool is_listed(const minga_Summary *summary, const struct chunk_id *chunk)
{
    for (pb_size_t i = 0; i < summary->entries_count; i++) {
        if (memcmp(summary->entries[i].id, chunk->id.bytes, ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* What the asker did not name, though it is a home: it is offered that. */
static uint32_t push_unlisted(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Summary *summary = &arrival->message->kind.summary;
    struct compare_arc arc = {
        {message_id(summary->arc.from)}, {message_id(summary->arc.to)}, false};
    struct chunks_walk walk = chunks_walk(&overlay->chunks, &arc.from.id, &arc.to.id);
    const struct chunk *chunk;
    uint32_t pushed_count = 0;

    while (pushed_count < COMPARE_PUSHED_MAX &&
           (chunk = chunks_walk_next(&overlay->chunks, &walk)) != NULL) {
        struct chunk_home homes[HOMES_MAX];
        uint32_t count;

        if (is_listed(summary, &chunk->id)) {
            continue;
        }
        count = chunk_homes(overlay, &(struct ring_key){chunk->id.id}, homes);
        for (uint32_t i = 0; i < count; i++) {
            if (id_equal(&homes[i].node.id, &arrival->asker.node.id)) {
                (void)chunk_put_push(overlay, &chunk->id, &homes[i]);
                pushed_count++;
            }
        }
    }
    return pushed_count;
}

void compare_on_list(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Summary *summary = &arrival->message->kind.summary;
    minga_Message message;
    minga_SummaryReply *answer = &message.kind.summary_reply;

    message_init(&message, minga_Message_summary_reply_tag);
    answer->section = minga_SyncSection_SYNC_CHUNKS;
    answer->done = true;
    for (pb_size_t i = 0; i < summary->entries_count; i++) {
        struct chunk_id chunk = {message_id(summary->entries[i].id)};

        if (chunks_find(&overlay->chunks, &chunk) == NULL &&
            chunk_is_home(overlay, &chunk, &overlay->self) &&
            (chunks_is_bad(&overlay->chunks, &chunk) ||
             storage_make_room(overlay, CHUNK_BYTES_MAX, storage_promised(overlay)))) {
            answer->wanted[answer->wanted_count++] = i;
        }
    }
    if (summary->to_end && summary->has_arc) {
        answer->sent = push_unlisted(overlay, arrival);
    }
    peer_reply(overlay, &arrival->asker, &message, NULL);
}
