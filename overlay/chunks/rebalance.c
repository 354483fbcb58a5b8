// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * This node's own positions: how many it begins with, and when it changes one (balance.h says which).
 *
 * Changing is slow on purpose. One change at a time, at random moments, and after it a wait until
 * repair has moved what it moves; no more bytes than its share in 16 hours; nothing while the ring
 * changes. What lived here and lives elsewhere now stays until its new homes have it: the walk of
 * repair.c offers it to them, and only what all of them hold may make room.
 *
 * A member of an older version knows first positions only. As long as there is one that stores, all
 * keep what they have.
 */
#include "base/check.h"
#include "overlay/state.h"

static const uint64_t kib_max = UINT64_C(1) << 34; /* whatever others say */

uint64_t rebalance_capacity_kib(const struct overlay *overlay)
{
    uint64_t kib = overlay->chunks.bytes_max / 1024;

    return kib == 0 ? 1 : kib;
}

static uint64_t at_most(uint64_t value, uint64_t max)
{
    return value < max ? value : max;
}

/* A part of what is stored once, as a share. */
static uint64_t share_of(uint64_t kib, uint64_t once_kib)
{
    while (kib > UINT32_MAX || once_kib > UINT32_MAX) {
        kib >>= 1;
        once_kib >>= 1;
    }
    return once_kib == 0 ? 0 : at_most(kib * BALANCE_ONE / once_kib, BALANCE_ONE);
}

static uint64_t kib_of_share(uint64_t share, uint64_t once_kib)
{
    return (share >> 16) * once_kib >> 16;
}

/* ------------------------------------------------------------------ how much do all store? */

static uint64_t count_own_kib(const struct overlay *overlay)
{
    uint32_t count = chunk_arc_count(overlay);
    uint64_t bytes = 0;

    for (uint32_t i = 0; overlay->chunks.count > 0 && i < count; i++) {
        struct chunk_arc arc = chunk_arc(overlay, i);
        struct chunks_walk walk = chunks_walk(&overlay->chunks, &arc.from.id, &arc.to.id);
        const struct chunk *chunk;

        if (!chunk_is_home(overlay, &(struct chunk_id){arc.to.id}, &overlay->self)) {
            continue;
        }
        while ((chunk = chunks_walk_next(&overlay->chunks, &walk)) != NULL) {
            bytes += chunk_cost_bytes(chunk->bytes);
        }
    }
    return (bytes + 1023) / 1024;
}

static void fill_table(struct overlay *overlay, uint64_t shares_out[MEMBERS_MAX])
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    struct balance *table = &rebalance->table;
    uint32_t count = 0;
    uint64_t all_kib = 0;

    table->positions = &overlay->membership.positions;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        struct balance_member *member = &table->members[i];
        const minga_NodeRecord *record = &overlay->membership.list[i].view.record;

        *member = (struct balance_member){.counts = i < overlay->membership.count &&
                                                    chunk_may_be_home(overlay, (int)i)};
        if (member->counts) {
            bool is_self = (int)i == overlay->self_index;

            member->capacity =
                is_self ? rebalance_capacity_kib(overlay) : at_most(record->storage_kib, kib_max);
            all_kib += is_self ? rebalance->stored_kib : at_most(record->stored_kib, kib_max);
            count++;
        }
    }
    rebalance->once_kib = count == 0 ? 0 : all_kib / (count < CHUNK_COPIES ? count : CHUNK_COPIES);
    balance_be_fair(table);
    balance_shares(table, shares_out);
}

/* More than a changed position does, as a rule. */
static bool is_far_from(uint64_t kib, uint64_t before_kib)
{
    return kib > before_kib + before_kib / 4 || kib < before_kib - before_kib / 4;
}

