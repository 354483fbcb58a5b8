// SPDX-License-Identifier: GPL-3.0-or-later
/* minga-rings: hops, right answers and bytes of large rings; see docs/simulator.md. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/rings/rings.h"

static const char usage[] =
    "usage: minga-rings [--nodes N] [--seed N] [--lookups N] [--witnesses N]\n"
    "  a ring that stands still: [--cache] [--askers N] [--zipf KEYS] [--candidates N]\n"
    "                            [--liars PERMILLE] [--crude]\n"
    "  with churn: --session SECONDS [--shape PERMILLE] [--leave PERMILLE] [--loss PERMILLE]\n"
    "              [--warm MINUTES] [--minutes MINUTES] [--pace N]\n"
    "  cut into two halves, then healed: --split\n"
    "  exit status 1 when missed: [--hops-max PERMILLE] [--missed-max LOOKUPS]\n"
    "                             [--bytes-max PER_SECOND] [--periods-max N]\n";

enum option_name {
    NODES = 1,
    SEED,
    LOOKUPS,
    WITNESSES,
    CACHE,
    ASKERS,
    ZIPF,
    CANDIDATES,
    LIARS,
    CRUDE,
    SESSION,
    SHAPE,
    LEAVE,
    LOSS,
    WARM,
    MINUTES,
    SPLIT,
    PACE,
    HOPS_MAX,
    MISSED_MAX,
    BYTES_MAX,
    PERIODS_MAX,
};

static const struct option option_table[] = {
    {"nodes", required_argument, NULL, NODES},
    {"seed", required_argument, NULL, SEED},
    {"lookups", required_argument, NULL, LOOKUPS},
    {"witnesses", required_argument, NULL, WITNESSES},
    {"cache", no_argument, NULL, CACHE},
    {"askers", required_argument, NULL, ASKERS},
    {"zipf", required_argument, NULL, ZIPF},
    {"candidates", required_argument, NULL, CANDIDATES},
    {"liars", required_argument, NULL, LIARS},
    {"crude", no_argument, NULL, CRUDE},
    {"session", required_argument, NULL, SESSION},
    {"shape", required_argument, NULL, SHAPE},
    {"leave", required_argument, NULL, LEAVE},
    {"loss", required_argument, NULL, LOSS},
    {"warm", required_argument, NULL, WARM},
    {"minutes", required_argument, NULL, MINUTES},
    {"pace", required_argument, NULL, PACE},
    {"hops-max", required_argument, NULL, HOPS_MAX},
    {"missed-max", required_argument, NULL, MISSED_MAX},
    {"bytes-max", required_argument, NULL, BYTES_MAX},
    {"periods-max", required_argument, NULL, PERIODS_MAX},
    {"split", no_argument, NULL, SPLIT},
    {NULL, 0, NULL, 0},
};

static bool number(const char *text, uint32_t min, uint32_t max, uint32_t *value_out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        return false;
    }
    *value_out = (uint32_t)value;
    return true;
}

static bool take_flag(struct options *options, int name)
{
    switch (name) {
    case CACHE:
        options->has_cache = true;
        return true;
    case CRUDE:
        options->liar_kind = LIARS_CRUDE;
        return true;
    case SPLIT:
        options->is_split = true;
        return true;
    default:
        return false;
    }
}

/* Where the number of an option goes, and its bounds. */
static uint32_t *place_of(struct options *options, int name, uint32_t *min_out, uint32_t *max_out)
{
    struct {
        int name;
        uint32_t min;
        uint32_t max;
        uint32_t *place;
    } table[] = {
        {NODES, 64, 1000000, &options->node_count},
        {LOOKUPS, 1, 100000000, &options->lookup_count},
        {WITNESSES, 0, 32, &options->witness_count},
        {ASKERS, 1, 1000000, &options->asker_count},
        {ZIPF, 0, 10000000, &options->zipf_keys},
        {CANDIDATES, 0, 2, &options->candidates},
        {LIARS, 0, 500, &options->liar_permille},
        {SESSION, 1, 10000000, &options->session_s},
        {SHAPE, 100, 5000, &options->weibull_shape_permille},
        {LEAVE, 0, 1000, &options->leave_permille},
        {LOSS, 0, 500, &options->loss_permille},
        {PACE, 1, RING_PACE_MAX, &options->pace},
        {HOPS_MAX, 0, 100000, &options->goals.hops_permille_max},
        {MISSED_MAX, 0, 1000000, &options->goals.missed_max},
        {BYTES_MAX, 0, 1000000, &options->goals.rate_bytes_max},
        {PERIODS_MAX, 0, 1000000, &options->goals.periods_max},
        {WARM, 0, 100000, &options->warm_minutes},
        {MINUTES, 1, 100000, &options->minutes},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].name == name) {
            *min_out = table[i].min;
            *max_out = table[i].max;
            return table[i].place;
        }
    }
    return NULL;
}

