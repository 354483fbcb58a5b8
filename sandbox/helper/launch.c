// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/helper/child.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/memory_file.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/rootfs.h"
#include "sandbox/spec.h"

enum { SETUP_MS_MAX = 5000 };

/* What exists only during a launch; everything owned. */
struct launch {
    struct disk disk;
    int root_fd;
    int listen_fd;
    int spec_fd;
    int log_fds[2];
    int init_entries[CGROUP_ENTRIES];
    int service_entries[CGROUP_ENTRIES];
    int setup_fds[2];   /* ours, the child's */
    int control_fds[2]; /* ours, the child's */
};

static void launch_init(struct launch *launch)
{
    *launch = (struct launch){
        .disk = {.mount_fd = -1, .loop_number = -1},
        .root_fd = -1,
        .listen_fd = -1,
        .spec_fd = -1,
        .log_fds = {-1, -1},
        .setup_fds = {-1, -1},
        .control_fds = {-1, -1},
    };
    for (int i = 0; i < CGROUP_ENTRIES; i++) {
        launch->init_entries[i] = -1;
        launch->service_entries[i] = -1;
    }
}

static void launch_done(struct launch *launch)
{
    int fds[] = {launch->root_fd,      launch->listen_fd,      launch->spec_fd,
                 launch->log_fds[0],   launch->log_fds[1],     launch->setup_fds[0],
                 launch->setup_fds[1], launch->control_fds[0], launch->control_fds[1]};

    disk_done(&launch->disk);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        cleanup_close(&fds[i]);
    }
    for (int i = 0; i < CGROUP_ENTRIES; i++) {
        cleanup_close(&launch->init_entries[i]);
        cleanup_close(&launch->service_entries[i]);
    }
}

/* Through /proc, as the path may be longer than an address holds. */
static int make_listener(const struct helper *helper, const struct replica *replica,
                         struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close)
    int folder_fd = open(helper->folders.controls, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (folder_fd < 0 || fd < 0) {
        return err_set(err, -errno, "socket of its minga-init: %m");
    }
    CHECK(snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder_fd,
                   replica->name.text) < (int)sizeof(address.sun_path));
    unlink(address.sun_path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0) {
        return err_set(err, -errno, "socket of its minga-init: %m");
    }
    return take_fd(&fd);
}

static int make_logs(struct helper *helper, const struct replica *replica, int fds_out[2],
                     struct err *err)
{
    static const char *const suffixes[] = {".0", ".1"};
    const int fresh = kept_has(helper, &replica->name) ? 0 : O_TRUNC;
    char path[PATH_MAX];

    for (int i = 0; i < 2; i++) {
        replica_path(helper->folders.logs, replica, suffixes[i], path);
        fds_out[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | fresh, 0600);
        if (fds_out[i] < 0) {
            return err_set(err, -errno, "logs: %s: %m", path);
        }
    }
    kept_take(helper, &replica->name);
    return 0;
}

static int make_spec_file(const struct replica *replica, struct err *err)
{
    uint8_t encoded[SPEC_BYTES_MAX];
    size_t length_bytes = 0;
    int r = spec_encode(&replica->spec, encoded, sizeof(encoded), &length_bytes);

    if (r < 0) {
        errno = -r;
        return err_set(err, r, "specification: %m");
    }
    return memory_file_of("spec", (struct bytes){encoded, length_bytes}, err);
}

static int make_sockets(struct launch *launch, struct err *err)
{
    const int on = 1;

    /* Credentials are asked for before the clone, so that no message comes without. */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, launch->setup_fds) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, launch->control_fds) <
            0 ||
        setsockopt(launch->control_fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
        return err_set(err, -errno, "control socket: %m");
    }
    return 0;
}

static int make_root(const struct helper *helper, struct replica *replica, struct launch *launch,
                     struct err *err)
{
    int r = disk_make(helper->folders.state, replica->spec.limits.disk_bytes, replica->uids.first,
                      &launch->disk, err);

    if (r < 0) {
        return r;
    }
    replica->loop_number = launch->disk.loop_number;
    memcpy(replica->backing, launch->disk.backing, sizeof(replica->backing));
    const struct rootfs_plan plan = {
        .trees = helper->limits.trees,
        .layers = helper->folders.layers,
        .tree = replica->spec.tree,
        .agent_uid = helper->limits.agent_uid,
        .agent_gid = helper->limits.agent_gid,
        .service_id = replica->uids.first + replica->spec.user,
        .disk_fd = launch->disk.mount_fd,
        .hostname = replica->spec.hostname,
    };
    launch->root_fd = rootfs_make(&plan, err);
    return launch->root_fd < 0 ? launch->root_fd : 0;
}

/* Everything that a sandbox is made of, before there is a process. */
static int prepare(struct helper *helper, struct replica *replica, struct launch *launch,
                   struct err *err)
{
    int r = uid_range_take(helper->folders.uids, &helper->limits, &replica->uids, err);

