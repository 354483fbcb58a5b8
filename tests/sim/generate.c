// SPDX-License-Identifier: GPL-3.0-or-later
/* Schedules from seeds: each fault is drawn by its own number, independent of the others. */
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/random.h"
#include "tests/sim/schedule.h"

enum {
    FAULTS_SPARSE_MS = 4000,
    FAULTS_DENSE_MS = 1000,
    FAULTS_BEGIN_MS = 12000,
    FAULT_TYPICAL_MS = 6000,
    WIPE_ALONE_MS = 25000,
    SLEEP_FACTOR = 1000, /* of all, longer than of one */
    EXPELLED_BACK_MS = 5000,
    PUSHES_ONE_IN = 4,
    UPDATES_ONE_IN = 4,
    GUESTS_ONE_IN = 12,
    GUESTS_NODES_MIN = 6,
    GUESTS_APART_MS = 10000,
    INTRUDE_LIMITED = 3,
};

static const struct {
    enum fault_kind kind;
    uint32_t weight;
} weights[] = {
    {FAULT_CRASH, 10},     {FAULT_WIPE, 3},         {FAULT_KILL, 12},
    {FAULT_KILL_AGENT, 8}, {FAULT_CUT, 10},         {FAULT_PARTITION, 10},
    {FAULT_ONE_WAY, 6},    {FAULT_LOSSY, 5},        {FAULT_STALL, 8},
    {FAULT_SLOW_DISK, 4},  {FAULT_END_REPLICA, 10}, {FAULT_REFUSE_STARTS, 3},
    {FAULT_PAUSE, 3},      {FAULT_DRAIN, 5},        {FAULT_SHUT_DOWN, 5},
    {FAULT_BACK_SOON, 4},  {FAULT_LEAVE, 2},        {FAULT_JOIN, 5},
    {FAULT_EXPEL, 1},      {FAULT_START, 4},        {FAULT_STOP, 4},
    {FAULT_SCALE, 6},      {FAULT_REMOVE, 1},       {FAULT_WIPE_WRITER, 3},
    {FAULT_OFF, 4},        {FAULT_GARBLE, 4},       {FAULT_DUPLICATE, 3},
    {FAULT_REORDER, 3},    {FAULT_CORRUPT, 3},      {FAULT_HIGH_WATER, 2},
    {FAULT_LATE_NEWS, 3},  {FAULT_CLOG, 5},         {FAULT_SWIZZLE, 4},
    {FAULT_BRIDGE, 3},     {FAULT_MUTE, 4},         {FAULT_SLEEP, 5},
    {FAULT_SLEEP_ALL, 1},  {FAULT_WALL_FORWARD, 2}, {FAULT_WALL_BACK, 2},
    {FAULT_FAST_CLOCK, 3}, {FAULT_SLOW_CLOCK, 3},   {FAULT_DISK_FULL, 4},
    {FAULT_BAD_WRITE, 4},  {FAULT_BAD_READ, 3},     {FAULT_CRASH_WRITE, 8},
    {FAULT_OLD_DISK, 3},   {FAULT_RANDOM_STATE, 3}, {FAULT_CLONE, 2},
    {FAULT_CHURN, 1},      {FAULT_LIE, 3},          {FAULT_LIE_RING, 3},
    {FAULT_LIE_OWNER, 3},  {FAULT_WITHHOLD, 3},     {FAULT_ALTER, 3},
    {FAULT_REPLAY, 3},     {FAULT_FALSE_DEATH, 3},
};

static enum fault_kind draw_kind(struct random *random)
{
    uint64_t sum = 0;
    uint64_t drawn;

    for (size_t i = 0; i < ARRAY_COUNT(weights); i++) {
        sum += weights[i].weight;
    }
    drawn = random_below(random, sum);
    for (size_t i = 0; i < ARRAY_COUNT(weights); i++) {
        if (drawn < weights[i].weight) {
            return weights[i].kind;
        }
        drawn -= weights[i].weight;
    }
    return FAULT_KILL;
}

