// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Years of virtual time with random rules under several laws of time, against the oracle of
 * year_owner.h, which knows no tricks. The policy is stepped only when it asks to be or when
 * something is sensed, and looked at in between: what it sleeps through, the owner would suffer.
 *
 * Every build lives 24 years; more: RULES_SEEDS=1-5000.
 */
#include "tests/unit/agent/year_owner.h"

static const uint64_t first_unix_s = 1767571200; /* 2026-01-05 00:00 UTC */
enum { BOOT_MS = 1000000, HOUR_MS = 3600000, ZONE_MS = 24 * HOUR_MS, LOOK_MS = 977000 };
enum { POLL_MS = 100 /* so late may hours be seen to begin: the wall's clock ticks seconds */ };

struct life {
    uint64_t seed;
    struct random random;
    uint64_t began_unix_s;
    const char *law;
    uint64_t pace_s; /* how long nothing is sensed, at most */
    struct owner_rules rules;
    struct plan plans[OWNER_RULES_MAX];
    uint64_t begun_ms[OWNER_RULES_MAX]; /* its conditions hold on end since; 0: they do not */
    uint64_t over_ms;                   /* none's have, not even nearly, since; 0: one's do */
    struct owner_senses senses;
    struct owner_policy policy;
};

static struct owner_clock clock_at(const struct life *life, uint64_t ms)
{
    return (struct owner_clock){BOOT_MS + ms, life->began_unix_s + ms / 1000};
}

static void begin(struct life *life, uint64_t seed)
{
    memset(life, 0, sizeof(*life));
    life->seed = seed;
    random_init(&life->random, seed, "rules");
    life->began_unix_s = first_unix_s + random_below(&life->random, (uint64_t)400 * DAY_S);
    life->law = owner_laws[random_below(&life->random, ARRAY_COUNT(owner_laws))];
    life->pace_s = random_below(&life->random, 2) == 0 ? 3600 : DAY_S;
    for (uint64_t i = 1 + random_below(&life->random, 5); i > 0; i--) {
        struct owner_rule *rule = &life->rules.list[life->rules.count];

        rule->name[0] = (char)('a' + life->rules.count);
        owner_draw_rule(&life->random, rule, &life->plans[life->rules.count++]);
    }
    life->senses.battery_percent = UINT32_MAX;
    owner_zone(life->law, life->began_unix_s, &life->senses.zone);
    owner_policy_init(&life->policy);
    owner_policy_rules(&life->policy, &life->rules);
    owner_policy_sense(&life->policy, &life->senses);
}

static bool holds(const struct life *life, uint32_t index, struct owner_clock clock, bool is_slack)
{
    return owner_in_plan(&life->plans[index], &life->senses.zone, clock.unix_s) &&
           owner_conditions_hold(&life->rules.list[index].when, &life->senses, clock.now_ms,
                                 is_slack);
}

#define MUST(life, clock, truth)                                                        \
    cr_assert(truth, "seed %llu at %llu ms: " #truth, (unsigned long long)(life)->seed, \
              (unsigned long long)((clock).now_ms - BOOT_MS))

static void check_rule(const struct life *life, uint32_t index, struct owner_clock clock)
{
    const struct owner_then *allowed = &life->policy.allowance.then;
    const struct owner_then *asked = &life->rules.list[index].then;
    bool is_settled = clock.now_ms >= life->begun_ms[index] + OWNER_SETTLE_MS;

    MUST(life, clock, allowed->cpu_permille <= asked->cpu_permille);
    MUST(life, clock, allowed->upload_bytes_per_s <= asked->upload_bytes_per_s);
    MUST(life, clock, allowed->download_bytes_per_s <= asked->download_bytes_per_s);
    if (asked->mode == OWNER_DRAIN && !is_settled) {
        MUST(life, clock, allowed->mode >= OWNER_KEEP);
    } else {
        MUST(life, clock, allowed->mode >= asked->mode);
    }
    if (is_settled) {
        MUST(life, clock, allowed->memory_bytes <= asked->memory_bytes);
    } else if (asked->memory_bytes != OWNER_NO_LIMIT) {
        MUST(life, clock,
             allowed->mode >= OWNER_KEEP || allowed->memory_bytes <= asked->memory_bytes);
    }
    MUST(life, clock, life->policy.allowance.rule[0] != '\0' || asked->mode == OWNER_RUN);
}

