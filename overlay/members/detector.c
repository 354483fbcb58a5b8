// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/members/detector.h"

#include <string.h>

#include "base/check.h"

enum { VERDICTS_EACH_MAX = 3 };

static void pronounce(struct detector_verdicts *verdicts, enum detector_verdict_kind kind,
                      int member)
{
    CHECK(verdicts->count < DETECTOR_VERDICTS_MAX);
    verdicts->list[verdicts->count++] = (struct detector_verdict){.kind = kind, .member = member};
}

static bool is_watched(const struct watched *watched)
{
    return watched->watched || watched->accused;
}

/* --- the own clock */

static uint64_t own_ms(const struct detector *detector, uint64_t now_ms)
{
    return now_ms - detector->lost_ms;
}

/* What was heard just before a delay was noticed lies ahead of the clock that was put back. */
static uint64_t since(uint64_t own_now_ms, uint64_t then_ms)
{
    return own_now_ms > then_ms ? own_now_ms - then_ms : 0;
}

static void fresh_chance(struct watched *watched, uint64_t own_now_ms)
{
    watched->suspected = false;
    watched->is_wide = false;
    watched->is_refused = false;
    watched->is_denied = false;
    watched->sign_count = 0;
    watched->probe_count = 0;
    watched->heard_ms = own_now_ms;
    watched->probed_ms = 0;
    watched->again_ms = 0;
    watched->via_ms = 0;
}

/* Did this event come later than one was wanted? Then nothing could be heard meanwhile: it waits,
 * and is given the time, to be read. */
static void notice_delay(struct detector *detector, uint64_t now_ms)
{
    uint64_t wanted_ms = detector->due_ms > detector->event_ms ? detector->due_ms : now_ms;
    uint64_t late_ms = now_ms > wanted_ms ? now_ms - wanted_ms : 0;

    if (late_ms <= DETECTOR_LATE_MS) {
        return;
    }
    detector->lost_ms += late_ms;
    if (now_ms - detector->grace_ms > DETECTOR_STALL_MS) {
        detector->grace_ms = now_ms; /* not for ever, if this node is always late */
        detector->lost_ms += DETECTOR_LATE_MS;
    }
    for (uint32_t i = 0; late_ms > DETECTOR_STALL_MS && i < detector->top; i++) {
        if (is_watched(&detector->list[i])) {
            fresh_chance(&detector->list[i], own_ms(detector, now_ms));
        }
    }
}

/* --- who is watched */

static void note_top(struct detector *detector, int member)
{
    if ((uint32_t)member >= detector->top) {
        detector->top = (uint32_t)member + 1;
    }
}

void detector_watch(struct detector *detector, int member, bool watch, uint64_t now_ms)
{
    struct watched *watched = &detector->list[member];

    if (watch && !is_watched(watched)) {
        fresh_chance(watched, own_ms(detector, now_ms));
    }
    watched->watched = watch;
    note_top(detector, member);
}

void detector_accuse(struct detector *detector, int member, uint64_t now_ms)
{
    struct watched *watched = &detector->list[member];

    if (!is_watched(watched)) {
        fresh_chance(watched, own_ms(detector, now_ms));
    }
    watched->accused = true;
    note_top(detector, member);
}

void detector_forget(struct detector *detector, int member)
{
    memset(&detector->list[member], 0, sizeof(detector->list[member]));
}

void detector_excuse(struct detector *detector, int member, uint64_t until_ms)
{
    detector->list[member].excused_ms = until_ms;
}

void detector_pace(struct detector *detector, int member, uint64_t timeout_ms)
{
    detector->list[member].timeout_ms = timeout_ms;
}

void detector_expect(struct detector *detector, int member, uint32_t pace)
{
    CHECK(pace <= UINT8_MAX);
    detector->list[member].pace = (uint8_t)pace;
}

/* Silent for so long, it is asked. */
static uint64_t probe_ms(const struct watched *watched)
{
    return PROBE_MS + (watched->pace > 1 ? (uint64_t)STABILISE_MS * (watched->pace - 1U) : 0);
}

/* --- what happens */

static void on_heard(struct detector *detector, const struct detector_event *event,
                     struct detector_verdicts *verdicts)
{
    struct watched *watched = &detector->list[event->member];

    if (watched->suspected) {
        pronounce(verdicts, VERDICT_ALIVE, event->member);
    }
    detector->heard_ms = own_ms(detector, event->now_ms);
    fresh_chance(watched, detector->heard_ms);
    watched->accused = false;
    watched->excused_ms = 0;
}