static bool take_option(struct options *options, int name)
{
    uint32_t min;
    uint32_t max;
    uint32_t *place;

    if (name == SEED) {
        options->seed = strtoull(optarg, NULL, 10);
        return true;
    }
    place = place_of(options, name, &min, &max);
    return take_flag(options, name) || (place != NULL && number(optarg, min, max, place));
}

struct ring_key next_key(struct world *world)
{
    uint32_t count = world->options.zipf_keys;
    uint32_t low = 0;
    uint32_t high = count;
    struct random random;
    double point;

    if (count == 0) {
        return world_random_key(&world->random_keys);
    }
    point = random_unit(&world->random_keys) * world->zipf[count - 1];
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (world->zipf[middle] < point) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    random_init(&random, world->options.seed + low, "rings key");
    return world_random_key(&random);
}

static void give_caches(struct world *world)
{
    for (uint32_t i = 0; world->options.has_cache && i < world->options.asker_count; i++) {
        struct host *host = &world->hosts[i];

        host->locations = malloc(sizeof(*host->locations));
        CHECK(host->locations != NULL);
        locations_init(host->locations);
    }
}

static void look_up(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct host *asker = &world->hosts[i % world->options.asker_count];
        struct ring_key key = next_key(world);

        if (!asker->lies) {
            lookup_begin(world, asker, &key, FOR_WORK);
        }
        if (world->active_count > 1000) {
            world_run(world, world->now_ms + 100);
        }
    }
    world_run(world, UINT64_MAX);
}

/* Of the mean path, in proportion to 1/2 log2 N. */
static double hops_ratio(const struct world *world)
{
    const struct results *results = &world->results;

    return (double)results->hops / (double)(results->right + results->wrong) /
           (0.5 * log2(world->options.node_count));
}

static void print_hops(const struct world *world)
{
    const struct results *results = &world->results;
    uint64_t answered = results->right + results->wrong;
    uint64_t counted = results->hops_of[0];
    uint32_t hops = 0;

    while (hops < ROUTE_HOPS_MAX && counted * 100 < answered * 99) {
        counted += results->hops_of[++hops];
    }
    printf("hops: mean %.3f, p99 %u; of 1/2 log2 N = %.2f: %.3f\n",
           (double)results->hops / (double)answered, hops, 0.5 * log2(world->options.node_count),
           hops_ratio(world));
    printf("asks per lookup: %.2f; mean time %.0f ms\n",
           (double)results->asks / (double)results->count,
           (double)results->latency_ms / (double)results->count);
}

static void print_right(const struct world *world)
{
    const struct results *results = &world->results;

    printf("lookups: %lu; right when answered %.5f %%, still when it arrived %.5f %%; "
           "wrong %lu, without an answer %lu\n",
           results->count, 100.0 * (double)results->right / (double)results->count,
           100.0 * (double)results->right_on_arrival / (double)results->count, results->wrong,
           results->unanswered);
    if (results->liars_keys > 0) {
        printf("not counted: %lu keys whose owner lies\n", results->liars_keys);
    }
}

