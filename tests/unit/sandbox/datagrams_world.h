// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* UDP ports of a sandbox as minga-init has them, with one port that the test publishes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sandbox/init/datagrams.h"

enum { NOW_MS = 1000000, ROUNDS_MAX = 1000 };

struct world {
    int epoll_fd;
    int published_fd; /* who asks connects to it */
    int service_fd;
    struct datagrams *datagrams;
    struct line line;
};

/* published_fd and service_fd are open by now; they are the world's. */
static inline void world_init(struct world *world, const struct sandbox_spec *spec)
{
    world->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    world->datagrams = calloc(1, sizeof(*world->datagrams));
    line_init(&world->line);
    world->datagrams->line = &world->line;
    cr_assert_eq(datagrams_init(world->datagrams, world->epoll_fd, (uint64_t)8 << 56, spec,
                                &world->published_fd),
                 0);
}

static inline void world_done(struct world *world)
{
    datagrams_done(world->datagrams);
    cr_assert_eq(world->datagrams->flows.count, 0);
    free(world->datagrams);
    close(world->epoll_fd);
    close(world->published_fd);
    close(world->service_fd);
}

/* Until nothing happens any more. Returns how many rounds there were; ROUNDS_MAX: it has no end. */
static inline unsigned settle(struct world *world, uint64_t now_ms)
{
    struct epoll_event events[16];
    unsigned rounds = 0;
    int count;

    do {
        count = epoll_wait(world->epoll_fd, events, 16, 20);
        for (int i = 0; i < count; i++) {
            cr_assert_eq(events[i].data.u64 >> 56, 8);
            datagrams_event(world->datagrams, events[i].data.u64, now_ms);
        }
        rounds++;
    } while (count > 0 && rounds < ROUNDS_MAX);
    return rounds;
}
