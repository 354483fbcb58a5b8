// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/units.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/say.h"
#include "sandbox/logs.h"

enum { LAST_LINE_CHARS_MAX = 80 };

/* The last line that it printed, "" when there is none. */
static void last_line(const struct helper *helper, const struct replica *replica,
                      char text_out[LAST_LINE_CHARS_MAX + 1])
{
    char path[PATH_MAX];

    replica_path(helper->folders.logs, replica, ".0", path);
    CLEANUP(cleanup_close) int first_fd = open(path, O_RDONLY | O_CLOEXEC);
    replica_path(helper->folders.logs, replica, ".1", path);
    CLEANUP(cleanup_close) int second_fd = open(path, O_RDONLY | O_CLOEXEC);
    const int fds[2] = {first_fd, second_fd};

    logs_last_line(fds, text_out, LAST_LINE_CHARS_MAX + 1);
}

static void explain_exit(const struct helper *helper, struct replica *replica)
{
    char line[LAST_LINE_CHARS_MAX + 1];

    last_line(helper, replica, line);
    snprintf(replica->reason, sizeof(replica->reason), "exit status %d%s%s", replica->end_status,
             line[0] == '\0' ? "" : ": ", line);
}

static void explain_out_of_memory(struct replica *replica)
{
    char limit[UNITS_TEXT_BYTES_MAX];

    units_print_bytes(replica->spec.limits.memory_bytes, limit);
    replica->end = SANDBOX_END_OUT_OF_MEMORY;
    snprintf(replica->reason, sizeof(replica->reason), "out of memory: limit %s", limit);
}

bool replica_hit_memory_limit(const struct replica *replica, uint64_t oom_kill_count)
{
    if (replica->end == SANDBOX_END_OUT_OF_MEMORY) {
        return replica->reason[0] == '\0'; /* else it was for what one of our counts found */
    }
    return oom_kill_count > 0 && replica->end != SANDBOX_END_STOPPED &&
           replica->end != SANDBOX_END_REFUSED;
}

/*
 * With the counts of its group, read while there still is one. One death for memory is that of the
 * whole replica, also when its first process, bereft of a child, was quick to end by itself.
 */
static void explain_end(const struct helper *helper, struct replica *replica)
{
    uint64_t oom_kill_count = 0;
    struct err err = {0};
    const char *name;

    (void)cgroup_oom_kills(helper->cgroups, &replica->name, &oom_kill_count, &err);
    if (replica_hit_memory_limit(replica, oom_kill_count)) {
        explain_out_of_memory(replica);
    } else if (replica->reason[0] != '\0') {
        return;
    } else if (replica->end == SANDBOX_END_SIGNALLED) {
        name = sigabbrev_np(replica->end_status);
        snprintf(replica->reason, sizeof(replica->reason), "killed by signal %d (%s)",
                 replica->end_status, name == NULL ? "?" : name);
    } else if (replica->end == SANDBOX_END_STOPPED) {
        snprintf(replica->reason, sizeof(replica->reason), "stopped");
    } else {
        explain_exit(helper, replica);
    }
}

static void close_all(struct replica *replica)
{
    int *const fds[] = {&replica->pidfd, &replica->control_fd, &replica->oom_fd, &replica->line_fd};

    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        cleanup_close(fds[i]);
        *fds[i] = -1;
    }
}

static void remove_files(const struct helper *helper, const struct replica *replica,
                         bool keeps_logs)
{
    const struct {
        const char *folder;
        const char *suffix;
    } files[] = {{helper->folders.logs, ".0"},
                 {helper->folders.logs, ".1"},
                 {helper->folders.controls, ""},
                 {helper->folders.lines, ""},
                 {helper->folders.records, ""}}; /* last: while it is there, the rest may be too */
    char path[PATH_MAX];

    for (size_t i = keeps_logs ? 2 : 0; i < ARRAY_COUNT(files); i++) {
        replica_path(files[i].folder, replica, files[i].suffix, path);
        if (unlink(path) < 0 && errno != ENOENT) {
            log_warning("%s: %m", path);
        }
    }
}

