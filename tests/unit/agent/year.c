// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Years of random policies and orders on a few nodes under several laws of time, a month for each
 * seed: never does anything run that a rule or an order forbids, never is more taken than a rule
 * leaves, nothing new comes where nothing may, what drains is gone in time, a rule that is over
 * takes nothing, and no replica is missed that could have been handed over. People's clock runs 120
 * times as fast as the protocols', or it would take days.
 *
 * Every build lives three of the months; a year: YEAR_SEEDS=1-12.
 */
#include "agent/policy/line.h"
#include "tests/unit/agent/year_owner.h"

enum {
    NODES = 5,
    WANTED = 2,
    WALL_SPEED = 120,
    TICK_MS = 250,
    MONTH_MS = 30 * 24 * 3600 / WALL_SPEED * 1000,
    CALM_MS = 12000, /* so long nobody was frozen, and enough nodes were open: then all run */
    SENSE_MS = 15000,
    LATE_MS = 2000, /* what is due is done so soon after */
    BURNER_BYTES = 128 << 20,
    YEARS_S = 3 * 365 * 24 * 3600,
    UPLOAD_BYTES_PER_S = 2 << 20,
    DOWNLOAD_BYTES_PER_S = 8 << 20,
    LINE_TIGHT_BYTES_PER_S = UPLOAD_BYTES_PER_S / SHARES_KEPT_DIVISOR / OWNER_USERS,
};

static const char burner[] = "name: wiki\ncommand: [/bin/wiki]\nrestart: always\n"
                             "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

enum ordered { ORDERED_NOTHING, ORDERED_PAUSE, ORDERED_DRAIN };

struct home { /* what a node's owner wants, and what is sensed there */
    struct plan plans[OWNER_RULES_MAX];
    uint64_t held_ms[OWNER_RULES_MAX]; /* the rule's conditions hold since; 0: they do not */
    uint64_t near_ms[OWNER_RULES_MAX]; /* they did nearly, last */
    uint64_t paused_ms;                /* it was frozen, last */
    uint64_t over_ms;                  /* no rule's do, not even nearly, since; 0: one's do */
    uint64_t closed_ms;                /* nothing new may come since; 0: it may */
    uint32_t start_count;              /* then */
    struct owner_senses senses;
    uint64_t sense_ms;
    struct owner_line line;
    enum ordered order;
    uint64_t hard_ms;  /* when the order is in force whatever others do */
    uint64_t until_ms; /* when it ends by itself; UINT64_MAX: it does not */
};

struct year {
    struct random random;
    struct community *community;
    struct home homes[NODES];
    uint64_t troubled_ms; /* when somebody was frozen last, or too few nodes were open */
    uint64_t seed;
};

/* What was met in all the months: a check that is never put to the test checks nothing. */
static struct {
    uint64_t run_ms;      /* for how long WANTED ran */
    uint64_t tight_count; /* parts of a line that a rule must have made so small */
    uint64_t closed_count;
    uint64_t drained_count;
    uint64_t small_count;
    uint64_t frozen_count;
    uint64_t ordered_count;
    uint64_t free_count;
    uint64_t change_count; /* of the clock, while people lived */
} met;

static uint32_t draw(struct year *year, uint32_t below)
{
    return (uint32_t)random_below(&year->random, below);
}

/* ------------------------------------------------------------------ policies */

static void configure(struct year *year, uint32_t node)
{
    struct fake_node *home = &year->community->nodes[node];
    struct owner_rules *rules = &home->config.rules;
    struct turn turn = fake_turn(year->community, node);

    memset(rules, 0, sizeof(*rules));
    memset(year->homes[node].held_ms, 0, sizeof(year->homes[node].held_ms));
    memset(year->homes[node].near_ms, 0, sizeof(year->homes[node].near_ms));
    rules->count = draw(year, 4);
    for (uint32_t i = 0; i < rules->count; i++) {
        rules->list[i].name[0] = (char)('a' + i);
        owner_draw_rule(&year->random, &rules->list[i], &year->homes[node].plans[i]);
    }
    executor_configured(home->executor, &turn, &home->config);
    executor_sensed(home->executor, &turn, &year->homes[node].senses); /* as mingad looks at once */
    fake_flush(year->community, node, &turn);
}

