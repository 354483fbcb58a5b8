// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Is a watched member still there? Pure.
 *
 * Ring neighbours are watched, and whoever was accused. Any message counts as life. A question
 * that is not answered in time is followed by probes, further and further apart; after SUSPECT_MS
 * of silence a member is suspected: a few others are asked to look (SWIM, Das et al. 2002, section
 * 3.1), and many when it is still silent FEW_MS later, or when its link broke. It is dead
 * - quickly, when its address refuses connections: there is no process any more. Two signs are
 *   needed (the link broke and the new one was refused, or two refusals), and a helper that finds
 *   the same, or REFUSED_WAIT_MS in which no helper saw it;
 * - when it has answered nothing for GONE_MS (longer if it is far) since a question was asked for
 *   the second time, and others had time to see it. A process that gets no time for almost two
 *   seconds is not dead, though a message was lost just before.
 * One timeout is never a death.
 *
 * This node notices its own slowness before it accuses others (after Dadgar, Phillips and Currey,
 * "Lifeguard", 2018): time in which it did not get to run, seen from ticks that come late, does
 * not count; after a long sleep each member gets a fresh chance; and who hears nobody at all
 * suspects itself, and waits longer.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum {
    GONE_MS = 1900,   /* for members that are near */
    GONE_WAY_MS = 30, /* of that, for the ways there and back */
    REFUSED_WAIT_MS = 100,
    FEW_MS = 300,             /* so long have the few to bring it back, before many are asked */
    DEAF_MS = 1000,           /* longer, when nobody is heard */
    DEAF_MEMBERS_MIN = 3,     /* of fewer, all may well be gone */
    PROBES_MISSED_MIN = 2,    /* before silence is suspicious */
    DETECTOR_LATE_MS = 50,    /* a tick later than this was held up */
    DETECTOR_STALL_MS = 1000, /* held up for longer: we slept, not they */
    DETECTOR_VERDICTS_MAX = LIMIT(32, 6), /* of one step */
};

enum detector_event_kind {
    DETECTOR_SENT, /* a question, not a probe, that is answered at once */
    DETECTOR_HEARD,
    DETECTOR_LINK_LOST, /* it broke, or the process behind it takes no new one */
    DETECTOR_REFUSED,   /* its address has no process behind it */
    DETECTOR_DENIED,    /* a helper finds that too */
    DETECTOR_TICK,
};

struct detector_event {
    enum detector_event_kind kind;
    int member; /* index; TICK: ignored */
    uint64_t now_ms;
};

enum detector_verdict_kind {
    VERDICT_PROBE,
    VERDICT_REDIAL, /* probe over a new link: does the address still answer? */
    VERDICT_PROBE_VIA,
    VERDICT_SUSPECT,
    VERDICT_ALIVE,
    VERDICT_DEAD
};

struct detector_verdict {
    enum detector_verdict_kind kind;
    int member;
    bool is_gone; /* DEAD: its addresses refuse; else only silent, and it may live */
    bool is_few;  /* PROBE_VIA: a few are enough, it may only be late */
};

struct detector_verdicts {
    uint32_t count;
    struct detector_verdict list[DETECTOR_VERDICTS_MAX];
};

/* Times are of the detector's own clock, which stands still while this node gets no time. */
struct watched {
    bool watched;
    bool suspected;
    bool is_wide;        /* many others have been asked, not a few */
    bool accused;        /* watched until heard or dead, neighbour or not */
    bool is_refused;     /* the last sign was a refusal */
    bool is_denied;      /* by a helper */
    uint8_t sign_count;  /* links broken and connections refused since last heard */
    uint8_t probe_count; /* questions since last heard */
    uint8_t pace;        /* it speaks every so many STABILISE_MS by itself; 0: 1 */
    uint64_t timeout_ms; /* for an answer; 0: unknown */
    uint64_t heard_ms;   /* or since when it has a chance */
    uint64_t probed_ms;  /* the first question since; 0: none */
    uint64_t again_ms;   /* the second one; 0: none */
    uint64_t next_ms;    /* then the next one is due */
    uint64_t via_ms;     /* when others were last asked; 0: not */
    uint64_t excused_ms; /* it said that it would be away until then; real time */
};

struct detector {
    uint64_t event_ms; /* the last event */
    uint64_t due_ms;   /* a tick was wanted by then; 0: none */
    uint64_t lost_ms;  /* in which this node did not get to run */
    uint64_t grace_ms; /* the last time that was given to read what waits; real time */
    uint64_t heard_ms; /* anyone */
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
/* How long the member may take to answer. */
void detector_pace(struct detector *detector, int member, uint64_t timeout_ms);
/* By itself it speaks only every so many STABILISE_MS. */
void detector_expect(struct detector *detector, int member, uint32_t pace);
/* One event in, verdicts out. After a DEAD the member is no longer watched. */
void detector_step(struct detector *detector, struct detector_event event,
                   struct detector_verdicts *verdicts_out);
/* When the next TICK is due; 0: not at all. */
uint64_t detector_wake(const struct detector *detector);