/* What each stores now, from what it said and how its part of the ring has changed since. */
static uint64_t load_of(struct overlay *overlay, uint32_t index, const uint64_t *shares)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint64_t kib = at_most(overlay->membership.list[index].view.record.stored_kib, kib_max);
    uint64_t load;

    if ((int)index == overlay->self_index) {
        return share_of(rebalance->stored_kib, rebalance->once_kib);
    }
    if (kib != rebalance->heard_kib[index]) {
        if (is_far_from(kib, rebalance->heard_kib[index])) {
            rebalance->heard_ms = overlay->now_ms;
        }
        rebalance->heard_kib[index] = kib;
        rebalance->share_then[index] = shares[index];
    }
    load = share_of(kib, rebalance->once_kib) + shares[index];
    return load > rebalance->share_then[index] ? load - rebalance->share_then[index] : 0;
}

static void look(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    struct balance *table = &rebalance->table;
    uint64_t shares[MEMBERS_MAX];
    uint64_t chunk_kib = overlay->chunks.count == 0
                             ? CHUNK_BYTES_MAX / 1024
                             : overlay->chunks.cost_bytes / overlay->chunks.count / 1024 + 1;

    fill_table(overlay, shares);
    rebalance->is_measured = false;
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        struct balance_member *member = &table->members[i];
        uint64_t load = load_of(overlay, i, shares);

        if (!member->counts) {
            continue;
        }
        member->load = shares[i];
        if (kib_of_share(member->fair, rebalance->once_kib) >= chunk_kib * REBALANCE_CHUNKS_MIN) {
            member->load = load;
            rebalance->is_measured = true;
        }
    }
}

static void note_part(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    const struct balance_member *self = &rebalance->table.members[overlay->self_index];

    rebalance->part_permille =
        (uint32_t)at_most(self->load * 1000 / (self->fair == 0 ? 1 : self->fair), UINT32_MAX);
}

/* ------------------------------------------------------------------ telling, and changing */

static bool is_any_older(const struct overlay *overlay)
{
    const struct balance *table = &overlay->repair.rebalance.table;

    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if (table->members[i].counts && (int)i != overlay->self_index &&
            overlay->membership.list[i].view.record.storage_kib == 0) {
            return true;
        }
    }
    return false;
}

static bool is_news(const struct overlay *overlay)
{
    uint64_t told_kib = overlay->record.stored_kib;
    uint64_t stored_kib = overlay->repair.rebalance.stored_kib;
    uint64_t difference = told_kib > stored_kib ? told_kib - stored_kib : stored_kib - told_kib;

    return difference > REBALANCE_TELL_KIB && difference > told_kib / 16;
}

static uint64_t tell_pause_ms(const struct overlay *overlay)
{
    return REBALANCE_TELL_MS + (uint64_t)overlay->membership.count * REBALANCE_TELL_MEMBER_MS;
}

static void tell(struct overlay *overlay, uint16_t used)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;

    overlay->record.positions = used;
    if (is_far_from(rebalance->stored_kib, overlay->record.stored_kib)) {
        rebalance->heard_ms = overlay->now_ms;
    }
    overlay->record.stored_kib = rebalance->stored_kib;
    rebalance->told_ms = overlay->now_ms;
    gossip_describe(overlay, overlay->record.incarnation);
}

static void set_own(struct overlay *overlay, uint16_t used)
{
    positions_set(&overlay->membership.positions, (uint32_t)overlay->self_index, &overlay->key,
                  used);
}

/* Beyond full membership chunks live at first positions alone. A community that grows moves there
 * before, step by step, and not all at once when it gets there. */
static bool is_larger(const struct overlay *overlay, uint64_t permille)
{
    return (uint64_t)scale_size(overlay) * 1000 > overlay->full_members_max * permille;
}

/* Nothing is stored anywhere: a change costs nothing. */
static bool is_free(const struct overlay *overlay)
{
    return overlay->chunks.count == 0 && overlay->repair.rebalance.once_kib == 0;
}

/* Where one may go at once that stores nothing, step by step from these positions. */
static uint16_t choose(struct overlay *overlay, uint16_t used)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint32_t self = (uint32_t)overlay->self_index;
    enum balance_mood mood = is_free(overlay) ? BALANCE_FREE : BALANCE_GENTLE;
    uint16_t before = overlay->membership.positions.masks[self];
    struct balance_change change;

    for (uint32_t i = 0; i < REBALANCE_STEPS_MAX; i++) {
        set_own(overlay, used);
        look(overlay);
        if (!balance_decide(&rebalance->table, self, &overlay->key, mood, &change)) {
            break;
        }
        used = change.used;
    }
    set_own(overlay, before);
    return used;
}

