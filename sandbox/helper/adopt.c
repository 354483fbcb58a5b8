// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/lines.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/say.h"
#include "sandbox/init_protocol.h"

enum { ROUNDS = ADOPT_ROUNDS, ROUND_US = 10000 };

/* Pid and start time together name a process; a pidfd taken between two looks is of that one. */
static int open_process(struct replica *replica, struct err *err)
{
    uint64_t start_ticks = 0;
    CLEANUP(cleanup_close) int pidfd = pidfd_open(replica->init_pid, 0);

    if (pidfd < 0 || process_start_ticks(replica->init_pid, &start_ticks) < 0 ||
        start_ticks != replica->init_start_ticks) {
        return err_set(err, -ESRCH, "its minga-init is gone");
    }
    replica->pidfd = take_fd(&pidfd);
    return 0;
}

static int connect_control(const struct helper *helper, struct replica *replica, struct err *err)
{
    struct sockaddr_un address;
    CLEANUP(cleanup_close) int folder_fd = replica_control(helper, replica, &address);
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (folder_fd < 0 || fd < 0) {
        return err_set(err, -errno, "connect to its minga-init: %m");
    }
    (void)descriptors_refuse(fd);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return err_set(err, -errno, "connect to its minga-init: %m");
    }
    replica->control_fd = take_fd(&fd);
    return 0;
}

static int take_over(struct helper *helper, struct replica *replica, struct err *err)
{
    int r = replica->started_ms == 0 ? err_set(err, -EINPROGRESS, "it was still being started")
                                     : open_process(replica, err);

    if (r == 0) {
        r = connect_control(helper, replica, err);
    }
    if (r == 0) {
        lines_adopt(helper, replica);
        r = cgroup_watch_oom(helper->cgroups, &replica->name, &replica->oom_fd, err);
    }
    return r < 0 ? r : 0;
}

static struct replica *free_slot(struct helper *helper)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (helper->replicas[i].state == REPLICA_FREE) {
            return &helper->replicas[i];
        }
    }
    return NULL;
}

static void remove_file(const char *folder, const char *name)
{
    CLEANUP(cleanup_close) int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (folder_fd < 0 || (unlinkat(folder_fd, name, 0) < 0 && errno != ENOENT)) {
        log_warning("%s/%s: %m", folder, name);
    }
}

static void adopt_one(struct helper *helper, const char *name)
{
    struct replica *replica = free_slot(helper);
    struct err err = {0};

    /* A record that was never finished (".new") is of a launch that was not, either. */
    if (replica == NULL || strchr(name, '.') != NULL) {
        return; /* what is of it is found among the leftovers */
    }
    replica_init(replica);
    if (record_read(helper, name, replica, &err) < 0) {
        log_warning("%s", err.text);
        remove_file(helper->folders.records, name);
        replica_init(replica);
        return;
    }
    replica->state = REPLICA_RUNNING;
    replica->lease_until_ms = now_ms() + HELPER_ALONE_MS;
    if (uid_range_adopt(helper->folders.uids, replica->uids.first, &replica->uids, &err) < 0) {
        log_warning("%s: %s", name, err.text);
    }
    if (take_over(helper, replica, &err) < 0) {
        say_replica(replica, LOG_LEVEL_WARNING, "adopt-failed", "cannot be adopted: %s", err.text);
        replica_end(replica, SANDBOX_END_LOST, 0, err.text);
        return;
    }
    say_replica(replica, LOG_LEVEL_INFO, "adopted", "adopted");
}

static void for_each_file(struct helper *helper, const char *folder,
                          void (*handle)(struct helper *helper, const char *name))
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            handle(helper, entry->d_name);
        }
    }
}

/* `name` may have a suffix: ".0" of a log, ".new" of a record that was never finished. */
static bool is_known(const struct helper *helper, const char *name)
{
    size_t length = strcspn(name, ".");

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &helper->replicas[i];

        if (replica->state != REPLICA_FREE && strlen(replica->name.text) == length &&
            memcmp(replica->name.text, name, length) == 0) {
            return true;
        }
    }
    return false;
}

static void remove_unknown_log(struct helper *helper, const char *name)
{
    if (!is_known(helper, name)) {
        remove_file(helper->folders.logs, name);
    }
}

static void remove_unknown_control(struct helper *helper, const char *name)
{
    if (!is_known(helper, name)) {
        remove_file(helper->folders.controls, name);
    }
}

static void remove_unknown_line(struct helper *helper, const char *name)
{
    if (!is_known(helper, name)) {
        remove_file(helper->folders.lines, name);
    }
}

static void remove_unknown_record(struct helper *helper, const char *name)
{
    if (!is_known(helper, name) || strchr(name, '.') != NULL) {
        remove_file(helper->folders.records, name);
    }
}

/*
 * After adoption, a group without a record: the helper died in the middle of a launch or of an
 * end. Its init had the death signal still set, or is being killed; so this is short.
 */
void helper_end_unknown_groups(struct helper *helper, unsigned rounds)
{
    struct cgroup_name names[REPLICAS_PER_NODE_MAX];
    struct err err = {0};
    size_t count = 0;

    if (cgroups_list(helper->cgroups, names, ARRAY_COUNT(names), &count, &err) < 0) {
        log_warning("%s", err.text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_known(helper, names[i].text)) {
            continue;
        }
        int r = CGROUP_POPULATED;

        for (unsigned round = 0; round < rounds && r == CGROUP_POPULATED; round++) {
            r = cgroup_kill(helper->cgroups, &names[i], &err);
            if (r == CGROUP_POPULATED && round + 1 < rounds) {
                usleep(ROUND_US);
            }
        }
        if (r == 0) {
            r = cgroup_remove(helper->cgroups, &names[i], &err);
        }
        log_warning("%s: left over, %s", names[i].text, r == 0 ? "removed" : "not yet removed");
    }
}

/*
 * What could not be adopted is mostly dead already: have it out of the way, and out of the sums,
 * before somebody asks for new ones. What takes longer is ended in the loop.
 */
static void finish_endings(struct helper *helper)
{
    for (int round = 0; round < ROUNDS; round++) {
        size_t ending_count = 0;

        for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
            struct replica *replica = &helper->replicas[i];

            if (replica->state == REPLICA_ENDING) {
                replica_tick(helper, replica, now_ms());
                ending_count += replica->state == REPLICA_ENDING;
            }
        }
        if (ending_count == 0) {
            return;
        }
        usleep(ROUND_US);
    }
}

void helper_adopt(struct helper *helper)
{
    for_each_file(helper, helper->folders.records, adopt_one);
    helper_end_unknown_groups(helper, ADOPT_ROUNDS);
    finish_endings(helper);
    for_each_file(helper, helper->folders.records, remove_unknown_record);
    for_each_file(helper, helper->folders.controls, remove_unknown_control);
    for_each_file(helper, helper->folders.lines, remove_unknown_line);
    for_each_file(helper, helper->folders.logs, remove_unknown_log);
    uid_range_sweep(helper->folders.uids);
}
