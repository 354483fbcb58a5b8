// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
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
#include "base/descriptors.h"
#include "base/log.h"
#include "sandbox/helper/child.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/lines.h"
#include "sandbox/helper/memory_file.h"
#include "sandbox/helper/network.h"
#include "sandbox/helper/packet.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/rootfs.h"
#include "sandbox/helper/say.h"
#include "sandbox/helper/tun.h"
#include "sandbox/helper/way_out.h"
#include "sandbox/init_protocol.h"
#include "sandbox/spec.h"

void launch_init(struct launch *launch)
{
    *launch = (struct launch){
        .root_fd = -1,
        .devices_fd = -1,
        .group_fd = -1,
        .listen_fd = -1,
        .tun_fd = -1,
        .spec_fd = -1,
        .log_fds = {-1, -1},
        .setup_fds = {-1, -1},
        .control_fds = {-1, -1},
    };
    maker_init(&launch->maker);
    for (int i = 0; i < CGROUP_ENTRIES; i++) {
        launch->init_entries[i] = -1;
        launch->service_entries[i] = -1;
    }
    for (int i = 0; i < PORTS_PER_SERVICE_MAX; i++) {
        launch->port_fds[i] = -1;
    }
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cleanup_close(&fds[i]);
        fds[i] = -1;
    }
}

bool launch_over(struct launch *launch)
{
    int *const single[] = {&launch->root_fd,   &launch->devices_fd, &launch->group_fd,
                           &launch->listen_fd, &launch->spec_fd,    &launch->tun_fd};

    for (size_t i = 0; i < ARRAY_COUNT(single); i++) {
        close_all(single[i], 1);
    }
    close_all(launch->log_fds, ARRAY_COUNT(launch->log_fds));
    close_all(launch->setup_fds, ARRAY_COUNT(launch->setup_fds));
    close_all(launch->control_fds, ARRAY_COUNT(launch->control_fds));
    close_all(launch->init_entries, ARRAY_COUNT(launch->init_entries));
    close_all(launch->service_entries, ARRAY_COUNT(launch->service_entries));
    close_all(launch->port_fds, ARRAY_COUNT(launch->port_fds));
    return maker_over(&launch->maker);
}

static int make_listener(const struct helper *helper, const struct replica *replica,
                         struct err *err)
{
    struct sockaddr_un address;
    CLEANUP(cleanup_close) int folder_fd = replica_control(helper, replica, &address);
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (folder_fd < 0 || fd < 0) {
        return err_set(err, -errno, "socket of its minga-init: %m");
    }
    unlink(address.sun_path);
    /* While it is frozen each helper that adopts it leaves a connection that nobody accepts. */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, SOMAXCONN) < 0) {
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

    if (fresh != 0) {
        kept_reuse(helper, &replica->name);
    }
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
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, launch->setup_fds) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, launch->control_fds) <
            0) {
        return err_set(err, -errno, "control socket: %m");
    }
    (void)descriptors_refuse(launch->control_fds[0]);
    return 0;
}

static int find_idmap(const struct helper *helper, uid_t service_id)
{
    for (size_t i = 0; i < IDMAPS_MAX; i++) {
        if (helper->idmaps[i].service_id == service_id) {
            return helper->idmaps[i].fd;
        }
    }
    return -1;
}

/* The oldest gives way. */
static void keep_idmap(struct helper *helper, uid_t service_id, int fd)
{
    struct idmap *slot = &helper->idmaps[helper->idmap_next];

    if (slot->service_id != 0) {
        close(slot->fd);
    }
    *slot = (struct idmap){service_id, fd};
    helper->idmap_next = (helper->idmap_next + 1) % IDMAPS_MAX;
}

/* It has a disk. */
static int begin_root(struct helper *helper, struct replica *replica, struct err *err)
{
    const struct rootfs_plan root = {
        .trees = helper->limits.trees,
        .layers = helper->folders.layers,
        .tree = replica->spec.tree,
        .agent_uid = helper->limits.agent_uid,
        .agent_gid = helper->limits.agent_gid,
        .service_id = replica->uids.first + replica->spec.user,
        .idmap_fd = find_idmap(helper, replica->uids.first + replica->spec.user),
        .disk_fd = replica->disk.mount_fd,
        .hostname = replica->spec.hostname,
        .egress = replica->spec.egress,
    };

    (void)disk_activity(replica->disk.loop_number, &replica->io_read_before,
                        &replica->io_written_before);
    return maker_begin_root(&helper->disks.makers, &root, &replica->launch.maker, err);
}