/* Where it stores nothing yet, all that fits may be chosen at once. */
static void begin(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint32_t self = (uint32_t)overlay->self_index;
    uint16_t used = overlay->membership.positions.masks[self];

    if (is_larger(overlay, REBALANCE_STAY_PERMILLE)) {
        used = 1;
    } else if (!is_any_older(overlay) && rebalance->stored_kib == 0) {
        used = choose(overlay, (uint16_t)((1U << balance_count(&rebalance->table, self)) - 1));
    }
    effect_trace(overlay, "begins with positions %04x", used);
    tell(overlay, used);
}

/* Who has just got many chunks seems to store too much until the others have said that they have,
 * too: what is stored counts when nobody has news. Where a few chunks are all there is, they stay
 * where they are; where there are none a change costs nothing. */
static bool is_time(const struct overlay *overlay)
{
    const struct rebalance *rebalance = &overlay->repair.rebalance;

    if (rebalance->is_measured) {
        return !is_news(overlay) && overlay->now_ms >= rebalance->heard_ms + tell_pause_ms(overlay);
    }
    return is_free(overlay);
}

static bool may_change(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;

    return overlay->now_ms >= rebalance->change_ms && overlay->repair.changed_ms == 0 &&
           bucket_is_open(&rebalance->budget, overlay->now_ms) && !is_any_older(overlay);
}

static bool find_change(struct overlay *overlay, struct balance_change *change_out)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint32_t self = (uint32_t)overlay->self_index;
    bool is_calm = overlay->now_ms >= rebalance->heard_ms + REBALANCE_CALM_MS &&
                   overlay->now_ms >= rebalance->change_ms + REBALANCE_CALM_MS;

    if (is_larger(overlay, REBALANCE_FIRST_PERMILLE)) {
        return balance_withdraw(&rebalance->table, self, &overlay->key, change_out);
    }
    if (is_larger(overlay, REBALANCE_STAY_PERMILLE) || !is_time(overlay)) {
        return false;
    }
    if (is_free(overlay)) {
        uint16_t now_used = overlay->membership.positions.masks[self];

        *change_out = (struct balance_change){.used = choose(overlay, now_used)};
        return change_out->used != now_used;
    }
    return balance_decide(&rebalance->table, self, &overlay->key,
                          is_calm ? BALANCE_CALM : BALANCE_GENTLE, change_out);
}

static bool change_one(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    struct balance_change change;
    uint64_t moved_kib;

    if (!may_change(overlay) || !find_change(overlay, &change)) {
        return false;
    }
    moved_kib = kib_of_share(change.moved, rebalance->once_kib);
    if (moved_kib > rebalance_capacity_kib(overlay)) {
        return false;
    }
    bucket_take(&rebalance->budget, moved_kib * 1024);
    rebalance->changed_count++;
    rebalance->change_ms = overlay->now_ms;
    if (moved_kib > 0) {
        rebalance->change_ms +=
            REBALANCE_SETTLE_MS / 2 + random_below(&overlay->random, REBALANCE_SETTLE_MS);
    }
    effect_trace(overlay, "positions %04x, were %04x: %llu KiB move", change.used,
                 overlay->membership.positions.masks[overlay->self_index],
                 (unsigned long long)moved_kib);
    tell(overlay, change.used);
    return true;
}

/* ------------------------------------------------------------------ when */

static bool takes_part(const struct overlay *overlay)
{
    return !overlay->large && overlay->record.stores && overlay->self_index != MEMBER_NONE &&
           overlay->ring.phase == RING_IN && chunk_may_be_home(overlay, overlay->self_index);
}

