// SPDX-License-Identifier: GPL-3.0-or-later
/* minga-months: how it is asked, and how time passes. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/units.h"
#include "tests/sim/months/months.h"

enum { CALM_DAYS = 3 }; /* at the end all who live are on, nothing is written, nobody dies */

static int by_position(const void *a, const void *b)
{
    const struct node *left = a;
    const struct node *right = b;

    return left->position < right->position ? -1 : left->position > right->position;
}

static void make_nodes(struct months *months)
{
    const struct options *options = &months->options;

    for (uint32_t i = 0; i < options->node_count; i++) {
        struct node *node = &months->nodes[i];

        node->position = random_u64(&months->keys);
        node->is_up = true;
        node->law =
            random_below(&months->keys, 100) < options->share_percent ? options->law : LAW_ALWAYS;
        (void)habit_here(&node->habit, months->now_s);
        bucket_init(&node->upload, options->upload_bytes_per_s,
                    options->upload_bytes_per_s * BURST_S, months->now_s * 1000);
    }
    qsort(months->nodes, options->node_count, sizeof(months->nodes[0]), by_position);
    for (uint32_t i = 0; i < options->node_count; i++) {
        months->nodes[i].next_s = law_next_s(months, &months->nodes[i]);
    }
    for (uint32_t i = 0; i < ARCS_MAX; i++) {
        months->first_in_arc[i] = NOBODY;
    }
    if (options->skew > 0) {
        spread_begin(months);
    }
}

static void make_chunks(struct months *months)
{
    const struct options *options = &months->options;
    uint32_t count = options->node_count * options->chunks_per_node;

    months->chunk_capacity = count + options->days * options->writes_per_day + 1;
    months->chunks = calloc(months->chunk_capacity, sizeof(*months->chunks));
    months->arc_of = calloc(months->chunk_capacity, sizeof(*months->arc_of));
    months->next_in_arc = calloc(months->chunk_capacity, sizeof(*months->next_in_arc));
    CHECK(months->chunks != NULL && months->arc_of != NULL && months->next_in_arc != NULL);
    for (uint32_t i = 0; i < count; i++) {
        move_write(months);
    }
}

/* ------------------------------------------------------------------ time */

static void turn(struct months *months, uint32_t place)
{
    struct node *node = &months->nodes[place];

    node->is_up = !node->is_up;
    if (node->is_up) {
        (void)habit_here(&node->habit, months->now_s);
    } else {
        (void)habit_away(&node->habit, months->now_s);
        node->went_s = months->now_s;
    }
    node->next_s = law_next_s(months, node);
    move_touch(months, place);
}

/* One of those that live goes for good, with its disk: up or asleep. */
static void die(struct months *months)
{
    uint32_t place = (uint32_t)random_below(&months->life, months->options.node_count);
    struct node *node = &months->nodes[place];

    if (node->is_dead) {
        return;
    }
    if (node->is_up) {
        turn(months, place);
    }
    node->is_dead = true;
    node->next_s = UINT64_MAX;
    move_forget(months, place);
}

static bool happens(struct months *months, double a_day)
{
    return random_unit(&months->life) < a_day * TICK_S / DAY_S;
}

static void tick(struct months *months, bool is_calm)
{
    const struct options *options = &months->options;
    double deaths_a_day = options->deaths_percent / 100.0 * options->node_count / 30;

    for (uint32_t i = 0; i < options->node_count; i++) {
        struct node *node = &months->nodes[i];

        if (is_calm && !node->is_dead && !node->is_up) {
            node->next_s = months->now_s;
        }
        if (months->now_s >= node->next_s && !(is_calm && node->is_up)) {
            turn(months, i);
        }
        /* Its patience may have come to its end, or the time of a restart. */
        if (!node->is_up && months->now_s % HOUR_S < TICK_S) {
            move_touch(months, i);
        }
    }
    if (!is_calm && happens(months, deaths_a_day)) {
        die(months);
    }
    if (!is_calm && happens(months, options->writes_per_day) &&
        months->chunk_count < months->chunk_capacity) {
        move_write(months);
    }
    if (options->skew > 0) {
        spread_tick(months);
    }
    move_all(months);
}

static void run(struct months *months)
{
    uint64_t end_s = (uint64_t)months->options.days * DAY_S;

    months->now_s = DAY_S / 2; /* at noon all are on */
    make_nodes(months);
    make_chunks(months);
    for (; months->now_s < end_s + (uint64_t)CALM_DAYS * DAY_S; months->now_s += TICK_S) {
        tick(months, months->now_s >= end_s);
        if (months->now_s % HOUR_S < TICK_S && months->now_s < end_s) {
            check_hour(months);
        }
        if (months->options.skew > 0 && months->now_s % DAY_S / TICK_S == DAY_S / 2 / TICK_S) {
            spread_check(months);
        }
    }
    check_end(months);
}

