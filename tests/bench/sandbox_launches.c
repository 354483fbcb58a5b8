// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * sandbox_launches FOLDER BIN COUNT: starts and ends a replica of `true` COUNT times with a real
 * minga-sandboxd and prints, in microseconds: from the request to the service's execve, and from
 * the request to everything cleared away. As root; tests/bench/sandbox.sh makes the folder.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/system/sandbox_world.h"

enum { COUNT_MAX = 10000, EVENT_MS_MAX = 20000, FOLDER_ARGUMENT = 1, BIN_ARGUMENT, COUNT_ARGUMENT };

static uint64_t time_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
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

int main(int argc, char **argv)
{
    static struct world world;
    unsigned long count = argc > COUNT_ARGUMENT ? strtoul(argv[COUNT_ARGUMENT], NULL, 10) : 0;

    if (count == 0 || count > COUNT_MAX) {
        fprintf(stderr, "usage: %s FOLDER BIN COUNT\n", argv[0]);
        return 2;
    }
    world_init(&world, argv[FOLDER_ARGUMENT], argv[BIN_ARGUMENT]);
    if (!world_start_helper(&world, true) || !world_connect(&world)) {
        fprintf(stderr, "no minga-sandboxd\n");
        return 1;
    }
    int status = 0;
    for (unsigned long i = 0; i < count && status == 0; i++) {
        status = run_once(&world, i) ? 0 : 1;
    }
    return world_end_helper(&world, SIGTERM, EVENT_MS_MAX) ? status : 1;
}
