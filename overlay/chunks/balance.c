// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/balance.h"

#include "base/check.h"

enum { AFFECTED_MAX = 96 };

/* One member with other positions than those that it has in the table. */
struct variant {
    uint32_t member;
    uint16_t used;
    const uint64_t *at; /* its candidates */
};

struct affected {
    uint32_t count;
    uint32_t members[AFFECTED_MAX];
    int64_t changes[AFFECTED_MAX];
};

/* ------------------------------------------------------------------ homes */

static uint64_t top_at(const struct positions *positions, uint32_t place)
{
    return id_top(&positions->list[place].key.id);
}

/* The first place at or after a point. */
static uint32_t place_of(const struct positions *positions, uint64_t point)
{
    uint32_t low = 0;
    uint32_t high = positions->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (top_at(positions, middle) < point) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == positions->count ? 0 : low;
}

/* How far it is from a point to the variant's first position at or after it. */
static uint64_t distance_to(const struct variant *variant, uint64_t point, bool *is_any_out)
{
    uint64_t nearest = UINT64_MAX;

    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        uint64_t distance = variant->at[i] - point;

        if ((variant->used >> i & 1) != 0 && distance < nearest) {
            nearest = distance;
        }
    }
    *is_any_out = variant->used != 0;
    return nearest;
}

static bool is_among(const uint32_t *members, uint32_t count, uint32_t member)
{
    for (uint32_t i = 0; i < count; i++) {
        if (members[i] == member) {
            return true;
        }
    }
    return false;
}

/* The first of those who count, from a point on. */
static uint32_t homes_at(const struct balance *balance, const struct variant *variant,
                         uint64_t point, uint32_t homes_out[CHUNK_COPIES])
{
    const struct positions *positions = balance->positions;
    uint32_t place = positions->count == 0 ? 0 : place_of(positions, point);
    bool is_waiting;
    uint64_t distance = distance_to(variant, point, &is_waiting);
    uint32_t count = 0;

    for (uint32_t i = 0; i < positions->count && count < CHUNK_COPIES; i++) {
        uint32_t member = positions->list[place].member;

        if (is_waiting && top_at(positions, place) - point >= distance) {
            homes_out[count++] = variant->member;
            is_waiting = false;
        }
        if (count < CHUNK_COPIES && member != variant->member && balance->members[member].counts &&
            !is_among(homes_out, count, member)) {
            homes_out[count++] = member;
        }
        place = place + 1 == positions->count ? 0 : place + 1;
    }
    if (is_waiting && count < CHUNK_COPIES) {
        homes_out[count++] = variant->member;
    }
    return count;
}

void balance_shares(const struct balance *balance, uint64_t shares_out[MEMBERS_MAX])
{
    const struct positions *positions = balance->positions;
    const uint64_t nowhere[POSITIONS_MAX] = {0};
    const struct variant nobody = {MEMBERS_MAX, 0, nowhere};

    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        shares_out[i] = 0;
    }
    for (uint32_t place = 0; place < positions->count; place++) {
        uint32_t before = place == 0 ? positions->count - 1 : place - 1;
        uint64_t arc = top_at(positions, place) - top_at(positions, before);
        uint32_t homes[CHUNK_COPIES];
        uint32_t count = homes_at(balance, &nobody, top_at(positions, place), homes);

        for (uint32_t i = 0; i < count; i++) {
            shares_out[homes[i]] += positions->count == 1 ? BALANCE_ONE : arc >> 32;
        }
    }
}

/* ------------------------------------------------------------------ what is fair */

/* capacity * copies / total, without overflow. */
static uint64_t part_of_copies(uint64_t capacity, uint64_t copies, uint64_t total)
{
    while (total > UINT32_MAX) {
        total >>= 1;
        capacity >>= 1;
    }
    return total == 0 ? 0 : capacity * BALANCE_ONE / total * copies;
}

