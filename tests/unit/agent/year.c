// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A year of random policies on a few nodes, a month for each seed: never does anything run that a
 * rule forbids, never is more taken than a rule leaves, and no replica is missed that could have
 * been handed over. People's clock runs 120 times as fast as the protocols', or it would take
 * days.
 *
 * Every build lives two of the months; the whole year: YEAR_SEEDS=1-12.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/policy/line.h"
#include "base/random.h"
#include "tests/unit/agent/community.h"

enum {
    NODES = 5,
    WANTED = 2,
    WALL_SPEED = 120,
    TICK_MS = 250,
    MONTH_MS = 30 * 24 * 3600 / WALL_SPEED * 1000,
    CALM_MS = 12000, /* so long nobody was frozen, and enough nodes were open: then all run */
    SENSE_MS = 15000,
    UPLOAD_BYTES_PER_S = 2 << 20,
    DOWNLOAD_BYTES_PER_S = 8 << 20,
    LINE_TIGHT_BYTES_PER_S = UPLOAD_BYTES_PER_S / SHARES_KEPT_DIVISOR / OWNER_USERS,
};

static const char burner[] = "name: wiki\ncommand: [/bin/wiki]\nrestart: always\n"
                             "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

struct home { /* what a node's owner wants, and what is sensed there */
    uint32_t hours[OWNER_RULES_MAX];
    struct owner_senses senses;
    uint64_t sense_ms;
    struct owner_line line;
};

struct year {
    struct random random;
    struct community *community;
    struct home homes[NODES];
    uint64_t troubled_ms; /* when somebody was frozen last, or too few nodes were open */
    uint64_t seed;
    uint64_t run_ms; /* summed up over looks: for how long WANTED ran */
    uint64_t drain_count;
    uint64_t tight_count; /* of parts of a line that a rule must have made so small */
};

static uint32_t draw(struct year *year, uint32_t below)
{
    return (uint32_t)random_below(&year->random, below);
}

/* ------------------------------------------------------------------ policies */

static const char *const spans[] = {"Mon-Fri 08:00-18:00", "22:00-06:00", "Sat-Sun"};

static bool oracle_hours(uint32_t which, uint64_t unix_s)
{
    time_t when = (time_t)unix_s;
    struct tm utc;

    gmtime_r(&when, &utc);
    switch (which) {
    case 0:
        return utc.tm_wday >= 1 && utc.tm_wday <= 5 && utc.tm_hour >= 8 && utc.tm_hour < 18;
    case 1:
        return utc.tm_hour >= 22 || utc.tm_hour < 6;
    case 2:
        return utc.tm_wday == 6 || utc.tm_wday == 0;
    default:
        return true;
    }
}

static uint64_t draw_rate(struct year *year)
{
    return draw(year, 3) == 0 ? 1000 + draw(year, 100000) : OWNER_NO_LIMIT;
}

static void draw_rule(struct year *year, uint32_t node)
{
    struct owner_rules *rules = &year->community->nodes[node].config.rules;
    uint32_t index = rules->count++;
    struct owner_rule *rule = &rules->list[index];
    uint32_t *hours = &year->homes[node].hours[index];

    memset(rule, 0, sizeof(*rule));
    rule->name[0] = (char)('a' + index);
    *hours = draw(year, 5);
    if (*hours < 3) {
        cr_assert_eq(hours_parse(spans[*hours], &rule->when.hours), 0);
    }
    rule->when.in_use_ms = draw(year, 3) == 0 ? 5000 + draw(year, 60000) : 0;
    rule->when.on_battery = draw(year, 3) == 0 ? OWNER_YES : OWNER_UNKNOWN;
    rule->when.programs.count = draw(year, 4) == 0 ? 1 : 0;
    strcpy(rule->when.programs.list[0], "game");
    rule->then = (struct owner_then){.mode = (enum owner_mode)draw(year, 4),
                                     .within_ms = 5000 + draw(year, 60000),
                                     .cpu_permille = draw(year, 2) == 0 ? 100 : OWNER_NO_LIMIT,
                                     .memory_bytes = OWNER_NO_LIMIT,
                                     .upload_bytes_per_s = draw_rate(year),
                                     .download_bytes_per_s = draw_rate(year)};
}

static void configure(struct year *year, uint32_t node)
{
    struct fake_node *home = &year->community->nodes[node];
    struct turn turn = fake_turn(year->community, node);

    home->config.rules.count = 0;
    for (uint32_t i = draw(year, 4); i > 0; i--) {
        draw_rule(year, node);
    }
    executor_configured(home->executor, &turn, &home->config);
    fake_flush(year->community, node, &turn);
}