    if (r == 0) {
        r = cgroup_create(helper->cgroups, &replica->name, &replica->spec.limits, err);
    }
    if (r == 0) {
        r = cgroup_open_entries(helper->cgroups, &replica->name, CGROUP_INIT, launch->init_entries,
                                err);
    }
    if (r == 0) {
        r = cgroup_open_entries(helper->cgroups, &replica->name, CGROUP_SERVICE,
                                launch->service_entries, err);
    }
    if (r == 0) {
        r = make_root(helper, replica, launch, err);
    }
    if (r == 0) {
        r = make_logs(helper, replica, launch->log_fds, err);
    }
    if (r == 0) {
        r = launch->listen_fd = make_listener(helper, replica, err);
    }
    if (r >= 0) {
        r = launch->spec_fd = make_spec_file(replica, err);
    }
    return r < 0 ? r : make_sockets(launch, err);
}

static uint64_t shm_bytes(const struct replica *replica)
{
    uint64_t quarter_bytes = replica->spec.limits.memory_bytes / 4;

    return quarter_bytes < SHM_BYTES_MAX ? quarter_bytes : SHM_BYTES_MAX;
}

static int clone_child(struct helper *helper, struct replica *replica, struct launch *launch,
                       const int *port_fds, struct err *err)
{
    char place[PATH_MAX];
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                 CLONE_NEWIPC | CLONE_NEWUTS,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    struct child_plan plan = {
        .place = place,
        .hostname = replica->spec.hostname,
        .shm_bytes_max = shm_bytes(replica),
        .setup_fd = launch->setup_fds[1],
        .root_fd = launch->root_fd,
        .init_fd = helper->init_program_fd,
        .control_fd = launch->control_fds[1],
        .listen_fd = launch->listen_fd,
        .spec_fd = launch->spec_fd,
        .filter_fd = helper->filter_fd,
        .log_fds = {launch->log_fds[0], launch->log_fds[1]},
        .lock_fd = replica->uids.lock_fd,
        .port_fds = port_fds,
        .port_count = replica->spec.port_count,
    };

    memcpy(plan.init_entries, launch->init_entries, sizeof(plan.init_entries));
    memcpy(plan.service_entries, launch->service_entries, sizeof(plan.service_entries));
    snprintf(place, sizeof(place), "%s/root", helper->folders.layers);
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0) {
        return err_set(err, -errno, "clone: %m");
    }
    if (pid == 0) {
        close(launch->setup_fds[0]);
        close(launch->control_fds[0]);
        child_run(&plan);
    }
    replica->init_pid = pid;
    replica->pidfd = pidfd;
    cleanup_close(&launch->setup_fds[1]);
    launch->setup_fds[1] = -1;
    int r = process_start_ticks(pid, &replica->init_start_ticks);
    return r < 0 ? err_set(err, r, "the sandbox's first process is gone") : 0;
}

/* The socket closes at execve; a packet before that says what failed. */
static int await_execution(int setup_fd, struct err *err)
{
    struct child_failure failure;
    struct pollfd wanted = {.fd = setup_fd, .events = POLLIN};

    if (poll(&wanted, 1, SETUP_MS_MAX) != 1) {
        return err_set(err, -ETIME, "the sandbox took too long to be set up");
    }
    ssize_t count_bytes = recv(setup_fd, &failure, sizeof(failure), 0);
    if (count_bytes == 0) {
        return 0;
    }
    if (count_bytes != (ssize_t)sizeof(failure) || failure.code >= 0) {
        return err_set(err, -EIO, "the sandbox's first process failed");
    }
    failure.text[sizeof(failure.text) - 1] = '\0';
    return err_set(err, failure.code, "%s", failure.text);
}

static int furnish_child(const struct replica *replica, struct launch *launch, struct err *err)
{
    const struct id_map all = {0, replica->uids.first, UID_RANGE_COUNT};
    int r = process_offer_to_oom_killer(replica->init_pid, err);

    if (r == 0) {
        r = process_write_maps(replica->init_pid, all, all, err);
    }
    if (r == 0 && send(launch->setup_fds[0], "", 1, MSG_NOSIGNAL) != 1) {
        r = err_set(err, -errno, "the sandbox's first process: %m");
    }
    return r < 0 ? r : await_execution(launch->setup_fds[0], err);
}

static int watch_memory(struct helper *helper, struct replica *replica, struct err *err)
{
    int r = cgroup_watch_oom(helper->cgroups, &replica->name, &replica->oom_fd, err);

    return r < 0 ? r : 0;
}

int replica_launch(struct helper *helper, struct replica *replica, const int *port_fds,
                   struct err *err)
{
    struct launch launch;
    int r;

    CHECK(replica->state == REPLICA_STARTING && replica->init_pid == 0);
    launch_init(&launch);
    r = prepare(helper, replica, &launch, err);
    if (r == 0) {
        r = watch_memory(helper, replica, err);
    }
    if (r == 0) {
        r = clone_child(helper, replica, &launch, port_fds, err);
    }
    if (r == 0) {
        r = furnish_child(replica, &launch, err);
    }
    /* Before ATTACHED lets the service begin: from then on init lives without us. */
    if (r == 0) {
        r = record_write(helper, replica, err);
    }
    if (r == 0) {
        replica->control_fd = take_fd(&launch.control_fds[0]);
        replica->deadline_ms = now_ms() + START_MS_MAX;
    }
    launch_done(&launch);
    return r;
}
