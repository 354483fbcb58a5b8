// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/detector.h"

#include <string.h>

#include "base/check.h"

static void pronounce(struct detector_verdicts *verdicts, enum detector_verdict_kind kind,
                      int member)
{
    CHECK(verdicts->count < DETECTOR_VERDICTS_MAX);
    verdicts->list[verdicts->count++] = (struct detector_verdict){kind, member};
}

static bool is_watched(const struct watched *watched)
{
    return watched->watched || watched->accused;
}

static void fresh_chance(struct watched *watched, uint64_t now_ms)
{
    watched->suspected = false;
    watched->refused_count = 0;
    watched->heard_ms = now_ms;
    watched->probed_ms = 0;
    watched->via_ms = 0;
}

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
        fresh_chance(watched, now_ms);
    }
    watched->watched = watch;
    note_top(detector, member);
}

void detector_accuse(struct detector *detector, int member, uint64_t now_ms)
{
    struct watched *watched = &detector->list[member];

    if (!is_watched(watched)) {
        fresh_chance(watched, now_ms);
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

static void on_heard(struct watched *watched, const struct detector_event *event,
                     struct detector_verdicts *verdicts)
{
    if (watched->suspected) {
        pronounce(verdicts, VERDICT_ALIVE, event->member);
    }
    fresh_chance(watched, event->now_ms);
    watched->accused = false;
    watched->excused_ms = 0;
}

static void suspect(struct watched *watched, int member, uint64_t now_ms,
                    struct detector_verdicts *verdicts)
{
    if (!watched->suspected) {
        watched->suspected = true;
        watched->via_ms = now_ms;
        pronounce(verdicts, VERDICT_SUSPECT, member);
        pronounce(verdicts, VERDICT_PROBE_VIA, member);
    }
}

static void on_link_lost(struct watched *watched, const struct detector_event *event,
                         struct detector_verdicts *verdicts)
{
    if (!is_watched(watched) || event->now_ms < watched->excused_ms) {
        return;
    }
    if (watched->refused_count < UINT8_MAX) {
        watched->refused_count++;
    }
    suspect(watched, event->member, event->now_ms, verdicts);
    /* The first loss may be the link's own; whether the address still answers shows a new one. */
    if (watched->refused_count == 1) {
        watched->probed_ms = event->now_ms;
        pronounce(verdicts, VERDICT_PROBE, event->member);
    }
}

static bool is_dead(const struct watched *watched, uint64_t now_ms)
{
    bool asked_others = watched->via_ms != 0 && now_ms - watched->via_ms >= REPLY_MS;
    bool refused = watched->refused_count >= 2;
    bool silent = now_ms - watched->heard_ms >= ABSENT_MS;

    return watched->suspected && asked_others && (refused || silent);
}

static void check_one(struct watched *watched, int member, uint64_t now_ms,
                      struct detector_verdicts *verdicts)
{
    uint64_t silence_ms = now_ms - watched->heard_ms;

    if (!is_watched(watched) || now_ms < watched->excused_ms) {
        return;
    }
    if (is_dead(watched, now_ms)) {
        pronounce(verdicts, VERDICT_DEAD, member);
        memset(watched, 0, sizeof(*watched));
        return;
    }
    if (silence_ms >= SUSPECT_MS && watched->probed_ms != 0) {
        suspect(watched, member, now_ms, verdicts);
    }
    if ((watched->accused || silence_ms >= HEARTBEAT_MS) &&
        (watched->probed_ms == 0 || now_ms - watched->probed_ms >= HEARTBEAT_MS)) {
        watched->probed_ms = now_ms;
        pronounce(verdicts, VERDICT_PROBE, member);
    }
}

/* At most three verdicts each; the cursor lets the rest have its turn at the next tick. */
static void check_all(struct detector *detector, uint64_t now_ms,
                      struct detector_verdicts *verdicts)
{
    for (uint32_t i = 0; i < detector->top; i++) {
        uint32_t member = (detector->cursor + i) % detector->top;

        if (verdicts->count + 3 > DETECTOR_VERDICTS_MAX) {
            detector->cursor = member;
            return;
        }
        check_one(&detector->list[member], (int)member, now_ms, verdicts);
    }
}

void detector_step(struct detector *detector, struct detector_event event,
                   struct detector_verdicts *verdicts_out)
{
    CHECK(event.kind == DETECTOR_TICK || (event.member >= 0 && event.member < MEMBERS_MAX));
    verdicts_out->count = 0;
    if (detector->event_ms != 0 && event.now_ms - detector->event_ms > DETECTOR_STALL_MS) {
        for (uint32_t i = 0; i < detector->top; i++) {
            if (is_watched(&detector->list[i])) {
                fresh_chance(&detector->list[i], event.now_ms);
            }
        }
    }
    detector->event_ms = event.now_ms;
    switch (event.kind) {
    case DETECTOR_SENT:
        if (detector->list[event.member].probed_ms == 0) {
            detector->list[event.member].probed_ms = event.now_ms;
        }
        break;
    case DETECTOR_HEARD:
        on_heard(&detector->list[event.member], &event, verdicts_out);
        break;
    case DETECTOR_LINK_LOST:
        on_link_lost(&detector->list[event.member], &event, verdicts_out);
        break;
    case DETECTOR_TICK:
        check_all(detector, event.now_ms, verdicts_out);
        break;
    }
}

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms == 0 || b_ms < a_ms ? b_ms : a_ms;
}

static uint64_t wake_of(const struct watched *watched)
{
    uint64_t probe_ms = watched->probed_ms == 0
                            ? watched->heard_ms + (watched->accused ? 0 : (uint64_t)HEARTBEAT_MS)
                            : watched->probed_ms + HEARTBEAT_MS;
    uint64_t wake_ms = probe_ms;

    if (watched->probed_ms != 0 && !watched->suspected) {
        wake_ms = sooner(wake_ms, watched->heard_ms + SUSPECT_MS);
    }
    if (watched->suspected && watched->refused_count >= 2) {
        wake_ms = sooner(wake_ms, watched->via_ms + REPLY_MS);
    } else if (watched->suspected) {
        wake_ms = sooner(wake_ms, watched->heard_ms + ABSENT_MS);
    }
    return wake_ms < watched->excused_ms ? watched->excused_ms : wake_ms;
}

uint64_t detector_wake(const struct detector *detector)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; i < detector->top; i++) {
        if (is_watched(&detector->list[i])) {
            wake_ms = sooner(wake_ms, wake_of(&detector->list[i]));
        }
    }
    return wake_ms;
}
