// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/habit.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"

enum {
    HABIT_FORM = 1,
    MINUTE_S = 60,
    MARGIN_S = 30 * 60,
    FEW_ABSENCES = 8,
    SHARES_S_MAX = 7 * 24 * 3600, /* of both: older time counts less and less */
};

static_assert(HABIT_PATIENCE_S_MAX / MINUTE_S <= UINT16_MAX, "an absence fits its field");

static uint64_t since(uint64_t then_s, uint64_t now_s)
{
    return now_s > then_s ? now_s - then_s : 0;
}

static void remember(struct habit *habit, uint64_t absence_s)
{
    CHECK(habit->next < HABIT_ABSENCES_MAX);
    if (absence_s > HABIT_PATIENCE_S_MAX) {
        absence_s = HABIT_PATIENCE_S_MAX;
    }
    habit->absences_min[habit->next] = (uint16_t)(absence_s / MINUTE_S);
    habit->next = (uint8_t)((habit->next + 1) % HABIT_ABSENCES_MAX);
    if (habit->count < HABIT_ABSENCES_MAX) {
        habit->count++;
    }
}

/* The time since the last look, as it was then. */
static void account(struct habit *habit, uint64_t now_s)
{
    uint64_t passed_s = habit->seen_s == 0 ? 0 : since(habit->seen_s, now_s);
    uint64_t sum_s;

    habit->seen_s = now_s;
    passed_s = passed_s > SHARES_S_MAX ? (uint64_t)SHARES_S_MAX : passed_s;
    if (habit->away_s != 0) {
        habit->away_share_s += (uint32_t)passed_s;
    } else {
        habit->here_share_s += (uint32_t)passed_s;
    }
    sum_s = (uint64_t)habit->here_share_s + habit->away_share_s;
    if (sum_s > SHARES_S_MAX) {
        habit->here_share_s = (uint32_t)(habit->here_share_s * (uint64_t)SHARES_S_MAX / sum_s);
        habit->away_share_s = (uint32_t)(habit->away_share_s * (uint64_t)SHARES_S_MAX / sum_s);
    }
}

void habit_skip(struct habit *habit, uint64_t now_s)
{
    habit->seen_s = now_s;
}

bool habit_is_steady(const struct habit *habit, uint64_t now_s)
{
    uint64_t here_s = habit->here_share_s;
    uint64_t away_s = habit->away_share_s;
    uint64_t passed_s = habit->seen_s == 0 ? 0 : since(habit->seen_s, now_s);

    if (habit->away_s != 0) {
        away_s += passed_s;
    } else {
        here_s += passed_s;
    }
    return here_s + away_s < HABIT_JUDGED_S ||
           here_s * 1000 >= (here_s + away_s) * HABIT_STEADY_PERMILLE;
}

bool habit_here(struct habit *habit, uint64_t now_s)
{
    uint64_t absence_s = habit_away_for_s(habit, now_s);

    account(habit, now_s);
    if (habit->known_s == 0) {
        habit->known_s = now_s > 0 ? now_s : 1;
    }
    habit->away_s = 0;
    if (absence_s < HABIT_SHORT_S) {
        return false;
    }
    remember(habit, absence_s);
    return true;
}

bool habit_away(struct habit *habit, uint64_t now_s)
{
    account(habit, now_s);
    if (habit->away_s != 0) {
        return false;
    }
    habit->away_s = now_s > 0 ? now_s : 1;
    if (habit->known_s == 0) {
        habit->known_s = habit->away_s;
    }
    return true;
}

/* The longest absence, or where there are many the second longest. */
static uint64_t usual_s(const struct habit *habit)
{
    uint64_t longest_min = 0;
    uint64_t second_min = 0;

    for (uint32_t i = 0; i < habit->count; i++) {
        uint64_t absence_min = habit->absences_min[i];

        if (absence_min > longest_min) {
            second_min = longest_min;
            longest_min = absence_min;
        } else if (absence_min > second_min) {
            second_min = absence_min;
        }
    }
    return MINUTE_S * (habit->count < FEW_ABSENCES ? longest_min : second_min);
}

uint64_t habit_patience_s(const struct habit *habit, uint64_t now_s)
{
    uint64_t seen_until_s = habit->away_s != 0 ? habit->away_s : now_s;
    uint64_t usual = usual_s(habit);
    uint64_t patience_s = usual + usual / 4 + MARGIN_S;
    bool is_new = since(habit->known_s, seen_until_s) < HABIT_KNOWN_S;
    uint64_t least_s = is_new || !habit_is_steady(habit, seen_until_s)
                           ? (uint64_t)HABIT_NEW_PATIENCE_S
                           : (uint64_t)HABIT_PATIENCE_S_MIN;

    if (patience_s < least_s) {
        return least_s;
    }
    return patience_s > HABIT_PATIENCE_S_MAX ? (uint64_t)HABIT_PATIENCE_S_MAX : patience_s;
}

uint64_t habit_away_for_s(const struct habit *habit, uint64_t now_s)
{
    return habit->away_s == 0 ? 0 : since(habit->away_s, now_s);
}

bool habit_is_gone(const struct habit *habit, uint64_t now_s)
{
    return habit->away_s != 0 && habit_away_for_s(habit, now_s) > habit_patience_s(habit, now_s);
}

void habit_encode(const struct habit *habit, uint8_t bytes_out[HABIT_BYTES])
{
    struct wire_writer wire = wire_writer(bytes_out, HABIT_BYTES);

    wire_put_u8(&wire, HABIT_FORM);
    wire_put_u64(&wire, habit->known_s);
    wire_put_u64(&wire, habit->away_s);
    wire_put_u64(&wire, habit->seen_s);
    wire_put_u32(&wire, habit->here_share_s);
    wire_put_u32(&wire, habit->away_share_s);
    wire_put_u8(&wire, habit->count);
    wire_put_u8(&wire, habit->next);
    for (uint32_t i = 0; i < HABIT_ABSENCES_MAX; i++) {
        wire_put_u16(&wire, habit->absences_min[i]);
    }
    CHECK(wire_ok(&wire) && wire.written_bytes == HABIT_BYTES);
}

int habit_decode(struct bytes bytes, struct habit *habit_out)
{
    struct wire_reader wire = wire_reader(bytes);
    struct habit habit = {0};
    uint8_t form = wire_u8(&wire);

    habit.known_s = wire_u64(&wire);
    habit.away_s = wire_u64(&wire);
    habit.seen_s = wire_u64(&wire);
    habit.here_share_s = wire_u32(&wire);
    habit.away_share_s = wire_u32(&wire);
    habit.count = wire_u8(&wire);
    habit.next = wire_u8(&wire);
    for (uint32_t i = 0; i < HABIT_ABSENCES_MAX; i++) {
        habit.absences_min[i] = wire_u16(&wire);
    }
    if (!wire_done(&wire) || form != HABIT_FORM || habit.count > HABIT_ABSENCES_MAX ||
        habit.next >= HABIT_ABSENCES_MAX || habit.here_share_s > SHARES_S_MAX ||
        habit.away_share_s > SHARES_S_MAX) {
        return -EBADMSG;
    }
    *habit_out = habit;
    return 0;
}