static void let_network_go(struct replica *replica)
{
    cleanup_close(&replica->disk.network_fd);
    replica->disk.network_fd = -1;
}

/* One that is ready, or one that is made for it while the rest goes on. */
static int ask_for_disk(struct helper *helper, struct replica *replica, struct err *err)
{
    const uint64_t size_bytes = replica->spec.limits.disk_bytes;

    disks_asked(&helper->disks, size_bytes, now_ms());
    if (disks_take(&helper->disks, size_bytes, &replica->disk)) {
        if (replica->spec.egress) { /* its device takes rights to the network */
            let_network_go(replica);
        }
        return begin_root(helper, replica, err);
    }
    disks_begin(helper);
    return 0;
}

/* The caller closes its own when the request is done. */
static int keep_ports(struct replica *replica, const int *port_fds, struct err *err)
{
    for (uint32_t i = 0; i < replica->spec.port_count; i++) {
        replica->launch.port_fds[i] = fcntl(port_fds[i], F_DUPFD_CLOEXEC, 0);
        if (replica->launch.port_fds[i] < 0) {
            return err_set(err, -errno, "ports: %m");
        }
    }
    return 0;
}

static int watch_memory(struct helper *helper, struct replica *replica, struct err *err)
{
    int r = cgroup_watch_oom(helper->cgroups, &replica->name, &replica->oom_fd, err);

    return r < 0 ? r : 0;
}

static int make_group(struct helper *helper, struct replica *replica, struct err *err)
{
    struct launch *launch = &replica->launch;
    const struct sandbox_limits limits = helper_allowed_of(helper, &replica->spec.limits);
    int r = cgroup_create(helper->cgroups, &replica->name, &limits, err);

    if (r == 0) {
        r = cgroup_open_folder(helper->cgroups, &replica->name, CGROUP_INIT, &launch->group_fd,
                               err);
    }
    if (r == CGROUP_NO_FOLDER) {
        r = cgroup_open_entries(helper->cgroups, &replica->name, CGROUP_INIT, launch->init_entries,
                                err);
    }
    if (r == 0) {
        r = cgroup_open_entries(helper->cgroups, &replica->name, CGROUP_SERVICE,
                                launch->service_entries, err);
    }
    return r < 0 ? r : watch_memory(helper, replica, err);
}

/* What the first process is given, beside its root. */
static int make_belongings(struct helper *helper, struct replica *replica, struct err *err)
{
    struct launch *launch = &replica->launch;
    int r = make_logs(helper, replica, launch->log_fds, err);

    if (r == 0) {
        r = launch->listen_fd = make_listener(helper, replica, err);
    }
    if (r >= 0) {
        r = launch->spec_fd = make_spec_file(replica, err);
    }
    if (r >= 0) {
        r = lines_add(helper, replica, err);
    }
    return r;
}

static uint64_t shm_bytes(const struct replica *replica)
{
    uint64_t quarter_bytes = replica->spec.limits.memory_bytes / 4;

    return quarter_bytes < SHM_BYTES_MAX ? quarter_bytes : SHM_BYTES_MAX;
}

/* Born in the network that was made ahead for it, if there is one; else in one of its own. */
static pid_t clone_in_network(const struct helper *helper, const struct replica *replica,
                              struct clone_args *arguments)
{
    const int network_fd = replica->disk.network_fd;

    if (network_fd >= 0 && setns(network_fd, CLONE_NEWNET) < 0) {
        return -1;
    }
    arguments->flags |= network_fd >= 0 ? 0 : CLONE_NEWNET;
    pid_t pid = (pid_t)syscall(SYS_clone3, arguments, sizeof(*arguments));
    if (pid != 0 && network_fd >= 0) {
        int code = errno;

        CHECK(setns(helper->disks.makers.network_fd, CLONE_NEWNET) == 0);
        errno = code;
    }
    return pid;
}

