// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * This node gives less storage than what lies here: what no longer fits goes.
 *
 * What its homes hold all the same goes at once. Of the rest each chunk is offered to members in
 * ring order, as when it is pushed, and dropped when as many others hold it as should. After a
 * while one other is enough; the last copy stays, whatever the owner gives, until somebody takes it.
 *
 * Who sheds does not say that it has what it is about to drop (shed_disowns): two that shed would
 * count each other.
 */
#include "base/check.h"
#include "overlay/state.h"

static uint64_t goal_bytes(const struct overlay *overlay)
{
    return overlay->record.stores ? overlay->chunks.bytes_max : 0;
}

/* What is above the share, and not on its way out yet. */
static bool is_over(const struct overlay *overlay)
{
    uint64_t going_bytes = goal_bytes(overlay);

    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        const struct chunk_put *put = &overlay->chunk_puts[i];
        const struct chunk *chunk =
            put->used && put->is_shed ? chunks_find(&overlay->chunks, &put->chunk) : NULL;

        going_bytes += chunk == NULL ? 0 : chunk_cost_bytes(chunk->bytes);
    }
    return overlay->chunks.cost_bytes > going_bytes;
}

static bool is_going(const struct overlay *overlay, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        const struct chunk_put *put = &overlay->chunk_puts[i];

        if (put->used && id_equal(&put->chunk.id, &chunk->id)) {
            return true;
        }
    }
    return false;
}

void shed_begin(struct overlay *overlay)
{
    struct shed *shed = &overlay->repair.shed;

    if (overlay->chunks.cost_bytes <= goal_bytes(overlay)) {
        shed->is_active = false;
        return;
    }
    effect_trace(overlay, "sheds %llu bytes of chunks",
                 (unsigned long long)(overlay->chunks.cost_bytes - goal_bytes(overlay)));
    *shed = (struct shed){
        .is_active = true, .until_ms = overlay->now_ms + SHED_MS, .next_ms = overlay->now_ms};
}

bool shed_disowns(const struct overlay *overlay)
{
    return overlay->repair.shed.is_active;
}

static bool drop(struct overlay *overlay, const struct chunk_id *chunk)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_DROP_CHUNK);

    if (effect == NULL) {
        return false;
    }
    effect->chunk = *chunk;
    collect_forget(overlay, &effect->chunk);
    return true;
}

void shed_offered(struct overlay *overlay, const struct chunk_put *put)
{
    const struct shed *shed = &overlay->repair.shed;
    uint32_t enough = overlay->now_ms >= shed->until_ms ? 1 : put->needed_count;

    CHECK(put->is_shed && put->needed_count > 0);
    if (shed->is_active && overlay->chunks.cost_bytes > goal_bytes(overlay) &&
        put->held_count >= enough && chunks_find(&overlay->chunks, &put->chunk) != NULL) {
        (void)drop(overlay, &put->chunk);
    }
}

/* Others have it, or it has just been used here: a replica that is being started needs it. */
static bool is_needed_soon(const struct overlay *overlay, const struct chunk *chunk)
{
    return chunk->used_s != 0 && overlay->now_ms < overlay->repair.shed.until_ms &&
           overlay->now_ms / 1000 < (uint64_t)chunk->used_s + SHED_FRESH_S;
}

/* False: no more at present. */
static bool look_at(struct overlay *overlay, const struct chunk *chunk)
{
    if (is_going(overlay, &chunk->id) || is_needed_soon(overlay, chunk)) {
        return true;
    }
    if (chunk->home_mark != 0 && !chunk_is_home(overlay, &chunk->id, &overlay->self)) {
        return drop(overlay, &chunk->id);
    }
    /* What cannot be read cannot be given to anybody: it stays until it is garbage, or good again. */
    return chunk->is_bad || chunk_put_shed(overlay, &chunk->id);
}

static void end_round(struct overlay *overlay)
{
    struct shed *shed = &overlay->repair.shed;
    uint64_t next_ms = overlay->now_ms + SHED_LATE_MS;

    shed->cursor = 0;
    if (overlay->now_ms < shed->until_ms) {
        next_ms = overlay->now_ms + SHED_AGAIN_MS;
        next_ms = next_ms < shed->until_ms ? next_ms : shed->until_ms;
    }
    shed->next_ms = next_ms;
}

static void walk(struct overlay *overlay)
{
    struct shed *shed = &overlay->repair.shed;

    shed->next_ms = overlay->now_ms + SHED_WALK_MS;
    shed->is_waiting = false;
    for (uint32_t i = 0; i < SHED_LOOKS_MAX && is_over(overlay); i++) {
        uint32_t before = shed->cursor;
        uint32_t count = overlay->chunks.count;
        const struct chunk *chunk = chunks_next(&overlay->chunks, &shed->cursor);

        if (chunk == NULL) {
            end_round(overlay);
            return;
        }
        if (!look_at(overlay, chunk)) {
            shed->cursor = before;
            shed->is_waiting = true;
            return;
        }
        if (overlay->chunks.count < count) {
            shed->cursor = before; /* another may have moved to where it was */
        }
    }
}

void shed_tick(struct overlay *overlay)
{
    struct shed *shed = &overlay->repair.shed;

    if (!shed->is_active || overlay->now_ms < shed->next_ms) {
        return;
    }
    if (overlay->chunks.cost_bytes <= goal_bytes(overlay)) {
        effect_trace(overlay, "has shed what does not fit");
        shed->is_active = false;
        return;
    }
    if (!shed->is_waiting || overlay->now_ms >= repair_upload_ms(overlay)) {
        walk(overlay);
    }
}

uint64_t shed_wake(const struct overlay *overlay)
{
    const struct shed *shed = &overlay->repair.shed;
    uint64_t upload_ms = shed->is_waiting ? repair_upload_ms(overlay) : 0;

    if (!shed->is_active) {
        return 0;
    }
    return upload_ms > shed->next_ms ? upload_ms : shed->next_ms;
}

void overlay_set_storage(struct overlay *overlay, const struct overlay_event *now,
                         uint64_t bytes_max, struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (overlay->chunks.bytes_max != bytes_max) {
        overlay->chunks.bytes_max = bytes_max;
        rebalance_resized(overlay);
        if (overlay->record.stores) {
            overlay->record.storage_kib = rebalance_capacity_kib(overlay);
            gossip_describe(overlay, overlay->record.incarnation);
        }
    }
    shed_begin(overlay);
    state_leave(overlay);
}
