// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Is a watched member still there? Pure.
 *
 * Ring neighbours are watched, and whoever was accused. Any message counts as life. After
 * SUSPECT_MS of silence, or when its link broke, a member is suspected: it is probed at once,
 * directly and through others (SWIM, Das et al. 2002, section 3.1). It is dead when it stayed
 * silent for ABSENT_MS and others had time to see it; or, quickly, when its address refused a
 * connection twice and nobody else saw it within REPLY_MS. One timeout is never a death.
 *
 * A node that was itself stalled, or asleep, accuses nobody of that silence: each watched member
 * gets a fresh chance.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum {
    DETECTOR_STALL_MS = 2 * HEARTBEAT_MS, /* no event for longer: we slept, not they */
    DETECTOR_VERDICTS_MAX = LIMIT(32, 6), /* of one step */
};

enum detector_event_kind {
    DETECTOR_SENT, /* a message that wants a reply */
    DETECTOR_HEARD,
    DETECTOR_LINK_LOST,
    DETECTOR_TICK,
};

struct detector_event {
    enum detector_event_kind kind;
    int member; /* index; TICK: ignored */
    uint64_t now_ms;
};

enum detector_verdict_kind {
    VERDICT_PROBE,
    VERDICT_PROBE_VIA,
    VERDICT_SUSPECT,
    VERDICT_ALIVE,
    VERDICT_DEAD
};

struct detector_verdict {
    enum detector_verdict_kind kind;
    int member;
};

struct detector_verdicts {
    uint32_t count;
    struct detector_verdict list[DETECTOR_VERDICTS_MAX];
};

struct watched {
    bool watched;
    bool suspected;
    bool accused;          /* watched until heard or dead, neighbour or not */
    uint8_t refused_count; /* links lost since last heard */
    uint64_t heard_ms;     /* or since when it has a chance */
    uint64_t probed_ms;    /* last probe; 0: none since heard */
    uint64_t via_ms;       /* when others were first asked; 0: not */
    uint64_t excused_ms;   /* it said that it would be away until then */
};

struct detector {
    uint64_t event_ms; /* the last event */
    uint32_t cursor;
    uint32_t top; /* no member at or above was ever watched */
    struct watched list[MEMBERS_MAX];
};

/* Watches or not; a member newly watched begins with a full chance. */
void detector_watch(struct detector *detector, int member, bool watch, uint64_t now_ms);
/* Watches until it is heard or dead. */
void detector_accuse(struct detector *detector, int member, uint64_t now_ms);
/* Another member takes its index. */
void detector_forget(struct detector *detector, int member);
void detector_excuse(struct detector *detector, int member, uint64_t until_ms);
/* One event in, verdicts out. After a DEAD the member is no longer watched. */
void detector_step(struct detector *detector, struct detector_event event,
                   struct detector_verdicts *verdicts_out);
/* When the next TICK is due; 0: not at all. */
uint64_t detector_wake(const struct detector *detector);
