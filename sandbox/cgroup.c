// SPDX-License-Identifier: GPL-3.0-or-later
/* What v1 and v2 share: groups are folders, in every hierarchy alike. */
#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/cgroup_backend.h"

static const char *const part_names[] = {[CGROUP_INIT] = "init", [CGROUP_SERVICE] = "service"};

static bool name_is_sound(const char *name)
{
    size_t length = strnlen(name, CGROUP_NAME_CHARS_MAX + 1);

    return length > 0 && length <= CGROUP_NAME_CHARS_MAX &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789_-")] == '\0';
}

/*
 * Parts are in the first hierarchy only: on v1 that of the cpu, where minga-init gets as much time
 * as all processes of a service together. Limits are the whole replica's, in the others, too.
 */
static bool has_parts(unsigned hierarchy)
{
    return hierarchy == 0;
}

/* The group of a replica (part NULL) or of one of its parts. */
static void path_of(const struct cgroups *cgroups, const struct cgroup_name *name, const char *part,
                    char path_out[CGROUP_PATH_BYTES_MAX])
{
    int length;

    CHECK(cgroups->backend != NULL);
    CHECK(name_is_sound(name->text));
    length = snprintf(path_out, CGROUP_PATH_BYTES_MAX, "%s/%s%s%s", cgroups->parent, name->text,
                      part == NULL ? "" : "/", part == NULL ? "" : part);
    CHECK(length > 0 && length < CGROUP_PATH_BYTES_MAX);
}

int cgroups_open(const char *parent, struct cgroups **cgroups_out, struct err *err)
{
    struct cgroups *cgroups;
    int r;

    if (!name_is_sound(parent)) {
        return err_set(err, -EINVAL, "cgroup \"%s\": only letters, digits, - and _", parent);
    }
    cgroups = calloc(1, sizeof(*cgroups));
    if (cgroups == NULL) {
        return err_set(err, -ENOMEM, "cgroup %s: out of memory", parent);
    }
    cgroups->lock_fd = -1;
    CHECK(text_copy(cgroups->parent, sizeof(cgroups->parent), parent) == 0);
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        cgroups->hierarchy_of[i] = -1;
    }
    r = cgroups_discover(cgroups, err);
    if (r < 0) {
        cgroups_free(cgroups);
        return r;
    }
    *cgroups_out = cgroups;
    return 0;
}

void cgroups_free(struct cgroups *cgroups)
{
    if (cgroups == NULL) {
        return;
    }
    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        close(cgroups->base_fds[i]);
    }
    cleanup_close(&cgroups->lock_fd);
    free(cgroups);
}

struct cgroup_ability cgroups_ability(const struct cgroups *cgroups)
{
    return cgroups->ability;
}

static int make_part(const struct cgroups *cgroups, const char *group, struct err *err)
{
    for (unsigned i = 0; i < cgroups->hierarchy_count && has_parts(i); i++) {
        if (mkdirat(cgroups->base_fds[i], group, 0755) < 0) {
            return cgroup_fail(err, -errno, group, "make");
        }
    }
    return 0;
}

static int make_group(const struct cgroups *cgroups, const char *group, bool exclusive,
                      struct err *err)
{
    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        if (mkdirat(cgroups->base_fds[i], group, 0755) == 0 || (!exclusive && errno == EEXIST)) {
            continue;
        }
        int r = cgroup_fail(err, -errno, group, "make");
        while (exclusive && i > 0) {
            (void)unlinkat(cgroups->base_fds[--i], group, AT_REMOVEDIR);
        }
        return r;
    }
    return 0;
}

static int remove_part(const struct cgroups *cgroups, const char *group, struct err *err)
{
    int r = 0;

    for (unsigned i = 0; i < cgroups->hierarchy_count && has_parts(i); i++) {
        if (unlinkat(cgroups->base_fds[i], group, AT_REMOVEDIR) < 0 && errno != ENOENT) {
            r = -errno;
        }
    }
    return r < 0 ? cgroup_fail(err, r, group, "remove") : 0;
}

/* Removes a group in every hierarchy, going on after errors. The kernel refuses populated ones. */
static int remove_group(const struct cgroups *cgroups, const char *group, struct err *err)
{
    int r = 0;

    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        if (unlinkat(cgroups->base_fds[i], group, AT_REMOVEDIR) < 0 && errno != ENOENT) {
            r = -errno;
        }
    }
    return r < 0 ? cgroup_fail(err, r, group, "remove") : 0;
}