static void sense(struct year *year, uint32_t node)
{
    struct home *home = &year->homes[node];
    struct turn turn = fake_turn(year->community, node);

    home->sense_ms = turn.now_ms + 1 + random_below(&year->random, 2 * SENSE_MS);
    switch (draw(year, 5)) {
    case 0:
        home->senses.input_ms = turn.now_ms;
        break;
    case 1:
        home->senses.program_count = 1 - home->senses.program_count;
        strcpy(home->senses.programs[0], "game");
        break;
    case 2:
    case 3:
        home->senses.on_battery = draw(year, 4) == 0 ? OWNER_YES : OWNER_NO;
        break;
    default:
        if (draw(year, 200) == 0) {
            configure(year, node); /* a reload */
            return;
        }
        break;
    }
    executor_sensed(year->community->nodes[node].executor, &turn, &home->senses);
    fake_flush(year->community, node, &turn);
}

/* ------------------------------------------------------------------ what must hold */

static bool oracle(const struct year *year, uint32_t node, uint32_t index)
{
    const struct home *home = &year->homes[node];
    const struct owner_when *when = &year->community->nodes[node].config.rules.list[index].when;
    uint64_t now_ms = year->community->now_ms;

    return oracle_hours(home->hours[index], fake_wall_s(year->community)) &&
           (when->in_use_ms == 0 ||
            (home->senses.input_ms != 0 && now_ms < home->senses.input_ms + when->in_use_ms)) &&
           (when->on_battery == OWNER_UNKNOWN || home->senses.on_battery == OWNER_YES) &&
           (when->programs.count == 0 || home->senses.program_count > 0);
}

/* What chunks, replicas and others are given of the line together, whatever they use. */
static void share_line(struct year *year, uint32_t node, uint64_t given_out[OWNER_WAYS])
{
    const struct fake_node *home = &year->community->nodes[node];
    struct owner_line *line = &year->homes[node].line;
    const uint64_t limits[OWNER_WAYS] = {
        owner_line_limit(UPLOAD_BYTES_PER_S, home->allowed.upload_bytes_per_s),
        owner_line_limit(DOWNLOAD_BYTES_PER_S, home->allowed.download_bytes_per_s)};
    struct share uses[OWNER_WAYS][OWNER_USERS];

    for (int way = 0; way < OWNER_WAYS; way++) {
        for (int user = 0; user < OWNER_USERS; user++) {
            uses[way][user] = (struct share){draw(year, 1 << 22), draw(year, 2) == 0, 0};
        }
    }
    (void)owner_line_divide(line, limits, uses);
    for (int way = 0; way < OWNER_WAYS; way++) {
        given_out[way] = 0;
        for (int user = 0; user < OWNER_USERS; user++) {
            given_out[way] += line->given_bytes_per_s[way][user];
            year->tight_count += line->given_bytes_per_s[way][user] < LINE_TIGHT_BYTES_PER_S;
        }
    }
}

static void check_node(struct year *year, uint32_t node)
{
    const struct fake_node *home = &year->community->nodes[node];
    uint64_t given[OWNER_WAYS];

    share_line(year, node, given);
    cr_assert_leq(given[OWNER_UP], UPLOAD_BYTES_PER_S);
    cr_assert_leq(given[OWNER_DOWN], DOWNLOAD_BYTES_PER_S);
    for (uint32_t i = 0; i < home->config.rules.count; i++) {
        const struct owner_then *then = &home->config.rules.list[i].then;

        if (!oracle(year, node, i)) {
            continue;
        }
        cr_assert_leq(home->allowed.cpu_permille, then->cpu_permille, "seed %llu",
                      (unsigned long long)year->seed);
        cr_assert_leq(given[OWNER_UP], then->upload_bytes_per_s, "seed %llu",
                      (unsigned long long)year->seed);
        cr_assert_leq(given[OWNER_DOWN], then->download_bytes_per_s, "seed %llu",
                      (unsigned long long)year->seed);
        for (uint32_t j = 0; then->mode == OWNER_FREEZE && j < REPLICAS_PER_NODE_MAX; j++) {
            cr_assert(!home->running[j].used || home->running[j].frozen,
                      "seed %llu: node %u runs what a rule forbids", (unsigned long long)year->seed,
                      node);
        }
    }
    cr_assert_leq(home->allowed.cpu_permille, home->config.contribution.cpu_permille);
}

static uint32_t serving_count(const struct community *community)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        for (uint32_t j = 0; j < REPLICAS_PER_NODE_MAX; j++) {
            const struct fake_sandbox *sandbox = &community->nodes[i].running[j];

            count += sandbox->used && !sandbox->frozen ? 1 : 0;
        }
    }
    return count;
}