/* Gives so much that it is to have a copy of everything. Returns its index, or MEMBERS_MAX. */
static uint32_t find_whole(const struct balance *balance, uint64_t copies, uint64_t total)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        const struct balance_member *member = &balance->members[i];

        if (member->counts && member->fair == 0 &&
            part_of_copies(member->capacity, copies, total) >= BALANCE_ONE) {
            return i;
        }
    }
    return MEMBERS_MAX;
}

void balance_be_fair(struct balance *balance)
{
    uint64_t copies = CHUNK_COPIES;
    uint64_t total = 0;
    uint32_t whole;

    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        balance->members[i].fair = 0;
        total += balance->members[i].counts ? balance->members[i].capacity : 0;
    }
    while (copies > 0 && (whole = find_whole(balance, copies, total)) < MEMBERS_MAX) {
        balance->members[whole].fair = BALANCE_ONE;
        total -= balance->members[whole].capacity;
        copies--;
    }
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        struct balance_member *member = &balance->members[i];

        if (member->counts && member->fair == 0) {
            member->fair = part_of_copies(member->capacity, copies, total) + 1;
        }
    }
}

/* ------------------------------------------------------------------ one change */

/* What somebody that looks for a change goes by. */
struct aim {
    bool is_eager;
    uint64_t high_permille; /* above, it counts */
    uint64_t moved_weight;
    uint64_t fair; /* what moves is measured by this */
};

static uint64_t badness_of_excess(const struct aim *aim, uint64_t permille)
{
    const uint64_t knee = BALANCE_KNEE_PERMILLE;
    uint64_t excess = permille - aim->high_permille;
    uint64_t bad = excess * excess;

    if (!aim->is_eager) {
        bad = excess <= knee ? bad : knee * knee + 2 * knee * (excess - knee);
        bad += permille > BALANCE_MUCH_PERMILLE ? BALANCE_MUCH_WEIGHT : 0;
    }
    return bad;
}

/* How bad is it that somebody stores so much? */
static uint64_t badness(const struct aim *aim, const struct balance_member *member, int64_t change)
{
    int64_t load = (int64_t)member->load + change;
    uint64_t permille = load <= 0 ? 0 : (uint64_t)load * 1000 / member->fair;

    permille = permille > 100000 ? 100000 : permille;
    if (permille > aim->high_permille) {
        return badness_of_excess(aim, permille);
    }
    if (permille < BALANCE_LOW_PERMILLE) {
        permille = BALANCE_LOW_PERMILLE - permille;
        return permille * permille / 4;
    }
    return 0;
}

static void note(struct affected *affected, uint32_t member, int64_t change)
{
    for (uint32_t i = 0; i < affected->count; i++) {
        if (affected->members[i] == member) {
            affected->changes[i] += change;
            return;
        }
    }
    if (affected->count < AFFECTED_MAX) {
        affected->members[affected->count] = member;
        affected->changes[affected->count++] = change;
    }
}

/* The nearest position before a point: another one's, or a candidate of the variants' member. */
static uint64_t boundary_before(const struct positions *positions, const struct variant *before,
                                uint16_t either, uint64_t point)
{
    uint32_t place = place_of(positions, point);
    uint64_t nearest;

    place = place == 0 ? positions->count - 1 : place - 1;
    nearest = point - top_at(positions, place);
    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        uint64_t distance = point - before->at[i];

        if ((either >> i & 1) != 0 && distance != 0 && (distance < nearest || nearest == 0)) {
            nearest = distance;
        }
    }
    return nearest;
}

/* Those who are no homes otherwise. Returns how many. */
static uint32_t note_all(struct affected *affected, const uint32_t *homes, uint32_t count,
                         const uint32_t *others, uint32_t other_count, int64_t change)
{
    uint32_t noted_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!is_among(others, other_count, homes[i])) {
            note(affected, homes[i], change);
            noted_count++;
        }
    }
    return noted_count;
}

/* A question: what becomes of the chunks when one member changes its positions? */
struct trial {
    const struct balance *balance;
    const struct variant *before;
    struct variant after;
    uint64_t moved; /* shares that get another home */
    struct affected affected;
};

