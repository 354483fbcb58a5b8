// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * sandbox_memory FOLDER BIN COUNT: runs COUNT replicas of `sleep` side by side with a real
 * minga-sandboxd and prints, in KiB for each of them: what is private to its minga-init, what the
 * kernel holds for that (the init's control group), and by how much the helper has grown. As root;
 * tests/bench/sandbox.sh makes the folder.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "tests/system/sandbox_world.h"

enum { COUNT_MAX = 8, STOP_MS_MAX = 20000, SETTLE_MS = 2000, LINE_BYTES = 256 };

/* The sum of the lines of a "Name: number kB" file that begin with `name`. */
static unsigned long sum_kib(const char *path, const char *name)
{
    char line[LINE_BYTES];
    unsigned long sum = 0;
    FILE *file = fopen(path, "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, name, strlen(name)) == 0 && colon != NULL) {
            sum += strtoul(colon + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return sum;
}

static unsigned long private_kib(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    return sum_kib(path, "Private_");
}

/* What its control group has been charged for the kernel's own memory. */
static unsigned long kernel_kib(pid_t pid)
{
    char path[512];
    char line[LINE_BYTES];
    char text[32] = "";

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    FILE *file = fopen(path, "re");
    path[0] = '\0';
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *group = strstr(line, ":memory:");

        line[strcspn(line, "\n")] = '\0';
        if (group != NULL) {
            snprintf(path, sizeof(path), "/sys/fs/cgroup/memory%s/memory.kmem.usage_in_bytes",
                     group + strlen(":memory:"));
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    file = path[0] == '\0' ? NULL : fopen(path, "re");
    if (file != NULL) {
        if (fgets(text, sizeof(text), file) == NULL) {
            text[0] = '\0';
        }
        fclose(file);
    }
    return strtoul(text, NULL, 10) / 1024;
}

/* The first process of a slot: it is there with init, and not without. */
static pid_t init_of(const struct world *world, uint32_t slot)
{
    pid_t all[8];
    pid_t services[8];
    size_t all_count = world_pids(world, slot, true, all, ARRAY_COUNT(all));
    size_t service_count = world_pids(world, slot, false, services, ARRAY_COUNT(services));

    for (size_t i = 0; i < all_count; i++) {
        bool is_service = false;

        for (size_t k = 0; k < service_count; k++) {
            is_service = is_service || all[i] == services[k];
        }
        if (!is_service) {
            return all[i];
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct world world;
    struct sandbox_spec specs[COUNT_MAX];
    unsigned long count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    unsigned long init_kib = 0;
    unsigned long kernel = 0;

    if (count == 0 || count > COUNT_MAX) {
        fprintf(stderr, "usage: %s FOLDER BIN COUNT (at most %d)\n", argv[0], COUNT_MAX);
        return 2;
    }
    world_init(&world, argv[1], argv[2]);
    if (!world_start_helper(&world, true) || !world_connect(&world)) {
        fprintf(stderr, "no minga-sandboxd\n");
        return 1;
    }
    unsigned long before_kib = private_kib(world.helper_pid);
    for (unsigned long i = 0; i < count; i++) {
        specs[i] = world_spec(&world, "exec sleep 1000");
        specs[i].limits.cpu_permille = 1000 / count;
        specs[i].limits.disk_bytes = 8 << 20;
        specs[i].limits.pid_count = 8;
        if (!world_start(&world, &specs[i])) {
            return 1;
        }
    }
    for (unsigned waited_ms = 0; waited_ms < SETTLE_MS; waited_ms += 100) {
        sandbox_client_renew(&world.client, &specs[0].key);
        wait_a_little(100);
    }
    for (unsigned long i = 0; i < count; i++) {
        pid_t pid = init_of(&world, specs[i].key.slot);

        init_kib += private_kib(pid);
        kernel += kernel_kib(pid);
    }
    long grown_kib = (long)private_kib(world.helper_pid) - (long)before_kib;
    printf("%.0f %.0f %.1f\n", (double)init_kib / (double)count, (double)kernel / (double)count,
           (double)grown_kib / (double)count);
    return world_end_helper(&world, SIGTERM, STOP_MS_MAX) ? 0 : 1;
}