void rebalance_begin(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint64_t bytes = overlay->chunks.bytes_max;

    bucket_init(&rebalance->budget, bytes / REBALANCE_HOURS / 3600 + 1, bytes / REBALANCE_HOURS,
                overlay->now_ms);
    rebalance->next_ms =
        overlay->now_ms + REBALANCE_FIRST_MS + random_below(&overlay->random, REBALANCE_FIRST_MS);
}

void rebalance_resized(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint64_t bytes = overlay->chunks.bytes_max;

    bucket_limit(&rebalance->budget, bytes / REBALANCE_HOURS / 3600 + 1, bytes / REBALANCE_HOURS,
                 overlay->now_ms);
    rebalance->next_ms = overlay->now_ms + random_below(&overlay->random, REBALANCE_FIRST_MS);
}

void rebalance_tick(struct overlay *overlay)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint64_t pause_ms = REBALANCE_FIRST_MS;

    if (overlay->now_ms < rebalance->next_ms) {
        return;
    }
    if (takes_part(overlay)) {
        rebalance->stored_kib = count_own_kib(overlay);
        look(overlay);
        note_part(overlay);
        if (overlay->record.positions == 0) {
            begin(overlay);
        } else if (!change_one(overlay) && is_news(overlay) &&
                   overlay->now_ms >= rebalance->told_ms + tell_pause_ms(overlay)) {
            tell(overlay, (uint16_t)overlay->record.positions);
        }
        pause_ms = overlay->chunks.count > 0 ? REBALANCE_MS : REBALANCE_EMPTY_MS;
    }
    rebalance->next_ms = overlay->now_ms + pause_ms / 2 + random_below(&overlay->random, pause_ms);
}

uint64_t rebalance_wake(const struct overlay *overlay)
{
    return overlay->large || !overlay->record.stores ? 0 : overlay->repair.rebalance.next_ms;
}

/* Is this node among so many members from some positions before this one on? */
static bool is_around(const struct overlay *overlay, const struct ring_key *position,
                      uint32_t before, uint32_t members)
{
    const struct positions *positions = &overlay->membership.positions;
    struct positions_walk walk;
    uint32_t place;
    int index;

    if (positions->count == 0) {
        return false;
    }
    place = positions_place(positions, &position->id) + positions->count;
    place = (place - before % positions->count) % positions->count;
    walk = positions_walk(positions, &positions->list[place].key.id);
    for (uint32_t i = 0; i < members && (index = positions_walk_next(&walk)) >= 0; i++) {
        if (index == overlay->self_index) {
            return true;
        }
    }
    return false;
}

/* Where nothing is stored all find their places before something is. One that has none yet waits for
 * what it will hear of the others, as long as ever. */
static void look_soon(struct overlay *overlay, int index)
{
    struct rebalance *rebalance = &overlay->repair.rebalance;
    uint64_t soon_ms = overlay->now_ms + REBALANCE_FIRST_MS / 2;

    if (overlay->record.positions != 0 && index != overlay->self_index && is_free(overlay) &&
        rebalance->next_ms > soon_ms) {
        soon_ms += random_below(&overlay->random, REBALANCE_FIRST_MS);
        rebalance->next_ms = soon_ms < rebalance->next_ms ? soon_ms : rebalance->next_ms;
    }
}

/* Chunks may have other homes, the more the fewer are steady; and who is near stores more or less. */
void rebalance_described(struct overlay *overlay, int index, uint16_t before)
{
    uint16_t changed = (uint16_t)(overlay->membership.positions.masks[index] ^ before);

    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        struct ring_key position;

        if ((changed >> i & 1) == 0) {
            continue;
        }
        position = keys_position(&overlay->membership.list[index].view.key, i);
        if (is_around(overlay, &position, REBALANCE_NEAR, 2 * REBALANCE_NEAR)) {
            overlay->repair.rebalance.heard_ms = overlay->now_ms;
            look_soon(overlay, index);
        }
        if (index == overlay->self_index ||
            is_around(overlay, &position, HOMES_MAX, 2 * HOMES_MAX)) {
            repair_positions_changed(overlay);
        }
    }
}