static void give_order(struct year *year, uint32_t node)
{
    struct home *home = &year->homes[node];
    struct executor *executor = year->community->nodes[node].executor;
    struct turn turn = fake_turn(year->community, node);
    struct core_request pause = {.within_ms = 5000 + draw(year, 40000),
                                 .at_once = draw(year, 2) == 0,
                                 .duration_ms = draw(year, 2) == 0 ? 0 : 1000 + draw(year, 90000)};

    home->order = home->order == ORDERED_NOTHING ? 1 + draw(year, 2) : ORDERED_NOTHING;
    home->hard_ms = turn.now_ms + pause.within_ms;
    home->until_ms = UINT64_MAX;
    if (home->order == ORDERED_PAUSE) {
        home->hard_ms = pause.at_once ? turn.now_ms : home->hard_ms;
        home->until_ms = pause.duration_ms == 0 ? UINT64_MAX : turn.now_ms + pause.duration_ms;
        executor_pause(executor, &turn, &pause);
    } else if (home->order == ORDERED_DRAIN) {
        executor_drain(executor, &turn, pause.within_ms);
    } else {
        executor_resume(executor, &turn);
    }
    fake_flush(year->community, node, &turn);
}

static void sense(struct year *year, uint32_t node)
{
    struct home *home = &year->homes[node];
    struct turn turn = fake_turn(year->community, node);

    home->sense_ms = turn.now_ms + 1 + random_below(&year->random, 2 * SENSE_MS);
    if (draw(year, 1000) == 0) {
        configure(year, node); /* a reload */
    } else if (draw(year, home->order == ORDERED_NOTHING ? 100 : 3) == 0) {
        give_order(year, node);
    } else {
        owner_draw_senses(&year->random, turn.now_ms, &home->senses);
        executor_sensed(year->community->nodes[node].executor, &turn, &home->senses);
        fake_flush(year->community, node, &turn);
    }
}

/* ------------------------------------------------------------------ what must hold */

static bool oracle(const struct year *year, uint32_t node, uint32_t index, bool is_slack)
{
    const struct home *home = &year->homes[node];

    return owner_in_plan(&home->plans[index], &home->senses.zone, fake_wall_s(year->community)) &&
           owner_conditions_hold(&year->community->nodes[node].config.rules.list[index].when,
                                 &home->senses, year->community->now_ms, is_slack);
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
            met.tight_count += line->given_bytes_per_s[way][user] < LINE_TIGHT_BYTES_PER_S;
        }
    }
}

/* ------------------------------------------------------------------ one rule, one order */

static uint32_t used_count(const struct fake_node *home, bool even_frozen, uint64_t *memory_out)
{
    uint32_t count = 0;

    *memory_out = 0;
    for (uint32_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct fake_sandbox *sandbox = &home->running[i];

        if (sandbox->used && (even_frozen || !sandbox->frozen)) {
            count++;
            *memory_out += sandbox->limits.memory_bytes;
        }
    }
    return count;
}

#define MUST(year, node, truth, what)                                                          \
    cr_assert(truth, "seed %llu: node %u at %llu ms: " what, (unsigned long long)(year)->seed, \
              node, (unsigned long long)(year)->community->now_ms)

/* What its conditions have asked for, held for long enough. */
static void check_rule(const struct year *year, uint32_t node, uint32_t index)
{
    const struct fake_node *home = &year->community->nodes[node];
    const struct owner_rule *rule = &home->config.rules.list[index];
    const struct home *owner = &year->homes[node];
    uint64_t now_ms = year->community->now_ms;
    uint64_t held_ms = now_ms - owner->held_ms[index];
    bool was_paused = now_ms <= owner->paused_ms + LATE_MS;
    uint64_t memory_bytes;
    uint32_t count = used_count(home, true, &memory_bytes);
    bool is_due = held_ms > OWNER_SETTLE_MS + rule->then.within_ms + LATE_MS;

    MUST(year, node, home->allowed.cpu_permille <= rule->then.cpu_permille, "too much processor");
    if (rule->then.mode == OWNER_FREEZE) {
        met.frozen_count += count;
        MUST(year, node, used_count(home, false, &memory_bytes) == 0, "runs what a rule forbids");
    } else if (rule->then.mode == OWNER_DRAIN && is_due && !was_paused) {
        met.drained_count++;
        MUST(year, node, count == 0, "what a rule drains is not gone in time");
    }
    if (is_due && rule->then.memory_bytes != OWNER_NO_LIMIT) {
        met.small_count++;
        MUST(year, node, memory_bytes <= rule->then.memory_bytes, "more memory than a rule leaves");
    }
}

