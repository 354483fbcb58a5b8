// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/cgroup_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"

static const char *const names[CGROUP_CONTROLLER_COUNT] = {
    [CGROUP_CPU] = "cpu",   [CGROUP_CPUACCT] = "cpuacct", [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids", [CGROUP_FREEZER] = "freezer",
};

static _Noreturn void ask(int answer_fd)
{
    struct cgroup_mounts mounts = {0};

    if (cgroup_init() == 0) {
        for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
            char *path = NULL;

            if (cgroup_get_subsys_mount_point(names[i], &path) == 0 && path != NULL) {
                (void)text_copy(mounts.paths[i], sizeof(mounts.paths[i]), path);
            }
            free(path);
        }
    }
    _exit(write(answer_fd, &mounts, sizeof(mounts)) == (ssize_t)sizeof(mounts) ? 0 : 1);
}

int cgroup_mounts_find(struct cgroup_mounts *mounts_out, struct err *err)
{
    struct cgroup_mounts mounts;
    int ends[2];

    static_assert(sizeof(mounts) <= PIPE_BUF, "a pipe takes it at once");
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_set(err, -errno, "libcgroup: %m");
    }
    CLEANUP(cleanup_close) int read_fd = ends[0];
    CLEANUP(cleanup_close) int write_fd = ends[1];
    const pid_t pid = fork();
    if (pid < 0) {
        return err_set(err, -errno, "libcgroup: %m");
    }
    if (pid == 0) {
        ask(write_fd);
    }
    cleanup_close(&write_fd);
    write_fd = -1;
    const ssize_t count_bytes = read(read_fd, &mounts, sizeof(mounts));
    (void)waitpid(pid, NULL, 0);
    if (count_bytes != (ssize_t)sizeof(mounts)) {
        return err_set(err, -EIO, "libcgroup: its process died");
    }
    *mounts_out = mounts;
    return 0;
}
