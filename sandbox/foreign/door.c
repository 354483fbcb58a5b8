// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/foreign/foreign.h"

void foreign_drop_client(struct foreign *foreign, const char *why)
{
    if (foreign->client_fd >= 0) {
        log_info("agent disconnected: %s", why);
        cleanup_close(&foreign->client_fd);
        foreign->client_fd = -1;
        foreign->greeted = false;
        foreign->alone_since_ms = foreign_now_ms();
    }
}

static void answer(struct foreign *foreign, const struct helper_answer *answer)
{
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(answer, bytes, sizeof(bytes));

    CHECK(length_bytes > 0);
    if (foreign->client_fd >= 0 && foreign->greeted &&
        send(foreign->client_fd, bytes, (size_t)length_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        foreign_drop_client(foreign, err_text(errno));
    }
}

void foreign_say(struct foreign *foreign, const struct sandbox_event *event)
{
    const struct helper_answer said = {.kind = ANSWER_EVENT, .event = *event};

    answer(foreign, &said);
}

void foreign_say_ended(struct foreign *foreign, const struct replica_key *key, enum sandbox_end end,
                       const char *reason)
{
    struct sandbox_event event = {.kind = SANDBOX_ENDED, .key = *key, .end = end};

    snprintf(event.reason, sizeof(event.reason), "%.*s", REASON_CHARS_MAX, reason);
    foreign_say(foreign, &event);
}

static void list_one(struct foreign *foreign, const struct foreign_replica *replica)
{
    struct sandbox_event listed = {
        .kind = SANDBOX_LISTED,
        .key = replica->spec.key,
        .used = replica->used,
        .limits = replica->spec.limits,
        .tree = replica->spec.tree,
        .port_count = replica->spec.port_count,
        .age_ms = foreign_now_ms() - replica->started_ms,
    };

    memcpy(listed.ports, replica->spec.ports, sizeof(listed.ports));
    foreign_say(foreign, &listed);
    foreign_say_health(foreign, replica);
}

static void list(struct foreign *foreign, const struct helper_request *request)
{
    (void)request;
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        enum foreign_state state = foreign->replicas[i].state;

        if (state != FOREIGN_FREE && state != FOREIGN_STARTING) {
            list_one(foreign, &foreign->replicas[i]);
        }
    }
    answer(foreign, &(struct helper_answer){.kind = ANSWER_LIST_END});
}

static void read_logs(struct foreign *foreign, const struct helper_request *request)
{
    struct helper_answer found = {.kind = ANSWER_LOGS,
                                  .logs = {.key = request->spec.key, .offset = request->offset}};
    char id[WORDS_ID_BYTES];
    char paths[2][PATH_MAX];
    uint64_t offset_bytes = request->offset;
    int64_t count_bytes = 0;

    words_id(&request->spec.key, id);
    for (int i = 0; i < 2; i++) {
        CHECK(snprintf(paths[i], PATH_MAX, "%s/%s.%d", foreign->logs_folder, id, i) < PATH_MAX);
    }
    CLEANUP(cleanup_close) int first_fd = open(paths[0], O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_close) int second_fd = open(paths[1], O_RDONLY | O_CLOEXEC);
    if (first_fd >= 0 && second_fd >= 0) {
        const int fds[2] = {first_fd, second_fd};
        uint64_t end_bytes = logs_end(fds);

        if (offset_bytes == UINT64_MAX) { /* the last window */
            offset_bytes = end_bytes > request->bytes_max ? end_bytes - request->bytes_max : 0;
        }
        count_bytes = logs_read(fds, &offset_bytes, found.logs.bytes, request->bytes_max);
    }
    found.logs.length_bytes = count_bytes > 0 ? (uint32_t)count_bytes : 0;
    found.logs.offset = offset_bytes - found.logs.length_bytes;
    answer(foreign, &found);
}

static void ask_replica(struct foreign *foreign, const struct helper_request *request)
{
    struct foreign_replica *replica = foreign_find(foreign, &request->spec.key);

    if (replica == NULL) {
        foreign_say_ended(foreign, &request->spec.key, SANDBOX_END_LOST, "no such replica here");
    } else if (request->kind == REQUEST_STOP) {
        foreign_stop(foreign, replica);
    } else if (request->kind == REQUEST_RENEW) {
        replica->lease_until_ms = foreign_now_ms() + HELPER_ALONE_MS;
    } else if (replica->state == FOREIGN_RUNNING && request->kind == REQUEST_STATS) {
        foreign_measure(foreign, replica);
    } else if (replica->state == FOREIGN_RUNNING) {
        foreign_freeze(foreign, replica, request->kind == REQUEST_FREEZE);
    }
}

static void hello(struct foreign *foreign, const struct helper_request *request)
{
    (void)request;
    foreign->greeted = true;
    answer(foreign,
           &(struct helper_answer){.kind = ANSWER_READY, .version = HELPER_PROTOCOL_VERSION});
}

static void start(struct foreign *foreign, const struct helper_request *request)
{
    foreign_start(foreign, &request->spec);
}

/* The rows of the helper's door that an environment has. */
static void (*const door[REQUEST_KIND_COUNT])(struct foreign *foreign,
                                              const struct helper_request *request) = {
    [REQUEST_HELLO] = hello,       [REQUEST_START] = start,        [REQUEST_RENEW] = ask_replica,
    [REQUEST_STOP] = ask_replica,  [REQUEST_FREEZE] = ask_replica, [REQUEST_THAW] = ask_replica,
    [REQUEST_STATS] = ask_replica, [REQUEST_LIST] = list,          [REQUEST_LOGS] = read_logs,
};

static void handle(struct foreign *foreign, const struct helper_request *request)
{
    if (foreign->greeted == (request->kind == REQUEST_HELLO)) {
        foreign_drop_client(foreign, "a request out of order");
    } else if (door[request->kind] == NULL) {
        foreign_drop_client(foreign, "it asks what an environment does not know");
    } else {
        door[request->kind](foreign, request);
    }
}

/*
 * Listening sockets that come along are closed: no room for them is offered, so the kernel does
 * it. The program binds the host's ports itself.
 */
void foreign_on_client(struct foreign *foreign)
{
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    struct helper_request request;
    ssize_t count_bytes = recv(foreign->client_fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (count_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count_bytes <= 0 ||
        helper_request_decode((struct bytes){bytes, (size_t)count_bytes}, &request) < 0) {
        foreign_drop_client(foreign, count_bytes <= 0 ? "it closed the connection"
                                                      : "a request without meaning");
        return;
    }
    handle(foreign, &request);
}

void foreign_on_connection(struct foreign *foreign)
{
    struct ucred peer = {0};
    socklen_t peer_bytes = sizeof(peer);
    CLEANUP(cleanup_close)
    int fd = accept4(foreign->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) < 0 ||
        (peer.uid != 0 && peer.uid != geteuid())) {
        log_warning("connection of uid %u refused", peer.uid);
        return;
    }
    foreign_drop_client(foreign, "a newer agent is there");
    foreign->client_fd = take_fd(&fd);
    foreign->served = true;
}