/* Sent by each node in a second, without the look-ups that are counted. */
static double rate_bytes(const struct world *world)
{
    return (double)(world_bytes(world) - world->results.bytes_start) * 1000 /
           (double)(world->now_ms - world->results.start_ms) / world->options.node_count;
}

static void print_bytes(const struct world *world)
{
    static const char *const names[] = {"seek next", "seek reply", "question", "reply",   "goodbye",
                                        "ping",      "pong",       "who",      "contacts"};
    double seconds = (double)(world->now_ms - world->results.start_ms) / 1000;
    double nodes = world->options.node_count;

    printf("sent by each node: %.1f B/s; the lookups counted above are %.1f B/s more\n",
           rate_bytes(world), (double)world->work_bytes / seconds / nodes);
    for (int i = 0; i < KINDS; i++) {
        if (world->count_by_kind[i] > 0) {
            printf("  %-10s %8.3f /s %8.1f B/s, %.0f B each\n", names[i],
                   (double)world->count_by_kind[i] / seconds / nodes,
                   (double)world->bytes_by_kind[i] / seconds / nodes,
                   (double)world->bytes_by_kind[i] / (double)world->count_by_kind[i]);
        }
    }
}

static void run_static(struct world *world)
{
    for (uint32_t i = 0; i < world->host_count; i++) {
        world_place(world, &world->hosts[i]);
    }
    give_caches(world);
    if (world->options.has_cache) {
        look_up(world, 400 * world->options.asker_count);
        memset(&world->results, 0, sizeof(world->results));
    }
    look_up(world, world->options.lookup_count);
    print_hops(world);
    print_right(world);
}

static void run_life(struct world *world)
{
    life_begin(world);
    printf("joined: %lu of %lu newcomers, after %.1f s in the mean; declared lost while up: %lu\n",
           world->joined_count, world->births,
           (double)world->join_ms / 1000 / (double)(world->joined_count + 1), world->lost_alive);
    print_hops(world);
    print_right(world);
    print_bytes(world);
}

/* Prints each goal that was missed; returns the exit status. */
static int judge(const struct world *world, uint32_t periods)
{
    const struct goals *goals = &world->options.goals;
    const struct results *results = &world->results;
    int status = 0;

    if (results->count > 0 && hops_ratio(world) * 1000 > goals->hops_permille_max) {
        printf("MISSED: hops\n");
        status = 1;
    }
    if (results->wrong + results->unanswered > goals->missed_max) {
        printf("MISSED: right answers\n");
        status = 1;
    }
    if (results->start_ms > 0 && rate_bytes(world) > goals->rate_bytes_max) {
        printf("MISSED: bytes\n");
        status = 1;
    }
    if (periods > goals->periods_max) {
        printf("MISSED: periods until healed\n");
        status = 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {.goals = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
                              .seed = 1,
                              .node_count = 1000,
                              .lookup_count = 100000,
                              .asker_count = 256,
                              .candidates = 2,
                              .liar_kind = LIARS_TOGETHER,
                              .weibull_shape_permille = 1000,
                              .pace = RING_PACE_MAX,
                              .warm_minutes = 30,
                              .minutes = 60};
    struct world *world;
    uint32_t periods = 0;
    int name;
    int status;

    while ((name = getopt_long(argc, argv, "", option_table, NULL)) != -1) {
        if (!take_option(&options, name)) {
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (options.asker_count > options.node_count) {
        options.asker_count = options.node_count;
    }
    world = world_new(&options);
    if (options.is_split) {
        periods = life_run_split(world);
    } else if (options.session_s > 0) {
        run_life(world);
    } else {
        run_static(world);
    }
    status = judge(world, periods);
    world_free(world);
    return status;
}