/*
 * Two helpers that share a parent would take each other's sandboxes for leftovers, so a file of it
 * is locked for as long as the handle lives. Not by flock: what a killed helper had forked would
 * hold that on. Nobody else opens this file: to close another descriptor of it would unlock it.
 */
static int lock_parent(struct cgroups *cgroups, struct err *err)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[CGROUP_PATH_BYTES_MAX];

    if (cgroups->lock_fd >= 0) {
        return 0;
    }
    CHECK(snprintf(path, sizeof(path), "%s/cgroup.procs", cgroups->parent) > 0);
    CLEANUP(cleanup_close) int fd = openat(cgroups->base_fds[0], path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return cgroup_fail(err, -errno, cgroups->parent, "open");
    }
    if (fcntl(fd, F_SETLK, &whole) < 0) {
        (void)err_set(err, -EADDRINUSE, "cgroup %s: another minga-sandboxd uses it",
                      cgroups->parent);
        return err_hint(err, "give each agent of this host its own name (cgroup: in minga.yaml)");
    }
    cgroups->lock_fd = take_fd(&fd);
    return 0;
}

/*
 * v1 compares a parent's cpu share with those of its children, and for some ms also with those of
 * children that were just removed.
 */
static int limit_parent(struct cgroups *cgroups, const struct sandbox_limits *contribution,
                        struct err *err)
{
    enum { TRIES = 10, PAUSE_NS = 10000000 };
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    int r = -EINVAL;

    for (unsigned i = 0; i < TRIES && r == -EINVAL; i++) {
        if (i > 0) {
            (void)nanosleep(&pause, NULL);
        }
        r = cgroups->backend->set_limits(cgroups, cgroups->parent, contribution, err);
    }
    return r;
}

void cgroups_weigh(struct cgroups *cgroups, uint32_t weight_percent)
{
    if (cgroups->backend != NULL && weight_percent >= 1) {
        cgroups->backend->weigh(cgroups, weight_percent);
    }
}

int cgroups_limit_parent(struct cgroups *cgroups, const struct sandbox_limits *limits,
                         struct err *err)
{
    return cgroups->lock_fd < 0 ? 0 : limit_parent(cgroups, limits, err);
}

int cgroups_make_parent(struct cgroups *cgroups, const struct sandbox_limits *contribution,
                        struct err *err)
{
    int r;

    if (cgroups->backend == NULL) {
        return err_set(err, -ENOSYS, "%s", cgroups->ability.reason);
    }
    r = cgroups->backend->prepare_base(cgroups, err);
    if (r == 0) {
        r = make_group(cgroups, cgroups->parent, false, err);
    }
    if (r == 0) {
        r = lock_parent(cgroups, err);
    }
    if (r == 0) {
        r = cgroups->backend->prepare_parent(cgroups, err);
    }
    if (r == 0) {
        r = limit_parent(cgroups, contribution, err);
    }
    return r;
}

int cgroups_remove_parent(struct cgroups *cgroups, struct err *err)
{
    cleanup_close(&cgroups->lock_fd);
    cgroups->lock_fd = -1;
    return remove_group(cgroups, cgroups->parent, err);
}

static bool is_known(const struct cgroup_name *names, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i].text, text) == 0) {
            return true;
        }
    }
    return false;
}

static int list_one(const struct cgroups *cgroups, int base_fd, struct cgroup_name *names_out,
                    size_t capacity, size_t *count)
{
    CLEANUP(cleanup_closedir) DIR *dir = NULL;
    int fd = openat(base_fd, cgroups->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    dir = fdopendir(fd);
    if (dir == NULL) {
        int r = -errno;

        close(fd);
        return r;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL && *count < capacity;
         entry = readdir(dir)) {
        if (entry->d_type != DT_DIR || !name_is_sound(entry->d_name) ||
            is_known(names_out, *count, entry->d_name)) {
            continue;
        }
        CHECK(text_copy(names_out[*count].text, sizeof(names_out[0].text), entry->d_name) == 0);
        (*count)++;
    }
    return 0;
}

int cgroups_list(const struct cgroups *cgroups, struct cgroup_name *names_out, size_t capacity,
                 size_t *count_out, struct err *err)
{
    size_t count = 0;

    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        int r = list_one(cgroups, cgroups->base_fds[i], names_out, capacity, &count);

        if (r < 0) {
            return cgroup_fail(err, r, cgroups->parent, "list");
        }
    }
    *count_out = count;
    return 0;
}

