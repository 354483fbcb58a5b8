// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * When chunks are compared, and with whom. After a change of the ring as soon as it is quiet, and twice
 * more when who went counts for less (homes.h); else with one random partner a minute. And
 * what lives elsewhere, because it was fetched, pushed or kept here in somebody's place, is offered
 * to its homes whenever these are others than before (hinted hand-off).
 *
 * Nothing is sent faster than the volunteer's upload share, and no more is offered than that.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

void repair_begin(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;

    repair->began_s = overlay->wall_unix_s > 0 ? overlay->wall_unix_s : 1;
    repair->habits_ms = overlay->now_ms;
    repair->round_ms = overlay->now_ms + random_below(&overlay->random, REPAIR_ROUND_MS);
    bucket_init(&repair->upload, overlay->upload_bytes_per_s,
                overlay->upload_bytes_per_s * REPAIR_BURST_S, overlay->now_ms);
    bucket_init(&repair->download, repair->download.bytes_per_s, repair->download.bytes_per_s,
                overlay->now_ms);
    rebalance_begin(overlay);
    if (overlay->chunks.cost_bytes > overlay->chunks.bytes_max) {
        shed_begin(overlay); /* less is given than before this node was off */
    }
}

void overlay_set_rates(struct overlay *overlay, const struct overlay_event *now,
                       struct overlay_rates rates)
{
    CHECK(rates.upload_bytes_per_s < INT64_MAX / 1000 &&
          rates.download_bytes_per_s < INT64_MAX / 1000);
    overlay->upload_bytes_per_s = rates.upload_bytes_per_s;
    bucket_limit(&overlay->repair.upload, rates.upload_bytes_per_s,
                 rates.upload_bytes_per_s * REPAIR_BURST_S, now->now_ms);
    bucket_limit(&overlay->repair.download, rates.download_bytes_per_s, rates.download_bytes_per_s,
                 now->now_ms);
}

uint64_t repair_upload_ms(const struct overlay *overlay)
{
    return overlay->now_ms + overlay_upload_wait_ms(overlay);
}

/* ------------------------------------------------------------------ with whom, and when */

static void find_next(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;

    repair->next_ms = 0;
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if (repair->due_ms[i] != 0 &&
            (repair->next_ms == 0 || repair->due_ms[i] < repair->next_ms)) {
            repair->next_ms = repair->due_ms[i];
        }
    }
}

void repair_want(struct overlay *overlay, int index, uint64_t when_ms)
{
    struct repair *repair = &overlay->repair;

    if (index == MEMBER_NONE || index == overlay->self_index) {
        return;
    }
    if (repair->due_ms[index] == 0 || when_ms < repair->due_ms[index]) {
        repair->due_ms[index] = when_ms;
    }
    if (repair->next_ms == 0 || when_ms < repair->next_ms) {
        repair->next_ms = when_ms;
    }
}

void repair_forget(struct overlay *overlay, int index)
{
    struct repair *repair = &overlay->repair;

    repair->due_ms[index] = 0;
    repair->tries[index] = 0;
    repair->equal_ms[index] = 0;
    repair->full_ms[index] = 0;
    find_next(overlay);
}

static bool is_any_in(const struct overlay *overlay, const struct chunk_arc *arc)
{
    struct chunks_walk walk = chunks_walk(&overlay->chunks, &arc->from.id, &arc->to.id);

    return chunks_walk_next(&overlay->chunks, &walk) != NULL;
}

/* Those who share a range with this node; `is_stored`: one in which it has chunks. */
static uint32_t find_partners(const struct overlay *overlay, bool is_stored,
                              bool partners_out[MEMBERS_MAX])
{
    uint32_t arc_count = chunk_arc_count(overlay);
    uint32_t partner_count = 0;

    memset(partners_out, 0, MEMBERS_MAX * sizeof(*partners_out));
    for (uint32_t i = 0; i < arc_count; i++) {
        struct chunk_home homes[HOMES_MAX];
        struct chunk_arc arc = chunk_arc(overlay, i);
        uint32_t count =
            is_stored && !is_any_in(overlay, &arc) ? 0 : chunk_homes(overlay, &arc.to, homes);
        bool is_ours = false;

        for (uint32_t j = 0; j < count; j++) {
            is_ours = is_ours || peer_is_self(overlay, &homes[j].node);
        }
        for (uint32_t j = 0; is_ours && j < count; j++) {
            if (homes[j].is_up && homes[j].index != MEMBER_NONE &&
                homes[j].index != overlay->self_index && !partners_out[homes[j].index]) {
                partners_out[homes[j].index] = true;
                partner_count++;
            }
        }
    }
    return partner_count;
}