static int clone_child(struct helper *helper, struct replica *replica, struct err *err)
{
    struct launch *launch = &replica->launch;
    char place[PATH_MAX];
    char stage[PATH_MAX];
    int pidfd = -1;
    struct clone_args arguments = {
        .flags =
            CLONE_PIDFD | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    struct child_plan plan = {
        .place = place,
        .stage = stage,
        .hostname = replica->spec.hostname,
        .furniture = {.shm_bytes_max = shm_bytes(replica),
                      .proc = {.hostname = replica->spec.hostname,
                               .memory_bytes = replica->spec.limits.memory_bytes,
                               .pid_count = replica->spec.limits.pid_count,
                               .settles_network = replica->disk.network_fd < 0}},
        .egress = replica->spec.egress,
        .setup_fd = launch->setup_fds[1],
        .enters = launch->group_fd < 0,
        .init_fd = helper->init_program_fd,
        .control_fd = launch->control_fds[1],
        .filter_fd = helper->filter_fd,
        .lock_fd = replica->uids.lock_fd,
        .port_fds = launch->port_fds,
        .port_count = replica->spec.port_count,
    };

    memcpy(plan.init_entries, launch->init_entries, sizeof(plan.init_entries));
    memcpy(plan.service_entries, launch->service_entries, sizeof(plan.service_entries));
    if (launch->group_fd >= 0) {
        arguments.flags |= (__u64)CLONE_INTO_CGROUP;
        arguments.cgroup = (unsigned int)launch->group_fd;
    }
    snprintf(place, sizeof(place), "%s/root", helper->folders.layers);
    snprintf(stage, sizeof(stage), "%s/disk", helper->folders.layers);
    pid_t pid = clone_in_network(helper, replica, &arguments);
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
    if (replica->disk.network_fd < 0) {
        snprintf(place, sizeof(place), "/proc/%d/net", pid);
        network_hush(place);
    }
    let_network_go(replica);
    cleanup_close(&launch->setup_fds[1]);
    launch->setup_fds[1] = -1;
    int r = process_start_ticks(pid, &replica->init_start_ticks);
    return r < 0 ? err_set(err, r, "the sandbox's first process is gone") : 0;
}

/* One that has ended has said why: replica_on_setup will read it. */
static int send_to_child(const struct replica *replica, const struct packet_fds *fds,
                         struct err *err)
{
    const uint8_t go = 0;
    int r = packet_send(replica->launch.setup_fds[0], (struct bytes){&go, 1}, fds);

    r = r == -EPIPE ? 0 : r;
    errno = -r;
    return r < 0 ? err_set(err, r, "the sandbox's first process: %m") : 0;
}

static int map_child(const struct replica *replica, struct err *err)
{
    const struct packet_fds nothing = {.count = 0};
    const struct id_map all = {0, replica->uids.first, UID_RANGE_COUNT};
    int r = process_offer_to_oom_killer(replica->init_pid, err);

    if (r == 0) {
        r = process_write_maps(replica->init_pid, all, all, err);
    }
    if (r == 0) {
        r = process_write_project_map(replica->init_pid, all, err);
    }
    return r < 0 ? r : send_to_child(replica, &nothing, err);
}

/* First the root, which it may wait for; the rest is made while it moves in there. */
static int equip(struct helper *helper, struct replica *replica, struct err *err)
{
    const struct launch *launch = &replica->launch;
    const struct packet_fds root = {{launch->root_fd, launch->devices_fd}, 2};
    int r = send_to_child(replica, &root, err);

    if (r == 0) {
        r = make_belongings(helper, replica, err);
    }
    if (r < 0) {
        return r;
    }
    const struct packet_fds belongings = {{[CHILD_LISTEN] = launch->listen_fd,
                                           [CHILD_SPEC] = launch->spec_fd,
                                           [CHILD_LOG] = launch->log_fds[0],
                                           [CHILD_LOG_OTHER] = launch->log_fds[1],
                                           [CHILD_LINE] = replica->line_fd},
                                          CHILD_BELONGINGS};
    static_assert((int)PACKET_FDS_MAX >= (int)CHILD_BELONGINGS, "they go in one packet");
    return send_to_child(replica, &belongings, err);
}

int replica_launch(struct helper *helper, struct replica *replica, const int *port_fds,
                   struct err *err)
{
    int r;

    CHECK(replica->state == REPLICA_STARTING && replica->init_pid == 0);
    replica->deadline_ms = now_ms() + MAKE_MS_MAX;
    r = keep_ports(replica, port_fds, err);
    if (r == 0) {
        r = replicas_take_uids(helper, &replica->uids, err);
    }
    if (r == 0) {
        r = ask_for_disk(helper, replica, err);
    }
    if (r == 0) { /* while makers are at it */
        r = make_group(helper, replica, err);
    }
    if (r == 0) {
        r = make_sockets(&replica->launch, err);
    }
    if (r == 0) {
        r = clone_child(helper, replica, err);
    }
    return r < 0 ? r : map_child(replica, err);
}

void replica_give_up(struct replica *replica, const struct err *err)
{
    say_replica(replica, LOG_LEVEL_WARNING, "start-failed", "start: %s", err->text);
    replica_end(replica, SANDBOX_END_REFUSED, 0, err->text);
}

void replica_on_disk(struct helper *helper, struct replica *replica, struct disk *disk)
{
    struct err err = {0};

    CHECK(replica->state == REPLICA_STARTING && replica->disk.loop_number < 0);
    replica->disk = *disk;
    *disk = (struct disk){.mount_fd = -1, .loop_number = -1, .network_fd = -1};
    let_network_go(replica); /* it has its own by now */
    if (begin_root(helper, replica, &err) < 0) {
        replica_give_up(replica, &err);
    }
}

void replica_on_made(struct helper *helper, struct replica *replica)
{
    struct made made;
    struct err err = {0};
    int r = maker_answer(&helper->disks.makers, &replica->launch.maker, &made, &err);

    replica->launch.root_fd = made.fd;
    replica->launch.devices_fd = made.devices_fd;
    if (made.more_fd >= 0) {
        keep_idmap(helper, replica->uids.first + replica->spec.user, made.more_fd);
    }
    if (r < 0) {
        (void)err_wrap(&err, "root");
    } else {
        replica->deadline_ms = now_ms() + START_MS_MAX;
        r = equip(helper, replica, &err);
    }
    /* Before ATTACHED lets the service begin: from then on init lives without us. */
    if (r == 0) {
        r = record_write(helper, replica, &err);
    }
    if (r < 0) {
        replica_give_up(replica, &err);
    }
}

/*
 * The socket closes at execve; a packet before that says what failed, or brings the tun device.
 * -EAGAIN: nothing is known yet.
 */
static int read_setup(struct launch *launch, struct err *err)
{
    struct child_failure failure;
    struct packet_fds tun;
    ssize_t count_bytes =
        packet_receive(launch->setup_fds[0], &failure, sizeof(failure), MSG_DONTWAIT, &tun);

    if (tun.count > 0) {
        cleanup_close(&launch->tun_fd);
        launch->tun_fd = tun.fds[0];
    }
    if (count_bytes == 0) {
        return 0;
    }
    if (count_bytes == 1 || count_bytes == -EAGAIN) {
        return -EAGAIN;
    }
    if (count_bytes != (ssize_t)sizeof(failure) || failure.code >= 0) {
        return err_set(err, -EIO, "the sandbox's first process failed");
    }
    failure.text[sizeof(failure.text) - 1] = '\0';
    return err_set(err, failure.code, "%s", failure.text);
}

void replica_on_setup(struct helper *helper, struct replica *replica)
{
    const struct init_message attached = {.kind = INIT_ATTACHED};
    struct err err = {0};
    int r = read_setup(&replica->launch, &err);

    if (r == -EAGAIN) {
        return;
    }
    if (r == 0 && replica->launch.root_fd < 0) {
        r = err_set(&err, -EIO, "the sandbox's first process died");
    }
    if (r == 0 && replica->spec.egress && replica->launch.tun_fd < 0) {
        r = err_set(&err, -EIO, "egress: the sandbox's first process made no device");
    }
    if (r == 0 && replica->spec.egress) {
        r = way_out_start(helper, replica, &err);
    }
    if (r == 0 && init_message_send(replica->launch.control_fds[0], &attached) < 0) {
        r = err_set(&err, -EPIPE, "minga-init does not listen");
    }
    if (r < 0) {
        replica_give_up(replica, &err);
        return;
    }
    replica->control_fd = take_fd(&replica->launch.control_fds[0]);
    (void)launch_over(&replica->launch);
}