static void check_order(struct year *year, uint32_t node)
{
    const struct fake_node *home = &year->community->nodes[node];
    struct home *owner = &year->homes[node];
    uint64_t now_ms = year->community->now_ms;
    uint64_t memory_bytes;

    if (owner->order == ORDERED_PAUSE && now_ms >= owner->until_ms) {
        owner->order = ORDERED_NOTHING;
    }
    if (owner->order == ORDERED_PAUSE && now_ms >= owner->hard_ms) {
        met.ordered_count++;
        MUST(year, node, used_count(home, false, &memory_bytes) == 0, "runs though it is paused");
    } else if (owner->order == ORDERED_DRAIN && now_ms >= owner->hard_ms + TICK_MS) {
        met.ordered_count++;
        MUST(year, node, used_count(home, true, &memory_bytes) == 0, "is here though drained");
    }
}

/* Nothing new comes while anything says so, be it one rule after another. */
static void check_closed(struct year *year, uint32_t node, bool is_closed)
{
    const struct fake_node *home = &year->community->nodes[node];
    struct home *owner = &year->homes[node];
    uint64_t now_ms = year->community->now_ms;

    if (!is_closed) {
        owner->closed_ms = 0;
    } else if (owner->closed_ms == 0) {
        owner->closed_ms = now_ms;
    } else if (now_ms > owner->closed_ms + LATE_MS) { /* what was accepted before has begun */
        met.closed_count++;
        MUST(year, node, home->start_count == owner->start_count, "starts what it may not take");
    }
    owner->start_count = home->start_count;
}

/* What is over takes nothing any more. */
static void check_free(const struct year *year, uint32_t node, const struct node_status *status)
{
    const struct fake_node *home = &year->community->nodes[node];
    const struct home *owner = &year->homes[node];

    if (owner->over_ms == 0 || year->community->now_ms < owner->over_ms + OWNER_HOLD_MS + LATE_MS ||
        owner->order != ORDERED_NOTHING) {
        return;
    }
    met.free_count++;
    MUST(year, node, status->rule[0] == '\0', "names a rule that does not act");
    MUST(year, node, strcmp(status->state, "ready") == 0, "is not open though nothing forbids it");
    MUST(year, node,
         home->allowed.cpu_permille == home->config.contribution.cpu_permille &&
             home->allowed.memory_bytes == home->config.contribution.memory_bytes &&
             home->allowed.upload_bytes_per_s == OWNER_NO_LIMIT &&
             home->allowed.download_bytes_per_s == OWNER_NO_LIMIT,
         "gives less than it may");
}

static void note_over(struct year *year, uint32_t node)
{
    struct home *owner = &year->homes[node];
    bool is_near = false;

    for (uint32_t i = 0; i < year->community->nodes[node].config.rules.count; i++) {
        if (oracle(year, node, i, true)) {
            owner->near_ms[i] = year->community->now_ms;
            is_near = true;
        }
    }
    if (is_near || owner->over_ms == 0) {
        owner->over_ms = is_near ? 0 : year->community->now_ms;
    }
}

static void check_node(struct year *year, uint32_t node)
{
    const struct fake_node *home = &year->community->nodes[node];
    struct home *owner = &year->homes[node];
    uint64_t now_ms = year->community->now_ms;
    uint64_t given[OWNER_WAYS];
    struct owner_clock clock = {now_ms, fake_wall_s(year->community)};
    struct node_status status;
    bool is_closed;

    executor_status(home->executor, clock, &status);
    owner->paused_ms = strcmp(status.state, "paused") == 0 ? now_ms : owner->paused_ms;
    check_order(year, node);
    is_closed = owner->order != ORDERED_NOTHING;
    share_line(year, node, given);
    MUST(year, node, given[OWNER_UP] <= UPLOAD_BYTES_PER_S, "uploads more than is given");
    MUST(year, node, given[OWNER_DOWN] <= DOWNLOAD_BYTES_PER_S, "downloads more than is given");
    MUST(year, node, home->allowed.cpu_permille <= home->config.contribution.cpu_permille, "cpu");
    for (uint32_t i = 0; i < home->config.rules.count; i++) {
        const struct owner_then *then = &home->config.rules.list[i].then;
        bool holds = oracle(year, node, i, false);

        owner->held_ms[i] = !holds ? 0 : owner->held_ms[i] != 0 ? owner->held_ms[i] : now_ms;
        is_closed = is_closed || (holds && then->mode != OWNER_RUN);
        if (holds) {
            MUST(year, node, given[OWNER_UP] <= then->upload_bytes_per_s, "uploads too much");
            MUST(year, node, given[OWNER_DOWN] <= then->download_bytes_per_s, "downloads too much");
        }
    }
    for (uint32_t i = 0; i < home->config.rules.count; i++) {
        if (owner->held_ms[i] != 0) {
            check_rule(year, node, i);
        }
    }
    note_over(year, node);
    check_closed(year, node, is_closed);
    check_free(year, node, &status);
}