static void look_at_all(struct overlay *overlay)
{
    bool partners[MEMBERS_MAX];

    if (overlay->chunks.count == 0) {
        return; /* whoever has some will ask */
    }
    (void)find_partners(overlay, false, partners);
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if (partners[i]) {
            overlay->repair.tries[i] = 0;
            repair_want(overlay, (int)i, overlay->now_ms);
        }
    }
    overlay->repair.is_walking = true;
    overlay->repair.cursor = 0;
    overlay->repair.walk_ms = overlay->now_ms;
}

void repair_ring_changed(struct overlay *overlay)
{
    static const uint32_t delays_ms[REPAIR_LOOKS] = {REPAIR_QUIET_MS, REPAIR_SETTLED_MS,
                                                     HOMES_LATELY_MS + REPAIR_QUIET_MS};
    struct repair *repair = &overlay->repair;

    if (repair->changed_ms == 0) {
        repair->changed_ms = overlay->now_ms;
    }
    for (uint32_t i = 0; i < REPAIR_LOOKS; i++) {
        /* In a ring that is never quiet it is not put off for ever. */
        uint64_t latest_ms = repair->changed_ms + REPAIR_LATE_MS + delays_ms[i];

        repair->look_ms[i] = overlay->now_ms + delays_ms[i];
        if (repair->look_ms[i] > latest_ms) {
            repair->look_ms[i] = latest_ms;
        }
    }
}

void repair_positions_changed(struct overlay *overlay)
{
    if (overlay->repair.look_ms[0] == 0) {
        overlay->repair.look_ms[0] = overlay->now_ms + REPAIR_QUIET_MS;
    }
}

static void look_after_changes(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;
    bool is_due = false;

    for (uint32_t i = 0; i < REPAIR_LOOKS; i++) {
        if (repair->look_ms[i] != 0 && overlay->now_ms >= repair->look_ms[i]) {
            repair->look_ms[i] = 0;
            is_due = true;
        }
    }
    if (is_due) {
        repair->changed_ms = 0;
        look_at_all(overlay);
    }
}

/* Somebody's patience may have ended as well, without any change of the ring: the walk is for that. */
static void start_round(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;
    bool partners[MEMBERS_MAX];
    uint32_t count;
    uint64_t drawn;

    repair->round_ms =
        overlay->now_ms + REPAIR_ROUND_MS / 2 + random_below(&overlay->random, REPAIR_ROUND_MS);
    count = overlay->chunks.count == 0 ? 0 : find_partners(overlay, false, partners);
    if (count == 0) {
        return;
    }
    drawn = random_below(&overlay->random, count);
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if (partners[i] && drawn-- == 0) {
            repair_want(overlay, (int)i, overlay->now_ms);
            break;
        }
    }
    if (!repair->is_walking) {
        repair->is_walking = true;
        repair->cursor = 0;
        repair->walk_ms = overlay->now_ms;
    }
}

void repair_pushed(struct overlay *overlay)
{
    overlay->repair.pushed_ms = overlay->now_ms + REPAIR_QUIET_MS;
}

/* Who was equal before has them too, as far as anybody knows. Of others nothing is known yet: that
 * would stay so for minutes in a young community. Where little is stored those who have none of it are
 * not asked, for they would take the places of those who do. */
static void look_after_push(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;
    bool partners[MEMBERS_MAX];
    uint32_t wanted_count = 0;

    if (repair->pushed_ms == 0 || overlay->now_ms < repair->pushed_ms) {
        return;
    }
    repair->pushed_ms = 0;
    (void)find_partners(overlay, true, partners);
    for (uint32_t i = 0; i < overlay->membership.count && wanted_count < REPAIR_PUSHED_MAX; i++) {
        if (partners[i] && repair->equal_ms[i] == 0 && repair->due_ms[i] == 0) {
            repair_want(overlay, (int)i, overlay->now_ms);
            wanted_count++;
        }
    }
}

static void compare_next(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;

    if (repair->compare.active || repair->next_ms == 0 || overlay->now_ms < repair->next_ms) {
        return;
    }
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if (repair->due_ms[i] == 0 || overlay->now_ms < repair->due_ms[i]) {
            continue;
        }
        repair->due_ms[i] = 0;
        find_next(overlay);
        if (membership_in_ring(&overlay->membership.list[i])) {
            compare_start(overlay, (int)i);
        }
        return;
    }
    find_next(overlay);
}

