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

/* One look at everyone who has not noticed yet. Returns how many still have not: {near, far}. */
static void look(struct probe *probe, json_int_t left_count, uint32_t *near_out, uint32_t *far_out)
{
    *near_out = 0;
    *far_out = 0;
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
        *near_out += agent->is_neighbour && !agent->has_noticed ? 1 : 0;
        *far_out += !agent->has_missed;
    }
}

int run_notice(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    uint64_t near_us = 0;
    uint32_t near = 1;
    uint32_t far = 1;
    uint32_t victim_count;
    uint64_t began_us;

    if (!learn_positions(probe)) {
        return 1;
    }
    victim_count = choose_victims(probe, words[1]);
    began_us = probe_now_us();
    run_command(words + 2);
    while ((near > 0 || far > 0) && probe_now_us() - began_us < seconds * 1000000) {
        look(probe, (json_int_t)(probe->count - victim_count), &near, &far);
        if (near == 0 && near_us == 0) {
            near_us = probe_now_us() - began_us;
        }
        probe_breathe();
    }
    printf(near == 0 ? "neighbours_ms %" PRIu64 "\n" : "neighbours_ms never\n", near_us / 1000);
    printf(far == 0 ? "all_ms %" PRIu64 "\n" : "all_ms never\n",
           (probe_now_us() - began_us) / 1000);
    return 0;
}