/* The next question is due when this one has not been answered in time; patience doubles. */
static void on_asked(struct watched *watched, uint64_t own_now_ms)
{
    uint32_t doublings = watched->probe_count < 8 ? watched->probe_count : 8;
    uint64_t timeout_ms = watched->timeout_ms == 0 ? (uint64_t)REPLY_MS : watched->timeout_ms;
    uint64_t wait_ms = timeout_ms << doublings;

    if (!is_watched(watched)) {
        return;
    }
    if (watched->probed_ms == 0) {
        watched->probed_ms = own_now_ms;
    } else if (watched->again_ms == 0) {
        watched->again_ms = own_now_ms;
    }
    if (watched->probe_count < UINT8_MAX) {
        watched->probe_count++;
    }
    watched->next_ms = own_now_ms + (wait_ms < HEARTBEAT_MS ? wait_ms : (uint64_t)HEARTBEAT_MS);
}

static void ask_others(struct watched *watched, int member, bool is_wide, uint64_t own_now_ms,
                       struct detector_verdicts *verdicts)
{
    watched->is_wide = is_wide;
    watched->via_ms = own_now_ms;
    pronounce(verdicts, VERDICT_PROBE_VIA, member);
    verdicts->list[verdicts->count - 1].is_few = !is_wide;
}

/* By a sign, or only silent: then it may be late, and to be asked after by many, over links that they make for
 * it, costs more than it has sent in a minute. */
static void suspect(struct watched *watched, int member, bool by_sign, uint64_t own_now_ms,
                    struct detector_verdicts *verdicts)
{
    if (!watched->suspected) {
        watched->suspected = true;
        pronounce(verdicts, VERDICT_SUSPECT, member);
        ask_others(watched, member, by_sign, own_now_ms, verdicts);
    } else if (by_sign && !watched->is_wide) {
        ask_others(watched, member, true, own_now_ms, verdicts);
    }
}

/* A first sign may be the link's own trouble: does the address still answer? */
static void on_sign(struct detector *detector, const struct detector_event *event,
                    struct detector_verdicts *verdicts)
{
    struct watched *watched = &detector->list[event->member];
    uint64_t own_now_ms = own_ms(detector, event->now_ms);

    if (!is_watched(watched) || event->now_ms < watched->excused_ms) {
        return;
    }
    watched->is_refused = event->kind == DETECTOR_REFUSED;
    if (watched->sign_count < UINT8_MAX) {
        watched->sign_count++;
    }
    suspect(watched, event->member, true, own_now_ms, verdicts);
    if (watched->sign_count == 1) {
        on_asked(watched, own_now_ms);
        pronounce(verdicts, VERDICT_REDIAL, event->member);
    }
}

/* --- what time brings */

static bool is_gone(const struct watched *watched, uint64_t own_now_ms)
{
    return watched->is_refused && watched->sign_count >= 2 &&
           (watched->is_denied || since(own_now_ms, watched->via_ms) >= REFUSED_WAIT_MS);
}

/* Is nobody heard at all, so that it may be this node that nothing reaches? */
static bool is_deaf(const struct detector *detector, const struct watched *watched)
{
    uint32_t watched_count = 0;

    if (detector->heard_ms > watched->probed_ms) {
        return false;
    }
    for (uint32_t i = 0; i < detector->top && watched_count < DEAF_MEMBERS_MIN; i++) {
        watched_count += is_watched(&detector->list[i]);
    }
    return watched_count == DEAF_MEMBERS_MIN;
}

static uint64_t silence_ms_max(const struct detector *detector, const struct watched *watched)
{
    /* The question may have been on its way when a stall began, the answer is when it has ended. */
    uint64_t way_ms = watched->timeout_ms > GONE_WAY_MS ? watched->timeout_ms : GONE_WAY_MS;

    return GONE_MS - GONE_WAY_MS + way_ms + (is_deaf(detector, watched) ? DEAF_MS : 0);
}

static bool is_dead(const struct detector *detector, const struct watched *watched,
                    uint64_t own_now_ms)
{
    if (!watched->suspected) {
        return false;
    }
    return is_gone(watched, own_now_ms) ||
           (watched->is_wide && watched->again_ms != 0 &&
            since(own_now_ms, watched->via_ms) >= REPLY_MS &&
            since(own_now_ms, watched->again_ms) >= silence_ms_max(detector, watched));
}

static bool is_suspicious(const struct watched *watched, uint64_t own_now_ms)
{
    uint32_t missed_count = watched->probe_count;

    if (missed_count > 0 && own_now_ms < watched->next_ms) {
        missed_count--; /* the last one may still be answered in time */
    }
    return !watched->suspected && missed_count >= PROBES_MISSED_MIN &&
           since(own_now_ms, watched->heard_ms) >= SUSPECT_MS;
}