/* The keys between a point and the boundary before it, which is so far away. */
static bool look_behind(struct trial *trial, uint64_t point, uint64_t arc, bool is_counted)
{
    uint32_t old_homes[CHUNK_COPIES];
    uint32_t new_homes[CHUNK_COPIES];
    uint32_t old_count = homes_at(trial->balance, trial->before, point, old_homes);
    uint32_t new_count = homes_at(trial->balance, &trial->after, point, new_homes);
    uint64_t share = arc >> 32;

    if (is_counted) {
        (void)note_all(&trial->affected, old_homes, old_count, new_homes, new_count,
                       -(int64_t)share);
        trial->moved += share * note_all(&trial->affected, new_homes, new_count, old_homes,
                                         old_count, (int64_t)share);
    }
    return is_among(old_homes, old_count, trial->before->member) ||
           is_among(new_homes, new_count, trial->before->member);
}

/* Follows the keys behind a position that is taken or given up, back to where the member is no home
 * either way, without the `skipped` ones behind `start`. Returns how far that is. */
static uint64_t follow(struct trial *trial, uint64_t point, uint64_t start, uint64_t skipped)
{
    uint16_t either = (uint16_t)(trial->before->used | trial->after.used);
    uint64_t gone = 0;
    bool is_home = true;

    for (uint32_t i = 0; is_home && i < trial->balance->positions->count + POSITIONS_MAX; i++) {
        uint64_t arc = boundary_before(trial->balance->positions, trial->before, either, point);

        if (arc == 0 || gone + arc < gone) {
            return UINT64_MAX; /* all around */
        }
        is_home = look_behind(trial, point, arc, start - point >= skipped);
        gone += arc;
        point -= arc;
    }
    return gone;
}

/* By how much what is affected becomes better: squares when eager. May be below 0. */
static int64_t gain_of(const struct trial *trial, const struct aim *aim)
{
    int64_t gain = 0;

    for (uint32_t i = 0; i < trial->affected.count; i++) {
        const struct balance_member *member = &trial->balance->members[trial->affected.members[i]];

        gain += (int64_t)badness(aim, member, 0);
        gain -= (int64_t)badness(aim, member, trial->affected.changes[i]);
    }
    return gain;
}

static void try_change(struct trial *trial)
{
    const struct variant *before = trial->before;
    uint64_t start = 0;
    uint64_t done = 0;

    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        if (((before->used ^ trial->after.used) >> i & 1) != 0) {
            uint64_t gone = follow(trial, before->at[i], start, done);

            start = before->at[i];
            done = gone;
        }
    }
}

/* No change makes the squares worse: with each one they, or else the rest, become less, so that
 * there is an end. */
static void look_at(const struct balance *balance, const struct variant *before, uint16_t used,
                    const struct aim *aim, struct balance_change *best)
{
    const struct aim squares = {.is_eager = true, .high_permille = aim->high_permille};
    struct trial trial = {balance, before, {before->member, used, before->at}, 0, {0}};
    int64_t gain;

    try_change(&trial);
    gain = gain_of(&trial, aim) - (int64_t)(trial.moved * 1000 / aim->fair * aim->moved_weight);
    if (gain > (int64_t)best->gain && gain_of(&trial, &squares) >= 0) {
        *best = (struct balance_change){used, trial.moved, (uint64_t)gain};
    }
}

/* All single changes: one position more, one less, one for another. */
static void look_at_all(const struct balance *balance, const struct variant *now,
                        const struct aim *aim, struct balance_change *best)
{
    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        uint16_t toggled = (uint16_t)(now->used ^ 1U << i);

        if (toggled != 0) {
            look_at(balance, now, toggled, aim, best);
        }
        for (uint32_t k = 0; k < POSITIONS_MAX; k++) {
            if ((now->used >> i & 1) != 0 && (now->used >> k & 1) == 0) {
                look_at(balance, now, (uint16_t)(toggled | 1U << k), aim, best);
            }
        }
    }
}

