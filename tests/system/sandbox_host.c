// SPDX-License-Identifier: GPL-3.0-or-later
/* What the host shows of the sandboxes: processes, mounts, loop devices, groups, files. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "tests/system/sandbox_world.h"

static bool read_small(const char *path, char *text_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, text_out, capacity_bytes - 1);

    text_out[count_bytes < 0 ? 0 : count_bytes] = '\0';
    return count_bytes >= 0;
}

const char *status_value(pid_t pid, const char *name, char *value_out, size_t capacity_bytes)
{
    char path[64];
    char text[4096];
    char key[64];

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    snprintf(key, sizeof(key), "\n%s:\t", name);
    value_out[0] = '\0';
    if (read_small(path, text, sizeof(text))) {
        const char *found = strstr(text, key);

        if (found != NULL) {
            found += strlen(key);
            snprintf(value_out, capacity_bytes, "%.*s", (int)strcspn(found, "\n"), found);
        }
    }
    return value_out;
}

size_t world_pids(const struct world *world, uint32_t slot, bool with_inits, pid_t *pids_out,
                  size_t capacity)
{
    char group[WORLD_PATH_BYTES];
    CLEANUP(cleanup_closedir) DIR *dir = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    snprintf(group, sizeof(group), slot == 0 ? "%s/" : "%s/7700000000000000-%u-",
             world->limits.cgroup, slot);
    while (dir != NULL && (entry = readdir(dir)) != NULL && count < capacity) {
        char path[300];
        char text[4096];
        char value[128];
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        snprintf(path, sizeof(path), "/proc/%s/cgroup", entry->d_name);
        if (pid <= 0 || !read_small(path, text, sizeof(text)) || strstr(text, group) == NULL ||
            *status_value(pid, "State", value, sizeof(value)) == 'Z') {
            continue;
        }
        if (with_inits || strstr(text, "/service") != NULL) {
            pids_out[count++] = pid;
        }
    }
    return count;
}

/* Ours would name our folder, or the descriptors that roots are stacked from. */
size_t count_mounts(const struct world *world)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    size_t count = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        count += strstr(line, world->folder) != NULL || strstr(line, "=/proc/self/fd/") != NULL;
    }
    return count;
}

/* Others may use loop devices meanwhile: only those with a file in our folder are ours. */
size_t count_loops(const struct world *world)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir("/sys/block");
    struct dirent *entry;
    size_t count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[320];
        char backing[512];

        snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", entry->d_name);
        count += read_small(path, backing, sizeof(backing)) &&
                 strncmp(backing, world->folder, strlen(world->folder)) == 0;
    }
    return count;
}

uint64_t network_cookie(const char *pid)
{
    char path[300];
    uint64_t cookie = 0;
    socklen_t cookie_bytes = sizeof(cookie);

    snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
    CLEANUP(cleanup_close) int own_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_close) int its_fd = open(path, O_RDONLY | O_CLOEXEC);

    if (own_fd < 0 || its_fd < 0 || setns(its_fd, CLONE_NEWNET) < 0) {
        return 0;
    }
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &cookie_bytes) < 0) {
        cookie = 0;
    }
    CHECK(setns(own_fd, CLONE_NEWNET) == 0);
    return cookie;
}

void world_note_network(struct world *world)
{
    pid_t pid = 0;
    char name[16];

    if (world_pids(world, world->slot, true, &pid, 1) == 1) {
        snprintf(name, sizeof(name), "%d", pid);
        world->networks[world->network_count++ % WORLD_NETWORKS_MAX] = network_cookie(name);
    }
}

size_t count_networks(const struct world *world)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        uint64_t network = strtol(entry->d_name, NULL, 10) > 0 ? network_cookie(entry->d_name) : 0;

        for (size_t i = 0; i < WORLD_NETWORKS_MAX; i++) {
            count += network != 0 && network == world->networks[i];
        }
    }
    return count;
}

static size_t files_found;

static int count_file(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)path;
    (void)status;
    (void)place;
    files_found += kind != FTW_D;
    return 0;
}

size_t count_files(const char *folder)
{
    files_found = 0;
    nftw(folder, count_file, 16, FTW_PHYS);
    return files_found;
}

static const char *group_wanted;
static size_t groups_found;

static int count_group(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    groups_found += kind == FTW_D && strcmp(path + place->base, group_wanted) == 0;
    return 0;
}

/* Not deeper than a unit's own group: a replica's is not called so. */
size_t count_groups(const struct world *world)
{
    group_wanted = world->limits.cgroup;
    groups_found = 0;
    nftw("/sys/fs/cgroup", count_group, 16, FTW_PHYS);
    return groups_found;
}

uint64_t world_helper_own_kib(const struct world *world)
{
    char path[64];
    char line[128];
    uint64_t kib = UINT64_MAX;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", world->helper_pid);
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL &&
           sscanf(line, "Anonymous: %" SCNu64, &kib) != 1) {
    }
    return kib;
}
