// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Which hierarchies are mounted where. libcgroup finds the mounts; the groups themselves are made
 * with plain files: libcgroup 2.0.2 prints its errors to stdout, attaches single threads on v1,
 * cannot nest on v2, and moves the processes of a group that it removes out of their limits.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/cgroup_backend.h"
#include "sandbox/cgroup_mounts.h"

static const char v2_mount[] = "/sys/fs/cgroup";
static const char leaf[] = "helper"; /* where we ourselves live beside PARENT (v2, delegated) */
static const char holder_leaf[] = "holder"; /* where the process of the replicas' own unit lives */

static int version_of(const char *path)
{
    struct statfs about;

    if (statfs(path, &about) < 0) {
        return 0;
    }
    if (about.f_type == CGROUP2_SUPER_MAGIC) {
        return 2;
    }
    return about.f_type == CGROUP_SUPER_MAGIC ? 1 : 0;
}

/* Adds a hierarchy, or finds it again when two controllers share one. Returns index or -errno. */
static int add_hierarchy(struct cgroups *cgroups, const char *path)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat about;

    if (fd < 0 || fstat(fd, &about) < 0) {
        return -errno;
    }
    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        struct stat other;

        if (fstat(cgroups->base_fds[i], &other) == 0 && other.st_dev == about.st_dev &&
            other.st_ino == about.st_ino) {
            return (int)i;
        }
    }
    CHECK(cgroups->hierarchy_count < CGROUP_CONTROLLER_COUNT);
    cgroups->base_fds[cgroups->hierarchy_count] = take_fd(&fd);
    return (int)cgroups->hierarchy_count++;
}

static int discover_v1(struct cgroups *cgroups, const struct cgroup_mounts *mounts, struct err *err)
{
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        const char *mount = mounts->paths[i];

        if (version_of(mount) != 1) {
            continue;
        }
        int index = add_hierarchy(cgroups, mount);
        if (index < 0) {
            errno = -index;
            return err_set(err, index, "%s: %m", mount);
        }
        cgroups->hierarchy_of[i] = index;
    }
    return 0;
}

/* Our own group on v2, relative to the mount: "" for the root. */
static int read_own_group(char *path_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/self/cgroup", "re");
    char line[CGROUP_TEXT_BYTES_MAX];

    if (file == NULL) {
        return -errno;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "0::/", 4) != 0) {
            continue;
        }
        line[strcspn(line, "\n")] = '\0';
        const char *path = strcmp(line, "0::/") == 0 ? "" : line + 3;
        int length = snprintf(path_out, capacity_bytes, "%s", path);
        return length >= 0 && (size_t)length < capacity_bytes ? 0 : -ENAMETOOLONG;
    }
    return -ENOENT;
}

static bool is_delegated(const char *path)
{
    static const char *const names[] = {"trusted.delegate", "user.delegate"};
    char value[8];

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if (getxattr(path, names[i], value, sizeof(value)) == 1 && value[0] == '1') {
            return true;
        }
    }
    return false;
}

/* No process may stay in a group whose controllers are handed on, so it goes into a leaf first. */
static int enter_leaf(int base_fd, const char *name, pid_t pid, struct err *err)
{
    int r;

    if (mkdirat(base_fd, name, 0755) < 0 && errno != EEXIST) {
        return cgroup_fail(err, -errno, name, "make");
    }
    r = cgroup_put_number(base_fd, name, "cgroup.procs", (uint64_t)pid);
    return r < 0 && r != -ESRCH ? cgroup_fail(err, r, name, "cgroup.procs") : 0;
}

/*
 * A unit that exists only to hold the replicas' groups: PARENT-replicas.service, delegated, with
 * one process that sleeps. systemd (252) puts the first process of a unit that is started again
 * into the unit's own group, which the kernel refuses while that hands on controllers to
 * replicas that live: with a unit of their own they survive the helper's.
 */
static int discover_holder(struct cgroups *cgroups, const char *mount, struct err *err)
{
    char path[CGROUP_TEXT_BYTES_MAX];
    char procs[CGROUP_TEXT_BYTES_MAX];
    char *at = procs;
    int r;

    CHECK(snprintf(path, sizeof(path), "%s/system.slice/%s-replicas.service", mount,
                   cgroups->parent) > 0);
    if (!is_delegated(path)) {
        return -ENOENT;
    }
    int index = add_hierarchy(cgroups, path);
    if (index < 0) {
        errno = -index;
        return err_set(err, index, "%s: %m", path);
    }
    r = cgroup_get(cgroups->base_fds[index], ".", "cgroup.procs", procs);
    while (r == 0 && *at != '\0') {
        unsigned long pid = strtoul(at, &at, 10);

        at += *at == '\n';
        r = pid == 0 ? -EBADMSG
                     : enter_leaf(cgroups->base_fds[index], holder_leaf, (pid_t)pid, err);
    }
    return r < 0 ? r : index;
}

