// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/policy/rules.h"

#include <string.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/check.h"

enum {
    EDGE_POLL_MS = 100, /* the wall clock is in seconds: the last one is looked at more closely */
    AHEAD_STEPS_MAX = 256,
    AHEAD_MS_MAX = 8 * 24 * 3600 * 1000,
};

/* How a rule's conditions stand. */
enum standing {
    STANDS,
    OVER,       /* for certain */
    OVER_MAYBE, /* what flaps may be back in a moment */
};

void owner_policy_init(struct owner_policy *policy)
{
    memset(policy, 0, sizeof(*policy));
    policy->senses.battery_percent = UINT32_MAX;
    policy->wake_ms = UINT64_MAX;
    policy->allowance.then = (struct owner_then){.cpu_permille = OWNER_NO_LIMIT,
                                                 .memory_bytes = OWNER_NO_LIMIT,
                                                 .upload_bytes_per_s = OWNER_NO_LIMIT,
                                                 .download_bytes_per_s = OWNER_NO_LIMIT};
}

const char *owner_mode_name(enum owner_mode mode)
{
    static const char *const names[] = {
        [OWNER_RUN] = "run",
        [OWNER_KEEP] = "keep",
        [OWNER_DRAIN] = "drain",
        [OWNER_FREEZE] = "freeze",
    };

    CHECK(mode < ARRAY_COUNT(names));
    return names[mode];
}

static uint32_t asks_of(const struct owner_when *when)
{
    uint32_t asks = 0;

    asks |= when->in_use_ms != 0 || when->idle_ms != 0 ? OWNER_ASKS_INPUT : 0;
    asks |= when->busy_permille != 0 ? OWNER_ASKS_BUSY : 0;
    asks |= when->on_battery != OWNER_UNKNOWN || when->battery_below_percent != 0 ? OWNER_ASKS_POWER
                                                                                  : 0;
    asks |= when->hotter_than_celsius != 0 ? OWNER_ASKS_HEAT : 0;
    asks |=
        when->metered != OWNER_UNKNOWN || when->networks.count != 0 || when->not_networks.count != 0
            ? OWNER_ASKS_NETWORKS
            : 0;
    asks |= when->programs.count != 0 ? OWNER_ASKS_PROGRAMS : 0;
    return asks;
}

uint32_t owner_rules_ask(const struct owner_rules *rules)
{
    uint32_t asks = 0;

    for (uint32_t i = 0; i < rules->count; i++) {
        asks |= asks_of(&rules->list[i].when);
    }
    return asks;
}

bool owner_when_is_always(const struct owner_when *when)
{
    return when->hours.count == 0 && when->in_use_ms == 0 && when->idle_ms == 0 &&
           when->busy_permille == 0 && when->on_battery == OWNER_UNKNOWN &&
           when->battery_below_percent == 0 && when->metered == OWNER_UNKNOWN &&
           when->networks.count == 0 && when->not_networks.count == 0 &&
           when->hotter_than_celsius == 0 && when->programs.count == 0;
}

/* With another mode its time begins anew, too: what kept for hours must not drain at once. */
static bool is_same(const struct owner_rule *a, const struct owner_rule *b)
{
    return strcmp(a->name, b->name) == 0 && memcmp(&a->when, &b->when, sizeof(a->when)) == 0 &&
           a->then.mode == b->then.mode;
}

void owner_policy_rules(struct owner_policy *policy, const struct owner_rules *rules)
{
    struct owner_acting acting[OWNER_RULES_MAX] = {0};

    CHECK(rules->count <= OWNER_RULES_MAX);
    for (uint32_t i = 0; i < rules->count; i++) {
        for (uint32_t j = 0; j < policy->rules.count; j++) {
            if (is_same(&rules->list[i], &policy->rules.list[j])) {
                acting[i] = policy->acting[j];
            }
        }
    }
    policy->rules = *rules;
    policy->has_senses = policy->has_senses && rules->count > 0; /* else nobody looks any more */
    memcpy(policy->acting, acting, sizeof(acting));
}

void owner_policy_sense(struct owner_policy *policy, const struct owner_senses *senses)
{
    CHECK(senses->network_count <= OWNER_SENSED_WORDS_MAX);
    CHECK(senses->program_count <= OWNER_SENSED_WORDS_MAX);
    policy->senses = *senses;
    policy->has_senses = policy->rules.count > 0; /* else it is of a look for rules that are gone */
    policy->sensed = owner_rules_ask(&policy->rules);
}

