// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * sandbox_launches FOLDER BIN COUNT [PAUSE_MS]: starts and ends a replica of `true` COUNT times
 * with a real minga-sandboxd and prints, in microseconds: from the request to the service's
 * execve, and from the request to everything cleared away. Without a pause disks are made ahead;
 * with one of more than half a second each launch waits for its disk. The last line, "total": the
 * launches per second, and the processor time that each has cost. As root; tests/bench/sandbox.sh
 * makes the folder.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/system/sandbox_world.h"

enum {
    COUNT_MAX = 10000,
    EVENT_MS_MAX = 20000,
    FOLDER_ARGUMENT = 1,
    BIN_ARGUMENT,
    COUNT_ARGUMENT,
    PAUSE_ARGUMENT
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

static bool run_once(struct world *world, unsigned long number)
{
    struct sandbox_spec spec = world_spec(world, "true");
    const char *const words[] = {"/bin/busybox", "true", NULL};
    struct sandbox_event event;

    spec.key.slot = 1;
    spec.key.incarnation = number + 1;
    world_set_command(&spec, words);
    uint64_t asked_us = time_us();
    if (!world_ask_start(world, &spec) ||
        !world_await(world, &spec.key, SANDBOX_STARTED, EVENT_MS_MAX, &event)) {
        return false;
    }
    uint64_t started_us = time_us();
    if (!world_await(world, &spec.key, SANDBOX_ENDED, EVENT_MS_MAX, &event)) {
        return false;
    }
    printf("%lu %lu\n", (unsigned long)(started_us - asked_us),
           (unsigned long)(time_us() - asked_us));
    return true;
}

static void print_total(unsigned long count, uint64_t took_us)
{
    struct rusage used;

    getrusage(RUSAGE_CHILDREN, &used);
    printf("total %.1f %lu\n", (double)count * 1e6 / (double)took_us,
           (unsigned long)((us_of(used.ru_utime) + us_of(used.ru_stime)) / count));
}

int main(int argc, char **argv)
{
    static struct world world;
    unsigned long count = argc > COUNT_ARGUMENT ? strtoul(argv[COUNT_ARGUMENT], NULL, 10) : 0;
    unsigned long pause_ms = argc > PAUSE_ARGUMENT ? strtoul(argv[PAUSE_ARGUMENT], NULL, 10) : 0;

    if (count == 0 || count > COUNT_MAX) {
        fprintf(stderr, "usage: %s FOLDER BIN COUNT [PAUSE_MS]\n", argv[0]);
        return 2;
    }
    world_init(&world, argv[FOLDER_ARGUMENT], argv[BIN_ARGUMENT]);
    if (!world_start_helper(&world, true) || !world_connect(&world)) {
        fprintf(stderr, "no minga-sandboxd\n");
        return 1;
    }
    int status = 0;
    uint64_t began_us = time_us();
    for (unsigned long i = 0; i < count && status == 0; i++) {
        status = run_once(&world, i) ? 0 : 1;
        wait_a_little(pause_ms);
    }
    uint64_t took_us = time_us() - began_us;

    status = world_end_helper(&world, SIGTERM, EVENT_MS_MAX) ? status : 1;
    print_total(count, took_us);
    return status;
}