/* Our own unit's group where it is delegated, else the root. */
static int discover_own(struct cgroups *cgroups, const char *mount, struct err *err)
{
    char own[CGROUP_TEXT_BYTES_MAX] = "";
    char path[2 * CGROUP_TEXT_BYTES_MAX];
    size_t length;

    (void)read_own_group(own, sizeof(own));
    length = strlen(own);
    /* A helper before us in the same unit had moved into the leaf, and we are its child; or
     * systemd (254 and later, DelegateSubgroup=helper) has put us there. */
    if (length > sizeof(leaf) && strcmp(own + length - sizeof(leaf), "/helper") == 0) {
        own[length - sizeof(leaf)] = '\0';
    }
    CHECK(snprintf(path, sizeof(path), "%s%s", mount, own) > 0);
    bool delegated = own[0] != '\0' && is_delegated(path);
    int index = add_hierarchy(cgroups, delegated ? path : mount);
    if (index < 0) {
        errno = -index;
        return err_set(err, index, "%s: %m", delegated ? path : mount);
    }
    int r = delegated ? enter_leaf(cgroups->base_fds[index], leaf, getpid(), err) : 0;
    return r < 0 ? r : index;
}

static int discover_v2(struct cgroups *cgroups, const char *mount, struct err *err)
{
    int index = discover_holder(cgroups, mount, err);

    if (index == -ENOENT) {
        index = discover_own(cgroups, mount, err);
    }
    if (index < 0) {
        return index;
    }
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        cgroups->hierarchy_of[i] = index;
    }
    return 0;
}

static void say(struct cgroup_ability *ability, bool able, const char *what)
{
    size_t used = strlen(ability->reason);

    if (!able) {
        (void)snprintf(ability->reason + used, sizeof(ability->reason) - used, "%s%s",
                       used > 0 ? ", " : "the kernel cannot limit: ", what);
    }
}

static void explain(struct cgroup_ability *ability)
{
    if (ability->version == 0) {
        (void)snprintf(ability->reason, sizeof(ability->reason),
                       "no control groups are mounted: mount cgroup2 at %s", v2_mount);
        return;
    }
    say(ability, ability->cpu, "cpu");
    say(ability, ability->memory,
        "memory (boot with cgroup_enable=memory where the system turns it off)");
    say(ability, ability->swap || !ability->memory, "swap (boot with swapaccount=1, or swapoff)");
    say(ability, ability->pids, "pids");
    say(ability, ability->freezer, "freezer");
}

/* Which version carries the memory controller? Newer kernels hide it from libcgroup: look too. */
static int find_version(const struct cgroup_mounts *mounts, const char **mount_out)
{
    const int version = version_of(mounts->paths[CGROUP_MEMORY]);

    *mount_out = version != 0 ? mounts->paths[CGROUP_MEMORY] : v2_mount;
    if (version != 0) {
        return version;
    }
    if (version_of(v2_mount) == 2) {
        return 2;
    }
    return version_of(mounts->paths[CGROUP_CPU]) == 1 ? 1 : 0;
}

int cgroups_discover(struct cgroups *cgroups, struct err *err)
{
    struct cgroup_mounts mounts;
    const char *mount = NULL;
    int version = 0;
    int r = cgroup_mounts_find(&mounts, err);

    if (r == 0) {
        version = find_version(&mounts, &mount);
    }
    if (version == 1) {
        r = discover_v1(cgroups, &mounts, err);
    } else if (version == 2) {
        r = discover_v2(cgroups, mount, err);
    }
    return r < 0 ? err_wrap(err, "find control groups") : cgroups_probe(cgroups, version);
}

int cgroups_probe(struct cgroups *cgroups, int version)
{
    cgroups->ability.version = version;
    cgroups->backend = version == 1 ? &cgroup_v1 : version == 2 ? &cgroup_v2 : NULL;
    if (cgroups->backend != NULL) {
        cgroups->backend->probe(cgroups);
    }
    explain(&cgroups->ability);
    return 0;
}
