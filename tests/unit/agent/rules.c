// SPDX-License-Identifier: GPL-3.0-or-later
/* The owner's rules: examples, and years of virtual time against an oracle that knows no tricks. */
#include "agent/policy/rules.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"

static const uint64_t monday_unix_s = 1767571200; /* 2026-01-05 00:00 UTC */
enum { BOOT_MS = 1000000, HOUR_MS = 3600000 };

static struct owner_then nothing(void)
{
    return (struct owner_then){.within_ms = OWNER_WITHIN_MS,
                               .cpu_permille = OWNER_NO_LIMIT,
                               .memory_bytes = OWNER_NO_LIMIT,
                               .upload_bytes_per_s = OWNER_NO_LIMIT,
                               .download_bytes_per_s = OWNER_NO_LIMIT};
}

static struct owner_rule *add(struct owner_rules *rules, const char *name, enum owner_mode mode)
{
    struct owner_rule *rule = &rules->list[rules->count++];

    memset(rule, 0, sizeof(*rule));
    strcpy(rule->name, name);
    rule->then = nothing();
    rule->then.mode = mode;
    return rule;
}

static struct owner_clock clock_at(uint64_t ms)
{
    return (struct owner_clock){BOOT_MS + ms, monday_unix_s + ms / 1000};
}

static enum owner_mode mode_at(struct owner_policy *policy, uint64_t ms)
{
    owner_policy_step(policy, clock_at(ms));
    return policy->allowance.then.mode;
}

static struct owner_policy *policy_of(const struct owner_rules *rules)
{
    struct owner_policy *policy = calloc(1, sizeof(*policy));

    owner_policy_init(policy);
    owner_policy_rules(policy, rules);
    return policy;
}

Test(rules, without_rules_everything_is_as_contributed_and_nobody_wakes)
{
    struct owner_rules rules = {0};
    struct owner_policy *policy = policy_of(&rules);

    cr_assert(!owner_policy_step(policy, clock_at(0)));
    cr_assert_eq(policy->allowance.then.mode, OWNER_RUN);
    cr_assert_eq(policy->allowance.then.cpu_permille, OWNER_NO_LIMIT);
    cr_assert_str_eq(policy->allowance.rule, "");
    cr_assert_eq(owner_policy_wake_ms(policy), UINT64_MAX);
    cr_assert_eq(owner_policy_left_ms(policy, clock_at(0)), UINT64_MAX);
    free(policy);
}

Test(rules, the_strictest_wins_for_each_thing_and_is_named)
{
    struct owner_rules rules = {0};
    struct owner_policy *policy;

    add(&rules, "office", OWNER_KEEP)->then.cpu_permille = 100;
    cr_assert_eq(hours_parse("Mon 08:00-18:00", &rules.list[0].when.hours), 0);
    add(&rules, "lunch", OWNER_FREEZE)->then.cpu_permille = 500;
    cr_assert_eq(hours_parse("12:00-13:00", &rules.list[1].when.hours), 0);
    policy = policy_of(&rules);
    cr_assert_eq(mode_at(policy, 7 * HOUR_MS), OWNER_RUN);
    cr_assert_eq(owner_policy_left_ms(policy, clock_at(7 * HOUR_MS)), HOUR_MS);
    cr_assert_eq(mode_at(policy, 8 * HOUR_MS), OWNER_KEEP);
    cr_assert_str_eq(policy->allowance.rule, "office");
    cr_assert_eq(mode_at(policy, 12 * HOUR_MS), OWNER_FREEZE);
    cr_assert_str_eq(policy->allowance.rule, "lunch");
    cr_assert_eq(policy->allowance.then.cpu_permille, 100);
    cr_assert_eq(owner_policy_left_ms(policy, clock_at(12 * HOUR_MS)), HOUR_MS);
    cr_assert_eq(mode_at(policy, 18 * HOUR_MS), OWNER_RUN);
    free(policy);
}

Test(rules, all_conditions_of_a_rule_must_hold)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {.on_battery = OWNER_YES, .battery_percent = 80};
    struct owner_policy *policy;
    struct owner_rule *rule = add(&rules, "both", OWNER_FREEZE);

    rule->when.on_battery = OWNER_YES;
    rule->when.battery_below_percent = 50;
    policy = policy_of(&rules);
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 0), OWNER_RUN);
    senses.battery_percent = 49;
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 1), OWNER_FREEZE);
    free(policy);
}

