// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Commands inside replicas on this node. Who may is the core's affair (agent/core/exec.h); here
 * are sockets to minga-init, and what lies between them and those who ask piece by piece: output
 * that was not taken yet, input that was not passed on yet. Both are bounded: a full one is not
 * read, or says so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/exec_protocol.h"

enum {
    OUT_BYTES_MAX = 256 << 10,
    IN_BYTES_MAX = 128 << 10,
    HELD_MAX = 4,      /* reads that wait for output, of one exec */
    HELD_MS_MAX = 350, /* less than until a question is repeated */
    TIMER_MS = 50,
};

struct held_read {
    uint64_t token; /* 0: none */
    uint64_t offset_bytes;
    uint64_t until_ms;
};

struct edge_exec {
    uint64_t number; /* 0: free */
    uint64_t open_token;
    int fd;          /* -1: not yet */
    uv_poll_t *poll; /* frees itself when closed */
    bool out_ended;
    bool in_ended; /* the asker has said so */
    bool in_shut;  /* and so have we */
    uint8_t *out;
    uint64_t out_base; /* offset of out[0] */
    size_t out_bytes;
    uint8_t *in;
    uint64_t in_offset; /* so much was taken of the asker's input */
    size_t in_bytes;
    struct held_read held[HELD_MAX];
};

struct execs {
    struct edge *edge;
    uv_timer_t timer;
    bool is_closed;
    struct edge_exec list[EXECS_PER_NODE_MAX];
};

