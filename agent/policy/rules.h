// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The owner's rules: when something holds on this machine, then the community gets less of it.
 *
 * Pure: what is sensed, both clocks and the rules come in, what is allowed comes out. All
 * conditions of a rule must hold; of several rules that act the strictest counts for each thing,
 * and one is named. A rule only ever takes away from `contribute`.
 *
 * A rule acts from the moment its conditions hold. It ends at once when its hours do, or when
 * nobody uses the machine any more; what flaps (battery, heat, load, networks, programs) must have
 * been over for OWNER_HOLD_MS. And what flaps moves no replica: a rule that drains, or
 * takes memory, lets nothing new in at first, and begins to move replicas once its conditions have
 * held for OWNER_SETTLE_MS on end.
 *
 * Before anything was sensed no rule can be judged, not even by its hours, for the time zone is
 * not known: nothing new comes then, and what is there is left as it is.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/hours.h"

enum {
    OWNER_RULES_MAX = 16,
    OWNER_WORDS_MAX = 4, /* networks or programs of a rule */
    OWNER_WORD_CHARS_MAX = 32,
    OWNER_SENSED_WORDS_MAX = 16,
    OWNER_HOLD_MS = 60000,
    OWNER_SETTLE_MS = 30000,
    OWNER_WITHIN_MS = 60000, /* default of `within` */
    OWNER_COOLER_CELSIUS = 5,
    OWNER_FULLER_PERCENT = 5,
};

#define OWNER_NO_LIMIT UINT64_MAX

enum owner_mode { /* each is stricter than those before */
                  OWNER_RUN,
                  OWNER_KEEP,   /* nothing new; what runs stays */
                  OWNER_DRAIN,  /* elsewhere first, ended within `within` */
                  OWNER_FREEZE, /* no process of a replica runs */
};

enum owner_truth { OWNER_UNKNOWN, OWNER_YES, OWNER_NO }; /* in a rule UNKNOWN: not asked */

struct owner_words {
    uint32_t count;
    char list[OWNER_WORDS_MAX][OWNER_WORD_CHARS_MAX + 1];
};

struct owner_when { /* zero: not asked */
    struct hours hours;
    uint64_t in_use_ms; /* somebody has used the machine within this time */
    uint64_t idle_ms;   /* nobody has for this time */
    uint32_t busy_permille;
    enum owner_truth on_battery;
    uint32_t battery_below_percent;
    enum owner_truth metered;
    struct owner_words networks;     /* connected to one of these */
    struct owner_words not_networks; /* to none of these */
    uint32_t hotter_than_celsius;
    struct owner_words programs; /* one of these runs */
};

struct owner_then {
    enum owner_mode mode;
    uint64_t within_ms;
    uint64_t cpu_permille; /* OWNER_NO_LIMIT: as contributed, here and below */
    uint64_t memory_bytes;
    uint64_t upload_bytes_per_s;
    uint64_t download_bytes_per_s;
};

struct owner_rule {
    char name[OWNER_WORD_CHARS_MAX + 1];
    struct owner_when when;
    struct owner_then then;
};

struct owner_rules {
    uint32_t count;
    struct owner_rule list[OWNER_RULES_MAX];
};

struct owner_senses {
    uint64_t input_ms;        /* when somebody last used the machine; 0: not since it started */
    uint32_t others_permille; /* of all cores, used by others than us, over the last minute */
    enum owner_truth on_battery;
    uint32_t battery_percent; /* above 100: there is none */
    enum owner_truth metered;
    uint32_t celsius; /* of the hottest zone; 0: unknown */
    uint32_t network_count;
    char networks[OWNER_SENSED_WORDS_MAX][OWNER_WORD_CHARS_MAX + 1];
    uint32_t program_count; /* of those that the rules name */
    char programs[OWNER_SENSED_WORDS_MAX][OWNER_WORD_CHARS_MAX + 1];
    struct local_zone zone;
};

enum owner_asks {
    OWNER_ASKS_INPUT = 1,
    OWNER_ASKS_BUSY = 2,
    OWNER_ASKS_POWER = 4,
    OWNER_ASKS_HEAT = 8,
    OWNER_ASKS_NETWORKS = 16,
    OWNER_ASKS_PROGRAMS = 32,
};

struct owner_clock {
    uint64_t now_ms; /* CLOCK_BOOTTIME */
    uint64_t unix_s;
};

/* Whose word each limit is; "": no rule's. */
struct owner_named {
    char cpu[OWNER_WORD_CHARS_MAX + 1];
    char memory[OWNER_WORD_CHARS_MAX + 1];
    char upload[OWNER_WORD_CHARS_MAX + 1];
    char download[OWNER_WORD_CHARS_MAX + 1];
};

struct owner_allowance {
    struct owner_then then;              /* within_ms: of what decides the mode */
    uint64_t since_ms;                   /* of what decides the mode */
    uint64_t memory_within_ms;           /* the shortest of those that lower memory */
    char rule[OWNER_WORD_CHARS_MAX + 1]; /* the strictest; "": none acts */
    struct owner_named named;
};

struct owner_acting {
    bool acts;
    uint64_t since_ms;
    uint64_t stands_ms;  /* its conditions hold on end since then */
    uint64_t over_ms;    /* acts, but its conditions do not hold since then; 0: they do */
    uint64_t settled_ms; /* since then it may move replicas; 0: not yet */
};

struct owner_policy {
    struct owner_rules rules;
    struct owner_senses senses;
    bool has_senses;
    uint32_t sensed; /* enum owner_asks: what was looked at for `senses` */
    struct owner_acting acting[OWNER_RULES_MAX];
    uint64_t wake_ms;
    struct owner_allowance allowance;
};

void owner_policy_init(struct owner_policy *policy);
/* A rule that asks for the same as before, and has the same mode, goes on acting; any other
 * begins anew, `within` and all. */
void owner_policy_rules(struct owner_policy *policy, const struct owner_rules *rules);
/* What was looked at for the rules in force. Must be followed by a step, as owner_policy_rules. */
void owner_policy_sense(struct owner_policy *policy, const struct owner_senses *senses);
/* There are rules, and nothing was sensed yet. */
bool owner_policy_is_blind(const struct owner_policy *policy);
/* Brings policy->allowance up to date; true when it has changed. */
bool owner_policy_step(struct owner_policy *policy, struct owner_clock clock);
/* When it must be stepped again, should nothing be sensed before; UINT64_MAX: never. */
uint64_t owner_policy_wake_ms(const struct owner_policy *policy);
/* How long the present allowance stays, should what is sensed not change; UINT64_MAX: unknown, or
 * more than a week. */
uint64_t owner_policy_left_ms(const struct owner_policy *policy, struct owner_clock clock);

const char *owner_mode_name(enum owner_mode mode);
/* What rules ask for (enum owner_asks), so that only that is looked at. */
uint32_t owner_rules_ask(const struct owner_rules *rules);
/* It asks for nothing: its rule acts at all times. */
bool owner_when_is_always(const struct owner_when *when);
