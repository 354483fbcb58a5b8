// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What is stored here and for whom, for people to see. How many copies of a chunk are up is what this
 * node knows: its own, and those of homes that are up and had the same as it at the last comparison, or
 * said so when it was offered to them; and of those that keep it in place of homes without room.
 */
#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

static_assert((int)OVERLAY_REPAIR_LACKS == (int)HOME_LACKS &&
                  (int)OVERLAY_REPAIR_FEW_UP == (int)HOME_FEW_UP &&
                  (int)OVERLAY_REPAIR_GONE == (int)HOME_GONE,
              "they are shown as they are known inside");

/* Has it been up, and equal, ever since they were compared? */
static bool has_the_same(const struct overlay *overlay, const struct chunk_home *home)
{
    uint64_t equal_ms;

    if (!home->is_up || home->index == MEMBER_NONE || home->index == overlay->self_index) {
        return false;
    }
    equal_ms = overlay->repair.equal_ms[home->index];
    return equal_ms != 0 && equal_ms >= overlay->membership.list[home->index].view.changed_ms;
}

struct shelf { /* the chunks between two positions have the same homes */
    bool is_home;
    uint32_t equal_count;
    uint32_t up_count;
    uint32_t mark;
};

static struct shelf shelf_at(const struct overlay *overlay, const struct ring_key *key)
{
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, key, homes);
    struct shelf shelf = {.mark = repair_home_mark(overlay, &(struct chunk_id){key->id})};

    for (uint32_t i = 0; i < count; i++) {
        shelf.is_home = shelf.is_home || peer_is_self(overlay, &homes[i].node);
        shelf.equal_count += has_the_same(overlay, &homes[i]) ? 1 : 0;
        shelf.up_count += homes[i].is_up ? 1 : 0;
    }
    return shelf;
}

static void count_copies(struct overlay_stock_line *line, uint32_t copies)
{
    if (!line->is_counted || copies < line->copies_least) {
        line->copies_least = copies;
    }
    line->is_counted = true;
    if (copies > line->copies_most) {
        line->copies_most = copies;
    }
    line->scarce_count += copies < HOMES_UP ? 1 : 0;
}

/* In a large community other members may have taken those places in the table since. */
static uint32_t count_stand_ins(const struct overlay *overlay, const struct chunk *chunk)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < STAND_INS_MAX && !overlay->large; i++) {
        uint32_t place = chunk->stand_ins[i];

        count += place != 0 && place <= overlay->membership.count &&
                         membership_in_ring(&overlay->membership.list[place - 1])
                     ? 1
                     : 0;
    }
    return count;
}

static uint32_t copies_of(const struct overlay *overlay, const struct chunk *chunk,
                          const struct shelf *shelf)
{
    bool is_handed_over = chunk->home_mark == shelf->mark;

    if (!shelf->is_home) {
        return 1 + (is_handed_over                       ? shelf->up_count
                    : chunk->offered_mark == shelf->mark ? chunk->others_count
                                                         : 0);
    }
    if (shelf->up_count <= shelf->equal_count + 1) {
        return 1 + shelf->equal_count;
    }
    return is_handed_over ? shelf->up_count
                          : 1 + shelf->equal_count + count_stand_ins(overlay, chunk);
}

static void count_for(struct overlay_stock_line *lines, const struct chunk *chunk, uint32_t copies)
{
    for (uint32_t i = 0; i < chunk->reference_count; i++) {
        CHECK(chunk->references[i] < REFERENCES_MAX);
        count_copies(&lines[chunk->references[i]], copies);
    }
}

static void count_chunk(const struct overlay *overlay, struct overlay_stock *stock,
                        struct overlay_stock_line *lines, const struct chunk *chunk,
                        const struct shelf *shelf)
{
    stock->home_bytes += shelf->is_home ? chunk_cost_bytes(chunk->bytes) : 0;
    if (!shelf->is_home && chunk->home_mark != 0) {
        stock->spare_count++;
        stock->spare_bytes += chunk->bytes;
    }
    if (chunk->reference_count == 0) {
        stock->nameless_count++;
        stock->nameless_bytes += chunk->bytes;
    }
    count_for(lines, chunk, copies_of(overlay, chunk, shelf));
}

/* Others may have them: these are copies all the same, but for the one here. */
static void count_bad(const struct overlay *overlay, struct overlay_stock_line *lines)
{
    uint32_t cursor = 0;
    const struct chunk *chunk;

    while (overlay->chunks.bad_count > 0 &&
           (chunk = chunks_next(&overlay->chunks, &cursor)) != NULL) {
        if (chunk->is_bad) {
            struct shelf shelf = shelf_at(overlay, &(struct ring_key){chunk->id.id});

            count_for(lines, chunk, copies_of(overlay, chunk, &shelf) - 1);
        }
    }
}