/*
 * Most ends are told by an init that has killed the rest and is leaving. To kill a group (on v1:
 * freeze, signal, thaw) costs more than the moment that this takes.
 */
static bool init_is_leaving(struct helper *helper, struct replica *replica, uint64_t at_ms)
{
    struct pollfd over = {.fd = replica->pidfd, .events = POLLIN};

    if (!replica->init_leaves || replica->pidfd < 0 ||
        at_ms - replica->deadline_ms >= ENDING_SOON_MS) {
        return false;
    }
    if (poll(&over, 1, 0) == 1) {
        replica_on_init_over(helper, replica);
        return false;
    }
    return true;
}

/* Returns NULL when nothing lives any more, else what does. */
static const char *what_is_left(struct helper *helper, struct replica *replica, uint64_t at_ms,
                                struct err *err)
{
    if (init_is_leaving(helper, replica, at_ms)) {
        return "minga-init";
    }
    int r = cgroup_kill(helper->cgroups, &replica->name, err);

    if (r == CGROUP_POPULATED) {
        return "processes";
    }
    if (r < 0) {
        return "its control group";
    }
    struct pollfd over = {.fd = replica->pidfd, .events = POLLIN};

    if (replica->pidfd >= 0 && poll(&over, 1, 0) == 1) {
        replica_on_init_over(helper, replica);
    }
    /* Not in the group: only when a launch failed before it was put there. */
    if (replica->pidfd >= 0) {
        kill(replica->init_pid, SIGKILL);
        return "minga-init";
    }
    if (!launch_over(&replica->launch)) {
        return "the maker of its root";
    }
    if (!disks_clear(&helper->disks, &replica->disk, replica->spec.limits.disk_bytes) ||
        disk_attached(replica->disk.loop_number, replica->disk.backing)) {
        return "its disk";
    }
    return NULL;
}

static void warn_once(struct replica *replica, const char *left, const struct err *err,
                      uint64_t at_ms)
{
    if (replica->warned || at_ms - replica->deadline_ms < ENDING_WARN_MS) {
        return;
    }
    replica->warned = true;
    say_replica(replica, LOG_LEVEL_WARNING, "end-delayed", "cannot end it yet, %s is left%s%s",
                left, err->code == 0 ? "" : ": ", err->text);
}

void replica_clear(struct helper *helper, struct replica *replica, uint64_t at_ms)
{
    struct sandbox_event event = {.kind = SANDBOX_ENDED};
    struct err err = {0};

    uid_range_hold(
        &replica->uids); /* of one adopted, minga-init's lock goes before all else does */
    const char *left = what_is_left(helper, replica, at_ms, &err);

    CHECK(replica->state == REPLICA_ENDING && replica->end_known);
    if (left != NULL) {
        warn_once(replica, left, &err, at_ms);
        return;
    }
    explain_end(helper, replica);
    if (cgroup_remove(helper->cgroups, &replica->name, &err) < 0) {
        warn_once(replica, "its control group", &err, at_ms);
        return;
    }
    close_all(replica);
    bool keeps_logs = replica->end != SANDBOX_END_STOPPED && !helper->leaving;

    remove_files(helper, replica, keeps_logs);
    if (keeps_logs) {
        kept_add(helper, &replica->name);
    }
    uid_range_free(helper->folders.uids, &replica->uids);
    bool was_meant = replica->end == SANDBOX_END_STOPPED ||
                     (replica->end == SANDBOX_END_EXITED && replica->end_status == 0);

    say_replica(replica, was_meant ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "ended", "ended: %s",
                replica->reason);
    event.key = replica->spec.key;
    event.end = replica->end;
    event.status = replica->end_status;
    memcpy(event.reason, replica->reason, sizeof(event.reason));
    replica_init(replica);
    say_event(helper, &event);
}