/* What one that gives little moves is not more for that. */
static uint64_t measure_of(const struct balance *balance, uint32_t member)
{
    uint64_t total = 0;
    uint64_t count = 0;
    uint64_t own = balance->members[member].fair;

    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        total += balance->members[i].counts ? balance->members[i].fair : 0;
        count += balance->members[i].counts ? 1 : 0;
    }
    return own > total / count ? own : total / count;
}

static bool stores_above(const struct balance_member *member, uint64_t permille)
{
    return member->counts && member->load / permille > member->fair / 1000;
}

static bool is_any_above(const struct balance *balance, uint64_t permille)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        if (stores_above(&balance->members[i], permille)) {
            return true;
        }
    }
    return false;
}

static void find_candidates(const struct public_key *key, uint64_t at_out[POSITIONS_MAX])
{
    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        struct ring_key position = keys_position(key, i);

        at_out[i] = id_top(&position.id);
    }
}

bool balance_decide(const struct balance *balance, uint32_t member, const struct public_key *key,
                    enum balance_mood mood, struct balance_change *change_out)
{
    const struct balance_member *self = &balance->members[member];
    uint64_t at[POSITIONS_MAX];
    struct variant now = {member, balance->positions->masks[member], at};
    struct balance_change best = {now.used, 0, BALANCE_GAIN};
    struct aim aim = {false, BALANCE_HIGH_PERMILLE, BALANCE_MOVED_WEIGHT, 0};

    CHECK(self->counts && now.used != 0 && balance->positions->count > 0);
    find_candidates(key, at);
    aim.fair = measure_of(balance, member);
    if (mood == BALANCE_FREE) {
        aim = (struct aim){true, BALANCE_FREE_PERMILLE, 0, aim.fair};
        best.gain = BALANCE_FREE_GAIN;
    }
    look_at_all(balance, &now, &aim, &best);
    if (best.used == now.used && mood != BALANCE_FREE &&
        (stores_above(self, BALANCE_MUCH_PERMILLE) ||
         (mood == BALANCE_CALM && is_any_above(balance, BALANCE_STUCK_PERMILLE)))) {
        aim.is_eager = true;
        aim.moved_weight = BALANCE_EAGER_WEIGHT;
        look_at_all(balance, &now, &aim, &best);
    }
    if (best.used == now.used) {
        return false;
    }
    *change_out = best;
    return true;
}

/* The first one comes before others go. */
bool balance_withdraw(const struct balance *balance, uint32_t member, const struct public_key *key,
                      struct balance_change *change_out)
{
    uint64_t at[POSITIONS_MAX];
    struct variant now = {member, balance->positions->masks[member], at};
    bool has_first = (now.used & 1) != 0;
    struct balance_change best = {now.used, UINT64_MAX, 0};

    find_candidates(key, at);
    for (uint32_t i = has_first ? 1 : 0; i < (has_first ? POSITIONS_MAX : 1); i++) {
        struct trial trial = {balance, &now, {member, (uint16_t)(now.used ^ 1U << i), at}, 0, {0}};

        if (has_first && (now.used >> i & 1) == 0) {
            continue;
        }
        try_change(&trial);
        if (trial.moved < best.moved) {
            best = (struct balance_change){trial.after.used, trial.moved, 0};
        }
    }
    if (best.used == now.used) {
        return false;
    }
    *change_out = best;
    return true;
}

uint32_t balance_count(const struct balance *balance, uint32_t member)
{
    uint64_t total = 0;
    uint64_t count = 0;
    uint64_t mean;
    uint64_t wanted;

    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        if (balance->members[i].counts) {
            total += balance->members[i].capacity;
            count++;
        }
    }
    mean = count == 0 ? 0 : total / count;
    wanted = mean == 0 ? 1 : (balance->members[member].capacity * BALANCE_USUAL + mean / 2) / mean;
    wanted = wanted < 1 ? 1 : wanted;
    return wanted > POSITIONS_MAX ? (uint32_t)POSITIONS_MAX : (uint32_t)wanted;
}