bool owner_policy_is_blind(const struct owner_policy *policy)
{
    return policy->rules.count > 0 && !policy->has_senses;
}

/* ------------------------------------------------------------------ conditions */

static bool any_sensed(const struct owner_words *words, uint32_t count,
                       const char sensed[][OWNER_WORD_CHARS_MAX + 1])
{
    for (uint32_t i = 0; i < words->count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            if (strcmp(words->list[i], sensed[j]) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool used_within(const struct owner_senses *senses, uint64_t now_ms, uint64_t within_ms)
{
    return senses->input_ms != 0 &&
           (senses->input_ms >= now_ms || now_ms - senses->input_ms < within_ms);
}

static bool is_noisy(const struct owner_when *when)
{
    return when->busy_permille != 0 || when->on_battery != OWNER_UNKNOWN ||
           when->battery_below_percent != 0 || when->metered != OWNER_UNKNOWN ||
           when->networks.count != 0 || when->not_networks.count != 0 ||
           when->hotter_than_celsius != 0 || when->programs.count != 0;
}

static bool truth_holds(enum owner_truth asked, enum owner_truth sensed)
{
    return asked == OWNER_UNKNOWN || asked == sensed;
}

/* Once it acts, a threshold must be left behind clearly. */
static bool thresholds_hold(const struct owner_when *when, const struct owner_senses *senses,
                            bool acts)
{
    uint32_t busy_permille = acts ? when->busy_permille / 4 * 3 : when->busy_permille;
    uint32_t percent = when->battery_below_percent + (acts ? OWNER_FULLER_PERCENT : 0);
    uint32_t hot_celsius = when->hotter_than_celsius;

    if (acts) {
        hot_celsius -= hot_celsius < OWNER_COOLER_CELSIUS ? hot_celsius : OWNER_COOLER_CELSIUS;
    }
    return (when->busy_permille == 0 || senses->others_permille > busy_permille) &&
           (when->battery_below_percent == 0 || senses->battery_percent < percent) &&
           (when->hotter_than_celsius == 0 || senses->celsius > hot_celsius);
}

static bool noisy_hold(const struct owner_when *when, const struct owner_senses *senses, bool acts)
{
    return thresholds_hold(when, senses, acts) &&
           truth_holds(when->on_battery, senses->on_battery) &&
           truth_holds(when->metered, senses->metered) &&
           (when->networks.count == 0 ||
            any_sensed(&when->networks, senses->network_count, senses->networks)) &&
           !any_sensed(&when->not_networks, senses->network_count, senses->networks) &&
           (when->programs.count == 0 ||
            any_sensed(&when->programs, senses->program_count, senses->programs));
}

static enum standing standing_of(const struct owner_when *when, const struct owner_senses *senses,
                                 struct owner_clock clock, bool acts)
{
    if (!hours_hold(&when->hours, &senses->zone, clock.unix_s) ||
        (when->in_use_ms != 0 && !used_within(senses, clock.now_ms, when->in_use_ms)) ||
        (when->idle_ms != 0 && used_within(senses, clock.now_ms, when->idle_ms))) {
        return OVER;
    }
    return noisy_hold(when, senses, acts) ? STANDS : OVER_MAYBE;
}

/* ------------------------------------------------------------------ which rules act */

static void stand(struct owner_acting *acting, const struct owner_when *when, uint64_t now_ms)
{
    if (!acting->acts) {
        *acting = (struct owner_acting){.acts = true, .since_ms = now_ms, .stands_ms = now_ms};
    } else if (acting->over_ms != 0) {
        acting->over_ms = 0;
        acting->stands_ms = now_ms;
    }
    if (acting->settled_ms == 0 &&
        (!is_noisy(when) || now_ms >= acting->stands_ms + OWNER_SETTLE_MS)) {
        acting->settled_ms = now_ms;
    }
}

static void review(struct owner_acting *acting, const struct owner_when *when,
                   const struct owner_senses *senses, struct owner_clock clock)
{
    enum standing standing = standing_of(when, senses, clock, acting->acts);

    if (standing == STANDS) {
        stand(acting, when, clock.now_ms);
    } else if (standing == OVER || !acting->acts) {
        *acting = (struct owner_acting){0};
    } else if (acting->over_ms == 0) {
        acting->over_ms = clock.now_ms;
    } else if (clock.now_ms >= acting->over_ms + OWNER_HOLD_MS) {
        *acting = (struct owner_acting){0};
    }
}

/* What moves replicas waits until it is sure; nothing new comes meanwhile. */
static struct owner_then effect_of(const struct owner_rule *rule, const struct owner_acting *acting)
{
    struct owner_then then = rule->then;
    bool moves = then.mode == OWNER_DRAIN || then.memory_bytes != OWNER_NO_LIMIT;

    if (moves && acting->settled_ms == 0) {
        then.mode = then.mode == OWNER_FREEZE ? OWNER_FREEZE : OWNER_KEEP;
        then.memory_bytes = OWNER_NO_LIMIT;
    }
    return then;
}

/* ------------------------------------------------------------------ when to look again */

static void sooner(uint64_t *wake_ms, uint64_t at_ms, uint64_t now_ms)
{
    if (at_ms > now_ms && at_ms < *wake_ms) {
        *wake_ms = at_ms;
    }
}

static uint64_t wake_for_hours(const struct owner_when *when, const struct owner_senses *senses,
                               struct owner_clock clock)
{
    uint64_t next = hours_next(&when->hours, &senses->zone, clock.unix_s);
    uint64_t left_s = next - clock.unix_s;

    if (next <= clock.unix_s || left_s > AHEAD_MS_MAX / 1000) {
        return next == UINT64_MAX ? UINT64_MAX : clock.now_ms + AHEAD_MS_MAX;
    }
    return clock.now_ms + (left_s > 1 ? (left_s - 1) * 1000 : EDGE_POLL_MS);
}

static void wake_for_rule(struct owner_policy *policy, uint32_t index, struct owner_clock clock)
{
    const struct owner_rule *rule = &policy->rules.list[index];
    const struct owner_acting *acting = &policy->acting[index];
    const struct owner_senses *senses = &policy->senses;
    uint64_t *wake_ms = &policy->wake_ms;

    sooner(wake_ms, wake_for_hours(&rule->when, senses, clock), clock.now_ms);
    if (rule->when.in_use_ms != 0) {
        sooner(wake_ms, senses->input_ms + rule->when.in_use_ms, clock.now_ms);
    }
    if (rule->when.idle_ms != 0) {
        sooner(wake_ms, senses->input_ms + rule->when.idle_ms, clock.now_ms);
    }
    if (acting->over_ms != 0) {
        sooner(wake_ms, acting->over_ms + OWNER_HOLD_MS, clock.now_ms);
    }
    if (acting->acts && acting->over_ms == 0 && acting->settled_ms == 0) {
        sooner(wake_ms, acting->stands_ms + OWNER_SETTLE_MS, clock.now_ms);
    }
}

/* ------------------------------------------------------------------ what is allowed */

/* NULL: no rule's. */
struct deciding {
    const char *mode;
    const char *cpu;
    const char *memory;
    const char *upload;
    const char *download;
};

static bool tighten(uint64_t *limit, uint64_t other)
{
    bool is_tighter = other < *limit;

    *limit = is_tighter ? other : *limit;
    return is_tighter;
}

/* What drains has its time from when it begins to. */
static uint64_t since_of(const struct owner_acting *acting, enum owner_mode mode)
{
    return mode == OWNER_DRAIN ? acting->settled_ms : acting->since_ms;
}

static void restrict_by(struct owner_allowance *allowance, struct deciding *by,
                        const struct owner_rule *rule, const struct owner_acting *acting)
{
    struct owner_then *then = &allowance->then;
    struct owner_then effect = effect_of(rule, acting);

    if (effect.mode > then->mode) {
        then->mode = effect.mode;
        then->within_ms = effect.within_ms;
        allowance->since_ms = since_of(acting, effect.mode);
        by->mode = rule->name;
    } else if (effect.mode == then->mode && effect.mode == OWNER_DRAIN &&
               acting->settled_ms + effect.within_ms < allowance->since_ms + then->within_ms) {
        then->within_ms = effect.within_ms;
        allowance->since_ms = acting->settled_ms;
        by->mode = rule->name;
    }
    if (tighten(&then->cpu_permille, effect.cpu_permille)) {
        by->cpu = rule->name;
    }
    if (tighten(&then->memory_bytes, effect.memory_bytes)) {
        by->memory = rule->name;
    }
    if (effect.memory_bytes != OWNER_NO_LIMIT) {
        (void)tighten(&allowance->memory_within_ms, effect.within_ms);
    }
    if (tighten(&then->upload_bytes_per_s, effect.upload_bytes_per_s)) {
        by->upload = rule->name;
    }
    if (tighten(&then->download_bytes_per_s, effect.download_bytes_per_s)) {
        by->download = rule->name;
    }
}

/* What hurts replicas most. */
static const char *strictest(const struct deciding *by)
{
    const char *const names[] = {by->mode, by->cpu, by->memory, by->download, by->upload};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (names[i] != NULL) {
            return names[i];
        }
    }
    return "";
}

static void name(char name_out[OWNER_WORD_CHARS_MAX + 1], const char *rule)
{
    (void)text_copy(name_out, OWNER_WORD_CHARS_MAX + 1, rule != NULL ? rule : "");
}

static void name_all(struct owner_allowance *allowance, const struct deciding *by)
{
    name(allowance->rule, strictest(by));
    name(allowance->named.cpu, by->cpu);
    name(allowance->named.memory, by->memory);
    name(allowance->named.upload, by->upload);
    name(allowance->named.download, by->download);
}

static bool allowance_equal(const struct owner_allowance *a, const struct owner_allowance *b)
{
    const struct owner_then *left = &a->then;
    const struct owner_then *right = &b->then;

    return left->mode == right->mode && left->within_ms == right->within_ms &&
           left->cpu_permille == right->cpu_permille && left->memory_bytes == right->memory_bytes &&
           left->upload_bytes_per_s == right->upload_bytes_per_s &&
           left->download_bytes_per_s == right->download_bytes_per_s &&
           a->since_ms == b->since_ms && strcmp(a->rule, b->rule) == 0;
}

bool owner_policy_step(struct owner_policy *policy, struct owner_clock clock)
{
    struct owner_allowance fresh = {.then = {.cpu_permille = OWNER_NO_LIMIT,
                                             .memory_bytes = OWNER_NO_LIMIT,
                                             .upload_bytes_per_s = OWNER_NO_LIMIT,
                                             .download_bytes_per_s = OWNER_NO_LIMIT},
                                    .memory_within_ms = UINT64_MAX};
    struct deciding by = {0};
    bool has_changed;

    policy->wake_ms = UINT64_MAX;
    if (owner_policy_is_blind(policy)) {
        fresh.then.mode = OWNER_KEEP;
    }
    for (uint32_t i = 0; i < policy->rules.count && policy->has_senses; i++) {
        const struct owner_rule *rule = &policy->rules.list[i];
        struct owner_acting *acting = &policy->acting[i];

        if ((asks_of(&rule->when) & ~policy->sensed) != 0) {
            /* It came with a reload: until it was looked at, nothing is as it is after a start. */
            fresh.then.mode = fresh.then.mode == OWNER_RUN ? OWNER_KEEP : fresh.then.mode;
            continue;
        }
        review(acting, &rule->when, &policy->senses, clock);
        if (acting->acts) {
            restrict_by(&fresh, &by, rule, acting);
        }
        wake_for_rule(policy, i, clock);
    }
    name_all(&fresh, &by);
    has_changed = !allowance_equal(&fresh, &policy->allowance);
    policy->allowance = fresh;
    return has_changed;
}

uint64_t owner_policy_wake_ms(const struct owner_policy *policy)
{
    return policy->wake_ms;
}

uint64_t owner_policy_left_ms(const struct owner_policy *policy, struct owner_clock clock)
{
    struct owner_policy ahead = *policy;
    struct owner_clock then = clock;

    for (uint32_t i = 0; i < AHEAD_STEPS_MAX; i++) {
        if (ahead.wake_ms == UINT64_MAX || ahead.wake_ms - clock.now_ms > AHEAD_MS_MAX) {
            return UINT64_MAX;
        }
        then.now_ms = ahead.wake_ms > then.now_ms ? ahead.wake_ms : then.now_ms + 1;
        then.unix_s = clock.unix_s + (then.now_ms - clock.now_ms) / 1000;
        if (owner_policy_step(&ahead, then)) {
            return then.now_ms - clock.now_ms;
        }
    }
    return UINT64_MAX;
}