/* What everybody does, for who looks into a failure. */
static void show(const struct community *community, struct owner_clock clock)
{
    for (uint32_t i = 0; i < NODES; i++) {
        const struct executor *executor = community->nodes[i].executor;
        struct node_status status;

        executor_status(executor, clock, &status);
        fprintf(stderr, "node %u: %s by rule \"%s\"\n", i, status.state, status.rule);
        for (uint32_t j = 0; j < executor_count(executor); j++) {
            struct core_replica replica;

            executor_replica(executor, j, community->now_ms, &replica);
            fprintf(stderr, "  slot %u: %s %s, for %llu ms\n", replica.status.slot,
                    replica_state_name(replica.status.state), replica.status.reason,
                    (unsigned long long)replica.status.age_ms);
        }
    }
}

static void check_handed_over(struct year *year)
{
    struct community *community = year->community;
    struct owner_clock clock = {community->now_ms, fake_wall_s(community)};
    uint32_t open_count = 0;
    bool is_frozen = false;

    for (uint32_t i = 0; i < NODES; i++) {
        struct node_status status;

        executor_status(community->nodes[i].executor, clock, &status);
        open_count += strcmp(status.state, "ready") == 0 && status.allowed.cpu_permille >= 500;
        is_frozen = is_frozen || (strcmp(status.state, "paused") == 0 &&
                                  executor_count(community->nodes[i].executor) > 0);
        year->drain_count += strcmp(status.state, "draining") == 0 ? 1 : 0;
    }
    if (is_frozen || open_count < WANTED) {
        year->troubled_ms = community->now_ms;
    }
    if (serving_count(community) >= WANTED) {
        year->run_ms += TICK_MS;
    } else if (community->now_ms > year->troubled_ms + CALM_MS) {
        show(community, clock);
        cr_assert_fail("seed %llu: %u run at %llu ms, though %u nodes are open",
                       (unsigned long long)year->seed, serving_count(community),
                       (unsigned long long)community->now_ms, open_count);
    }
}

/* ------------------------------------------------------------------ time */

static void take_items(struct community *community)
{
    static struct item item;

    for (uint32_t i = 0; i < community->item_count; i++) {
        if (community->items[i].due_ms <= community->now_ms) {
            item = community->items[i];
            memmove(&community->items[i], &community->items[i + 1],
                    (--community->item_count - i) * sizeof(item));
            fake_run_item(community, &item);
            fake_check(community);
            i = UINT32_MAX; /* from the front again: order of arrival */
        }
    }
}

static void tick(struct year *year)
{
    struct community *community = year->community;

    for (uint32_t i = 0; i < NODES; i++) {
        struct turn turn = fake_turn(community, i);

        executor_tick(community->nodes[i].executor, &turn);
        manager_tick(community->nodes[i].manager, &turn);
        fake_flush(community, i, &turn);
        if (community->now_ms >= year->homes[i].sense_ms) {
            sense(year, i);
        }
        check_node(year, i);
    }
    check_handed_over(year);
}

static uint64_t next_ms(const struct community *community)
{
    uint64_t next = (community->now_ms / TICK_MS + 1) * TICK_MS;

    for (uint32_t i = 0; i < community->item_count; i++) {
        next = community->items[i].due_ms < next ? community->items[i].due_ms : next;
    }
    return next > community->now_ms ? next : community->now_ms + 1;
}

static void live_a_month(uint64_t seed)
{
    struct year year = {.seed = seed};
    uint64_t end_ms;

    random_init(&year.random, seed, "year");
    year.community = fake_new(NODES, burner);
    year.community->wall_speed = WALL_SPEED;
    year.troubled_ms = year.community->now_ms + CALM_MS;
    fake_want(year.community, true, WANTED, false);
    for (uint32_t i = 0; i < NODES; i++) {
        configure(&year, i);
    }
    end_ms = year.community->now_ms + MONTH_MS;
    while (year.community->now_ms < end_ms) {
        take_items(year.community);
        if (year.community->now_ms % TICK_MS == 0) {
            tick(&year);
        }
        year.community->now_ms = next_ms(year.community);
    }
    cr_assert_gt(year.run_ms, MONTH_MS / 10, "seed %llu: it hardly ever ran",
                 (unsigned long long)seed);
    cr_assert_gt(year.tight_count, 0, "seed %llu: no rule ever held the line",
                 (unsigned long long)seed);
    fake_free(year.community);
}

Test(year, months_with_random_policies_forbid_and_lose_nothing, .timeout = 600)
{
    const char *wanted = getenv("YEAR_SEEDS");
    unsigned first = 1;
    unsigned last = 2;

    if (wanted != NULL) {
        cr_assert_eq(sscanf(wanted, "%u-%u", &first, &last), 2);
    }
    for (unsigned seed = first; seed <= last; seed++) {
        live_a_month(seed);
    }
}