/* The few that were asked have not brought it back. */
static bool is_still_silent(const struct watched *watched, uint64_t own_now_ms)
{
    return watched->suspected && !watched->is_wide && since(own_now_ms, watched->via_ms) >= FEW_MS;
}

static bool is_probe_due(const struct watched *watched, uint64_t own_now_ms)
{
    if (watched->probed_ms != 0) {
        return own_now_ms >= watched->next_ms;
    }
    return watched->accused || since(own_now_ms, watched->heard_ms) >= probe_ms(watched);
}

static void check_one(struct detector *detector, int member, uint64_t now_ms,
                      struct detector_verdicts *verdicts)
{
    struct watched *watched = &detector->list[member];
    uint64_t own_now_ms = own_ms(detector, now_ms);

    if (!is_watched(watched) || now_ms < watched->excused_ms) {
        return;
    }
    if (is_dead(detector, watched, own_now_ms)) {
        pronounce(verdicts, VERDICT_DEAD, member);
        verdicts->list[verdicts->count - 1].is_gone = is_gone(watched, own_now_ms);
        memset(watched, 0, sizeof(*watched));
        return;
    }
    if (is_suspicious(watched, own_now_ms)) {
        suspect(watched, member, false, own_now_ms, verdicts);
    } else if (is_still_silent(watched, own_now_ms)) {
        ask_others(watched, member, true, own_now_ms, verdicts);
    }
    if (is_probe_due(watched, own_now_ms)) {
        on_asked(watched, own_now_ms);
        pronounce(verdicts, VERDICT_PROBE, member);
    }
}

/* The cursor lets those for whom there is no room have their turn at the next tick. */
static void check_all(struct detector *detector, uint64_t now_ms,
                      struct detector_verdicts *verdicts)
{
    for (uint32_t i = 0; i < detector->top; i++) {
        uint32_t member = (detector->cursor + i) % detector->top;

        if (verdicts->count + VERDICTS_EACH_MAX > DETECTOR_VERDICTS_MAX) {
            detector->cursor = member;
            return;
        }
        check_one(detector, (int)member, now_ms, verdicts);
    }
}

void detector_step(struct detector *detector, struct detector_event event,
                   struct detector_verdicts *verdicts_out)
{
    CHECK(event.kind == DETECTOR_TICK || (event.member >= 0 && event.member < MEMBERS_MAX));
    verdicts_out->count = 0;
    notice_delay(detector, event.now_ms);
    detector->event_ms = event.now_ms;
    switch (event.kind) {
    case DETECTOR_SENT:
        on_asked(&detector->list[event.member], own_ms(detector, event.now_ms));
        break;
    case DETECTOR_HEARD:
        on_heard(detector, &event, verdicts_out);
        break;
    case DETECTOR_LINK_LOST:
    case DETECTOR_REFUSED:
        on_sign(detector, &event, verdicts_out);
        break;
    case DETECTOR_DENIED:
        detector->list[event.member].is_denied = true;
        break;
    case DETECTOR_TICK:
        check_all(detector, event.now_ms, verdicts_out);
        detector->due_ms = detector_wake(detector);
        break;
    }
}

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms == 0 || b_ms < a_ms ? b_ms : a_ms;
}

static uint64_t later(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms > b_ms ? a_ms : b_ms;
}

/* In the own clock. */
static uint64_t wake_of(const struct detector *detector, const struct watched *watched)
{
    uint64_t wake_ms = watched->next_ms;

    if (watched->probed_ms == 0) {
        wake_ms = watched->heard_ms + (watched->accused ? 0 : probe_ms(watched));
    } else if (!watched->suspected && watched->probe_count > PROBES_MISSED_MIN) {
        wake_ms = sooner(wake_ms, watched->heard_ms + SUSPECT_MS);
    } else if (watched->suspected && !watched->is_wide) {
        wake_ms = sooner(wake_ms, watched->via_ms + FEW_MS);
    } else if (watched->suspected && watched->again_ms != 0) {
        wake_ms = sooner(wake_ms, later(watched->via_ms + REPLY_MS,
                                        watched->again_ms + silence_ms_max(detector, watched)));
    }
    if (watched->suspected && watched->is_refused && watched->sign_count >= 2) {
        wake_ms = sooner(wake_ms,
                         watched->is_denied ? watched->via_ms : watched->via_ms + REFUSED_WAIT_MS);
    }
    return wake_ms;
}

uint64_t detector_wake(const struct detector *detector)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; i < detector->top; i++) {
        const struct watched *watched = &detector->list[i];

        if (is_watched(watched)) {
            wake_ms = sooner(wake_ms, later(wake_of(detector, watched) + detector->lost_ms,
                                            watched->excused_ms));
        }
    }
    return wake_ms;
}