static void walk_arc(const struct overlay *overlay, uint32_t place, struct overlay_stock *stock,
                     struct overlay_stock_line *lines)
{
    struct chunk_arc arc = chunk_arc(overlay, place);
    struct chunks_walk walk = chunks_walk(&overlay->chunks, &arc.from.id, &arc.to.id);
    struct shelf shelf = shelf_at(overlay, &arc.to);
    const struct chunk *chunk;

    while ((chunk = chunks_walk_next(&overlay->chunks, &walk)) != NULL) {
        count_chunk(overlay, stock, lines, chunk, &shelf);
    }
}

static void fill_lines(const struct overlay *overlay, struct overlay_stock_line *lines)
{
    memset(lines, 0, OVERLAY_STOCK_LINES_MAX * sizeof(*lines));
    for (uint32_t i = 0; i < overlay->references.top; i++) {
        const struct reference *reference = &overlay->references.list[i];

        if (reference->used && reference->chunk_count > 0) {
            lines[i] =
                (struct overlay_stock_line){.used = true,
                                            .is_dead = reference->is_dead,
                                            .is_confirmed = reference->is_confirmed,
                                            .reference = {reference->service, reference->tree},
                                            .owner = reference->owner,
                                            .version = reference->version,
                                            .chunk_count = reference->chunk_count,
                                            .bytes = reference->bytes};
            memcpy(lines[i].name, reference->name, sizeof(lines[i].name));
        }
    }
}

uint64_t overlay_download_wait_ms(const struct overlay *overlay)
{
    struct bucket download = overlay->repair.download;

    return bucket_wait_ms(&download, overlay->now_ms);
}

uint64_t overlay_upload_wait_ms(const struct overlay *overlay)
{
    struct bucket upload = overlay->repair.upload; /* filling it is no news */

    return bucket_wait_ms(&upload, overlay->now_ms);
}

static void fill_positions(const struct overlay *overlay, struct overlay_stock *stock)
{
    uint16_t used = 0;

    if (overlay->self_index != MEMBER_NONE && chunk_may_be_home(overlay, overlay->self_index)) {
        used = overlay->large ? 1 : overlay->membership.positions.masks[overlay->self_index];
        stock->part_permille = overlay->repair.rebalance.part_permille;
    }
    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        if ((used >> i & 1) != 0) {
            stock->positions[stock->position_count++] = keys_position(&overlay->key, i);
        }
    }
}

void overlay_stock(const struct overlay *overlay, struct overlay_stock *stock_out,
                   struct overlay_stock_line *lines_out)
{
    *stock_out = (struct overlay_stock){.chunk_count = overlay->chunks.count,
                                        .bytes = overlay->chunks.cost_bytes,
                                        .bytes_max = overlay->chunks.bytes_max,
                                        .bad_count = overlay->chunks.bad_count,
                                        .bad_bytes = overlay->chunks.bad_bytes,
                                        .repair_wait_ms = overlay_upload_wait_ms(overlay),
                                        .is_comparing = overlay->repair.compare.active,
                                        .is_collecting = overlay->collect.is_purging,
                                        .is_shedding = overlay->repair.shed.is_active,
                                        .moved_count = overlay->repair.moved_count,
                                        .moved_bytes = overlay->repair.moved_bytes,
                                        .rotten_count = overlay->repair.rotten_count,
                                        .collected_count = overlay->collect.purged_count,
                                        .collected_bytes = overlay->collect.purged_bytes};
    fill_positions(overlay, stock_out);
    fill_lines(overlay, lines_out);
    for (uint32_t i = 0; i < chunk_arc_count(overlay); i++) {
        walk_arc(overlay, i, stock_out, lines_out);
    }
    count_bad(overlay, lines_out);
}

bool overlay_repair_next(const struct overlay *overlay, uint32_t *cursor,
                         struct overlay_repair *repair_out)
{
    while (*cursor < CHUNK_PUTS_MAX) {
        const struct chunk_put *put = &overlay->chunk_puts[(*cursor)++];

        if (put->used && put->is_repair && put->candidate_count > 0) {
            *repair_out = (struct overlay_repair){put->chunk, put->candidates[0],
                                                  put->is_shed ? OVERLAY_REPAIR_SHED
                                                               : (enum overlay_repair_why)put->why,
                                                  put->since_ms};
            return true;
        }
    }
    return false;
}

bool overlay_absence_next(const struct overlay *overlay, uint32_t *cursor,
                          struct overlay_absence *absence_out)
{
    uint64_t now_s = habits_now_s(overlay);

    while (*cursor < overlay->membership.count) {
        uint32_t index = (*cursor)++;
        const struct member *member = &overlay->membership.list[index];
        const struct habit *habit = &overlay->repair.habits[index];

        if (habit->away_s != 0 && member->view.record.stores && !membership_is_up(member) &&
            member->view.state != MEMBER_EXPELLED) {
            *absence_out = (struct overlay_absence){
                member->view.node, habit_away_for_s(habit, now_s), habit_patience_s(habit, now_s),
                habit_is_gone(habit, now_s)};
            return true;
        }
    }
    return false;
}