static struct edge_exec *find(struct execs *execs, uint64_t number)
{
    for (uint32_t i = 0; i < EXECS_PER_NODE_MAX; i++) {
        if (execs->list[i].number == number) {
            return &execs->list[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ answers */

static void say_failed(struct execs *execs, uint64_t token, const char *reason)
{
    struct core_event event = {.kind = CORE_EXEC_DONE, .token = token, .failed = true};

    if (token != 0) {
        (void)text_copy(event.reason, sizeof(event.reason), reason);
        edge_event(execs->edge, &event);
    }
}

static void say_done(struct execs *execs, uint64_t token, uint64_t offset_bytes)
{
    edge_event(execs->edge, &(struct core_event){.kind = CORE_EXEC_DONE,
                                                 .token = token,
                                                 .logs_offset_bytes = offset_bytes});
}

/* What there is at that offset, perhaps nothing. */
static void say_output(struct execs *execs, const struct edge_exec *exec, uint64_t token,
                       uint64_t offset_bytes)
{
    uint64_t end = exec->out_base + exec->out_bytes;
    struct core_event event = {
        .kind = CORE_EXEC_DONE, .token = token, .logs_offset_bytes = offset_bytes};
    size_t length = offset_bytes < end ? (size_t)(end - offset_bytes) : 0;

    length = length < EXEC_WINDOW_BYTES_MAX ? length : EXEC_WINDOW_BYTES_MAX;
    if (length > 0) {
        event.logs = (struct bytes){exec->out + (offset_bytes - exec->out_base), length};
    }
    event.logs_ended = exec->out_ended && offset_bytes + length >= end;
    edge_event(execs->edge, &event);
}

static bool has_output(const struct edge_exec *exec, uint64_t offset_bytes)
{
    return exec->out_ended || offset_bytes < exec->out_base + exec->out_bytes;
}

static void serve_held(struct execs *execs, struct edge_exec *exec, uint64_t now_ms)
{
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        struct held_read held = exec->held[i];

        if (held.token != 0 && (has_output(exec, held.offset_bytes) || now_ms >= held.until_ms)) {
            exec->held[i].token = 0;
            say_output(execs, exec, held.token, held.offset_bytes);
        }
    }
}

/* ------------------------------------------------------------------ the socket */

static void free_poll(uv_handle_t *handle)
{
    free(handle);
}

static void close_socket(struct edge_exec *exec)
{
    if (exec->poll != NULL) {
        uv_poll_stop(exec->poll);
        uv_close((uv_handle_t *)exec->poll, free_poll);
        exec->poll = NULL;
    }
    cleanup_close(&exec->fd);
    exec->fd = -1;
}

static void end_exec(struct execs *execs, struct edge_exec *exec)
{
    struct edge_exec old = *exec;

    close_socket(exec);
    free(exec->out);
    free(exec->in);
    *exec = (struct edge_exec){.fd = -1};
    if (execs->is_closed) {
        return;
    }
    say_failed(execs, old.open_token, "it was given up");
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        say_failed(execs, old.held[i].token, "it was given up");
    }
}

/* The socket's end is the output's end. */
static void take_output(struct edge_exec *exec)
{
    while (!exec->out_ended && exec->out_bytes < OUT_BYTES_MAX) {
        ssize_t count_bytes = recv(exec->fd, exec->out + exec->out_bytes,
                                   OUT_BYTES_MAX - exec->out_bytes, MSG_DONTWAIT);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0 && errno == EAGAIN) {
            return;
        }
        exec->out_ended = count_bytes <= 0;
        exec->out_bytes += count_bytes > 0 ? (size_t)count_bytes : 0;
    }
}

static void give_input(struct edge_exec *exec)
{
    while (exec->in_bytes > 0) {
        ssize_t count_bytes = send(exec->fd, exec->in, exec->in_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0 && errno == EAGAIN) {
            return;
        }
        if (count_bytes < 0) { /* it has ended: nobody reads any more */
            exec->in_bytes = 0;
            return;
        }
        exec->in_bytes -= (size_t)count_bytes;
        memmove(exec->in, exec->in + count_bytes, exec->in_bytes);
    }
    if (exec->in_ended && !exec->in_shut) {
        exec->in_shut = true;
        (void)shutdown(exec->fd, SHUT_WR);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(struct edge_exec *exec)
{
    int events = (!exec->out_ended && exec->out_bytes < OUT_BYTES_MAX ? UV_READABLE : 0) |
                 (exec->in_bytes > 0 ? UV_WRITABLE : 0);

    if (exec->poll == NULL) {
        return;
    }
    if (events == 0) {
        uv_poll_stop(exec->poll);
    } else {
        CHECK(uv_poll_start(exec->poll, events, on_ready) == 0);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct execs *execs = poll->data;
    struct edge_exec *exec = NULL;

    (void)status; /* reading finds out */
    (void)events;
    for (uint32_t i = 0; i < EXECS_PER_NODE_MAX; i++) {
        exec = execs->list[i].poll == poll ? &execs->list[i] : exec;
    }
    if (exec == NULL) {
        return;
    }
    take_output(exec);
    give_input(exec);
    watch(exec);
    serve_held(execs, exec, clock_now_ms());
}

void execs_opened(struct edge *edge, uint64_t number, int fd, const char *reason)
{
    struct execs *execs = edge->execs;
    struct edge_exec *exec = execs == NULL || number == 0 ? NULL : find(execs, number);
    uint64_t token;

    if (exec == NULL || exec->fd >= 0) { /* given up meanwhile */
        cleanup_close(&fd);
        return;
    }
    token = exec->open_token;
    exec->open_token = 0;
    exec->fd = fd;
    exec->poll = fd < 0 ? NULL : calloc(1, sizeof(*exec->poll));
    if (exec->poll == NULL || uv_poll_init(&edge->loop, exec->poll, fd) < 0) {
        free(exec->poll);
        exec->poll = NULL;
        end_exec(execs, exec);
        say_failed(execs, token, fd < 0 ? reason : "its node is out of memory");
        return;
    }
    exec->poll->data = execs;
    give_input(exec);
    watch(exec);
    say_done(execs, token, 0);
}

/* ------------------------------------------------------------------ what is asked */

static void open_exec(struct execs *execs, const struct core_effect *effect)
{
    struct edge_exec *exec = find(execs, 0);

    if (exec == NULL || effect->exec.data.length_bytes > IN_BYTES_MAX) {
        say_failed(execs, effect->token, "too many commands run on its node already");
        return;
    }
    *exec = (struct edge_exec){.number = effect->exec.number, .fd = -1};
    exec->out = malloc(OUT_BYTES_MAX);
    exec->in = malloc(IN_BYTES_MAX);
    if (exec->out == NULL || exec->in == NULL) {
        end_exec(execs, exec);
        say_failed(execs, effect->token, "its node is out of memory");
        return;
    }
    exec->open_token = effect->token;
    exec->in_bytes = effect->exec.data.length_bytes;
    memcpy(exec->in, effect->exec.data.data, exec->in_bytes);
    sandbox_link_exec(execs->edge->sandbox, exec->number, &effect->replica);
}

static void forget_taken(struct edge_exec *exec, uint64_t taken_bytes)
{
    if (taken_bytes > exec->out_base && taken_bytes <= exec->out_base + exec->out_bytes) {
        size_t gone_bytes = (size_t)(taken_bytes - exec->out_base);

        exec->out_bytes -= gone_bytes;
        memmove(exec->out, exec->out + gone_bytes, exec->out_bytes);
        exec->out_base = taken_bytes;
    }
}

static bool hold(struct execs *execs, struct edge_exec *exec, const struct core_effect *effect)
{
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        if (exec->held[i].token == 0) {
            exec->held[i] = (struct held_read){effect->token, effect->offset_bytes,
                                               clock_now_ms() + HELD_MS_MAX};
            if (!uv_is_active((const uv_handle_t *)&execs->timer)) {
                uv_timer_again(&execs->timer);
            }
            return true;
        }
    }
    return false;
}

static void read_exec(struct execs *execs, struct edge_exec *exec, const struct core_effect *effect)
{
    bool was_full = exec->out_bytes == OUT_BYTES_MAX;

    forget_taken(exec, effect->exec.taken_bytes);
    if (was_full && exec->fd >= 0) {
        take_output(exec);
        watch(exec);
    }
    if (effect->offset_bytes < exec->out_base) {
        say_failed(execs, effect->token, "that output was taken before");
        return;
    }
    if (!effect->exec.wait || has_output(exec, effect->offset_bytes) ||
        !hold(execs, exec, effect)) {
        say_output(execs, exec, effect->token, effect->offset_bytes);
    }
}

/* Only what comes next is taken; the answer says how far that is. */
static void write_exec(struct execs *execs, struct edge_exec *exec,
                       const struct core_effect *effect)
{
    const struct bytes data = effect->exec.data;
    size_t room_bytes = IN_BYTES_MAX - exec->in_bytes;

    if (effect->offset_bytes == exec->in_offset && !exec->in_ended && exec->fd >= 0) {
        size_t count_bytes = data.length_bytes < room_bytes ? data.length_bytes : room_bytes;

        if (count_bytes > 0) {
            memcpy(exec->in + exec->in_bytes, data.data, count_bytes);
        }
        exec->in_bytes += count_bytes;
        exec->in_offset += count_bytes;
        exec->in_ended = data.length_bytes == 0;
        give_input(exec);
        watch(exec);
    }
    say_done(execs, effect->token, exec->in_offset);
}

void execs_ask(struct edge *edge, const struct core_effect *effect)
{
    struct execs *execs = edge->execs;
    struct edge_exec *exec = find(execs, effect->exec.number);

    CHECK(effect->exec.number != 0);
    if (effect->exec.what == EXEC_ASK_OPEN) {
        open_exec(execs, effect);
    } else if (exec == NULL) {
        say_failed(execs, effect->token, "it has ended");
    } else if (effect->exec.what == EXEC_ASK_READ) {
        read_exec(execs, exec, effect);
    } else if (effect->exec.what == EXEC_ASK_WRITE) {
        write_exec(execs, exec, effect);
    } else {
        end_exec(execs, exec);
    }
}

/* ------------------------------------------------------------------ life */

static void on_timer(uv_timer_t *timer)
{
    struct execs *execs = timer->data;
    uint64_t now_ms = clock_now_ms();
    bool any = false;

    for (uint32_t i = 0; i < EXECS_PER_NODE_MAX; i++) {
        struct edge_exec *exec = &execs->list[i];

        if (exec->number == 0) {
            continue;
        }
        serve_held(execs, exec, now_ms);
        for (uint32_t j = 0; j < HELD_MAX; j++) {
            any = any || exec->held[j].token != 0;
        }
    }
    if (!any) {
        uv_timer_stop(timer);
    }
}

struct execs *execs_new(struct edge *edge)
{
    struct execs *execs = calloc(1, sizeof(*execs));

    if (execs == NULL || uv_timer_init(&edge->loop, &execs->timer) < 0) {
        free(execs);
        return NULL;
    }
    execs->edge = edge;
    execs->timer.data = execs;
    uv_timer_start(&execs->timer, on_timer, TIMER_MS, TIMER_MS);
    uv_timer_stop(&execs->timer); /* its period is known: uv_timer_again starts it */
    for (uint32_t i = 0; i < EXECS_PER_NODE_MAX; i++) {
        execs->list[i].fd = -1;
    }
    return execs;
}

void execs_close(struct edge *edge)
{
    struct execs *execs = edge->execs;

    if (execs == NULL || execs->is_closed) {
        return;
    }
    execs->is_closed = true;
    for (uint32_t i = 0; i < EXECS_PER_NODE_MAX; i++) {
        if (execs->list[i].number != 0) {
            end_exec(execs, &execs->list[i]);
        }
    }
    uv_timer_stop(&execs->timer);
    uv_close((uv_handle_t *)&execs->timer, NULL);
}

void execs_free(struct execs *execs)
{
    free(execs);
}