/* From, and how many more; most values are of one kind or another. */
static const struct value_range {
    uint32_t from;
    uint32_t count;
} value_ranges[FAULT_KIND_COUNT] = {
    [FAULT_LOSSY] = {10, 200},
    [FAULT_DUPLICATE] = {10, 300},
    [FAULT_REORDER] = {10, 200},
    [FAULT_CORRUPT] = {1, 20},
    [FAULT_HIGH_WATER] = {2, 30},
    [FAULT_LATE_NEWS] = {100, 3000},
    [FAULT_WALL_FORWARD] = {1, 1U << 28},
    [FAULT_WALL_BACK] = {1, 1U << 28},
    [FAULT_FAST_CLOCK] = {10, 1},
    [FAULT_SLOW_CLOCK] = {10, 1},
    [FAULT_BAD_WRITE] = {0, 12},
    [FAULT_BAD_READ] = {0, 4},
    [FAULT_CRASH_WRITE] = {0, 30},
    [FAULT_OLD_DISK] = {1000, 20000},
    [FAULT_CHURN] = {5000, 30000},
    [FAULT_LIE_RING] = {50, 950},
    [FAULT_WITHHOLD] = {100, 901},
    [FAULT_ALTER] = {100, 901},
    [FAULT_REPLAY] = {50, 500},
};

static uint64_t draw_value(struct random *random, const struct schedule *schedule,
                           enum fault_kind kind)
{
    uint32_t replicas_max = schedule->nodes < 5 ? schedule->nodes : 5;
    const struct value_range *range = &value_ranges[kind];

    if (kind == FAULT_SCALE) {
        return 1 + random_below(random, replicas_max);
    }
    return range->count == 0 ? random_below(random, 300)
                             : range->from + random_below(random, range->count);
}

/* Shorter ones are more frequent; now and then one that is long. */
static uint64_t draw_for_ms(struct random *random)
{
    uint64_t for_ms = 200 + random_below(random, 2UL * FAULT_TYPICAL_MS);

    return random_below(random, 5) == 0 ? for_ms * 2 : for_ms;
}

/* All is over when the calm begins. */
static void fit(const struct schedule *schedule, struct fault *fault)
{
    uint64_t left_ms = schedule->calm_ms - fault->at_ms;

    if (fault->kind == FAULT_OLD_DISK) {
        fault->value = fault->value < left_ms / 2 ? fault->value : left_ms / 2;
        left_ms -= fault->value;
    }
    if (fault->for_ms > left_ms || fault->kind == FAULT_CHURN) {
        fault->for_ms = left_ms;
    }
}

static struct fault draw_fault(const struct schedule *schedule, uint32_t number)
{
    struct random random;
    struct fault fault = {0};
    bool is_empty = true;
    char purpose[32];

    snprintf(purpose, sizeof(purpose), "fault %u", number);
    random_init(&random, schedule->seed, purpose);
    fault.kind = draw_kind(&random);
    fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, schedule->calm_ms - FAULTS_BEGIN_MS);
    fault.node = (uint32_t)random_below(&random, schedule->nodes);
    fault.other = (uint32_t)random_below(&random, schedule->nodes);
    fault.service = (uint32_t)random_below(&random, schedule->service_count);
    for (uint32_t node = 0; node < schedule->nodes; node++) {
        uint64_t bit = (random_u64(&random) & 1) << (node % 64);

        fault.group[node / 64] |= bit;
        is_empty = is_empty && bit == 0;
    }
    if (is_empty) { /* of a few nodes it may be; a line of a schedule names one at least */
        fault.group[fault.node / 64] |= 1ULL << (fault.node % 64);
    }
    fault.value = draw_value(&random, schedule, fault.kind);
    fault.for_ms = draw_for_ms(&random);
    fault.law = (enum churn_law)random_below(&random, CHURN_LAW_COUNT);
    fit(schedule, &fault);
    return fault;
}

/* Or says that it holds what it does not. */
static bool loses_a_disk(const struct fault *fault)
{
    return fault->kind == FAULT_OFF || fault->kind == FAULT_WIPE ||
           fault->kind == FAULT_WIPE_WRITER || fault->kind == FAULT_LEAVE ||
           fault->kind == FAULT_EXPEL || fault->kind == FAULT_OLD_DISK ||
           fault->kind == FAULT_RANDOM_STATE || fault->kind == FAULT_CLONE ||
           fault->kind == FAULT_WITHHOLD || fault->kind == FAULT_LIE_OWNER;
}

/* An acknowledged record has two durable holders: at most one disk may go within the time that a
 * repair takes, or losing the record would be nobody's mistake. */
static bool too_many_lost_disks(const struct schedule *schedule, const struct fault *fault)
{
    uint32_t gone_count = 0;

    for (uint32_t i = 0; loses_a_disk(fault) && i < schedule->fault_count; i++) {
        const struct fault *other = &schedule->faults[i];
        uint64_t apart_ms =
            other->at_ms > fault->at_ms ? other->at_ms - fault->at_ms : fault->at_ms - other->at_ms;

        if (loses_a_disk(other)) {
            gone_count++;
            if (apart_ms < WIPE_ALONE_MS) {
                return true;
            }
        }
    }
    return loses_a_disk(fault) && (gone_count > 1 || schedule->members < 5);
}

