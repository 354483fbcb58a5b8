// SPDX-License-Identifier: GPL-3.0-or-later
/* One start among many, when the helper has more descriptors than programs usually may. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/system/sandbox_checks.h"

/* With these a helper that is idle stays below the usual limit, and passes it with one start. */
enum { USUAL_MAX = 1024, INHERITED = USUAL_MAX - 34 };

static bool start_helper(struct world *world)
{
    return world_end_helper(world, SIGUSR2, 3000) && world_start_helper(world, false);
}

/* It inherits what sixty starts that wait for their disks would take. */
static bool start_crowded_helper(struct world *world)
{
    int fds[INHERITED];
    int count = 0;
    CLEANUP(cleanup_close) int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    while (count < INHERITED && (fds[count] = dup(null_fd)) >= 0) {
        count++;
    }
    bool started = start_helper(world) && count == INHERITED;

    while (count > 0) {
        close(fds[--count]);
    }
    return started;
}

void check_crowded(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "sleep 1000");
    struct sandbox_event event = {0};
    struct rlimit before;

    getrlimit(RLIMIT_NOFILE, &before);
    const struct rlimit usual = {USUAL_MAX, before.rlim_max};
    bool crowded = setrlimit(RLIMIT_NOFILE, &usual) == 0 && start_crowded_helper(world);

    check(world, crowded, "a helper has a thousand descriptors");
    check(world, world_start(world, &spec), "a replica starts all the same");
    check(world, world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED,
          "and is stopped");
    (void)setrlimit(RLIMIT_NOFILE, &before);
    check(world, start_helper(world), "a helper without them follows");
}
