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
    uint64_t memory_bytes;
    const char *only; /* the name of a scenario; NULL: all */
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

/* Reads one of the options with a value. Returns 0, or -1 when it is none or the value is wrong. */
static int read_option(const char *name, const char *value, struct usage *usage)
{
    if (strcmp(name, "--arrivals") == 0) {
        usage->is_one_depth = true;
        return units_parse_number(value, &usage->arrivals_min);
    }
    if (strcmp(name, "--compare") == 0) {
        usage->compares = true;
        return units_parse_number(value, &usage->arrivals_max);
    }
    if (strcmp(name, "--memory") == 0) {
        return units_parse_bytes(value, &usage->memory_bytes);
    }
    if (strcmp(name, "--only") == 0) {
        usage->only = value;
        return 0;
    }
    return -1;
}

static int read_options(int argc, char **argv, struct usage *usage)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all-kinds") == 0) {
            usage->all_kinds = true;
        } else if (strcmp(argv[i], "--goals") == 0) {
            usage->has_goals = true;
        } else if (argv[i][0] != '-') {
            if (units_parse_number(argv[i], &usage->seconds) != 0) {
                return -1;
            }
        } else if (i + 1 == argc || read_option(argv[i], argv[i + 1], usage) != 0) {
            return -1;
        } else {
            i++;
        }
    }
    if (usage->is_one_depth) {
        usage->arrivals_max = usage->arrivals_min;
    }
    return usage->arrivals_max <= ARRIVALS_MAX ? 0 : -1;
}

static bool is_wanted(const struct scenario *scenario, const struct usage *usage)
{
    return usage->only == NULL || strcmp(usage->only, scenario->name) == 0;
}

int main(int argc, char **argv)
{
    struct usage usage = {.seconds = 4,
                          .arrivals_min = ARRIVALS_FIRST,
                          .arrivals_max = ARRIVALS_MAX,
                          .memory_bytes = (uint64_t)1 << 30};
    uint32_t run_count = 0;

    if (read_options(argc, argv, &usage) != 0) {
        fputs("usage: minga-exhaustive [OPTION...] [--arrivals COUNT | --goals] [SECONDS]\n"
              "       minga-exhaustive [OPTION...] --compare COUNT\n"
              "options: --all-kinds, --only SCENARIO, --memory SIZE (for the states come to: 1G)\n",
              stderr);
        return 2;
    }
    for (size_t i = 0; i < ARRAY_COUNT(scenarios); i++) {
        if (!is_wanted(&scenarios[i], &usage)) {
            continue;
        }
        run_count++;
        search_begin(&scenarios[i], usage.memory_bytes);
        (usage.compares ? compare : deepen)(&scenarios[i], &usage);
        search_end();
    }
    if (run_count == 0) {
        fprintf(stderr, "minga-exhaustive: there is no scenario \"%s\"\n", usage.only);
        return 2;
    }
    printf("exhaustive: %s\n", failed_count == 0 ? "nothing found" : "FAILED");
    return failed_count == 0 ? 0 : 1;
}
