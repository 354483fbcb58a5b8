// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The habits of all members, as this node has seen them; kept on disk, for they take weeks to learn.
 * A node that sees nobody has lost its own connection and learns nothing, nor does one that slept.
 */
#include <string.h>

#include "overlay/state.h"

uint64_t habits_now_s(const struct overlay *overlay)
{
    return overlay->repair.began_s + (overlay->now_ms - overlay->started_ms) / 1000;
}

static bool sees_anybody(const struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if ((int)i != overlay->self_index && membership_is_up(&overlay->membership.list[i])) {
            return true;
        }
    }
    return false;
}

static void look(struct overlay *overlay, uint32_t index, uint64_t now_s)
{
    struct habit *habit = &overlay->repair.habits[index];
    bool is_first = habit->known_s == 0;
    bool is_news = membership_in_ring(&overlay->membership.list[index]) ? habit_here(habit, now_s)
                                                                        : habit_away(habit, now_s);

    if (is_news || is_first) {
        overlay->repair.is_changed[index] = true;
    }
}

static void store_some(struct overlay *overlay)
{
    uint32_t stored_count = 0;

    for (uint32_t i = 0; i < overlay->membership.count && stored_count < HABITS_STORED_MAX; i++) {
        uint8_t bytes[HABIT_BYTES];
        struct overlay_blob blob = {.kind = BLOB_HABIT, .bytes = {bytes, sizeof(bytes)}};

        if (overlay->repair.is_changed[i]) {
            overlay->repair.is_changed[i] = false;
            blob.key = overlay->membership.list[i].view.node.id;
            habit_encode(&overlay->repair.habits[i], bytes);
            effect_store(overlay, &blob, 0);
            stored_count++;
        }
    }
}

void habits_tick(struct overlay *overlay)
{
    struct repair *repair = &overlay->repair;
    bool was_asleep = overlay->now_ms - repair->habits_ms > HABITS_GAP_MS;

    if (overlay->now_ms < repair->habits_ms || overlay->large) {
        return;
    }
    repair->habits_ms = overlay->now_ms + HABITS_MS;
    if (was_asleep || !sees_anybody(overlay)) {
        for (uint32_t i = 0; i < overlay->membership.count; i++) {
            habit_skip(&repair->habits[i], habits_now_s(overlay));
        }
        return;
    }
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if ((int)i != overlay->self_index &&
            overlay->membership.list[i].view.state != MEMBER_EXPELLED) {
            look(overlay, i, habits_now_s(overlay));
        }
    }
    store_some(overlay);
}

uint64_t habits_wake(const struct overlay *overlay)
{
    return overlay->large ? 0 : overlay->repair.habits_ms;
}

void habits_forget(struct overlay *overlay, int index)
{
    memset(&overlay->repair.habits[index], 0, sizeof(overlay->repair.habits[index]));
    overlay->repair.is_changed[index] = false;
}

int habits_load(struct overlay *overlay, const struct overlay_blob *blob)
{
    int index = membership_find(&overlay->membership, &(struct node_id){blob->key});
    struct habit habit;
    int r = habit_decode(blob->bytes, &habit);

    if (r == 0 && index != MEMBER_NONE) {
        overlay->repair.habits[index] = habit;
    }
    return r; /* one whose admission is gone has none either */
}