/* ------------------------------------------------------------------ all together */

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

/* For one that is not here yet: no rule that takes memory may act. */
static bool has_memory(const struct year *year, uint32_t node)
{
    const struct owner_rules *rules = &year->community->nodes[node].config.rules;
    const struct home *owner = &year->homes[node];

    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->list[i].then.memory_bytes < BURNER_BYTES && owner->near_ms[i] != 0 &&
            year->community->now_ms <= owner->near_ms[i] + OWNER_HOLD_MS + LATE_MS) {
            return false;
        }
    }
    return true;
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
        open_count += strcmp(status.state, "ready") == 0 && status.allowed.cpu_permille >= 500 &&
                      has_memory(year, i);
        is_frozen = is_frozen || (strcmp(status.state, "paused") == 0 &&
                                  executor_count(community->nodes[i].executor) > 0);
    }
    if (is_frozen || open_count < WANTED) {
        year->troubled_ms = community->now_ms;
    }
    if (serving_count(community) >= WANTED) {
        met.run_ms += TICK_MS;
    } else if (community->now_ms > year->troubled_ms + CALM_MS) {
        show(community, clock);
        cr_assert_fail("seed %llu: %u run at %llu ms, though %u nodes are open",
                       (unsigned long long)year->seed, serving_count(community),
                       (unsigned long long)community->now_ms, open_count);
    }
}

/* ------------------------------------------------------------------ time */

static void tick(struct year *year)
{
    struct community *community = year->community;

    for (uint32_t i = 0; i < NODES; i++) {
        struct turn turn = fake_turn(community, i);

        executor_tick(community->nodes[i].executor, &turn);
        manager_tick(community->nodes[i].manager, &turn);
        fake_flush(community, i, &turn);
        note_over(year, i); /* it may begin now, and be over by what is sensed now */
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

static void settle(struct year *year)
{
    uint64_t wall_s;

    year->community->wall_speed = WALL_SPEED;
    year->community->wall_begin_s = 1790000000 + random_below(&year->random, YEARS_S);
    wall_s = fake_wall_s(year->community);
    for (uint32_t i = 0; i < NODES; i++) {
        struct owner_senses *senses = &year->homes[i].senses;
        struct turn turn = fake_turn(year->community, i);

        owner_zone(owner_laws[draw(year, ARRAY_COUNT(owner_laws))], wall_s, &senses->zone);
        met.change_count += senses->zone.change_count;
        senses->battery_percent = UINT32_MAX;
        executor_sensed(year->community->nodes[i].executor, &turn, senses);
        fake_flush(year->community, i, &turn);
        configure(year, i);
    }
}

static void live_a_month(uint64_t seed)
{
    static struct year year;
    uint64_t end_ms;

    memset(&year, 0, sizeof(year));
    year.seed = seed;
    random_init(&year.random, seed, "year");
    year.community = fake_new(NODES, burner);
    year.troubled_ms = year.community->now_ms + CALM_MS;
    settle(&year);
    fake_want(year.community, true, WANTED, false);
    end_ms = year.community->now_ms + MONTH_MS;
    while (year.community->now_ms < end_ms) {
        fake_take_items(year.community);
        if (year.community->now_ms % TICK_MS == 0) {
            tick(&year);
        }
        year.community->now_ms = next_ms(year.community);
    }
    fake_free(year.community);
}

Test(year, months_with_random_policies_forbid_and_lose_nothing, .timeout = 600)
{
    const char *wanted = getenv("YEAR_SEEDS");
    unsigned first = 1;
    unsigned last = 3;

    if (wanted != NULL) {
        cr_assert_eq(sscanf(wanted, "%u-%u", &first, &last), 2);
    }
    for (unsigned seed = first; seed <= last; seed++) {
        live_a_month(seed);
    }
    if (wanted == NULL) { /* else one may be looked at alone */
        cr_assert_gt(met.run_ms, (last - first + 1) * (MONTH_MS / 10), "it hardly ever ran");
        cr_assert_gt(met.tight_count, 0, "no rule ever held the line");
        cr_assert_gt(met.closed_count, 0);
        cr_assert_gt(met.drained_count, 0);
        cr_assert_gt(met.small_count, 0);
        cr_assert_gt(met.frozen_count, 0);
        cr_assert_gt(met.ordered_count, 0);
        cr_assert_gt(met.free_count, 0);
        cr_assert_gt(met.change_count, 0);
    }
}
