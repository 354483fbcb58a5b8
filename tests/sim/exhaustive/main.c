// SPDX-License-Identifier: GPL-3.0-or-later
/* minga-exhaustive: see search.h, and docs/simulator.md. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/units.h"
#include "tests/sim/exhaustive/search.h"

enum { ARRIVALS_FIRST = 3, ARRIVALS_MAX = 40 };

static const struct scenario scenarios[] = {
    {"a node joins two", 3, 1, 0, 0, true, 40},
    {"a node joins three", 4, 1, 0, 0, true, 40},
    {"a node joins two, one of which crashes", 3, 1, 1, 0, false, 16},
    {"one of four crashes", 4, 0, 1, 1, true, 14},
    {"one of five crashes", 5, 0, 1, 0, true, 20},
    {"a node joins three, one of which crashes", 4, 1, 1, 0, false, 12},
    {"a node joins four, one of which crashes", 5, 1, 1, 0, false, 10},
    {"two nodes join three", 5, 2, 0, 0, false, 13},
};

struct usage {
    bool all_kinds;
    bool compares;
    bool is_one_depth;
    bool has_goals;        /* it is each scenario's own */
    uint64_t arrivals_min; /* it begins with so many */
    uint64_t arrivals_max;
    uint64_t seconds; /* of processor time, for each scenario */
};

static int failed_count;

/* Deeper and deeper, until the time is used up. */
static void deepen(const struct scenario *scenario, const struct usage *usage)
{
    double begun_s = search_spent_s();
    struct search_options options = {.all_kinds = usage->all_kinds,
                                     .until_s = begun_s + (double)usage->seconds};
    struct search_result result = {0};
    uint64_t arrivals_min = usage->has_goals ? scenario->goal : usage->arrivals_min;
    uint64_t arrivals_max = usage->has_goals ? scenario->goal : usage->arrivals_max;
    bool has_failed; /* what was asked for was not searched */
    uint32_t all_of = 0;
    uint64_t state_count = 0;
    uint64_t step_count = 0;
    uint64_t end_count = 0;

    for (uint32_t arrivals = (uint32_t)arrivals_min; arrivals <= arrivals_max; arrivals++) {
        search_run(&options, arrivals, &result);
        step_count += result.step_count;
        end_count += result.end_count;
        if (result.is_out_of_time || result.has_failed) {
            break;
        }
        all_of = arrivals;
        state_count = result.state_count;
    }
    has_failed = all_of < arrivals_min && (usage->is_one_depth || usage->has_goals);
    printf("%s: all orders of %u arrivals, %" PRIu64 " states; %" PRIu64 " steps, %" PRIu64
           " ends run to rest, %.1f s%s\n",
           scenario->name, all_of, state_count, step_count, end_count, search_spent_s() - begun_s,
           has_failed ? ": TOO FEW" : "");
    fflush(stdout);
    failed_count += result.has_failed || has_failed ? 1 : 0;
}

/* What nothing was left out of comes to the same states, with every step computed anew. */
static void compare(const struct scenario *scenario, const struct usage *usage)
{
    struct search_options options = {.all_kinds = usage->all_kinds, .until_s = 1e9};
    struct search_result reduced;
    struct search_result whole;
    bool is_same;

    search_run(&options, (uint32_t)usage->arrivals_max, &reduced);
    options.is_unreduced = true;
    search_run(&options, (uint32_t)usage->arrivals_max, &whole);
    is_same = reduced.has_failed == whole.has_failed &&
              (whole.has_failed ||
               (reduced.state_count == whole.state_count && reduced.digest == whole.digest));
    printf("%s: %" PRIu64 " steps come to %" PRIu64 " states, all %" PRIu64 " to %" PRIu64 ", %s\n",
           scenario->name, reduced.step_count, reduced.state_count, whole.step_count,
           whole.state_count, is_same ? "the same" : "DIFFERENT");
    fflush(stdout);
    failed_count += is_same && !whole.has_failed ? 0 : 1;
}

static int read_options(int argc, char **argv, struct usage *usage)
{
    for (int i = 1; i < argc; i++) {
        uint64_t *number = NULL;

        if (strcmp(argv[i], "--all-kinds") == 0 || strcmp(argv[i], "--goals") == 0) {
            usage->all_kinds = usage->all_kinds || argv[i][2] == 'a';
            usage->has_goals = usage->has_goals || argv[i][2] == 'g';
            continue;
        }
        if (strcmp(argv[i], "--arrivals") == 0) {
            number = &usage->arrivals_min;
        } else if (strcmp(argv[i], "--compare") == 0) {
            usage->compares = true;
            number = &usage->arrivals_max;
        }
        usage->is_one_depth = usage->is_one_depth || number == &usage->arrivals_min;
        i += number != NULL ? 1 : 0;
        number = number != NULL ? number : &usage->seconds;
        if (i == argc || units_parse_number(argv[i], number) != 0) {
            return -1;
        }
    }
    if (usage->is_one_depth) {
        usage->arrivals_max = usage->arrivals_min;
    }
    return usage->arrivals_max <= ARRIVALS_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct usage usage = {
        .seconds = 4, .arrivals_min = ARRIVALS_FIRST, .arrivals_max = ARRIVALS_MAX};

    if (read_options(argc, argv, &usage) != 0) {
        fputs("usage: minga-exhaustive [--all-kinds] [--arrivals COUNT | --goals] [SECONDS]\n"
              "       minga-exhaustive [--all-kinds] --compare COUNT\n",
              stderr);
        return 2;
    }
    for (size_t i = 0; i < ARRAY_COUNT(scenarios); i++) {
        search_begin(&scenarios[i]);
        (usage.compares ? compare : deepen)(&scenarios[i], &usage);
        search_end();
    }
    printf("exhaustive: %s\n", failed_count == 0 ? "nothing found" : "FAILED");
    return failed_count == 0 ? 0 : 1;
}