void repair_compared(struct overlay *overlay, const struct node_id *peer, bool is_equal)
{
    struct repair *repair = &overlay->repair;
    int index = membership_find(&overlay->membership, peer);

    if (index == MEMBER_NONE) {
        return;
    }
    repair->equal_ms[index] = is_equal ? overlay->now_ms : 0;
    if (is_equal) {
        repair->tries[index] = 0;
        return;
    }
    repair_want(overlay, index,
                overlay->now_ms + ((uint64_t)REPAIR_AGAIN_MS << repair->tries[index]) +
                    bucket_wait_ms(&repair->upload, overlay->now_ms));
    if (repair->tries[index] < REPAIR_DOUBLINGS_MAX) {
        repair->tries[index]++;
    }
}

/* ------------------------------------------------------------------ what lives elsewhere */

/* Another number for other homes; 0 is none. */
static uint32_t mark_of(const struct chunk_home *homes, uint32_t count)
{
    uint64_t mark = 1;

    for (uint32_t i = 0; i < count; i++) {
        mark = mark * UINT64_C(0x100000001b3) + (id_top(&homes[i].node.id) >> 7);
    }
    mark ^= mark >> 32;
    return (uint32_t)mark == 0 ? 1 : (uint32_t)mark;
}

uint32_t repair_home_mark(const struct overlay *overlay, const struct chunk_id *chunk)
{
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, &(struct ring_key){chunk->id}, homes);
    uint32_t up_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (homes[i].is_up) {
            homes[up_count++] = homes[i];
        }
    }
    return mark_of(homes, up_count);
}

/* False: no more at present. */
static bool look_at(struct overlay *overlay, const struct chunk *chunk)
{
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, &(struct ring_key){chunk->id.id}, homes);
    uint32_t up_count = 0;
    uint32_t mark;

    if (chunk->is_bad) {
        return true; /* there is nothing to hand over */
    }
    for (uint32_t i = 0; i < count; i++) {
        if (peer_is_self(overlay, &homes[i].node)) {
            return true;
        }
        if (homes[i].is_up) {
            homes[up_count++] = homes[i];
        }
    }
    mark = mark_of(homes, up_count);
    if (up_count == 0 || chunk->offered_mark == mark) {
        return true;
    }
    return chunk_put_hand_over(overlay, &chunk->id, homes, up_count, mark);
}

static uint64_t walk_wake(const struct overlay *overlay)
{
    const struct repair *repair = &overlay->repair;
    uint64_t upload_ms = repair->is_waiting ? repair_upload_ms(overlay) : 0;

    return upload_ms > repair->walk_ms ? upload_ms : repair->walk_ms;
}

static void walk(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;

    if (!repair->is_walking || overlay->now_ms < walk_wake(overlay)) {
        return;
    }
    repair->walk_ms = overlay->now_ms + REPAIR_WALK_MS;
    repair->is_waiting = false;
    for (uint32_t i = 0; i < REPAIR_WALK_MAX; i++) {
        uint32_t before = repair->cursor;
        const struct chunk *chunk = chunks_next(&overlay->chunks, &repair->cursor);

        if (chunk == NULL) {
            repair->is_walking = false;
            return;
        }
        if (!look_at(overlay, chunk)) {
            repair->cursor = before;
            repair->walk_ms = overlay->now_ms + REPAIR_AGAIN_MS;
            repair->is_waiting = true;
            return;
        }
    }
}

/* ------------------------------------------------------------------ what was lost here */

/* Users push meanwhile, and the share may be made smaller: a promise is a guess. */
static void take(struct overlay *overlay, const struct chunk_id *chunk, uint32_t bytes)
{
    struct overlay_effect *effect;

    if (storage_make_room(overlay, bytes, (struct chunks_promised){0})) {
        CHECK(chunks_add(&overlay->chunks, chunk, bytes) == 0);
        return;
    }
    effect_trace(overlay, "no room is left for a chunk that came");
    effect = effect_add(overlay, OVERLAY_DROP_CHUNK);
    if (effect != NULL) {
        effect->chunk = *chunk;
    }
}

