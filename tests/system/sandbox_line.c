// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The line: what all replicas are given together never exceeds what root wrote down, whatever
 * mingad asks for, whoever comes and goes, and whichever helper runs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "sandbox/line.h"
#include "tests/system/sandbox_checks.h"

enum {
    UPLOAD = 1000000,
    DOWNLOAD = 300000,
    REPLICAS = 3,
    ASKS = 200,
    EVENT_MS_MAX = 10000,
    STOPPING_MS = 2000,
};

struct given { /* to all together */
    uint64_t bytes_per_s[LINE_DIRECTIONS];
    unsigned file_count;
    unsigned limitless_count; /* parts without any limit */
};

static void add_file(int folder_fd, const char *name, struct given *given)
{
    struct line_file file;
    CLEANUP(cleanup_close) int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, &file, sizeof(file)) != (ssize_t)sizeof(file)) {
        return;
    }
    given->file_count++;
    for (int way = 0; way < LINE_DIRECTIONS; way++) { /* they have ports, and no way out */
        uint64_t rate = atomic_load(&file.cells[LINE_PORTS][way].bytes_per_s);

        given->bytes_per_s[way] += rate;
        given->limitless_count += rate == 0;
    }
}

static struct given look(const struct world *world)
{
    char folder[PATH_MAX];
    struct given given = {0};
    struct dirent *entry;

    snprintf(folder, sizeof(folder), "%s/run/sandbox/lines", world->folder);
    CLEANUP(cleanup_closedir) DIR *dir = opendir(folder);

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            add_file(dirfd(dir), entry->d_name, &given);
        }
    }
    return given;
}

static void write_limits(struct world *world, uint64_t upload, uint64_t download)
{
    char path[PATH_MAX];
    struct err err = {0};

    world->limits.upload_bytes_per_s = upload;
    world->limits.download_bytes_per_s = download;
    snprintf(path, sizeof(path), "%s/limits", world->folder);
    check_saying(world, sandbox_limits_write(path, &world->limits, &err) == 0,
                 "root writes down the line's limits", err.text);
}

/* Returns when it has been done: what is asked afterwards is answered. */
static bool allow(struct world *world, const struct sandbox_spec *spec, uint64_t upload,
                  uint64_t download)
{
    const struct sandbox_allowance allowance = {UINT64_MAX, UINT64_MAX, upload, download};
    struct sandbox_event event;

    return sandbox_client_allow(&world->client, &allowance) == 0 &&
           world_stats(world, spec, &event);
}

static bool is_within(const struct world *world, uint64_t upload, uint64_t download)
{
    struct given given = look(world);

    return given.file_count == REPLICAS && given.limitless_count == 0 &&
           given.bytes_per_s[LINE_UP] <= upload && given.bytes_per_s[LINE_DOWN] <= download;
}

static void check_hostile(struct world *world, const struct sandbox_spec *spec)
{
    static const uint64_t most[] = {0, UINT64_MAX, INT64_MAX, UPLOAD + 1, (uint64_t)1 << 40};
    struct random random;
    bool held = true;

    for (size_t i = 0; i < ARRAY_COUNT(most); i++) {
        held = held && allow(world, spec, most[i], most[ARRAY_COUNT(most) - 1 - i]) &&
               is_within(world, UPLOAD, DOWNLOAD);
    }
    check(world, held, "whatever mingad asks for, all together have no more than root wrote down");
    random_init(&random, world->seed, "line");
    held = true;
    for (unsigned i = 0; i < ASKS; i++) {
        uint64_t most_asked = i % 2 == 0 ? UINT64_MAX : UPLOAD;

        held = held && allow(world, spec, random_below(&random, most_asked), random_u64(&random)) &&
               is_within(world, UPLOAD, DOWNLOAD);
    }
    check(world, held, "nor by asking often");
    check(world, allow(world, spec, 5000, 6000) && is_within(world, 5000, 6000),
          "what it asks to be less is less, at once");
}

static void check_next_helper(struct world *world, const struct sandbox_spec *spec)
{
    struct sandbox_event event;

    sandbox_client_done(&world->client);
    check(world, world_end_helper(world, SIGUSR2, STOPPING_MS), "the helper leaves");
    check(world, is_within(world, 5000, 6000), "without one it stays so");
    check(world, world_start_helper(world, false) && world_connect(world), "another one comes");
    check(world, world_stats(world, spec, &event), "which has adopted them");
    check(world, is_within(world, UPLOAD, DOWNLOAD),
          "and gives no more than root wrote down, before it is asked for anything");
    check(world, allow(world, spec, 7000, 8000) && is_within(world, 7000, 8000),
          "and less when asked");
}

void check_line(struct world *world)
{
    struct sandbox_spec specs[REPLICAS];
    struct sandbox_event event;
    bool started = true;

    write_limits(world, UPLOAD, DOWNLOAD);
    for (int i = 0; i < REPLICAS; i++) {
        specs[i] = world_spec(world, "exec httpd -f -p 127.0.0.1:8080 -h /www");
        world_publish(world, &specs[i], 8080);
    }
    check(world, world_start(world, &specs[0]) && allow(world, &specs[0], 0, 0), "one runs");
    for (int i = 1; i < REPLICAS; i++) {
        started = started && world_start(world, &specs[i]);
    }
    check(world, started && is_within(world, UPLOAD, DOWNLOAD),
          "those that come share with those that are there");
    check_hostile(world, &specs[0]);
    check(world, fetch_contains(specs[1].ports[0].host_port, "", EVENT_MS_MAX), "they serve");
    check_next_helper(world, &specs[0]);
    for (int i = 0; i < REPLICAS; i++) {
        check(world, world_stop(world, &specs[i], &event), "one is stopped");
    }
    check(world, look(world).file_count == 0, "and nothing of it is left");
    write_limits(world, 0, 0);
    (void)sandbox_client_allow(&world->client,
                               &(struct sandbox_allowance){UINT64_MAX, UINT64_MAX, 0, 0});
}
