// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/port_sockets.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/programs.h"
#include "sandbox/helper/say.h"
#include "sandbox/helper/way_out.h"
#include "sandbox/logs.h"

/* One datagram with what came along; the descriptors are closed with it. */
struct packet {
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    size_t length_bytes;
    int fds[PORTS_PER_SERVICE_MAX];
    uint32_t fd_count;
    bool broken; /* longer than any request, or with more descriptors than any */
};

enum request_order { BEFORE_HELLO, AFTER_HELLO };

static void request_hello(struct helper *helper, const struct helper_request *request,
                          const struct packet *packet)
{
    struct helper_answer answer = {.kind = ANSWER_READY, .version = HELPER_PROTOCOL_VERSION};
    const struct cgroup_ability ability = cgroups_ability(helper->cgroups);

    (void)packet;
    helper->greeted = true;
    if (ability.reason[0] != '\0') {
        (void)snprintf(answer.problem, sizeof(answer.problem), "see minga check: %.*s",
                       REASON_CHARS_MAX - (int)strlen("see minga check: "), ability.reason);
    }
    say_answer(helper, &answer);
    if (request->version != HELPER_PROTOCOL_VERSION) {
        client_drop(helper, "it speaks another version");
    }
}

/* One sum; none of the terms can make it overflow. */
static int fits(const char *what, uint64_t used, uint64_t wanted, uint64_t given, struct err *err)
{
    if (used > given || wanted > given - used) {
        return err_set(err, -EDQUOT, "%s: %" PRIu64 " wanted, %" PRIu64 " of %" PRIu64 " in use",
                       what, wanted, used, given);
    }
    return 0;
}

int helper_has_room(const struct helper *helper, const struct sandbox_limits *wanted,
                    struct err *err)
{
    const struct sandbox_limits *given = &helper->limits.contribution;
    struct sandbox_limits used = {0};
    int r;

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &helper->replicas[i];

        if (replica->state != REPLICA_FREE) {
            used.cpu_permille += replica->spec.limits.cpu_permille;
            used.memory_bytes += replica->spec.limits.memory_bytes;
            used.disk_bytes += replica->spec.limits.disk_bytes;
            used.pid_count += replica->spec.limits.pid_count;
        }
    }
    r = fits("cpu_permille", used.cpu_permille, wanted->cpu_permille, given->cpu_permille, err);
    if (r == 0) {
        r = fits("memory", used.memory_bytes, wanted->memory_bytes, given->memory_bytes, err);
    }
    if (r == 0) {
        r = fits("disk", used.disk_bytes, wanted->disk_bytes, given->disk_bytes, err);
    }
    return r < 0 ? r : fits("pids", used.pid_count, wanted->pid_count, given->pid_count, err);
}

static struct replica *free_slot(struct helper *helper, struct err *err)
{
    if (helper->leaving) {
        err_set(err, -ESHUTDOWN, "the sandbox helper is ending");
        return NULL;
    }
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (helper->replicas[i].state == REPLICA_FREE) {
            return &helper->replicas[i];
        }
    }
    err_set(err, -EUSERS, "%d replicas run already", REPLICAS_PER_NODE_MAX);
    return NULL;
}

static int check_start(const struct helper *helper, const struct sandbox_spec *spec,
                       const struct packet *packet, struct err *err)
{
    struct cgroup_ability ability = cgroups_ability(helper->cgroups);

    if (ability.reason[0] != '\0') {
        return err_set(err, -EOPNOTSUPP, "%s", ability.reason);
    }
    if (spec->limits.disk_bytes < DISK_BYTES_MIN || spec->limits.disk_bytes > INT64_MAX) {
        return err_set(err, -EINVAL, "disk: at least %d bytes", DISK_BYTES_MIN);
    }
    if (spec->connections_max > helper->limits.connections_max) {
        return err_set(err, -EPERM, "%u connections on a port: at most %u are given",
                       spec->connections_max, helper->limits.connections_max);
    }
    if (spec->egress && way_out_problem(helper) != NULL) {
        return err_set(err, -EPERM, "%s", way_out_problem(helper));
    }
    int r = port_sockets_check(spec, &helper->limits, packet->fds, packet->fd_count, err);

    return r < 0 ? r : helper_has_room(helper, &spec->limits, err);
}

static void request_start(struct helper *helper, const struct helper_request *request,
                          const struct packet *packet)
{
    const struct sandbox_spec *spec = &request->spec;
    struct replica *replica = replica_find(helper, &spec->key);
    struct err err = {0};

    if (replica != NULL) { /* asked twice */
        if (replica->state == REPLICA_RUNNING) {
            say_state(helper, replica, SANDBOX_STARTED);
        }
        return;
    }
    replica = free_slot(helper, &err);
    if (replica == NULL || check_start(helper, spec, packet, &err) < 0) {
        log_event(LOG_LEVEL_WARNING, "start-refused", "start refused: %s", err.text);
        say_ended(helper, &spec->key, SANDBOX_END_REFUSED, err.text);
        return;
    }
    replica_init(replica);
    replica->state = REPLICA_STARTING;
    replica->spec = *spec;
    replica->name = replica_name(&spec->key);
    replica->lease_until_ms = now_ms() + HELPER_ALONE_MS;
    if (replica_launch(helper, replica, packet->fds, &err) < 0) {
        say_replica(replica, LOG_LEVEL_WARNING, "start-failed", "start: %s", err.text);
        replica_end(replica, SANDBOX_END_REFUSED, 0, err.text);
    }
}

