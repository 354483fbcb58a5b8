// SPDX-License-Identifier: GPL-3.0-or-later
/* The owner's rules: examples; years of virtual time are in rules_years.c. */
#include "tests/unit/agent/owner_rule.h"

static const uint64_t monday_unix_s = 1767571200; /* 2026-01-05 00:00 UTC */
enum { BOOT_MS = 1000000, HOUR_MS = 3600000 };

static struct owner_clock clock_at(uint64_t ms)
{
    return (struct owner_clock){BOOT_MS + ms, monday_unix_s + ms / 1000};
}

static enum owner_mode mode_at(struct owner_policy *policy, uint64_t ms)
{
    owner_policy_step(policy, clock_at(ms));
    return policy->allowance.then.mode;
}

static struct owner_policy *blind_policy_of(const struct owner_rules *rules)
{
    struct owner_policy *policy = calloc(1, sizeof(*policy));

    owner_policy_init(policy);
    owner_policy_rules(policy, rules);
    return policy;
}

static struct owner_policy *policy_of(const struct owner_rules *rules)
{
    struct owner_policy *policy = blind_policy_of(rules);

    owner_policy_sense(policy, &(struct owner_senses){.battery_percent = UINT32_MAX});
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

    rule_add(&rules, "office", OWNER_KEEP)->then.cpu_permille = 100;
    cr_assert_eq(hours_parse("Mon 08:00-18:00", &rules.list[0].when.hours), 0);
    rule_add(&rules, "lunch", OWNER_FREEZE)->then.cpu_permille = 500;
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

Test(rules, who_lowers_what_is_named_for_each_thing)
{
    struct owner_rules rules = {0};
    struct owner_policy *policy;
    const struct owner_named *named;

    rule_add(&rules, "a little", OWNER_RUN)->then.cpu_permille = 500;
    rules.list[0].then.download_bytes_per_s = 2000;
    rule_add(&rules, "less", OWNER_RUN)->then.cpu_permille = 100;
    rule_add(&rules, "line", OWNER_RUN)->then.upload_bytes_per_s = 1000;
    policy = policy_of(&rules);
    named = &policy->allowance.named;
    cr_assert_eq(mode_at(policy, 0), OWNER_RUN);
    cr_assert_str_eq(policy->allowance.rule, "less");
    cr_assert_str_eq(named->cpu, "less");
    cr_assert_str_eq(named->upload, "line");
    cr_assert_str_eq(named->download, "a little");
    cr_assert_str_eq(named->memory, "");
    free(policy);
}

Test(rules, all_conditions_of_a_rule_must_hold)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {.on_battery = OWNER_YES, .battery_percent = 80};
    struct owner_policy *policy;
    struct owner_rule *rule = rule_add(&rules, "both", OWNER_FREEZE);

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

    rule_add(&rules, "used", OWNER_FREEZE)->when.in_use_ms = 300000;
    rule_add(&rules, "idle", OWNER_KEEP)->when.idle_ms = 600000;
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

    rule_add(&rules, "battery", OWNER_FREEZE)->when.on_battery = OWNER_YES;
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

    rule_add(&rules, "mine", OWNER_DRAIN)->when.on_battery = OWNER_YES;
    policy = policy_of(&rules);
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 0), OWNER_KEEP);
    cr_assert_eq(mode_at(policy, OWNER_SETTLE_MS), OWNER_DRAIN);
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, OWNER_SETTLE_MS + 1), OWNER_DRAIN, "it stays as it was");
    rules.list[0].when.on_battery = OWNER_UNKNOWN;
    rules.list[0].when.hotter_than_celsius = 80;
    owner_policy_rules(policy, &rules);
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, OWNER_SETTLE_MS + 2), OWNER_RUN, "it was never so hot");
    free(policy);
}