/* What the rules forbid is not allowed; and what none has asked for lately is. */
static void compare(struct life *life, struct owner_clock clock)
{
    const struct owner_then *allowed = &life->policy.allowance.then;
    bool is_near = false;

    for (uint32_t i = 0; i < life->rules.count; i++) {
        struct owner_clock before = clock_at(life, clock.now_ms - BOOT_MS - POLL_MS);
        bool was_hour = owner_in_plan(&life->plans[i], &life->senses.zone, before.unix_s);
        bool is_begun = was_hour && holds(life, i, clock, false);

        MUST(life, clock,
             !life->policy.acting[i].acts || was_hour ||
                 owner_in_plan(&life->plans[i], &life->senses.zone, clock.unix_s));
        is_near = is_near || holds(life, i, clock, true);
        life->begun_ms[i] = !is_begun                ? 0
                            : life->begun_ms[i] != 0 ? life->begun_ms[i]
                                                     : clock.now_ms;
        if (is_begun) {
            check_rule(life, i, clock);
        }
    }
    if (is_near || life->over_ms == 0) {
        life->over_ms = is_near ? 0 : clock.now_ms;
    } else if (clock.now_ms > life->over_ms + OWNER_HOLD_MS) {
        MUST(life, clock, allowed->mode == OWNER_RUN);
        MUST(life, clock, allowed->cpu_permille == OWNER_NO_LIMIT);
        MUST(life, clock, allowed->memory_bytes == OWNER_NO_LIMIT);
        MUST(life, clock, allowed->upload_bytes_per_s == OWNER_NO_LIMIT);
        MUST(life, clock, life->policy.allowance.rule[0] == '\0');
    }
}

static void step(struct life *life, uint64_t ms)
{
    owner_policy_step(&life->policy, clock_at(life, ms));
    MUST(life, clock_at(life, ms), owner_policy_wake_ms(&life->policy) > BOOT_MS + ms);
    compare(life, clock_at(life, ms));
}

static void live_a_year(uint64_t seed)
{
    static struct life life;
    uint64_t end_ms = 365ULL * 24 * HOUR_MS;
    uint64_t sense_ms = 0;
    uint64_t zone_ms = 0;

    begin(&life, seed);
    for (uint64_t ms = POLL_MS; ms < end_ms;) {
        uint64_t next_ms;

        if (ms >= sense_ms) {
            if (ms >= zone_ms) {
                owner_zone(life.law, clock_at(&life, ms).unix_s, &life.senses.zone);
                zone_ms = ms + ZONE_MS;
            }
            step(&life, ms); /* what ends in this moment, before something else begins in it */
            owner_draw_senses(&life.random, BOOT_MS + ms, &life.senses);
            owner_policy_sense(&life.policy, &life.senses);
            sense_ms = ms + 1000 * (1 + random_below(&life.random, life.pace_s));
        }
        step(&life, ms);
        next_ms = owner_policy_wake_ms(&life.policy);
        next_ms = next_ms - BOOT_MS < sense_ms ? next_ms - BOOT_MS : sense_ms;
        if (next_ms > ms + 1) { /* asleep until then: still as strict as the oracle asks */
            compare(&life, clock_at(&life, ms + 1 + random_below(&life.random, next_ms - ms - 1)));
            compare(&life, clock_at(&life, next_ms - 1));
        }
        ms = next_ms;
    }
}

Test(rules_years, random_rules_never_allow_what_one_forbids, .timeout = 600)
{
    const char *wanted = getenv("RULES_SEEDS");
    unsigned first = 1;
    unsigned last = 24;

    if (wanted != NULL) {
        cr_assert_eq(sscanf(wanted, "%u-%u", &first, &last), 2);
    }
    for (unsigned seed = first; seed <= last; seed++) {
        live_a_year(seed);
    }
}

/* Nothing is sensed meanwhile. */
static void last_as_said(uint64_t seed)
{
    static struct life life;
    struct owner_allowance before;
    uint64_t left_ms;

    begin(&life, seed);
    for (int i = 0; i < 8; i++) {
        owner_draw_senses(&life.random, BOOT_MS, &life.senses);
    }
    owner_policy_sense(&life.policy, &life.senses);
    owner_policy_step(&life.policy, clock_at(&life, 0));
    before = life.policy.allowance;
    left_ms = owner_policy_left_ms(&life.policy, clock_at(&life, 0));
    if (left_ms == UINT64_MAX) {
        return; /* nobody said how long */
    }
    for (uint64_t ms = 0, wake_ms = 0; ms < left_ms; ms = wake_ms) {
        owner_policy_step(&life.policy, clock_at(&life, ms));
        MUST(&life, clock_at(&life, ms), life.policy.allowance.then.mode == before.then.mode);
        MUST(&life, clock_at(&life, ms), strcmp(life.policy.allowance.rule, before.rule) == 0);
        wake_ms = owner_policy_wake_ms(&life.policy) - BOOT_MS;
        wake_ms = wake_ms < ms + LOOK_MS ? wake_ms : ms + LOOK_MS;
    }
    MUST(&life, clock_at(&life, left_ms),
         owner_policy_step(&life.policy, clock_at(&life, left_ms)));
}

Test(rules_years, what_is_said_to_last_lasts_as_long)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        last_as_said(seed);
    }
}
