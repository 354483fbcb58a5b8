// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-sim: communities of the shipped agent/core in virtual time. See docs/simulator.md.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/units.h"
#include "tests/sim/run.h"

static const char usage[] =
    "usage: minga-sim --seed S [--nodes N] [--minutes M] [--overlay] [--trace] [--print] "
    "[--shrink]\n"
    "       minga-sim --schedule FILE [--seed S] [--trace]\n"
    "       minga-sim --seeds A-B [--nodes N] [--minutes M] [--overlay] [--jobs J]\n"
    "                 [--until-failed]\n"
    "       each with [--full-members N]: beyond so many, nodes know a part of the community\n";

struct options {
    struct run_options run;
    const char *schedule_path;
    bool has_seed;
    bool print;
    bool shrink;
    uint64_t seed_first;
};

static int parse_range(const char *text, struct options *options)
{
    char first[32];
    const char *dash = strchr(text, '-');
    size_t first_length;

    if (dash == NULL || (first_length = (size_t)(dash - text)) >= sizeof(first)) {
        return -EINVAL;
    }
    memcpy(first, text, first_length);
    first[first_length] = '\0';
    if (units_parse_number(first, &options->seed_first) != 0 ||
        units_parse_number(dash + 1, &options->run.seed_last) != 0 ||
        options->run.seed_last < options->seed_first || options->seed_first == 0) {
        return -EINVAL;
    }
    return 0;
}

static int parse_count(const char *text, uint64_t count_max, uint64_t *count_out)
{
    uint64_t count = 0;

    if (units_parse_number(text, &count) != 0 || count == 0 || count > count_max) {
        return -EINVAL;
    }
    *count_out = count;
    return 0;
}

static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'r'},
        {"nodes", required_argument, NULL, 'n'},
        {"schedule", required_argument, NULL, 'f'},
        {"minutes", required_argument, NULL, 'm'},
        {"jobs", required_argument, NULL, 'j'},
        {"trace", no_argument, NULL, 't'},
        {"print", no_argument, NULL, 'p'},
        {"shrink", no_argument, NULL, 'k'},
        {"overlay", no_argument, NULL, 'o'},
        {"until-failed", no_argument, NULL, 'u'},
        {"full-members", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    int failed = 0;
    int letter;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (letter) {
        case 's':
            options->has_seed = true;
            failed |= parse_count(optarg, UINT64_MAX, &options->run.seed);
            break;
        case 'r':
            failed |= parse_range(optarg, options);
            break;
        case 'n':
            failed |= parse_count(optarg, SIM_NODES_MAX, &options->run.nodes);
            break;
        case 'f':
            options->schedule_path = optarg;
            break;
        case 'm':
            failed |= parse_count(optarg, 60, &options->run.minutes);
            break;
        case 'j':
            failed |= parse_count(optarg, RUN_JOBS_MAX, &options->run.jobs);
            break;
        case 'l':
            failed |= parse_count(optarg, 512, &options->run.full_members);
            break;
        case 't':
            options->run.trace = true;
            break;
        case 'p':
            options->print = true;
            break;
        case 'o':
            options->run.overlay_only = true;
            break;
        case 'u':
            options->run.until_failed = true;
            break;
        case 'k':
            options->shrink = true;
            break;
        default:
            return -EINVAL;
        }
    }
    return failed != 0 || optind != argc ? -EINVAL : 0;
}

static int load_schedule(const struct options *options, struct schedule *schedule)
{
    CLEANUP(cleanup_fclose) FILE *file = NULL;
    struct err err = {0};

    if (options->schedule_path == NULL) {
        schedule_generate(options->run.seed, (uint32_t)options->run.nodes, options->run.minutes,
                          schedule);
        schedule->full_members = options->run.full_members;
        if (options->run.overlay_only) {
            schedule_overlay_only(schedule);
        }
        return 0;
    }
    file = fopen(options->schedule_path, "re");
    if (file == NULL) {
        fprintf(stderr, "minga-sim: %s: %m\n", options->schedule_path);
        return -errno;
    }
    if (schedule_parse(file, options->schedule_path, schedule, &err) != 0) {
        fprintf(stderr, "minga-sim: %s\n", err.text);
        return err.code;
    }
    if (options->has_seed) {
        schedule->seed = options->run.seed;
    }
    if (options->run.full_members != 0) {
        schedule->full_members = options->run.full_members;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct schedule schedule;
    struct options options = {.run.jobs = 2};

    /* A core is megabytes of tables that a run hardly touches: fresh pages, never wiped ones. */
#ifdef M_MMAP_THRESHOLD /* musl's is fixed */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 18);
#endif

    if (parse_options(argc, argv, &options) != 0 ||
        (!options.has_seed && options.schedule_path == NULL && options.seed_first == 0)) {
        fputs(usage, stderr);
        return 2;
    }
    if (options.run.nodes > MEMBERS_MAX) {
        fprintf(stderr, "minga-sim: so small tables are for %d nodes at most\n", MEMBERS_MAX);
        return 2;
    }
    if (options.seed_first != 0) {
        return run_many(options.seed_first, &options.run);
    }
    if (load_schedule(&options, &schedule) != 0) {
        return 2;
    }
    if (options.print) {
        schedule_print(&schedule, stdout);
        return 0;
    }
    return options.shrink ? run_shrink(&schedule) : run_one(&schedule, options.run.trace);
}