/* ------------------------------------------------------------------ options */

static const struct option long_options[] = {
    {"nodes", required_argument, NULL, 'n'},    {"chunks", required_argument, NULL, 'c'},
    {"days", required_argument, NULL, 'd'},     {"from-day", required_argument, NULL, 'f'},
    {"law", required_argument, NULL, 'l'},      {"share", required_argument, NULL, 's'},
    {"deaths", required_argument, NULL, 'x'},   {"writes", required_argument, NULL, 'w'},
    {"upload", required_argument, NULL, 'u'},   {"capacity", required_argument, NULL, 'k'},
    {"seed", required_argument, NULL, 'r'},     {"moved-max", required_argument, NULL, 'm'},
    {"skew", required_argument, NULL, 'S'},     {"load-max", required_argument, NULL, 'L'},
    {"less-day", required_argument, NULL, 'D'}, {"less-max", required_argument, NULL, 'E'},
    {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
};

static const char usage[] =
    "minga-months: months of a community's storage in virtual time\n"
    "  --nodes N        (200)      --chunks N     of each node (20)     --days N     (30)\n"
    "  --law LAW        always, laptop, seti or ipfs (laptop)\n"
    "  --share PERCENT  of the nodes that follow it; the others are always on (50)\n"
    "  --deaths PERCENT of the nodes in a month, with their disks (0)\n"
    "  --writes N       new chunks a day (0)   --upload BYTES a second (2097152; 0: no limit)\n"
    "  --capacity PERCENT of what three copies need; 0: no limit (0)\n"
    "  --from-day N     what is moved counts from then on (0)   --moved-max PERMILLE of what is\n"
    "                   stored   --seed N (1)\n"
    "  --skew N         members give from 1 to N parts, and have several positions (0: no)\n"
    "  --load-max PERCENT stored over given, the highest to the mean, from from-day on\n"
    "  --less-day N     one gives a quarter from then on (0: no)   --less-max PERCENT of what\n"
    "                   it has too much may move for that\n";

static bool set_law(struct options *options, const char *text)
{
    static const char *const names[] = {"always", "laptop", "seti", "ipfs"};

    for (uint32_t i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            options->law = (enum law)i;
            return true;
        }
    }
    return false;
}

static bool set_number(struct options *options, int letter, uint64_t value)
{
    uint32_t number = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;

    switch (letter) {
    case 'n':
        options->node_count = number;
        return number >= 1 && number <= NODES_MAX;
    case 'c':
        options->chunks_per_node = number;
        return number >= 1 && number <= 1000;
    case 'd':
        options->days = number;
        return number >= 1 && number <= 1000;
    case 'f':
        options->from_day = number;
        return number <= 1000;
    case 's':
        options->share_percent = number;
        return number <= 100;
    case 'x':
        options->deaths_percent = number;
        return number <= 100;
    case 'w':
        options->writes_per_day = number;
        return number <= 1000;
    case 'u':
        options->upload_bytes_per_s = value;
        return value <= UINT64_C(1) << 40;
    case 'k':
        options->capacity_percent = number;
        return number == 0 || (number >= 100 && number <= 10000);
    case 'r':
        options->seed = value;
        return true;
    case 'S':
        options->skew = number;
        return number <= 1000;
    case 'L':
        options->load_percent_max = number;
        return number >= 100;
    case 'D':
        options->less_day = number;
        return number <= 1000;
    case 'E':
        options->less_percent_max = number;
        return true;
    case 'm':
        options->moved_permille_max = number;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static struct months months;
    int letter;

    months.options = (struct options){.node_count = 200,
                                      .chunks_per_node = 20,
                                      .days = 30,
                                      .law = LAW_LAPTOP,
                                      .share_percent = 50,
                                      .chunk_bytes = 1 << 20,
                                      .upload_bytes_per_s = 2 << 20,
                                      .seed = 1,
                                      .moved_permille_max = UINT32_MAX,
                                      .load_percent_max = UINT32_MAX,
                                      .less_percent_max = UINT32_MAX};
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        uint64_t value = 0;
        bool is_good = letter == 'l' ? set_law(&months.options, optarg)
                                     : letter != 'h' && letter != '?' &&
                                           units_parse_number(optarg, &value) == 0 &&
                                           set_number(&months.options, letter, value);

        if (!is_good) {
            fputs(usage, letter == 'h' ? stdout : stderr);
            return letter == 'h' ? 0 : 2;
        }
    }
    if (months.options.skew > 0 && months.options.node_count > MEMBERS_MAX) {
        fputs(usage, stderr);
        return 2;
    }
    random_init(&months.life, months.options.seed, "life");
    random_init(&months.keys, months.options.seed, "keys");
    run(&months);
    free(months.chunks);
    free(months.arc_of);
    free(months.next_in_arc);
    return months.has_failed ? 1 : 0;
}
