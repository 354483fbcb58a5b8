// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/sandbox_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "sandbox/client.h"

enum {
    RETRY_MS = 1000,
    READY_MS_MAX = 5000,
    LOGS_PENDING_MAX = 64,
    EXECS_PENDING_MAX = 64,
    ANSWERS_PER_TURN = 64
};

struct logs_request { /* asked, not answered: answers come in order */
    uint64_t token;
    struct replica_key key;
};

struct sandbox_link {
    struct sandbox_client client;
    struct sandbox_link_events events;
    uv_loop_t *loop;
    uv_timer_t timer;   /* of the next attempt */
    uv_timer_t barrier; /* after what was asked to freeze in this turn */
    uv_poll_t *poll;    /* of the connection; frees itself when closed */
    char socket_path[128];
    const char *down_reason;
    bool is_started;
    bool is_closed;
    bool is_down_told;   /* `down` was the last word */
    bool is_listed;      /* the helper has said what lives */
    uint64_t list_count; /* LISTs of this connection: asked, ... */
    uint64_t list_answered_count;
    struct replica_key last_listed; /* just now, by a list that was asked for its end */
    bool is_freezing;               /* asked, and not known to be done */
    uint64_t freeze_list;           /* it is when so many have been answered */
    bool is_allowance_known;
    struct sandbox_allowance allowance; /* said again to each new helper */
    uint32_t key_count;
    struct replica_key keys[REPLICAS_PER_NODE_MAX]; /* what may live there */
    uint32_t logs_count;
    struct logs_request logs[LOGS_PENDING_MAX];
    uint32_t exec_count;
    uint64_t execs[EXECS_PENDING_MAX]; /* the same of sockets into sandboxes */
    struct helper_answer answer;
};

/* ------------------------------------------------------------------ what may live */

static void forget(struct sandbox_link *link, const struct replica_key *key)
{
    for (uint32_t i = 0; i < link->key_count; i++) {
        if (replica_key_equal(&link->keys[i], key)) {
            link->keys[i] = link->keys[--link->key_count];
            return;
        }
    }
}

static void remember(struct sandbox_link *link, const struct replica_key *key)
{
    forget(link, key);
    if (link->key_count < REPLICAS_PER_NODE_MAX) {
        link->keys[link->key_count++] = *key;
    }
}