void repair_stored(struct overlay *overlay, const struct chunk_id *chunk, uint32_t bytes)
{
    const struct chunk *entry = chunks_entry(&overlay->chunks, chunk);
    bool was_bad = entry != NULL && entry->is_bad;
    struct chunk_references references;

    if (entry == NULL) {
        take(overlay, chunk, bytes);
        return;
    }
    if (entry->bytes == bytes) {
        CHECK(chunks_add(&overlay->chunks, chunk, bytes) == 0);
        if (was_bad) {
            collect_note_good(overlay, entry);
        }
        return;
    }
    references = collect_references(overlay, entry); /* its file had been cut short */
    collect_forget(overlay, chunk);
    CHECK(chunks_add(&overlay->chunks, chunk, bytes) == 0);
    (void)collect_note(overlay, chunk, &references, false, 0);
}

static void replace(struct overlay *overlay, const struct chunk_id *chunk,
                    const struct chunk_references *references)
{
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, &(struct ring_key){chunk->id}, homes);

    for (uint32_t i = 0; i < count; i++) {
        if (!peer_is_self(overlay, &homes[i].node)) {
            repair_want(overlay, homes[i].index, overlay->now_ms + REPAIR_AGAIN_MS);
        }
    }
    if (chunk_is_home(overlay, chunk, &overlay->self) &&
        overlay->now_ms >= overlay->repair.refused_until_ms) {
        chunk_get_again(overlay, chunk, references);
    }
}

/* What others want of it cannot be sent: who waits for that need not wait any longer. */
static void end_puts(struct overlay *overlay, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        struct chunk_put *put = &overlay->chunk_puts[i];

        if (put->used && !put->is_repair && put->carried_bytes == 0 &&
            id_equal(&put->chunk.id, &chunk->id)) {
            put->used = false;
            (void)effect_done(overlay, put->token, OVERLAY_FAILED,
                              "this node's disk does not give the chunk any more");
        }
    }
}

void repair_lost(struct overlay *overlay, const struct chunk_id *chunk)
{
    const struct chunk *entry = chunks_entry(&overlay->chunks, chunk);
    struct chunk_references references;

    if (entry != NULL) {
        overlay->repair.rotten_count += entry->is_bad ? 0 : 1;
        references = collect_references(overlay, entry);
        collect_forget(overlay, chunk);
        end_puts(overlay, chunk);
        replace(overlay, chunk, &references);
    }
}

void repair_read(struct overlay *overlay, const struct overlay_event *event)
{
    struct chunk *entry = chunks_entry(&overlay->chunks, &event->chunk);
    struct chunk_references references;

    if (entry == NULL || (event->outcome == OVERLAY_CHUNK_OK && !entry->is_bad)) {
        return;
    }
    if (event->outcome == OVERLAY_CHUNK_OK) {
        effect_trace(overlay, "a chunk can be read again");
        repair_stored(overlay, &event->chunk, (uint32_t)event->chunk_bytes);
        return;
    }
    if (!entry->is_bad) {
        effect_trace(overlay, "a chunk here is bad (%d)", (int)event->outcome);
        chunks_set_bad(&overlay->chunks, entry, true);
        collect_store_note(overlay, entry, 0); /* for the next start */
        overlay->repair.rotten_count++;
        end_puts(overlay, &event->chunk);
    }
    references = collect_references(overlay, entry);
    replace(overlay, &event->chunk, &references);
}

void repair_tick(struct overlay *overlay)
{
    habits_tick(overlay);
    look_after_changes(overlay);
    if (overlay->now_ms >= overlay->repair.round_ms) {
        start_round(overlay);
    }
    look_after_push(overlay);
    compare_next(overlay);
    walk(overlay);
    shed_tick(overlay);
    rebalance_tick(overlay);
}

static void sooner(uint64_t *wake_ms, uint64_t other_ms)
{
    if (other_ms != 0 && other_ms < *wake_ms) {
        *wake_ms = other_ms;
    }
}

uint64_t repair_wake(const struct overlay *overlay)
{
    const struct repair *repair = &overlay->repair;
    uint64_t wake_ms = repair->round_ms;

    sooner(&wake_ms, habits_wake(overlay));
    sooner(&wake_ms, rebalance_wake(overlay));
    sooner(&wake_ms, shed_wake(overlay));
    sooner(&wake_ms, repair->pushed_ms);
    for (uint32_t i = 0; i < REPAIR_LOOKS; i++) {
        sooner(&wake_ms, repair->look_ms[i]);
    }
    sooner(&wake_ms, repair->is_walking ? walk_wake(overlay) : 0);
    sooner(&wake_ms, repair->compare.active ? 0 : repair->next_ms);
    return wake_ms;
}