static void request_renew(struct helper *helper, struct replica *replica)
{
    (void)helper;
    replica->lease_until_ms = now_ms() + HELPER_ALONE_MS;
}

/* One that is stopping, too: it ends at its deadline all the same. */
static void request_freeze(struct helper *helper, struct replica *replica)
{
    if (replica->state == REPLICA_RUNNING || replica->state == REPLICA_STOPPING) {
        replica_hold(helper, replica);
    }
}

static void request_thaw(struct helper *helper, struct replica *replica)
{
    struct err err = {0};

    if (replica->state == REPLICA_RUNNING && replica_freeze(helper, replica, false, &err) < 0) {
        say_replica(replica, LOG_LEVEL_WARNING, "thaw-failed", "thaw: %s", err.text);
    }
}

static void request_allow(struct helper *helper, const struct helper_request *request,
                          const struct packet *packet)
{
    (void)packet;
    helper_allow(helper, &request->allowance);
}

static void request_stats(struct helper *helper, struct replica *replica)
{
    if (replica->state != REPLICA_ENDING) {
        say_measured(helper, replica, SANDBOX_STATS);
    }
}

static void request_list(struct helper *helper, const struct helper_request *request,
                         const struct packet *packet)
{
    const struct helper_answer end = {.kind = ANSWER_LIST_END};

    (void)request;
    (void)packet;
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        if (replica->state == REPLICA_RUNNING || replica->state == REPLICA_STOPPING) {
            say_measured(helper, replica, SANDBOX_LISTED);
            if (replica->health_known) {
                say_health(helper, replica);
            }
        }
    }
    say_missed(helper);
    say_answer(helper, &end);
}

static void request_logs(struct helper *helper, const struct helper_request *request,
                         const struct packet *packet)
{
    struct helper_answer answer = {.kind = ANSWER_LOGS,
                                   .logs = {.key = request->spec.key, .offset = request->offset}};
    const struct replica *replica = replica_find(helper, &request->spec.key);
    const struct replica ended = {.name = replica_name(&request->spec.key)};
    char path[PATH_MAX];
    uint64_t offset_bytes = request->offset;

    (void)packet;
    if (replica == NULL && kept_has(helper, &ended.name)) {
        replica = &ended;
    }
    if (replica == NULL) {
        say_answer(helper, &answer);
        return;
    }
    replica_path(helper->folders.logs, replica, ".0", path);
    CLEANUP(cleanup_close) int first_fd = open(path, O_RDONLY | O_CLOEXEC);
    replica_path(helper->folders.logs, replica, ".1", path);
    CLEANUP(cleanup_close) int second_fd = open(path, O_RDONLY | O_CLOEXEC);
    const int fds[2] = {first_fd, second_fd};
    uint64_t end_bytes = logs_end(fds);

    if (offset_bytes == UINT64_MAX) { /* the last window */
        offset_bytes = end_bytes > request->bytes_max ? end_bytes - request->bytes_max : 0;
    }
    int64_t count_bytes =
        first_fd < 0 || second_fd < 0
            ? 0
            : logs_read(fds, &offset_bytes, answer.logs.bytes, request->bytes_max);
    answer.logs.length_bytes = count_bytes > 0 ? (uint32_t)count_bytes : 0;
    answer.logs.offset = offset_bytes - answer.logs.length_bytes;
    say_answer(helper, &answer);
}

static void request_exec(struct helper *helper, const struct helper_request *request,
                         const struct packet *packet)
{
    struct helper_answer answer = {.kind = ANSWER_EXEC, .exec = {.key = request->spec.key}};
    struct replica *replica = replica_find(helper, &request->spec.key);
    struct err err = {0};
    CLEANUP(cleanup_close) int fd = -1;

    (void)packet;
    fd = replica == NULL ? err_set(&err, -ESRCH, "no such replica here")
                         : replica_exec(replica, &err);
    snprintf(answer.exec.reason, sizeof(answer.exec.reason), "%.*s", REASON_CHARS_MAX, err.text);
    say_answer_fd(helper, &answer, fd);
}