Test(rules, use_of_the_machine_acts_at_once_and_ends_after_its_time)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {0};
    struct owner_policy *policy;

    add(&rules, "used", OWNER_FREEZE)->when.in_use_ms = 300000;
    add(&rules, "idle", OWNER_KEEP)->when.idle_ms = 600000;
    policy = policy_of(&rules);
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 0), OWNER_KEEP, "nobody since it started: idle");
    senses.input_ms = BOOT_MS + 1000;
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 1000), OWNER_FREEZE);
    cr_assert_eq(owner_policy_wake_ms(policy), BOOT_MS + 301000);
    cr_assert_eq(mode_at(policy, 300999), OWNER_FREEZE);
    cr_assert_eq(mode_at(policy, 301000), OWNER_RUN);
    cr_assert_eq(owner_policy_wake_ms(policy), BOOT_MS + 601000);
    cr_assert_eq(mode_at(policy, 601000), OWNER_KEEP);
    free(policy);
}

Test(rules, what_flaps_holds_on_for_a_minute)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {.on_battery = OWNER_YES};
    struct owner_policy *policy;

    add(&rules, "battery", OWNER_FREEZE)->when.on_battery = OWNER_YES;
    policy = policy_of(&rules);
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 0), OWNER_FREEZE, "a restriction does not wait");
    senses.on_battery = OWNER_NO;
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 1000), OWNER_FREEZE);
    cr_assert_eq(owner_policy_wake_ms(policy), BOOT_MS + 1000 + OWNER_HOLD_MS);
    cr_assert_eq(mode_at(policy, 999 + OWNER_HOLD_MS), OWNER_FREEZE);
    cr_assert_eq(mode_at(policy, 1000 + OWNER_HOLD_MS), OWNER_RUN);
    free(policy);
}

Test(rules, a_reload_that_changes_what_a_rule_asks_for_begins_it_anew)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {.on_battery = OWNER_YES};
    struct owner_policy *policy;

    add(&rules, "mine", OWNER_DRAIN)->when.on_battery = OWNER_YES;
    policy = policy_of(&rules);
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 0), OWNER_KEEP);
    cr_assert_eq(mode_at(policy, OWNER_SETTLE_MS), OWNER_DRAIN);
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, OWNER_SETTLE_MS + 1), OWNER_DRAIN, "it stays as it was");
    rules.list[0].when.on_battery = OWNER_UNKNOWN;
    rules.list[0].when.hotter_than_celsius = 80;
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, OWNER_SETTLE_MS + 2), OWNER_RUN, "it was never so hot");
    free(policy);
}

Test(rules, flapping_moves_no_replica)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {0};
    struct owner_policy *policy;
    uint32_t drains = 0;
    uint32_t changes = 0;

    add(&rules, "battery", OWNER_DRAIN)->when.on_battery = OWNER_YES;
    policy = policy_of(&rules);
    for (uint64_t i = 0; i < 10; i++) { /* a loose plug, each quarter of an hour for 5 s */
        for (uint64_t s = 0; s < 900; s++) {
            senses.on_battery = s < 5 ? OWNER_YES : OWNER_NO;
            owner_policy_sense(policy, &senses);
            changes += owner_policy_step(policy, clock_at((i * 900 + s) * 1000)) ? 1 : 0;
            drains += policy->allowance.then.mode == OWNER_DRAIN ? 1 : 0;
        }
    }
    cr_assert_eq(drains, 0);
    cr_assert_eq(changes, 20, "nothing new for a minute, ten times");
    senses.on_battery = OWNER_YES;
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 10000000), OWNER_KEEP, "nothing new, at once");
    cr_assert_eq(mode_at(policy, 10000000 + OWNER_SETTLE_MS - 1), OWNER_KEEP);
    cr_assert_eq(mode_at(policy, 10000000 + OWNER_SETTLE_MS), OWNER_DRAIN);
    free(policy);
}

Test(rules, what_drains_has_its_time_from_when_it_begins_not_from_when_the_rule_acts)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {0};
    struct owner_policy *policy;

    add(&rules, "battery", OWNER_DRAIN)->when.on_battery = OWNER_YES;
    policy = policy_of(&rules);
    for (uint64_t s = 0; s < 600; s++) { /* it never settles, and never ends */
        senses.on_battery = s % 20 < 10 ? OWNER_YES : OWNER_NO;
        owner_policy_sense(policy, &senses);
        cr_assert_eq(mode_at(policy, s * 1000), OWNER_KEEP);
    }
    senses.on_battery = OWNER_YES;
    owner_policy_sense(policy, &senses);
    owner_policy_step(policy, clock_at(600000));
    cr_assert_eq(mode_at(policy, 600000 + OWNER_SETTLE_MS), OWNER_DRAIN);
    cr_assert_eq(policy->allowance.since_ms, BOOT_MS + 600000 + OWNER_SETTLE_MS);
    free(policy);
}

/* ------------------------------------------------------------------ years, against an oracle */

