// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * sandbox_launches FOLDER BIN COUNT [PAUSE_MS [IN_FLIGHT]]: starts and ends a replica of a program
 * that does nothing COUNT times with a real minga-sandboxd, so many of them at once (1), and prints,
 * in microseconds: from the request to the service's execve, and from the request to everything
 * cleared away. Without a pause disks are made ahead; with one of more than half a second each
 * launch waits for its disk. The last line, "total": the launches per second, and the processor
 * time that each has cost. As root; tests/bench/sandbox.sh makes the folder.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/system/sandbox_world.h"

enum {
    COUNT_MAX = 10000,
    IN_FLIGHT_MAX = 4,
    CPU_PERMILLE = 300, /* of each: so many fit into what the helper is given */
    EVENT_MS_MAX = 20000,
    FOLDER_ARGUMENT = 1,
    BIN_ARGUMENT,
    COUNT_ARGUMENT,
    PAUSE_ARGUMENT,
    IN_FLIGHT_ARGUMENT
};

struct flight {
    struct replica_key key;
    uint64_t asked_us;
    uint64_t started_us; /* 0: not yet */
};

static uint64_t time_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t us_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static bool begin(struct world *world, struct flight *flight)
{
    const char *const words[] = {"/bin/true", NULL};
    struct sandbox_spec spec = world_spec(world, "");

    spec.limits.cpu_permille = CPU_PERMILLE;
    snprintf(spec.hostname, sizeof(spec.hostname), "nothing");
    world_set_command(&spec, words);
    *flight = (struct flight){.key = spec.key, .asked_us = time_us()};
    return world_ask_start(world, &spec);
}

static struct flight *find(struct flight *flights, unsigned long count,
                           const struct replica_key *key)
{
    for (unsigned long i = 0; i < count; i++) {
        if (replica_key_equal(&flights[i].key, key)) {
            return &flights[i];
        }
    }
    return NULL;
}

static void print_flight(const struct flight *flight)
{
    printf("%lu %lu\n", (unsigned long)(flight->started_us - flight->asked_us),
           (unsigned long)(time_us() - flight->asked_us));
}

static bool run(struct world *world, unsigned long count, unsigned long pause_ms,
                unsigned long in_flight)
{
    struct flight flights[IN_FLIGHT_MAX] = {0};
    struct sandbox_event event;
    unsigned long begun = 0;

    for (; begun < in_flight && begun < count; begun++) {
        if (!begin(world, &flights[begun])) {
            return false;
        }
    }
    for (unsigned long ended = 0; ended < count;) {
        if (!world_next_event(world, EVENT_MS_MAX, &event)) {
            return false;
        }
        struct flight *flight = find(flights, in_flight, &event.key);

        if (flight == NULL) {
            return false;
        }
        if (event.kind == SANDBOX_STARTED) {
            flight->started_us = time_us();
        } else if (event.kind == SANDBOX_ENDED) {
            if (flight->started_us == 0) {
                fprintf(stderr, "not started: %s\n", event.reason);
                return false;
            }
            print_flight(flight);
            ended++;
            wait_a_little(pause_ms);
            if (begun < count && !begin(world, flight)) {
                return false;
            }
            begun += begun < count;
        }
    }
    return true;
}

static void print_total(unsigned long count, uint64_t took_us)
{
    struct rusage used;

    getrusage(RUSAGE_CHILDREN, &used);
    printf("total %.1f %lu\n", (double)count * 1e6 / (double)took_us,
           (unsigned long)((us_of(used.ru_utime) + us_of(used.ru_stime)) / count));
}

static unsigned long number_of(int argc, char **argv, int index, unsigned long otherwise)
{
    return argc > index ? strtoul(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static struct world world;
    unsigned long count = number_of(argc, argv, COUNT_ARGUMENT, 0);
    unsigned long pause_ms = number_of(argc, argv, PAUSE_ARGUMENT, 0);
    unsigned long in_flight = number_of(argc, argv, IN_FLIGHT_ARGUMENT, 1);
    char program[WORLD_PATH_BYTES + sizeof("/bench_true")];

    if (count == 0 || count > COUNT_MAX || in_flight == 0 || in_flight > IN_FLIGHT_MAX) {
        fprintf(stderr, "usage: %s FOLDER BIN COUNT [PAUSE_MS [IN_FLIGHT]]\n", argv[0]);
        return 2;
    }
    world_init(&world, argv[FOLDER_ARGUMENT], argv[BIN_ARGUMENT]);
    snprintf(program, sizeof(program), "%s/bench_true", argv[BIN_ARGUMENT]);
    world_add_program(&world, program, "bin/true");
    if (!world_start_helper(&world, true) || !world_connect(&world)) {
        fprintf(stderr, "no minga-sandboxd\n");
        return 1;
    }
    uint64_t began_us = time_us();
    int status = run(&world, count, pause_ms, in_flight) ? 0 : 1;
    uint64_t took_us = time_us() - began_us;

    status = world_end_helper(&world, SIGTERM, EVENT_MS_MAX) ? status : 1;
    print_total(count, took_us);
    return status;
}
