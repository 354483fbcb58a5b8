// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Chunks that others ask for. So many are sent in one interval; who asks for more is told to come back.
 * One may have all of them as long as the others get what they ask for: a few are kept for those who have
 * had few, and once one of these is turned away the interval is divided among all who ask.
 */
#include "overlay/state.h"

enum {
    SERVE_INTERVAL_MS = 100,
    SERVES_MAX = 16,
    SERVES_SPARE = SERVES_MAX / 4, /* besides; and the least that one may have */
    CROWDED_MS = 1000,             /* divided for so long after somebody was turned away */
};

/* It asks now. Whoever has not asked for longest yields its place. */
static struct served *served_of(struct overlay *overlay, const struct node_id *node)
{
    struct serves *serves = &overlay->serves;
    struct served *oldest = &serves->list[0];

    for (uint32_t i = 0; i < SERVED_MAX; i++) {
        struct served *served = &serves->list[i];

        if (id_equal(&served->node.id, &node->id)) {
            served->asked_ms = overlay->now_ms;
            return served;
        }
        oldest = served->asked_ms < oldest->asked_ms ? served : oldest;
    }
    *oldest = (struct served){.node = *node, .asked_ms = overlay->now_ms};
    return oldest;
}

static void begin_interval(struct overlay *overlay)
{
    struct serves *serves = &overlay->serves;

    serves->since_ms = overlay->now_ms;
    serves->count = 0;
    for (uint32_t i = 0; i < SERVED_MAX; i++) {
        serves->list[i].count = 0;
    }
}

static uint32_t fair_part(const struct overlay *overlay)
{
    uint32_t asker_count = 0;
    uint32_t part;

    for (uint32_t i = 0; i < SERVED_MAX; i++) {
        const struct served *served = &overlay->serves.list[i];

        asker_count += served->asked_ms != 0 && overlay->now_ms - served->asked_ms < CROWDED_MS;
    }
    part = SERVES_MAX / asker_count; /* the one who asks is counted */
    return part < SERVES_SPARE ? SERVES_SPARE : part;
}

static bool may_serve(struct overlay *overlay, const struct node_id *node)
{
    struct serves *serves = &overlay->serves;
    struct served *served;
    uint32_t part;

    if (overlay->now_ms - serves->since_ms >= SERVE_INTERVAL_MS) {
        begin_interval(overlay);
    }
    served = served_of(overlay, node);
    part = fair_part(overlay);
    if (overlay->now_ms < serves->crowded_ms && served->count >= part) {
        return false;
    }
    if (serves->count >= SERVES_MAX + (served->count < SERVES_SPARE ? SERVES_SPARE : 0)) {
        if (served->count < part) {
            serves->crowded_ms = overlay->now_ms + CROWDED_MS;
        }
        return false;
    }
    serves->count++;
    served->count++;
    return true;
}

void serve_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    struct chunk_id chunk = {message_id(arrival->message->kind.chunk_get.chunk)};
    struct chunk *entry = chunks_entry(&overlay->chunks, &chunk);
    bool have = entry != NULL && !entry->is_bad;
    minga_Message message;

    if (have && may_serve(overlay, &arrival->asker.node)) {
        entry->used_s = (uint32_t)(overlay->now_ms / 1000);
        message_init(&message, minga_Message_chunk_data_tag);
        message_put_id(message.kind.chunk_data.chunk, &chunk.id);
        peer_reply(overlay, &arrival->asker, &message, &chunk);
        return;
    }
    message_init(&message, minga_Message_chunk_absent_tag);
    message_put_id(message.kind.chunk_absent.chunk, &chunk.id);
    message.kind.chunk_absent.busy = have;
    peer_reply(overlay, &arrival->asker, &message, NULL);
}