static int fill_replica(struct cgroups *cgroups, const struct cgroup_name *name,
                        const struct sandbox_limits *limits, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];
    int r;

    path_of(cgroups, name, NULL, group);
    r = cgroups->backend->prepare_replica(cgroups, group, err);
    if (r == 0) {
        r = cgroups->backend->set_limits(cgroups, group, limits, err);
    }
    for (unsigned i = 0; r == 0 && i < ARRAY_COUNT(part_names); i++) {
        path_of(cgroups, name, part_names[i], group);
        r = make_part(cgroups, group, err);
    }
    return r;
}

int cgroup_create(struct cgroups *cgroups, const struct cgroup_name *name,
                  const struct sandbox_limits *limits, struct err *err)
{
    struct err ignored = {0};
    char group[CGROUP_PATH_BYTES_MAX];
    int r;

    path_of(cgroups, name, NULL, group);
    r = make_group(cgroups, group, true, err);
    if (r < 0) {
        return r; /* nothing of ours stays, and nothing of another is removed */
    }
    r = fill_replica(cgroups, name, limits, err);
    if (r < 0) {
        (void)cgroup_remove(cgroups, name, &ignored);
    }
    return r;
}

int cgroup_limit(struct cgroups *cgroups, const struct cgroup_name *name,
                 const struct sandbox_limits *limits, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];

    path_of(cgroups, name, NULL, group);
    return cgroups->backend->set_limits(cgroups, group, limits, err);
}

int cgroup_attach(struct cgroups *cgroups, const struct cgroup_name *name, enum cgroup_part part,
                  pid_t pid, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];

    CHECK(pid > 1);
    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        path_of(cgroups, name, has_parts(i) ? part_names[part] : NULL, group);
        int r = cgroup_put_number(cgroups->base_fds[i], group, "cgroup.procs", (uint64_t)pid);

        if (r < 0) {
            return cgroup_fail(err, r, group, "cgroup.procs");
        }
    }
    return 0;
}

int cgroup_open_entries(struct cgroups *cgroups, const struct cgroup_name *name,
                        enum cgroup_part part, int fds_out[CGROUP_ENTRIES], struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];
    const char *file = cgroups->ability.version == 1 ? "tasks" : "cgroup.procs";
    int null_fd = -1;

    static_assert((int)CGROUP_ENTRIES >= (int)CGROUP_CONTROLLER_COUNT, "one per hierarchy");
    for (unsigned i = 0; i < CGROUP_ENTRIES; i++) {
        char path[CGROUP_PATH_BYTES_MAX + 16];
        bool used = i < cgroups->hierarchy_count && (part == CGROUP_INIT || has_parts(i));

        path_of(cgroups, name, has_parts(i) ? part_names[part] : NULL, group);
        CHECK(snprintf(path, sizeof(path), "%s/%s", group, file) > 0);
        if (!used && null_fd >= 0) {
            fds_out[i] = fcntl(null_fd, F_DUPFD_CLOEXEC, 0);
        } else {
            fds_out[i] = openat(used ? cgroups->base_fds[i] : AT_FDCWD, used ? path : "/dev/null",
                                O_WRONLY | O_CLOEXEC);
        }
        null_fd = used ? null_fd : fds_out[i];
        if (fds_out[i] < 0) {
            int r = cgroup_fail(err, -errno, group, file);

            while (i > 0) {
                close(fds_out[--i]);
            }
            return r;
        }
    }
    return 0;
}

int cgroup_open_folder(struct cgroups *cgroups, const struct cgroup_name *name,
                       enum cgroup_part part, int *fd_out, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];
    int fd;

    if (cgroups->ability.version != 2) {
        return CGROUP_NO_FOLDER;
    }
    path_of(cgroups, name, part_names[part], group);
    fd = openat(cgroups->base_fds[0], group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return cgroup_fail(err, -errno, group, "open");
    }
    *fd_out = fd;
    return 0;
}