static bool may_live(const struct sandbox_link *link, const struct replica_key *key)
{
    for (uint32_t i = 0; i < link->key_count; i++) {
        if (replica_key_equal(&link->keys[i], key)) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ the connection */

/* Its end says that all that was asked before is done. */
static int ask_list(struct sandbox_link *link)
{
    link->list_count++;
    return sandbox_client_list(&link->client);
}

static void take_list_end(struct sandbox_link *link)
{
    link->list_answered_count++;
    if (!link->is_listed) {
        link->is_listed = true;
        if (!link->is_down_told) {
            link->events.listed(link->events.context);
        }
    }
    if (link->list_answered_count >= link->freeze_list) {
        link->is_freezing = false;
    }
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void end_connection(struct sandbox_link *link)
{
    if (link->poll != NULL) {
        uv_poll_stop(link->poll);
        uv_close((uv_handle_t *)link->poll, free_handle);
        link->poll = NULL;
    }
    sandbox_client_done(&link->client);
    link->is_listed = false;
}

static void fail_logs(struct sandbox_link *link)
{
    uint32_t count = link->logs_count;
    struct logs_request failed[LOGS_PENDING_MAX];

    memcpy(failed, link->logs, sizeof(failed));
    link->logs_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        link->events.logs(link->events.context, failed[i].token, (struct bytes){NULL, 0}, 0, true);
    }
}

static void fail_execs(struct sandbox_link *link)
{
    while (link->exec_count > 0) {
        link->events.exec(link->events.context, link->execs[--link->exec_count], -1,
                          "its node has lost the sandbox helper");
    }
}

static void on_retry(uv_timer_t *timer);

static void go_down(struct sandbox_link *link, const char *reason)
{
    end_connection(link);
    fail_logs(link);
    fail_execs(link);
    if (!link->is_down_told) {
        link->is_down_told = true;
        link->events.down(link->events.context, reason);
    }
    if (!link->is_closed) {
        uv_timer_start(&link->timer, on_retry, RETRY_MS, 0);
    }
}

static void lost(struct sandbox_link *link, int code)
{
    char reason[REASON_CHARS_MAX + 1];

    if (code == -EPIPE || code == -ECONNRESET || code == -ETIMEDOUT) {
        (void)text_copy(reason, sizeof(reason), link->down_reason);
    } else {
        snprintf(reason, sizeof(reason), "the sandbox helper's connection broke: %s",
                 err_text(code));
    }
    log_warning("%s", reason);
    go_down(link, reason);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(struct sandbox_link *link)
{
    int events = UV_READABLE | (sandbox_client_wants_write(&link->client) ? UV_WRITABLE : 0);

    if (link->poll != NULL) {
        int r = uv_poll_start(link->poll, events, on_ready);

        CHECK(r == 0);
    }
}

/* After each request: what broke the connection is noticed at once. */
static void requested(struct sandbox_link *link, int result)
{
    if (result < 0 && result != -ENOBUFS && result != -ENOTCONN && result != -EINVAL) {
        lost(link, result);
        return;
    }
    watch(link);
}

static void take_logs(struct sandbox_link *link, const struct sandbox_logs *logs)
{
    if (link->logs_count == 0) {
        return; /* of an older connection */
    }
    struct logs_request request = link->logs[0];

    link->logs_count--;
    memmove(link->logs, link->logs + 1, link->logs_count * sizeof(link->logs[0]));
    link->events.logs(link->events.context, request.token,
                      (struct bytes){logs->bytes, logs->length_bytes}, logs->offset,
                      logs->length_bytes == 0 && !may_live(link, &request.key));
}

static void take_exec(struct sandbox_link *link, const struct sandbox_exec *exec, int fd)
{
    uint64_t number = link->execs[0];

    if (link->exec_count == 0) {
        cleanup_close(&fd); /* of an older connection */
        return;
    }
    link->exec_count--;
    memmove(link->execs, link->execs + 1, link->exec_count * sizeof(link->execs[0]));
    link->events.exec(link->events.context, number, fd, exec->reason);
}

/*
 * A helper that cannot hold the limits starts nothing (fail closed): nothing is offered, but it is
 * listened to, and what is mended is noticed when it has been started again.
 */
static void take_ready(struct sandbox_link *link, const char *problem)
{
    uv_timer_stop(&link->timer);
    if (problem[0] == '\0') {
        link->is_down_told = false;
        link->events.up(link->events.context);
        if (link->is_allowance_known) {
            requested(link, sandbox_client_allow(&link->client, &link->allowance));
        }
        return;
    }
    log_warning("runs no replicas: %s", problem);
    link->is_down_told = true;
    link->events.down(link->events.context, problem);
}

/* A list that was asked for its end only: what lives, and whether it is well, was told before. */
static bool is_known(struct sandbox_link *link, const struct sandbox_event *event)
{
    bool is_of_list = event->kind == SANDBOX_LISTED && link->is_listed;
    bool is_its_health =
        event->kind == SANDBOX_HEALTH && replica_key_equal(&link->last_listed, &event->key);

    link->last_listed = is_of_list ? event->key : (struct replica_key){0};
    return is_of_list || is_its_health;
}

/* `fd`: what came along, ours. */
static void take_answer(struct sandbox_link *link, const struct helper_answer *answer, int fd)
{
    const struct sandbox_event *event = &answer->event;

    switch (answer->kind) {
    case ANSWER_READY:
        take_ready(link, answer->problem);
        break;
    case ANSWER_EVENT:
        if (event->kind == SANDBOX_ENDED) {
            forget(link, &event->key);
        } else if (is_known(link, event)) {
            break;
        } else if (event->kind == SANDBOX_LISTED || event->kind == SANDBOX_STARTED) {
            /* STARTED, too: the end before it may have been of the one before, told a second time. */
            remember(link, &event->key);
        }
        link->events.event(link->events.context, event);
        break;
    case ANSWER_LIST_END:
        take_list_end(link);
        break;
    case ANSWER_LOGS:
        take_logs(link, &answer->logs);
        break;
    case ANSWER_EXEC:
        take_exec(link, &answer->exec, fd);
        break;
    case ANSWER_PROGRAMS:
        if (link->events.programs != NULL) {
            link->events.programs(link->events.context, &answer->programs);
        }
        break;
    case ANSWER_KIND_COUNT:
        break;
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct sandbox_link *link = poll->data;
    int r = status < 0 ? -ECONNRESET : 0; /* libuv's word for POLLERR is EBADF */

    if (r == 0 && (events & UV_WRITABLE) != 0) {
        r = sandbox_client_flush(&link->client);
    }
    for (int i = 0; r >= 0 && i < ANSWERS_PER_TURN; i++) {
        int fd = -1;

        r = sandbox_client_receive_fd(&link->client, &link->answer, &fd);
        if (r != SANDBOX_CLIENT_MESSAGE) {
            break;
        }
        take_answer(link, &link->answer, fd);
        if (link->poll != poll) {
            return; /* a request made meanwhile found the connection broken */
        }
    }
    if (r < 0) {
        lost(link, r);
        return;
    }
    watch(link);
}

int sandbox_link_connect(struct sandbox_link *link, struct err *err)
{
    CHECK(sandbox_client_fd(&link->client) < 0);
    int r = sandbox_client_connect(&link->client, link->socket_path, err);

    if (r < 0) {
        sandbox_client_done(&link->client);
        return r;
    }
    return 0;
}

/*
 * Whoever is behind the socket does not serve it: what a killed helper had forked, and is stopped,
 * may hold it open until the next helper has put its own in that place.
 */
static void on_silence(uv_timer_t *timer)
{
    lost(timer->data, -ETIMEDOUT);
}

/* Watches the new connection and asks what lives. */
static void begin(struct sandbox_link *link)
{
    link->key_count = 0;
    link->is_listed = false;
    link->list_count = 0;
    link->list_answered_count = 0;
    link->freeze_list =
        1; /* whatever was asked of an earlier one is asked again while this one lists */
    link->poll = calloc(1, sizeof(*link->poll));
    if (link->poll == NULL ||
        uv_poll_init(link->loop, link->poll, sandbox_client_fd(&link->client)) < 0) {
        free(link->poll);
        link->poll = NULL;
        go_down(link, "no sandbox helper: out of memory");
        return;
    }
    link->poll->data = link;
    uv_timer_start(&link->timer, on_silence, READY_MS_MAX, 0);
    requested(link, ask_list(link));
}

static void try_connect(struct sandbox_link *link)
{
    struct err err = {0};
    int r = sandbox_link_connect(link, &err);

    if (r == 0) {
        begin(link);
        return;
    }
    go_down(link, link->down_reason);
    if (link->events.absent != NULL) {
        link->events.absent(link->events.context);
    }
}

static void on_retry(uv_timer_t *timer)
{
    try_connect(timer->data);
}

struct sandbox_link *sandbox_link_new(const struct sandbox_link_config *config)
{
    struct sandbox_link *link = calloc(1, sizeof(*link));

    if (link == NULL) {
        return NULL;
    }
    if (text_copy(link->socket_path, sizeof(link->socket_path), config->socket_path) < 0 ||
        uv_timer_init(config->loop, &link->timer) < 0 ||
        uv_timer_init(config->loop, &link->barrier) < 0) {
        free(link);
        return NULL;
    }
    link->timer.data = link;
    link->barrier.data = link;
    link->loop = config->loop;
    link->events = config->events;
    link->down_reason = config->down_reason;
    sandbox_client_init(&link->client);
    return link;
}

void sandbox_link_start(struct sandbox_link *link)
{
    CHECK(!link->is_started);
    link->is_started = true;
    if (sandbox_client_fd(&link->client) >= 0) {
        begin(link);
    } else {
        try_connect(link);
    }
}

bool sandbox_link_is_started(const struct sandbox_link *link)
{
    return link->is_started;
}

void sandbox_link_close(struct sandbox_link *link)
{
    link->is_closed = true;
    end_connection(link);
    uv_timer_stop(&link->timer);
    uv_close((uv_handle_t *)&link->timer, NULL);
    uv_timer_stop(&link->barrier);
    uv_close((uv_handle_t *)&link->barrier, NULL);
}

void sandbox_link_free(struct sandbox_link *link)
{
    free(link);
}

/* ------------------------------------------------------------------ requests */

static void refuse(struct sandbox_link *link, const struct replica_key *key, const char *reason)
{
    struct sandbox_event event = {.kind = SANDBOX_ENDED, .key = *key, .end = SANDBOX_END_REFUSED};

    (void)text_copy(event.reason, sizeof(event.reason), reason);
    link->events.event(link->events.context, &event);
}

void sandbox_link_start_replica(struct sandbox_link *link, const struct sandbox_spec *spec,
                                const int *listen_fds)
{
    int r = sandbox_client_start(&link->client, spec, listen_fds);

    if (r == 0) {
        remember(link, &spec->key);
    } else {
        refuse(link, &spec->key,
               r == -EINVAL    ? "the sandbox's specification is impossible"
               : r == -ENOBUFS ? "the sandbox helper does not keep up"
                               : "no sandbox helper");
    }
    requested(link, r);
}

static void on_barrier(uv_timer_t *timer)
{
    struct sandbox_link *link = timer->data;

    if (link->poll != NULL) {
        requested(link, ask_list(link));
    }
}

/* FREEZE is not answered: a LIST behind all of this turn is. */
static void note_freeze(struct sandbox_link *link)
{
    link->is_freezing = true;
    link->freeze_list = link->list_count + 1;
    uv_timer_start(&link->barrier, on_barrier, 0, 0);
}

bool sandbox_link_is_freezing(const struct sandbox_link *link)
{
    return link->is_freezing;
}

void sandbox_link_ask(struct sandbox_link *link, enum sandbox_link_request request,
                      const struct replica_key *key)
{
    static int (*const calls[])(struct sandbox_client *, const struct replica_key *) = {
        [SANDBOX_LINK_STOP] = sandbox_client_stop,
        [SANDBOX_LINK_FREEZE] = sandbox_client_freeze,
        [SANDBOX_LINK_THAW] = sandbox_client_thaw,
        [SANDBOX_LINK_STATS] = sandbox_client_stats,
    };

    if (request == SANDBOX_LINK_FREEZE) {
        note_freeze(link);
    }
    requested(link, calls[request](&link->client, key));
}

void sandbox_link_allow(struct sandbox_link *link, const struct sandbox_allowance *allowance)
{
    link->allowance = *allowance;
    link->is_allowance_known = true;
    requested(link, sandbox_client_allow(&link->client, allowance));
}

void sandbox_link_renew(struct sandbox_link *link)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < link->key_count; i++) {
        r = sandbox_client_renew(&link->client, &link->keys[i]);
    }
    requested(link, r);
}

void sandbox_link_logs(struct sandbox_link *link, uint64_t token, const struct replica_key *key,
                       uint64_t offset_bytes, uint32_t bytes_max)
{
    int r = -ENOBUFS;

    if (link->logs_count < LOGS_PENDING_MAX) {
        r = sandbox_client_logs(&link->client, key, offset_bytes, bytes_max);
    }
    if (r < 0) {
        link->events.logs(link->events.context, token, (struct bytes){NULL, 0}, 0,
                          !may_live(link, key));
        requested(link, r);
        return;
    }
    link->logs[link->logs_count++] = (struct logs_request){token, *key};
    requested(link, r);
}

void sandbox_link_exec(struct sandbox_link *link, uint64_t number, const struct replica_key *key)
{
    int r = -ENOBUFS;

    if (link->exec_count < EXECS_PENDING_MAX) {
        r = sandbox_client_exec(&link->client, key);
    }
    if (r < 0) {
        link->events.exec(link->events.context, number, -1,
                          r == -ENOBUFS ? "its node is too busy"
                                        : "its node has no sandbox helper at the moment");
        requested(link, r);
        return;
    }
    link->execs[link->exec_count++] = number;
    requested(link, r);
}

void sandbox_link_programs(struct sandbox_link *link)
{
    requested(link, sandbox_client_programs(&link->client));
}
