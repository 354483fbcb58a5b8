// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/locks.h"

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
    NO_REPLICA = -1,
};

struct holder {
    pid_t pid; /* 0: none */
    int index; /* of its replica, or NO_REPLICA */
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

static int replica_of(const struct helper *helper, const char *proc_path, pid_t pid)
{
    char path[PATH_MAX];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%d", proc_path, pid);
    if (stat(path, &status) < 0) {
        return NO_REPLICA;
    }
    for (int i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &helper->replicas[i];

        if (replica->state != REPLICA_FREE && replica->uids.lock_fd >= 0 &&
            status.st_uid - replica->uids.first < UID_RANGE_COUNT) {
            return i;
        }
    }
    return NO_REPLICA;
}

struct replica *locks_find(struct helper *helper, const char *proc_path)
{
    uint32_t counts[REPLICAS_PER_NODE_MAX] = {0};
    struct holder known[HOLDERS_KNOWN] = {{0, NO_REPLICA}};
    char line[LINE_BYTES_MAX];
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/locks", proc_path);
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const pid_t pid = locks_holder(line);
        struct holder *holder = &known[pid % HOLDERS_KNOWN];

        if (pid != 0 && holder->pid != pid) {
            *holder = (struct holder){pid, replica_of(helper, proc_path, pid)};
        }
        if (pid != 0 && holder->index != NO_REPLICA && ++counts[holder->index] > FILE_LOCKS_MAX) {
            return &helper->replicas[holder->index];
        }
    }
    return NULL;
}

void locks_tick(struct helper *helper, uint64_t at_ms)
{
    char reason[REASON_CHARS_MAX + 1];

    if (at_ms < helper->locks_due_ms) {
        return;
    }
    struct replica *greedy = locks_find(helper, "/proc");
    const uint64_t pause_ms = (now_ms() - at_ms) * LOOK_SHARE;

    helper->locks_due_ms = at_ms + (pause_ms > LOOK_EVERY_MS ? pause_ms : LOOK_EVERY_MS);
    if (greedy != NULL && greedy->state != REPLICA_ENDING) {
        snprintf(reason, sizeof(reason), "out of file locks: limit %d", FILE_LOCKS_MAX);
        replica_end(greedy, SANDBOX_END_OUT_OF_MEMORY, 0, reason);
    }
}