int cgroup_freeze(struct cgroups *cgroups, const struct cgroup_name *name, bool frozen,
                  struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];

    path_of(cgroups, name, NULL, group);
    if (!cgroups->ability.freezer) {
        return err_set(err, -ENOSYS, "cgroup %s: this kernel has no freezer", group);
    }
    return cgroups->backend->freeze(cgroups, group, frozen, err);
}

/* Is there a process in this one group of one hierarchy? 0, CGROUP_POPULATED or -errno. */
static int part_populated(int base_fd, const char *group)
{
    char path[CGROUP_PATH_BYTES_MAX + 16];
    char byte;

    CHECK(snprintf(path, sizeof(path), "%s/cgroup.procs", group) > 0);
    CLEANUP(cleanup_close) int fd = openat(base_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT || errno == ENODEV ? 0 : -errno;
    }
    ssize_t count_bytes = read(fd, &byte, 1);
    if (count_bytes < 0) {
        return errno == ENODEV ? 0 : -errno;
    }
    return count_bytes == 0 ? 0 : CGROUP_POPULATED;
}

int cgroup_populated(struct cgroups *cgroups, const struct cgroup_name *name, struct err *err)
{
    static const char *const groups[] = {NULL, "init", "service"};

    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        for (unsigned k = 0; k < (has_parts(i) ? ARRAY_COUNT(groups) : 1); k++) {
            char group[CGROUP_PATH_BYTES_MAX];

            path_of(cgroups, name, groups[k], group);
            int r = part_populated(cgroups->base_fds[i], group);
            if (r != 0) {
                return r < 0 ? cgroup_fail(err, r, group, "cgroup.procs") : r;
            }
        }
    }
    return 0;
}

int cgroup_count(struct cgroups *cgroups, const struct cgroup_name *name, enum cgroup_part part,
                 uint64_t *count_out, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];
    char text[CGROUP_TEXT_BYTES_MAX];
    uint64_t count = 0;

    path_of(cgroups, name, part_names[part], group);
    int r = cgroup_get(cgroups->base_fds[0], group, "cgroup.procs", text);
    if (r < 0) {
        return cgroup_fail(err, r, group, "cgroup.procs");
    }
    for (const char *end = strchr(text, '\n'); end != NULL; end = strchr(end + 1, '\n')) {
        count++;
    }
    *count_out = count;
    return 0;
}

int cgroup_kill(struct cgroups *cgroups, const struct cgroup_name *name, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];
    int r = cgroup_populated(cgroups, name, err);

    if (r <= 0) {
        return r;
    }
    path_of(cgroups, name, NULL, group);
    r = cgroups->backend->kill(cgroups, group, err);
    return r < 0 ? r : cgroup_populated(cgroups, name, err);
}

int cgroup_stats(struct cgroups *cgroups, const struct cgroup_name *name,
                 struct cgroup_stats *stats_out, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];

    path_of(cgroups, name, NULL, group);
    return cgroups->backend->stats(cgroups, group, stats_out, err);
}

int cgroup_oom_kills(struct cgroups *cgroups, const struct cgroup_name *name, uint64_t *count_out,
                     struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];

    path_of(cgroups, name, NULL, group);
    *count_out = 0;
    int r = cgroups->ability.memory ? cgroups->backend->oom_kills(cgroups, group, count_out) : 0;
    return r < 0 ? cgroup_fail(err, r, group, "read its use") : 0;
}

int cgroup_watch_oom(struct cgroups *cgroups, const struct cgroup_name *name, int *fd_out,
                     struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];

    path_of(cgroups, name, NULL, group);
    return cgroups->backend->watch_oom(cgroups, group, fd_out, err);
}

int cgroup_remove(struct cgroups *cgroups, const struct cgroup_name *name, struct err *err)
{
    char group[CGROUP_PATH_BYTES_MAX];
    int r = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(part_names) && r == 0; i++) {
        path_of(cgroups, name, part_names[i], group);
        r = remove_part(cgroups, group, err);
    }
    if (r == 0) {
        path_of(cgroups, name, NULL, group);
        r = remove_group(cgroups, group, err);
    }
    return r;
}