/* Looked at anew once a second at most, however often it is asked. */
static void request_programs(struct helper *helper, const struct helper_request *request,
                             const struct packet *packet)
{
    struct helper_answer answer = {.kind = ANSWER_PROGRAMS};

    (void)request;
    (void)packet;
    if (helper->programs_ms == 0 || now_ms() - helper->programs_ms >= PROGRAMS_MS) {
        programs_look("/proc", &helper->limits, &helper->programs);
        helper->programs_ms = now_ms();
    }
    answer.programs = helper->programs;
    say_answer(helper, &answer);
}

/*
 * The door: all that mingad can ask, in which order, and with what. A request breaks these rules
 * only if mingad is broken or not mingad any more, so its connection ends.
 */
static const struct {
    enum request_order order;
    bool descriptors; /* may come along */
    void (*handle)(struct helper *helper, const struct helper_request *request,
                   const struct packet *packet);
    void (*handle_replica)(struct helper *helper, struct replica *replica); /* that must exist */
} door[REQUEST_KIND_COUNT] = {
    [REQUEST_HELLO] = {BEFORE_HELLO, false, request_hello, NULL},
    [REQUEST_START] = {AFTER_HELLO, true, request_start, NULL},
    [REQUEST_RENEW] = {AFTER_HELLO, false, NULL, request_renew},
    [REQUEST_STOP] = {AFTER_HELLO, false, NULL, replica_stop},
    [REQUEST_FREEZE] = {AFTER_HELLO, false, NULL, request_freeze},
    [REQUEST_THAW] = {AFTER_HELLO, false, NULL, request_thaw},
    [REQUEST_STATS] = {AFTER_HELLO, false, NULL, request_stats},
    [REQUEST_LIST] = {AFTER_HELLO, false, request_list, NULL},
    [REQUEST_LOGS] = {AFTER_HELLO, false, request_logs, NULL},
    [REQUEST_EXEC] = {AFTER_HELLO, false, request_exec, NULL},
    [REQUEST_ALLOW] = {AFTER_HELLO, false, request_allow, NULL},
    [REQUEST_PROGRAMS] = {AFTER_HELLO, false, request_programs, NULL},
};

static void handle_packet(struct helper *helper, const struct packet *packet)
{
    struct helper_request request;

    if (packet->broken ||
        helper_request_decode((struct bytes){packet->bytes, packet->length_bytes}, &request) < 0) {
        client_drop(helper, "a request without meaning");
        return;
    }
    if (helper->greeted != (door[request.kind].order == AFTER_HELLO) ||
        (packet->fd_count > 0 && !door[request.kind].descriptors)) {
        client_drop(helper, "a request out of order");
        return;
    }
    if (door[request.kind].handle != NULL) {
        door[request.kind].handle(helper, &request, packet);
        return;
    }
    struct replica *replica = replica_find(helper, &request.spec.key);

    if (replica == NULL) {
        say_ended(helper, &request.spec.key, SANDBOX_END_LOST, "no such replica here");
        return;
    }
    door[request.kind].handle_replica(helper, replica);
}

static void take_descriptors(struct msghdr *message, struct packet *packet)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (packet->fd_count < PORTS_PER_SERVICE_MAX) {
                packet->fds[packet->fd_count++] = fd;
            } else {
                close(fd);
                packet->broken = true;
            }
        }
    }
}

/* Returns 1 with a packet, 0 when there is none now, or -errno when mingad is gone. */
static int receive_packet(int fd, struct packet *packet)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * PORTS_PER_SERVICE_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec vector = {packet->bytes, sizeof(packet->bytes)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t count_bytes = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    packet->fd_count = 0;
    if (count_bytes < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    packet->length_bytes = (size_t)count_bytes;
    packet->broken = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    take_descriptors(&message, packet);
    return count_bytes == 0 && packet->fd_count == 0 ? -EPIPE : 1;
}

void helper_on_client(struct helper *helper)
{
    struct packet packet;
    int r = receive_packet(helper->client_fd, &packet);

    if (r < 0) {
        client_drop(helper, "it closed the connection");
        return;
    }
    if (r == 0) {
        return;
    }
    handle_packet(helper, &packet);
    for (uint32_t i = 0; i < packet.fd_count; i++) {
        close(packet.fds[i]);
    }
}

void helper_on_connection(struct helper *helper)
{
    enum { SEND_BUFFER_BYTES = 1 << 20 };
    const int buffer_bytes = SEND_BUFFER_BYTES;
    struct ucred peer = {0};
    socklen_t peer_bytes = sizeof(peer);
    CLEANUP(cleanup_close)
    int fd = accept4(helper->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) < 0 ||
        (peer.uid != 0 && peer.uid != helper->limits.agent_uid)) {
        log_event(LOG_LEVEL_WARNING, "agent-refused", "connection of uid %u refused", peer.uid);
        return;
    }
    client_drop(helper, "a newer agent is there");
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
    }
    log_event(LOG_LEVEL_INFO, "agent-connected", "agent connected: pid %d, uid %u", peer.pid,
              peer.uid);
    helper->client_fd = take_fd(&fd);
    helper->alone_since_ms = 0;
}
