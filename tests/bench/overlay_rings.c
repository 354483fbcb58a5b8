// SPDX-License-Identifier: GPL-3.0-or-later
/* Modes that look at rings: are they ideal, and when is a node missed? */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "tests/bench/overlay_probe.h"

/* ------------------------------------------------------------------ rings */

static int compare_positions(const void *a, const void *b)
{
    const struct agent *x = a;
    const struct agent *y = b;

    return strcmp(x->position, y->position);
}

/* Puts the agents into ring order. False while one of them has no place yet. */
static bool learn_positions(struct probe *probe)
{
    for (uint32_t i = 0; i < probe->count; i++) {
        struct agent *agent = &probe->agents[i];
        json_t *ring = http_get(agent->http, "/v1/ring");

        (void)text_copy(agent->node, sizeof(agent->node),
                        ring == NULL ? "" : json_string_value(json_object_get(ring, "node")));
        (void)text_copy(agent->position, sizeof(agent->position),
                        probe_first_of(json_object_get(ring, "positions")));
        json_decref(ring);
        if (agent->position[0] == '\0') {
            return false;
        }
    }
    qsort(probe->agents, probe->count, sizeof(probe->agents[0]), compare_positions);
    return true;
}

static bool is_ideal_at(const struct probe *probe, uint32_t index, const json_t *ring)
{
    const json_t *successors = json_object_get(ring, "successors");
    uint32_t wanted = probe->count - 1 < SUCCESSORS_MAX ? probe->count - 1 : SUCCESSORS_MAX;
    const struct agent *before = &probe->agents[(index + probe->count - 1) % probe->count];

    if (strcmp(probe_first_of(json_object_get(ring, "predecessors")), before->node) != 0 ||
        json_array_size(successors) < wanted) {
        return false;
    }
    for (uint32_t i = 0; i < wanted; i++) {
        const char *node = json_string_value(json_array_get(successors, i));

        if (node == NULL || strcmp(node, probe->agents[(index + 1 + i) % probe->count].node) != 0) {
            return false;
        }
    }
    return true;
}

int run_ideal(struct probe *probe, char **words)
{
    uint64_t end_us = probe_now_us() + strtoull(words[0], NULL, 10) * 1000000;
    uint64_t since_us = strtoull(words[1], NULL, 10) * 1000;
    uint32_t index = 0;

    while (!learn_positions(probe)) {
        if (probe_now_us() > end_us) {
            printf("ideal_ms never\n");
            return 1;
        }
        probe_breathe();
    }
    while (index < probe->count && probe_now_us() < end_us) {
        json_t *ring = http_get(probe->agents[index].http, "/v1/ring");

        if (is_ideal_at(probe, index, ring)) {
            index++;
        } else {
            probe_breathe();
        }
        json_decref(ring);
    }
    if (index < probe->count) {
        printf("ideal_ms never\n");
        return 1;
    }
    printf("ideal_ms %" PRIu64 "\n", (probe_clock_us(CLOCK_REALTIME) - since_us) / 1000);
    return 0;
}

/* ------------------------------------------------------------------ noticing */

static bool names_a_victim(const struct probe *probe, const json_t *array, size_t count_max)
{
    for (size_t i = 0; i < count_max && i < json_array_size(array); i++) {
        const char *node = json_string_value(json_array_get(array, i));

        for (uint32_t v = 0; v < probe->count; v++) {
            if (probe->agents[v].is_victim && node != NULL &&
                strcmp(probe->agents[v].node, node) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Next to a victim on the ring, in either direction. */
static bool is_beside(const struct probe *probe, const json_t *ring)
{
    return names_a_victim(probe, json_object_get(ring, "successors"), 1) ||
           names_a_victim(probe, json_object_get(ring, "predecessors"), 1);
}

static uint32_t choose_victims(struct probe *probe, char *numbers)
{
    uint32_t count = 0;

    for (char *word = strtok_r(numbers, ",", &numbers); word != NULL;
         word = strtok_r(NULL, ",", &numbers)) {
        for (uint32_t i = 0; i < probe->count; i++) {
            if (probe->agents[i].number == strtoul(word, NULL, 10)) {
                probe->agents[i].is_victim = true;
                count++;
            }
        }
    }
    for (uint32_t i = 0; i < probe->count; i++) {
        json_t *ring = http_get(probe->agents[i].http, "/v1/ring");

        probe->agents[i].is_neighbour = is_beside(probe, ring);
        json_decref(ring);
    }
    return count;
}

static void run_command(char **words)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execvp(words[0], words);
        _exit(127);
    }
    (void)waitpid(pid, &status, 0);
}

struct waited_for {
    uint32_t near;   /* ring neighbours of a victim that count it as up */
    uint32_t all;    /* any others that do */
    uint32_t beside; /* who still have a victim next to them: its arc is not taken over */
};

/* One look at everyone who has not noticed yet. */
static struct waited_for look(struct probe *probe, json_int_t left_count)
{
    struct waited_for waited_for = {0};

    for (uint32_t i = 0; i < probe->count; i++) {
        struct agent *agent = &probe->agents[i];

        if (agent->is_victim || (agent->has_missed && agent->has_noticed)) {
            continue;
        }
        json_t *ring = http_get(agent->http, "/v1/ring");

        if (ring != NULL) {
            agent->has_noticed = !is_beside(probe, ring);
            agent->has_missed = json_integer_value(json_object_get(ring, "nodes")) <= left_count;
        }
        json_decref(ring);
        waited_for.near += agent->is_neighbour && !agent->has_missed ? 1 : 0;
        waited_for.all += !agent->has_missed;
        waited_for.beside += !agent->has_noticed;
    }
    return waited_for;
}

/* Notes when there is none left, once. */
static void note(uint32_t left, uint64_t began_us, uint64_t *at_us)
{
    if (left == 0 && *at_us == 0) {
        *at_us = probe_now_us() - began_us;
    }
}

static void print_when(const char *name, uint64_t at_us)
{
    if (at_us == 0) {
        printf("%s never\n", name);
    } else {
        printf("%s %" PRIu64 "\n", name, at_us / 1000);
    }
}

int run_notice(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    uint64_t near_us = 0;
    uint64_t all_us = 0;
    uint64_t arcs_us = 0;
    uint32_t victim_count;
    uint64_t began_us;

    if (!learn_positions(probe)) {
        return 1;
    }
    victim_count = choose_victims(probe, words[1]);
    began_us = probe_now_us();
    run_command(words + 2);
    while ((all_us == 0 || arcs_us == 0) && probe_now_us() - began_us < seconds * 1000000) {
        struct waited_for left = look(probe, (json_int_t)(probe->count - victim_count));

        note(left.near, began_us, &near_us);
        note(left.all, began_us, &all_us);
        note(left.beside, began_us, &arcs_us);
        probe_breathe();
    }
    print_when("neighbours_ms", near_us);
    print_when("all_ms", all_us);
    print_when("arcs_ms", arcs_us);
    return 0;
}
