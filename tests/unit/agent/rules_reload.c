// SPDX-License-Identifier: GPL-3.0-or-later
/* Rules that come with a reload, before anybody has looked at what they ask for. */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/policy/rules.h"

enum { BOOT_MS = 1000000 };

static struct owner_rule *rule_of(struct owner_rules *rules, const char *name, enum owner_mode mode)
{
    struct owner_rule *rule = &rules->list[rules->count++];

    strcpy(rule->name, name);
    rule->then = (struct owner_then){.mode = mode,
                                     .within_ms = OWNER_WITHIN_MS,
                                     .cpu_permille = OWNER_NO_LIMIT,
                                     .memory_bytes = OWNER_NO_LIMIT,
                                     .upload_bytes_per_s = OWNER_NO_LIMIT,
                                     .download_bytes_per_s = OWNER_NO_LIMIT};
    return rule;
}

static enum owner_mode step(struct owner_policy *policy, uint64_t ms)
{
    owner_policy_step(policy, (struct owner_clock){BOOT_MS + ms, 1767571200 + ms / 1000});
    return policy->allowance.then.mode;
}

/* Each asks for what one is that nobody has looked at: as if away from home, idle, and on mains. */
static void ask_unseen(struct owner_when *when, uint32_t kind)
{
    switch (kind) {
    case 0:
        when->not_networks.count = 1;
        strcpy(when->not_networks.list[0], "home");
        break;
    case 1:
        when->metered = OWNER_NO;
        break;
    case 2:
        when->idle_ms = 60000;
        break;
    default:
        when->on_battery = OWNER_NO;
        break;
    }
}

Test(rules_reload, a_rule_that_asks_for_what_was_not_looked_at_waits_for_the_look)
{
    struct owner_senses at_home = {.input_ms = BOOT_MS + 2 * OWNER_HOLD_MS,
                                   .metered = OWNER_YES,
                                   .on_battery = OWNER_YES,
                                   .battery_percent = UINT32_MAX,
                                   .network_count = 1,
                                   .networks = {"home"}};
    struct owner_senses before = {
        .metered = OWNER_NO, .on_battery = OWNER_NO, .celsius = 90, .battery_percent = UINT32_MAX};

    for (uint32_t kind = 0; kind < 4; kind++) {
        static struct owner_policy policy;
        struct owner_rules rules = {0};
        struct owner_rule *rule = rule_of(&rules, "heat", OWNER_KEEP);

        owner_policy_init(&policy);
        rule->when.hotter_than_celsius = 80;
        rule->then.cpu_permille = 500;
        owner_policy_rules(&policy, &rules);
        owner_policy_sense(&policy, &before);
        cr_assert_eq(step(&policy, 0), OWNER_KEEP);
        ask_unseen(&rule_of(&rules, "new", OWNER_FREEZE)->when, kind);
        owner_policy_rules(&policy, &rules);
        cr_assert_eq(step(&policy, 1), OWNER_KEEP, "kind %u", kind);
        cr_assert_eq(policy.allowance.then.cpu_permille, 500, "the other acts on");
        at_home.celsius = 20;
        owner_policy_sense(&policy, &at_home);
        cr_assert_eq(step(&policy, OWNER_HOLD_MS), OWNER_KEEP);
        cr_assert_eq(step(&policy, 2 * OWNER_HOLD_MS), OWNER_RUN);
    }
}

Test(rules_reload, nothing_new_comes_until_it_was_looked_at)
{
    static struct owner_policy policy;
    struct owner_rules rules = {0};

    owner_policy_init(&policy);
    rule_of(&rules, "heat", OWNER_FREEZE)->when.hotter_than_celsius = 80;
    owner_policy_rules(&policy, &rules);
    owner_policy_sense(&policy, &(struct owner_senses){.battery_percent = UINT32_MAX});
    cr_assert_eq(step(&policy, 0), OWNER_RUN);
    ask_unseen(&rule_of(&rules, "new", OWNER_FREEZE)->when, 0);
    owner_policy_rules(&policy, &rules);
    cr_assert_eq(step(&policy, 1), OWNER_KEEP);
    owner_policy_sense(&policy, &(struct owner_senses){.battery_percent = UINT32_MAX});
    cr_assert_eq(step(&policy, 2), OWNER_FREEZE, "away from home, as it turns out");
}

/* The same network is asked for by another rule. */
Test(rules_reload, what_was_looked_at_counts_at_once)
{
    static struct owner_policy policy;
    struct owner_rules rules = {0};

    owner_policy_init(&policy);
    rule_of(&rules, "metered", OWNER_KEEP)->when.metered = OWNER_YES;
    owner_policy_rules(&policy, &rules);
    owner_policy_sense(&policy, &(struct owner_senses){.battery_percent = UINT32_MAX});
    cr_assert_eq(step(&policy, 0), OWNER_RUN);
    ask_unseen(&rule_of(&rules, "new", OWNER_FREEZE)->when, 0);
    owner_policy_rules(&policy, &rules);
    cr_assert_eq(step(&policy, 1), OWNER_FREEZE);
}