/* The same by brute force: one rule's conditions, without memory. */
static bool oracle_used(const struct owner_senses *senses, uint64_t now_ms, uint64_t within_ms)
{
    return senses->input_ms != 0 && now_ms < senses->input_ms + within_ms;
}

static bool oracle_hours(uint32_t which, uint64_t unix_s)
{
    uint64_t minute = (unix_s + 3600 - monday_unix_s) / 60 % WEEK_MINUTES; /* UTC+1 */
    uint64_t day = minute / 1440;
    uint64_t of_day = minute % 1440;

    switch (which) {
    case 0:
        return day <= 4 && of_day >= 480 && of_day < 1080;
    case 1:
        return of_day >= 1320 || of_day < 360;
    default:
        return true;
    }
}

static const char *const oracle_texts[] = {"Mon-Fri 08:00-18:00", "22:00-06:00"};

static bool oracle(const struct owner_when *when, uint32_t hours, const struct owner_senses *senses,
                   struct owner_clock clock)
{
    return oracle_hours(hours, clock.unix_s) &&
           (when->in_use_ms == 0 || oracle_used(senses, clock.now_ms, when->in_use_ms)) &&
           (when->idle_ms == 0 || !oracle_used(senses, clock.now_ms, when->idle_ms)) &&
           (when->busy_permille == 0 || senses->others_permille > when->busy_permille) &&
           (when->on_battery == OWNER_UNKNOWN || when->on_battery == senses->on_battery) &&
           (when->metered == OWNER_UNKNOWN || when->metered == senses->metered) &&
           (when->hotter_than_celsius == 0 || senses->celsius > when->hotter_than_celsius) &&
           (when->programs.count == 0 || senses->program_count > 0);
}

static uint32_t draw(struct random *random, uint32_t below)
{
    return (uint32_t)(random_u64(random) % below);
}

static void draw_rule(struct random *random, struct owner_rules *rules, uint32_t *hours_out)
{
    char name[8] = "rule ";
    struct owner_rule *rule;

    name[5] = (char)('a' + rules->count);
    rule = add(rules, name, (enum owner_mode)draw(random, 4));
    *hours_out = draw(random, 3);
    if (*hours_out < 2) {
        cr_assert_eq(hours_parse(oracle_texts[*hours_out], &rule->when.hours), 0);
    }
    rule->when.in_use_ms = draw(random, 3) == 0 ? 60000ULL * (1 + draw(random, 30)) : 0;
    rule->when.idle_ms = draw(random, 4) == 0 ? 60000ULL * (1 + draw(random, 30)) : 0;
    rule->when.busy_permille = draw(random, 4) == 0 ? 1 + draw(random, 900) : 0;
    rule->when.on_battery = (enum owner_truth)(draw(random, 3) == 0 ? 1 + draw(random, 2) : 0);
    rule->when.metered = (enum owner_truth)(draw(random, 6) == 0 ? 1 + draw(random, 2) : 0);
    rule->when.hotter_than_celsius = draw(random, 5) == 0 ? 40 + draw(random, 50) : 0;
    if (draw(random, 5) == 0) {
        rule->when.programs.count = 1;
        strcpy(rule->when.programs.list[0], "game");
    }
    rule->then.cpu_permille = draw(random, 2) == 0 ? draw(random, 2000) : OWNER_NO_LIMIT;
    rule->then.upload_bytes_per_s = draw(random, 3) == 0 ? draw(random, 200000) : OWNER_NO_LIMIT;
}

static void draw_senses(struct random *random, struct owner_senses *senses, uint64_t now_ms)
{
    switch (draw(random, 8)) {
    case 0:
        senses->input_ms = now_ms;
        break;
    case 1:
        senses->others_permille = draw(random, 1000);
        break;
    case 2:
        senses->on_battery = (enum owner_truth)(1 + draw(random, 2));
        break;
    case 3:
        senses->metered = (enum owner_truth)(1 + draw(random, 2));
        break;
    case 4:
        senses->celsius = 30 + draw(random, 70);
        break;
    case 5:
        senses->program_count = draw(random, 2);
        strcpy(senses->programs[0], "game");
        break;
    default: /* time alone */
        break;
    }
}

struct year {
    struct owner_rules rules;
    uint32_t hours[OWNER_RULES_MAX];
    uint64_t held_ms[OWNER_RULES_MAX];  /* when the oracle last saw it hold */
    uint64_t begun_ms[OWNER_RULES_MAX]; /* on end since */
    bool holds[OWNER_RULES_MAX];
};