static int compare_faults(const void *a, const void *b)
{
    const struct fault *first = a;
    const struct fault *second = b;

    if (first->at_ms != second->at_ms) {
        return first->at_ms < second->at_ms ? -1 : 1;
    }
    return (int)first->kind - (int)second->kind;
}

static void add(struct schedule *schedule, struct fault fault)
{
    if (schedule->fault_count < SIM_FAULTS_MAX && fault.at_ms < schedule->calm_ms) {
        fault.group[fault.node / 64] |= 1ULL << (fault.node % 64);
        schedule->faults[schedule->fault_count++] = fault;
    }
}

/* Drawn apart, too: who is outside, or was expelled, tries to get in; a member expels another one. */
static void draw_intruders(struct schedule *schedule)
{
    uint32_t fault_count = schedule->fault_count;
    struct fault fault = {0};
    struct random random;
    uint64_t span_ms = schedule->calm_ms - FAULTS_BEGIN_MS;

    random_init(&random, schedule->seed, "intruders");
    fault.kind = FAULT_INTRUDE;
    fault.value = random_below(&random, 3);
    fault.node = schedule->nodes - 1;
    fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, span_ms);
    if (schedule->members < schedule->nodes && random_below(&random, 3) == 0) {
        add(schedule, fault);
    }
    for (uint32_t i = 0; i < fault_count; i++) {
        fault.at_ms = schedule->faults[i].at_ms + EXPELLED_BACK_MS;
        fault.node = schedule->faults[i].node;
        if (schedule->faults[i].kind == FAULT_EXPEL) {
            add(schedule, fault);
        }
    }
    fault.kind = FAULT_FALSE_EXPEL;
    fault.value = 0;
    fault.node = (uint32_t)random_below(&random, schedule->nodes);
    fault.other = (uint32_t)random_below(&random, schedule->nodes);
    fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, span_ms);
    fault.for_ms = 1000;
    if (random_below(&random, 8) == 0 && fault.node != fault.other) {
        fit(schedule, &fault);
        add(schedule, fault);
    }
}

/* Drawn apart, too: two are outside and join by an invitation for one or two uses. */
static void draw_guests(struct schedule *schedule)
{
    struct random random;

    random_init(&random, schedule->seed, "guests");
    if (schedule->nodes >= GUESTS_NODES_MIN && random_below(&random, GUESTS_ONE_IN) == 0) {
        schedule->uses = 1 + random_below(&random, 2);
        schedule->members = schedule->nodes - 2;
    }
}

/* They come at once or one after the other, and the invitation may be revoked before or after. */
static void draw_guests_joins(struct schedule *schedule)
{
    uint64_t span_ms = schedule->calm_ms - FAULTS_BEGIN_MS;
    struct fault fault = {0};
    struct random random;

    random_init(&random, schedule->seed, "guests' joins");
    fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, span_ms);
    for (uint32_t i = 0; i < 2; i++) {
        fault.kind = FAULT_JOIN;
        fault.node = schedule->nodes - 2 + i;
        add(schedule, fault);
        fault.at_ms += random_below(&random, 2) == 0 ? 0 : random_below(&random, GUESTS_APART_MS);
    }
    fault.kind = FAULT_INTRUDE;
    fault.value = INTRUDE_LIMITED;
    fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, span_ms);
    add(schedule, fault);
    fault.kind = FAULT_REVOKE;
    fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, span_ms);
    if (random_below(&random, 3) == 0) {
        add(schedule, fault);
    }
}

/* Some bundles are pushed in the middle of it. */
static void draw_pushes(struct schedule *schedule)
{
    struct random random;

    random_init(&random, schedule->seed, "pushes");
    for (uint32_t i = 1; i < schedule->service_count; i++) {
        struct fault fault = {.kind = FAULT_PUSH, .service = i};

        fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, schedule->calm_ms - FAULTS_BEGIN_MS);
        if (random_below(&random, PUSHES_ONE_IN) == 0) {
            add(schedule, fault);
        }
    }
}

