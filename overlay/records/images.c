// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The other neighbourhoods in which the records of the own arc have copies, and those of which this
 * node has copies: in a large community only (holders.c says where).
 *
 * A node compares its arc with whoever answers for an image of it, piece by piece from the end, since
 * arcs do not begin at the same places there; in a round through the neighbourhoods, all the time. A
 * piece and its images make one comparison: records of all of them belong to both. Each boundary of
 * either side is the end of somebody's arc, so nothing is left out.
 *
 * After a change of the arc the first such comparison matters more: should all holders of the own
 * neighbourhood have been lost, it brings back what they had. Until then a read is not told that this
 * is all there is, and a write asks the other neighbourhoods first.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    IMAGE_MS = 2500,        /* for a look-up and an answer */
    SOON_MS = 100,          /* to the next piece */
    AGAIN_MS = 2000,        /* after something was lacking, or nobody was found */
    QUIET_MS = 60000,       /* between two neighbourhoods, once one has been compared with */
    LOST_MS = 2 * ROUTE_MS, /* a step that has come to nothing */
};

static bool may_compare(const struct overlay *overlay)
{
    return overlay->large && overlay->ring.successor_count > 0 &&
           ring_is_leased(&overlay->ring, overlay->now_ms);
}

bool images_are_compared(const struct overlay *overlay)
{
    return !overlay->large || overlay->ring.successor_count == 0 ||
           (overlay->images.is_compared && overlay->images.term == overlay->settled.term);
}

/* ------------------------------------------------------------------ comparing */

static void begin_walk(struct overlay *overlay, uint32_t turn)
{
    struct images *images = &overlay->images;

    images->turn = turn;
    images->to = overlay->ring.self.position;
    images->is_equal = true;
    images->is_asking = false;
}

static void end_walk(struct overlay *overlay)
{
    struct images *images = &overlay->images;
    bool was_compared = images->is_compared;

    images->is_compared = was_compared || images->is_equal;
    images->next_ms = overlay->now_ms + (uint64_t)(images->is_compared ? QUIET_MS : AGAIN_MS);
    begin_walk(overlay, images->is_compared ? images->turn % (SYMMETRY - 1) + 1 : images->turn);
}

void images_compared(struct overlay *overlay, bool is_equal)
{
    struct images *images = &overlay->images;

    if (images->term != overlay->settled.term) {
        return; /* all begins anew */
    }
    images->is_equal = images->is_equal && is_equal;
    images->to = images->from;
    images->next_ms = overlay->now_ms + SOON_MS;
    if (id_equal(&images->to.id, &overlay->ring.arc_from.id)) {
        end_walk(overlay);
    }
}

/* The piece ends at `to`, and begins where either side's arc does. */
static void compare_piece(struct overlay *overlay, const struct search_result *result)
{
    struct images *images = &overlay->images;
    struct ring_key theirs = holders_image(&result->from, SYMMETRY - images->turn);
    struct compare_arc piece = {overlay->ring.arc_from, images->to, false};

    if (!id_equal(&theirs.id, &piece.to.id) &&
        id_in_arc(&theirs.id, &piece.from.id, &piece.to.id)) {
        piece.from = theirs;
    }
    images->from = piece.from;
    if (peer_is_self(overlay, &result->holders[0])) {
        images_compared(overlay, true);
    } else if (overlay->sync.active) {
        images->next_ms = overlay->now_ms + SOON_MS;
    } else {
        sync_start_image(overlay, &result->holders[0], &piece);
    }
}

void images_found(struct overlay *overlay, const struct search_result *result)
{
    struct images *images = &overlay->images;
    struct ring_key key = holders_image(&images->to, images->turn);

    if (!images->is_asking || !id_equal(&key.id, &result->key.id) || !may_compare(overlay) ||
        images->term != overlay->settled.term || !ring_has(&overlay->ring, &images->to)) {
        return;
    }
    images->is_asking = false;
    if (result->count > 0) {
        compare_piece(overlay, result);
        return;
    }
    images->next_ms = overlay->now_ms + AGAIN_MS;
    begin_walk(overlay, images->turn % (SYMMETRY - 1) + 1);
}

void images_tick(struct overlay *overlay)
{
    struct images *images = &overlay->images;
    struct ring_key key;

    if (!may_compare(overlay)) {
        return;
    }
    if (images->turn == 0 || images->term != overlay->settled.term) {
        memset(images, 0, sizeof(*images));
        images->term = overlay->settled.term;
        images->next_ms = overlay->now_ms + SOON_MS;
        begin_walk(overlay, 1);
    }
    if (overlay->now_ms < images->next_ms || overlay->sync.active) {
        return;
    }
    if (!ring_has(&overlay->ring, &images->to)) {
        begin_walk(overlay, images->turn); /* the arc has become smaller */
    }
    key = holders_image(&images->to, images->turn);
    images->is_asking = true;
    images->next_ms = overlay->now_ms + LOST_MS;
    if (!search_start(overlay, &key, SEARCH_COMPARE, 0)) {
        images->next_ms = overlay->now_ms + AGAIN_MS;
    }
}

uint64_t images_wake(const struct overlay *overlay)
{
    const struct images *images = &overlay->images;

    if (!may_compare(overlay) || overlay->sync.active) {
        return 0;
    }
    return images->term == overlay->settled.term && images->next_ms > overlay->now_ms
               ? images->next_ms
               : overlay->now_ms + 1;
}

/* ------------------------------------------------------------------ asking, and copies */

uint32_t images_ask(struct overlay *overlay, enum request_kind kind, const struct ring_key *key,
                    minga_Message *message, uint64_t token)
{
    uint32_t count = 0;

    for (uint32_t turn = 1; turn < SYMMETRY && overlay->large; turn++) {
        struct request *request =
            peer_request_later(overlay, kind, &overlay->self, message, IMAGE_MS);

        if (request == NULL) {
            break;
        }
        request->token = token;
        request->key = holders_image(key, turn);
        request->is_image = true;
        request->repeat_every_ms = REPLY_MS;
        if (search_first(overlay, request)) {
            count++;
        } else {
            requests_end(&overlay->requests, request);
        }
    }
    return count;
}

void images_pass_on(struct overlay *overlay, const struct record *record)
{
    struct ring_key key = {record->key.service.id};
    struct node_id holders[RECORD_COPIES];
    minga_Message message;

    message_init(&message, minga_Message_record_copy_tag);
    memcpy(message.kind.record_copy.record.bytes, record->bytes, record->length_bytes);
    message.kind.record_copy.record.size = (pb_size_t)record->length_bytes;
    message.kind.record_copy.unhurried = true;
    for (uint32_t turn = 1; turn < SYMMETRY; turn++) {
        struct ring_key image = holders_image(&key, turn);
        uint32_t count =
            ring_has(&overlay->ring, &image) ? holders_of(overlay, &key, turn, holders) : 0;

        for (uint32_t i = 0; i < count; i++) {
            if (!peer_is_self(overlay, &holders[i])) {
                peer_send(overlay, &holders[i], &message, NULL);
            }
        }
    }
}
