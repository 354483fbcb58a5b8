// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Where starts follow each other, networks are made ahead: each is one replica's, has a loopback
 * device and nothing else, every port of it may be bound, and nobody inside has rights to it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/helper/disks.h"
#include "tests/system/sandbox_checks.h"

enum { STARTS = 8, EVENT_MS_MAX = 10000 };

struct network {
    uint64_t cookie;
    bool is_hosts; /* owned by our user namespace, not by the replica's */
};

static ino_t number_of(int fd)
{
    struct stat status;

    return fd < 0 || fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

static struct network network_of(pid_t pid)
{
    char path[64];
    char name[16];

    snprintf(name, sizeof(name), "%d", pid);
    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    CLEANUP(cleanup_close) int network_fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_close) int owner_fd = network_fd < 0 ? -1 : ioctl(network_fd, NS_GET_USERNS);
    CLEANUP(cleanup_close) int ours_fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);

    return (struct network){network_cookie(name),
                            owner_fd >= 0 && number_of(owner_fd) == number_of(ours_fd)};
}

static bool is_another(const struct network *networks, int count)
{
    bool another = networks[count].cookie != 0;

    for (int i = 0; i < count; i++) {
        another = another && networks[i].cookie != networks[count].cookie;
    }
    return another;
}

/* Binds a low port and asks itself; then lists its devices, of which no other may be there. */
static struct sandbox_spec spec_of(struct world *world)
{
    return world_spec(world, "httpd -p 80 -h /www; wget -q -O - http://127.0.0.1:80/; "
                             "tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' \\n'; echo .; "
                             "ip link set lo down || echo refused; exec sleep 1000");
}

/* On an emulated machine a start takes longer than the time for which another is expected. */
static void check_ahead(struct world *world, const uint64_t *asked_ms, int ahead_count)
{
    uint64_t three_ms = UINT64_MAX; /* the closest three starts are no further apart */
    uint64_t gap_ms = UINT64_MAX;

    for (int i = 1; i < STARTS; i++) {
        const uint64_t since_ms = asked_ms[i] - asked_ms[i - 1];

        gap_ms = since_ms < gap_ms ? since_ms : gap_ms;
        if (i > 1 && asked_ms[i] - asked_ms[i - 2] < three_ms) {
            three_ms = asked_ms[i] - asked_ms[i - 2];
        }
    }
    printf("# %d of %d networks were made ahead; three starts within %" PRIu64 " ms\n", ahead_count,
           STARTS, three_ms);
    if (!world->slow || three_ms < DISK_SPARES_MS / 2) {
        check(world, ahead_count > 0, "networks are made ahead where starts follow each other");
    } else if (gap_ms > 2ULL * DISK_SPARES_MS) {
        check(world, ahead_count == 0, "nothing is made ahead of starts that are far apart");
    }
}

void check_networks(struct world *world)
{
    struct network networks[STARTS];
    uint64_t asked_ms[STARTS];
    struct sandbox_spec specs[STARTS];
    struct sandbox_event event;
    bool all_work = true;
    bool all_refuse = true;
    bool all_new = true;
    int ahead_count = 0;

    for (int i = 0; i < STARTS; i++) {
        pid_t pid = 0;

        specs[i] = spec_of(world);
        specs[i].limits.cpu_permille = 100;
        asked_ms[i] = time_ms();
        all_work = world_start(world, &specs[i]) && all_work;
        all_work = world_await_output(world, &specs[i], "lo.", EVENT_MS_MAX) && all_work;
        all_refuse = world_await_output(world, &specs[i], "refused", EVENT_MS_MAX) && all_refuse;
        world_pids(world, specs[i].key.slot, true, &pid, 1);
        networks[i] = network_of(pid);
        all_new = is_another(networks, i) && all_new;
        ahead_count += networks[i].is_hosts;
        if (i % 2 == 0) { /* one that has been used is nobody's next one */
            all_work = world_stop(world, &specs[i], &event) && all_work;
        }
    }
    check_ahead(world, asked_ms, ahead_count);
    check(world, all_new, "none is given twice");
    check(world, all_work, "each has its loopback device only, and binds what it wants");
    check(world, all_refuse, "and nobody inside may change it");
    for (int i = 1; i < STARTS; i += 2) {
        check(world, world_stop(world, &specs[i], &event), "its replica is stopped");
    }
}