/* What the rules forbid is not allowed; and what no rule has asked for lately is. */
static void compare(struct year *year, const struct owner_policy *policy, struct owner_clock clock)
{
    const struct owner_then *allowed = &policy->allowance.then;
    bool any_lately = false;

    for (uint32_t i = 0; i < year->rules.count; i++) {
        const struct owner_rule *rule = &year->rules.list[i];
        enum owner_mode mode = rule->then.mode;
        bool holds = oracle(&rule->when, year->hours[i], &policy->senses, clock);

        year->begun_ms[i] = holds && !year->holds[i] ? clock.now_ms : year->begun_ms[i];
        year->holds[i] = holds;
        if (holds) {
            if (mode == OWNER_DRAIN && clock.now_ms < year->begun_ms[i] + OWNER_SETTLE_MS) {
                mode = OWNER_KEEP;
            }
            year->held_ms[i] = clock.now_ms;
            cr_assert_geq(allowed->mode, mode);
            cr_assert_leq(allowed->cpu_permille, rule->then.cpu_permille);
            cr_assert_leq(allowed->upload_bytes_per_s, rule->then.upload_bytes_per_s);
        }
        any_lately = any_lately || policy->acting[i].acts;
        cr_assert(!policy->acting[i].acts || oracle_hours(year->hours[i], clock.unix_s),
                  "out of its hours no rule acts");
    }
    if (!any_lately) {
        cr_assert_eq(allowed->mode, OWNER_RUN);
        cr_assert_eq(allowed->cpu_permille, OWNER_NO_LIMIT);
        cr_assert_str_eq(policy->allowance.rule, "");
    }
}

/* Steps only when it asks to be, or when something is sensed; looks at it in between. */
static void live_a_year(uint64_t seed)
{
    struct random random;
    struct year year = {0};
    struct owner_senses senses = {
        .on_battery = OWNER_NO, .battery_percent = 100, .zone = {.offset_s = 3600}};
    struct owner_policy *policy;
    uint64_t end_ms = 365ULL * 24 * HOUR_MS;
    uint64_t sense_ms = 0;

    random_init(&random, seed, "rules");
    for (uint32_t i = 1 + draw(&random, 5); i > 0; i--) {
        draw_rule(&random, &year.rules, &year.hours[year.rules.count]);
    }
    policy = policy_of(&year.rules);
    for (uint64_t ms = 0; ms < end_ms;) {
        uint64_t wake_ms;

        if (ms >= sense_ms) {
            draw_senses(&random, &senses, BOOT_MS + ms);
            owner_policy_sense(policy, &senses);
            sense_ms = ms + 1000 * (1 + (uint64_t)draw(&random, 3600));
        }
        owner_policy_step(policy, clock_at(ms));
        compare(&year, policy, clock_at(ms));
        wake_ms = owner_policy_wake_ms(policy);
        cr_assert_gt(wake_ms, BOOT_MS + ms);
        uint64_t next_ms = wake_ms - BOOT_MS < sense_ms ? wake_ms - BOOT_MS : sense_ms;

        if (next_ms > ms + 1) { /* asleep until then: still as strict as the oracle asks */
            uint64_t between_ms = ms + 1 + random_u64(&random) % (next_ms - ms - 1);

            compare(&year, policy, clock_at(between_ms));
        }
        ms = next_ms;
    }
    free(policy);
}

Test(rules, twelve_years_with_random_rules_never_allow_what_one_forbids, .timeout = 100)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        live_a_year(seed);
    }
}

Test(rules, what_is_said_to_last_lasts_as_long)
{
    struct random random;

    random_init(&random, 7, "left");
    for (uint32_t i = 0; i < 300; i++) {
        struct year year = {0};
        struct owner_senses senses = {.input_ms = BOOT_MS, .zone = {.offset_s = 3600}};
        struct owner_policy *policy;
        struct owner_allowance before;
        uint64_t left_ms;

        draw_rule(&random, &year.rules, &year.hours[0]);
        draw_rule(&random, &year.rules, &year.hours[1]);
        policy = policy_of(&year.rules);
        senses.on_battery = (enum owner_truth)(1 + draw(&random, 2));
        senses.celsius = draw(&random, 100);
        owner_policy_sense(policy, &senses);
        owner_policy_step(policy, clock_at(0));
        before = policy->allowance;
        left_ms = owner_policy_left_ms(policy, clock_at(0));
        for (uint64_t ms = 0; ms < 7ULL * 24 * HOUR_MS && ms < left_ms; ms += 977000) {
            owner_policy_step(policy, clock_at(ms));
            cr_assert_eq(policy->allowance.then.mode, before.then.mode);
            cr_assert_str_eq(policy->allowance.rule, before.rule);
        }
        if (left_ms != UINT64_MAX) {
            cr_assert(owner_policy_step(policy, clock_at(left_ms)));
        }
        free(policy);
    }
}