/* Drawn apart, too: another version of some services, of half of them as something else happens. */
static void draw_updates(struct schedule *schedule)
{
    uint64_t span_ms = schedule->calm_ms - FAULTS_BEGIN_MS;
    uint32_t fault_count = schedule->fault_count;
    struct random random;

    random_init(&random, schedule->seed, "updates");
    for (uint32_t i = 0; i < schedule->service_count; i++) {
        struct fault fault = {.kind = FAULT_UPDATE, .service = i};
        const struct fault *other = &schedule->faults[random_below(&random, fault_count + 1)];
        bool is_beside = random_below(&random, 2) == 0;

        fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, span_ms);
        if (is_beside && other < &schedule->faults[fault_count]) {
            fault.at_ms = other->at_ms + random_below(&random, other->for_ms + 1);
        }
        if (random_below(&random, UPDATES_ONE_IN) == 0) {
            add(schedule, fault);
        }
    }
}

/* Everyone sleeps for hours, and nothing happens meanwhile: what follows comes so much later. */
static void stretch_sleep(struct schedule *schedule)
{
    for (uint32_t i = 0; i < schedule->fault_count; i++) {
        struct fault *sleep = &schedule->faults[i];
        uint64_t longer_ms = sleep->for_ms * SLEEP_FACTOR;

        if (sleep->kind != FAULT_SLEEP_ALL) {
            continue;
        }
        for (uint32_t k = 0; k < schedule->fault_count; k++) {
            schedule->faults[k].at_ms += schedule->faults[k].at_ms > sleep->at_ms ? longer_ms : 0;
        }
        schedule->calm_ms += longer_ms;
        sleep->for_ms += longer_ms;
        return;
    }
}

static void draw_community(struct schedule *schedule, struct random *random, uint32_t nodes)
{
    static const uint64_t latencies_ms[] = {1, 2, 5, 20, 60};

    schedule->nodes = nodes != 0 ? nodes : 4 + (uint32_t)random_below(random, 8);
    if (nodes == 0 && schedule->seed % 20 == 0 && (int)MEMBERS_MAX > 50) {
        schedule->nodes = schedule->seed % 40 == 0 ? 50 : 32;
    }
    schedule->members = schedule->nodes - (uint32_t)random_below(random, 2);
    schedule->latency_ms = latencies_ms[random_below(random, ARRAY_COUNT(latencies_ms))];
    schedule->loss_permille = random_below(random, 3) == 0 ? 1 + random_below(random, 5) : 0;
    schedule->skew_s = random_below(random, 2) == 0 ? 100 : 0;
    schedule->mixed = random_below(random, 2);
    schedule->service_count = 1 + (uint32_t)random_below(random, 3);
    for (uint32_t i = 0; i < schedule->service_count; i++) {
        schedule->services[i].replicas = 1 + (uint32_t)random_below(random, 5);
        schedule->services[i].started = random_below(random, 5) != 0;
    }
}

/* Drawn apart, so that seeds stay what they were. In most, nodes find out as real ones do. */
static void draw_leaves(struct schedule *schedule)
{
    struct random random;

    random_init(&random, schedule->seed, "leaves");
    schedule->reach = random_below(&random, 4) != 0;
    if (schedule->reach != 0 && random_below(&random, 2) == 0 && schedule->nodes > 5) {
        schedule->leaves = 1 + random_below(&random, schedule->nodes / 3);
    }
}

void schedule_generate(uint64_t seed, uint32_t nodes, uint64_t minutes,
                       struct schedule *schedule_out)
{
    struct schedule *schedule = schedule_out;
    struct random random;
    uint32_t fault_count;

    *schedule = (struct schedule){.seed = seed, .converge_ms = 40000};
    random_init(&random, seed, "community");
    draw_community(schedule, &random, nodes);
    schedule->calm_ms = minutes != 0 ? minutes * 60000 : 20000 + random_below(&random, 50000);
    if (schedule->calm_ms < 2UL * FAULTS_BEGIN_MS) {
        schedule->calm_ms = 2UL * FAULTS_BEGIN_MS;
    }
    draw_leaves(schedule);
    draw_guests(schedule);
    fault_count =
        1 + (uint32_t)random_below(
                &random, schedule->calm_ms / (seed % 5 == 0 ? FAULTS_DENSE_MS : FAULTS_SPARSE_MS));
    for (uint32_t i = 0; i < fault_count && schedule->fault_count < SIM_FAULTS_MAX; i++) {
        struct fault fault = draw_fault(schedule, i);

        if (!too_many_lost_disks(schedule, &fault)) {
            schedule->faults[schedule->fault_count++] = fault;
        }
    }
    draw_intruders(schedule);
    draw_pushes(schedule);
    draw_updates(schedule);
    if (schedule->uses != 0) {
        draw_guests_joins(schedule);
    }
    stretch_sleep(schedule);
    qsort(schedule->faults, schedule->fault_count, sizeof(schedule->faults[0]), compare_faults);
}
