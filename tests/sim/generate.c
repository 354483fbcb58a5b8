// SPDX-License-Identifier: GPL-3.0-or-later
/* Schedules from seeds: each fault is drawn by its own number, independent of the others. */
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/random.h"
#include "tests/sim/schedule.h"

enum {
    FAULTS_SPARSE_MS = 4000,
    FAULTS_DENSE_MS = 1000,
    FAULTS_BEGIN_MS = 12000,
    FAULT_TYPICAL_MS = 6000,
    WIPE_ALONE_MS = 25000
};

static const struct {
    enum fault_kind kind;
    uint32_t weight;
} weights[] = {
    {FAULT_CRASH, 10},      {FAULT_WIPE, 3},         {FAULT_KILL, 12},
    {FAULT_KILL_AGENT, 8},  {FAULT_CUT, 10},         {FAULT_PARTITION, 10},
    {FAULT_ONE_WAY, 6},     {FAULT_LOSSY, 5},        {FAULT_STALL, 8},
    {FAULT_SLOW_DISK, 4},   {FAULT_END_REPLICA, 10}, {FAULT_REFUSE_STARTS, 3},
    {FAULT_PAUSE, 3},       {FAULT_DRAIN, 5},        {FAULT_SHUT_DOWN, 5},
    {FAULT_BACK_SOON, 4},   {FAULT_LEAVE, 2},        {FAULT_JOIN, 5},
    {FAULT_EXPEL, 1},       {FAULT_START, 4},        {FAULT_STOP, 4},
    {FAULT_SCALE, 6},       {FAULT_GARBLE, 4},       {FAULT_REMOVE, 1},
    {FAULT_WIPE_WRITER, 3}, {FAULT_OFF, 4},
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

static uint64_t draw_value(struct random *random, const struct schedule *schedule,
                           enum fault_kind kind)
{
    uint32_t replicas_max = schedule->nodes < 5 ? schedule->nodes : 5;

    if (kind == FAULT_SCALE) {
        return 1 + random_below(random, replicas_max);
    }
    return kind == FAULT_LOSSY ? 10 + random_below(random, 200) : random_below(random, 300);
}

/* Shorter ones are more frequent; now and then one that is long. */
static uint64_t draw_for_ms(struct random *random)
{
    uint64_t for_ms = 200 + random_below(random, 2UL * FAULT_TYPICAL_MS);

    return random_below(random, 5) == 0 ? for_ms * 2 : for_ms;
}

static struct fault draw_fault(const struct schedule *schedule, uint32_t number)
{
    struct random random;
    struct fault fault = {0};
    char purpose[32];

    snprintf(purpose, sizeof(purpose), "fault %u", number);
    random_init(&random, schedule->seed, purpose);
    fault.kind = draw_kind(&random);
    fault.at_ms = FAULTS_BEGIN_MS + random_below(&random, schedule->calm_ms - FAULTS_BEGIN_MS);
    fault.node = (uint32_t)random_below(&random, schedule->nodes);
    fault.other = (uint32_t)random_below(&random, schedule->nodes);
    fault.service = (uint32_t)random_below(&random, schedule->service_count);
    for (uint32_t node = 0; node < schedule->nodes; node++) {
        fault.group[node / 64] |= (random_u64(&random) & 1) << (node % 64);
    }
    fault.value = draw_value(&random, schedule, fault.kind);
    fault.for_ms = draw_for_ms(&random);
    if (fault.at_ms + fault.for_ms > schedule->calm_ms) {
        fault.for_ms = schedule->calm_ms - fault.at_ms;
    }
    return fault;
}

static bool loses_a_disk(const struct fault *fault)
{
    return fault->kind == FAULT_OFF || fault->kind == FAULT_WIPE ||
           fault->kind == FAULT_WIPE_WRITER || fault->kind == FAULT_LEAVE ||
           fault->kind == FAULT_EXPEL;
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

static void draw_community(struct schedule *schedule, struct random *random, uint32_t nodes)
{
    static const uint64_t latencies_ms[] = {1, 2, 5, 20, 60};

    schedule->nodes = nodes != 0 ? nodes : 4 + (uint32_t)random_below(random, 8);
    if (nodes == 0 && schedule->seed % 20 == 0) {
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
    fault_count =
        1 + (uint32_t)random_below(
                &random, schedule->calm_ms / (seed % 5 == 0 ? FAULTS_DENSE_MS : FAULTS_SPARSE_MS));
    for (uint32_t i = 0; i < fault_count && schedule->fault_count < SIM_FAULTS_MAX; i++) {
        struct fault fault = draw_fault(schedule, i);

        if (!too_many_lost_disks(schedule, &fault)) {
            schedule->faults[schedule->fault_count++] = fault;
        }
    }
    qsort(schedule->faults, schedule->fault_count, sizeof(schedule->faults[0]), compare_faults);
}
