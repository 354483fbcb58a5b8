// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/locks.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sandbox/helper/process.h"

enum {
    LOOK_EVERY_MS = 1000,
    LOOK_SHARE = 20, /* of our time: the host's own programs may hold very many */
    LINE_BYTES_MAX = 256,
    HOLDERS_KNOWN = 256,
    LINES_MAX = 4 * FILE_LOCKS_MAX, /* the kernel looks for each page from the first line on */
    NO_REPLICA = -1,
    HAS_ENDED = -2,
};

struct holder {
    pid_t pid; /* 0: none */
    int index; /* of its replica, or NO_REPLICA, HAS_ENDED */
};

pid_t locks_holder(const char *line)
{
    const char *waits = strstr(line, "-> ");
    int pid = 0;

    /* "7: POSIX  ADVISORY  WRITE 4711 ...", or "7: -> POSIX ...". */
    if (waits != NULL) {
        return sscanf(waits, "-> %*s %*s %*s %d", &pid) == 1 && pid > 0 ? pid : 0;
    }
    return sscanf(line, "%*s %*s %*s %*s %d", &pid) == 1 && pid > 0 ? pid : 0;
}

/* Who ends already is nobody to be found. */
static int replica_of_uid(const struct helper *helper, uid_t uid)
{
    for (int i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &helper->replicas[i];

        if (replica->state != REPLICA_FREE &&
            (replica->uids.lock_fd >= 0 || replica->uids.first != 0) &&
            uid - replica->uids.first < UID_RANGE_COUNT) {
            return replica->state != REPLICA_ENDING ? i : NO_REPLICA;
        }
    }
    return NO_REPLICA;
}

static int holder_of(const struct helper *helper, const char *proc_path, pid_t pid)
{
    char path[PATH_MAX];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%d", proc_path, pid);
    return stat(path, &status) == 0 ? replica_of_uid(helper, status.st_uid) : HAS_ENDED;
}

/* The replica with too many, or NULL. *is_dark_out: there are as many of which it cannot be told. */
static struct replica *find_holder(struct helper *helper, const char *proc_path, bool *is_dark_out)
{
    uint32_t counts[REPLICAS_PER_NODE_MAX] = {0};
    struct holder known[HOLDERS_KNOWN] = {{0, NO_REPLICA}};
    uint32_t line_count = 0;
    uint32_t ended_count = 0;
    char line[LINE_BYTES_MAX];
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/locks", proc_path);
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const pid_t pid = locks_holder(line);
        struct holder *holder = &known[pid % HOLDERS_KNOWN];

        if (++line_count > LINES_MAX) {
            *is_dark_out = true;
            return NULL;
        }
        if (pid != 0 && holder->pid != pid) {
            *holder = (struct holder){pid, holder_of(helper, proc_path, pid)};
        }
        ended_count += pid != 0 && holder->index == HAS_ENDED ? 1 : 0;
        if (pid != 0 && holder->index >= 0 && ++counts[holder->index] > FILE_LOCKS_MAX) {
            return &helper->replicas[holder->index];
        }
    }
    *is_dark_out = ended_count > FILE_LOCKS_MAX;
    return NULL;
}

/* Files that a process has open, counted until it is enough. */
static uint32_t open_files(const char *proc_path, const char *pid, uint32_t enough)
{
    char path[PATH_MAX];
    uint32_t count = 0;

    snprintf(path, sizeof(path), "%s/%.16s/fd", proc_path, pid);
    CLEANUP(cleanup_closedir) DIR *folder = opendir(path);
    while (folder != NULL && count < enough && readdir(folder) != NULL) {
        count++;
    }
    return count;
}

/*
 * A lock by flock(2) is an open file's: it outlives who took it in whoever has the file from it, and
 * the kernel names the dead. There are no more of them than open files.
 */
static struct replica *find_opener(struct helper *helper, const char *proc_path)
{
    uint32_t counts[REPLICAS_PER_NODE_MAX] = {0};
    CLEANUP(cleanup_closedir) DIR *folder = opendir(proc_path);
    const struct dirent *entry;
    struct stat status;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        const int index = isdigit((unsigned char)entry->d_name[0]) &&
                                  fstatat(dirfd(folder), entry->d_name, &status, 0) == 0
                              ? replica_of_uid(helper, status.st_uid)
                              : NO_REPLICA;

        if (index >= 0) {
            counts[index] += open_files(proc_path, entry->d_name, FILE_LOCKS_MAX + 1);
            if (counts[index] > FILE_LOCKS_MAX) {
                return &helper->replicas[index];
            }
        }
    }
    return NULL;
}

struct replica *locks_find(struct helper *helper, const char *proc_path)
{
    bool is_dark = false;
    struct replica *greedy = find_holder(helper, proc_path, &is_dark);

    return is_dark ? find_opener(helper, proc_path) : greedy;
}

void locks_tick(struct helper *helper, uint64_t at_ms)
{
    char reason[REASON_CHARS_MAX + 1];

    if (at_ms < helper->locks_due_ms) {
        return;
    }
    const uint64_t begun_ms = now_ms(); /* at_ms lies before what else the tick had to do */
    struct replica *greedy = locks_find(helper, "/proc");
    const uint64_t pause_ms = (now_ms() - begun_ms) * LOOK_SHARE;

    helper->locks_due_ms = at_ms + (pause_ms > LOOK_EVERY_MS ? pause_ms : LOOK_EVERY_MS);
    if (greedy != NULL) {
        snprintf(reason, sizeof(reason), "out of file locks: limit %d", FILE_LOCKS_MAX);
        replica_end(greedy, SANDBOX_END_OUT_OF_MEMORY, 0, reason);
    }
}