Test(rules, a_reload_that_changes_the_mode_of_an_acting_rule_gives_it_its_time_anew)
{
    struct owner_rules rules = {0};
    struct owner_policy *policy;
    uint64_t edited_ms = HOUR_MS / 4;

    rule_add(&rules, "day", OWNER_KEEP); /* without conditions: always */
    policy = policy_of(&rules);
    cr_assert_eq(mode_at(policy, 0), OWNER_KEEP);
    cr_assert_eq(mode_at(policy, edited_ms - 1000), OWNER_KEEP);
    rules.list[0].then.mode = OWNER_DRAIN;
    rules.list[0].then.within_ms = 600000;
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, edited_ms), OWNER_DRAIN);
    cr_assert_eq(policy->allowance.since_ms, BOOT_MS + edited_ms, "not a quarter of an hour ago");
    cr_assert_eq(policy->allowance.then.within_ms, 600000);
    rules.list[0].then.cpu_permille = 500;
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, edited_ms + 1000), OWNER_DRAIN);
    cr_assert_eq(policy->allowance.since_ms, BOOT_MS + edited_ms, "an edit gives no more time");
    free(policy);
}

Test(rules, a_drain_that_takes_a_keeps_place_settles_first_where_it_flaps)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {.on_battery = OWNER_YES};
    struct owner_policy *policy;

    rule_add(&rules, "battery", OWNER_KEEP)->when.on_battery = OWNER_YES;
    policy = policy_of(&rules);
    owner_policy_sense(policy, &senses);
    cr_assert_eq(mode_at(policy, 0), OWNER_KEEP);
    cr_assert_eq(mode_at(policy, HOUR_MS), OWNER_KEEP);
    rules.list[0].then.mode = OWNER_DRAIN;
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, HOUR_MS + 1000), OWNER_KEEP);
    cr_assert_eq(mode_at(policy, HOUR_MS + 1000 + OWNER_SETTLE_MS), OWNER_DRAIN);
    cr_assert_eq(policy->allowance.since_ms, BOOT_MS + HOUR_MS + 1000 + OWNER_SETTLE_MS);
    free(policy);
}

Test(rules, before_anything_was_sensed_nothing_new_comes_and_nothing_is_judged)
{
    struct owner_rules rules = {0};
    struct owner_senses tokyo = {.zone.offset_s = 9 * HOUR_MS / 1000};
    struct owner_rule *rule = rule_add(&rules, "night", OWNER_DRAIN);
    struct owner_policy *policy;

    cr_assert_eq(hours_parse("00:00-06:00", &rule->when.hours), 0);
    rule->then.memory_bytes = 0;
    policy = blind_policy_of(&rules);
    cr_assert_eq(mode_at(policy, 0), OWNER_KEEP, "midnight in UTC is nobody's");
    cr_assert_eq(policy->allowance.then.memory_bytes, OWNER_NO_LIMIT);
    cr_assert_str_eq(policy->allowance.rule, "");
    owner_policy_sense(policy, &tokyo);
    cr_assert_eq(mode_at(policy, 1), OWNER_RUN);
    rules.count = 0;
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, 2), OWNER_RUN);
    owner_policy_sense(policy, &tokyo); /* late */
    rules.count = 1;
    owner_policy_rules(policy, &rules);
    cr_assert_eq(mode_at(policy, 3), OWNER_KEEP, "nobody has looked meanwhile");
    owner_policy_sense(policy, &tokyo);
    cr_assert_eq(mode_at(policy, 4), OWNER_RUN);
    free(policy);
}

Test(rules, flapping_moves_no_replica)
{
    struct owner_rules rules = {0};
    struct owner_senses senses = {0};
    struct owner_policy *policy;
    uint32_t drains = 0;
    uint32_t changes = 0;

    rule_add(&rules, "battery", OWNER_DRAIN)->when.on_battery = OWNER_YES;
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

    rule_add(&rules, "battery", OWNER_DRAIN)->when.on_battery = OWNER_YES;
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
