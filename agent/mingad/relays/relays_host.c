// SPDX-License-Identifier: GPL-3.0-or-later
/* The relay's side: its door, the leaves' ports, and who waits there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/relays/relays_internal.h"
#include "agent/mingad/replicas/ports.h"
#include "base/check.h"
#include "base/log.h"

enum { BACKLOG = 64 };

struct host_leaf *host_find(struct relays *relays, const struct node_id *node)
{
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        if (relays->leaves[i].used && id_equal(&relays->leaves[i].node.id, &node->id)) {
            return &relays->leaves[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ joining the two */

struct pipe *host_find_idle(struct relays *relays, const struct node_id *leaf)
{
    struct pipe *oldest = NULL;

    for (struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        if (!pipe->is_leaf && pipe->phase == PIPE_IDLE && id_equal(&pipe->other.id, &leaf->id)) {
            oldest = pipe; /* new ones are put in front */
        }
    }
    return oldest;
}

static void keep_waiting(struct relays *relays, struct host_leaf *leaf, uv_stream_t *plain,
                         uint16_t port_at_leaf)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++) {
        if (leaf->waiting[i].plain == NULL) {
            leaf->waiting[i] = (struct waiting){plain, port_at_leaf, clock_now_ms()};
            relays_wake(relays);
            return;
        }
    }
    relays->counters.refused_count++;
    plain_close(plain);
}

static bool has_its_part(const struct relays *relays, const struct node_id *leaf)
{
    const struct pipe like = {.is_leaf = false, .other = *leaf};

    return relays_count_pipes(relays, &like, PIPE_OPEN) >= PIPES_PER_LEAF_MAX;
}

void host_on_idle(struct relays *relays, struct pipe *pipe)
{
    struct host_leaf *leaf = host_find(relays, &pipe->other);
    struct waiting *first = NULL;

    if (leaf == NULL || relays_count_pipes(relays, pipe, PIPE_IDLE) > IDLE_MAX) {
        pipe_close(pipe);
        return;
    }
    for (uint32_t i = 0; i < WAITING_MAX; i++) {
        struct waiting *waiting = &leaf->waiting[i];

        if (waiting->plain != NULL && (first == NULL || waiting->since_ms < first->since_ms)) {
            first = waiting;
        }
    }
    if (first != NULL) {
        uv_stream_t *plain = first->plain;

        first->plain = NULL;
        if (has_its_part(relays, &pipe->other)) {
            relays->counters.refused_count++;
            plain_close(plain);
        } else {
            pipe_pass(pipe, plain, first->port_at_leaf);
        }
    }
}

static void on_client(struct listener *listener, uv_tcp_t *client)
{
    uv_stream_t *plain = (uv_stream_t *)client;
    struct relays *relays = listener->relays;
    struct host_leaf *leaf = host_find(relays, &listener->leaf);
    struct pipe *idle = host_find_idle(relays, &listener->leaf);

    pipe_tune(client);
    if (leaf == NULL || has_its_part(relays, &listener->leaf)) {
        relays->counters.refused_count++;
        plain_close(plain);
    } else if (idle != NULL) {
        pipe_pass(idle, plain, listener->port.at_leaf);
    } else {
        keep_waiting(relays, leaf, plain, listener->port.at_leaf);
    }
}

/* ------------------------------------------------------------------ listening */

/* When too many stand at the door whom nobody knows yet, one has to go: who floods it does not keep
 * leaves out. */
static void limit_greeting(struct relays *relays)
{
    struct pipe *one = pipes_to_turn_away(relays->pipes, GREETING_MAX);

    if (one != NULL) {
        relays->counters.refused_count++;
        pipe_close(one);
    }
}

static void accept_leaf(struct relays *relays, uv_stream_t *stream)
{
    struct pipe *pipe = relays_add_pipe(relays, false, NULL);

    if (pipe == NULL) {
        plain_refuse(stream);
        return;
    }
    if (uv_accept(stream, (uv_stream_t *)&pipe->sealed) < 0) {
        pipe_close(pipe);
        return;
    }
    pipe_begin(pipe);
    limit_greeting(relays);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *listener = (struct listener *)stream;
    struct relays *relays = listener->relays;
    uv_tcp_t *plain;

    if (status < 0 || relays->is_closing) {
        return;
    }
    relays_wake(relays);
    if (listener->is_door) {
        accept_leaf(relays, stream);
        return;
    }
    plain = calloc(1, sizeof(*plain));
    if (plain == NULL || uv_tcp_init(relays->config.loop, plain) < 0) {
        free(plain);
        return;
    }
    if (uv_accept(stream, (uv_stream_t *)plain) < 0) {
        plain_close((uv_stream_t *)plain);
        return;
    }
    on_client(listener, plain);
}

static void on_listener_freed(uv_handle_t *handle)
{
    free(handle);
}

static void listener_close(struct listener *listener)
{
    uv_close((uv_handle_t *)&listener->tcp, on_listener_freed);
}

void host_tell_refused(struct relays *relays, uint16_t port)
{
    struct overlay_event event = {.kind = OVERLAY_PORT_REFUSED, .port = port};

    relays->config.event(relays->config.context, &event);
}

static struct listener *listener_open(struct relays *relays, const struct node_id *leaf,
                                      struct overlay_relay_port port)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    int fd = ports_listen(relays->config.bind, port.at_relay, SOCK_STREAM);

    if (fd < 0 || listener == NULL || uv_tcp_init(relays->config.loop, &listener->tcp) < 0) {
        log_info("port %u cannot be passed on: %s", port.at_relay,
                 fd < 0 ? strerror(-fd) : "memory");
        if (fd >= 0) {
            close(fd);
        }
        free(listener);
        host_tell_refused(relays, port.at_relay);
        return NULL;
    }
    listener->relays = relays;
    listener->port = port;
    listener->is_door = leaf == NULL;
    if (leaf != NULL) {
        listener->leaf = *leaf;
    }
    if (uv_tcp_open(&listener->tcp, fd) < 0) {
        close(fd);
        listener_close(listener);
        return NULL;
    }
    if (uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection) < 0) {
        listener_close(listener);
        return NULL;
    }
    return listener;
}

static bool has_port(const struct overlay_relay *grant, struct overlay_relay_port port)
{
    for (uint32_t i = 0; i < grant->port_count; i++) {
        if (!grant->ports[i].is_udp && grant->ports[i].at_relay == port.at_relay &&
            grant->ports[i].at_leaf == port.at_leaf) {
            return true;
        }
    }
    return false;
}

static void close_others(struct host_leaf *leaf, const struct overlay_relay *grant)
{
    uint32_t kept_count = 0;

    for (uint32_t i = 0; i < leaf->listener_count; i++) {
        if (has_port(grant, leaf->listeners[i]->port)) {
            leaf->listeners[kept_count++] = leaf->listeners[i];
        } else {
            listener_close(leaf->listeners[i]);
        }
    }
    leaf->listener_count = kept_count;
}

static void open_missing(struct relays *relays, struct host_leaf *leaf,
                         const struct overlay_relay *grant)
{
    for (uint32_t i = 0; i < grant->port_count && i < OVERLAY_RELAY_PORTS_MAX; i++) {
        struct listener *listener = NULL;
        bool is_there = grant->ports[i].is_udp;

        for (uint32_t k = 0; k < leaf->listener_count; k++) {
            is_there = is_there || leaf->listeners[k]->port.at_relay == grant->ports[i].at_relay;
        }
        if (!is_there) {
            listener = listener_open(relays, &leaf->node, grant->ports[i]);
        }
        if (listener != NULL) {
            leaf->listeners[leaf->listener_count++] = listener;
        }
    }
}

static void end_leaf(struct relays *relays, struct host_leaf *leaf)
{
    for (uint32_t i = 0; i < leaf->listener_count; i++) {
        listener_close(leaf->listeners[i]);
    }
    for (uint32_t i = 0; i < WAITING_MAX; i++) {
        if (leaf->waiting[i].plain != NULL) {
            plain_close(leaf->waiting[i].plain);
        }
    }
    leaf->used = false;
    host_flows_end(leaf);
    relays_close_pipes(relays, false, &leaf->node);
    memset(leaf, 0, sizeof(*leaf));
}

static struct host_leaf *take_place(struct relays *relays, const struct node_id *node)
{
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        if (!relays->leaves[i].used) {
            relays->leaves[i].used = true;
            relays->leaves[i].node = *node;
            return &relays->leaves[i];
        }
    }
    return NULL;
}

static void move_door(struct relays *relays, uint16_t port)
{
    if (relays->door != NULL && relays->door->port.at_relay == port) {
        return;
    }
    if (relays->door != NULL) {
        listener_close(relays->door);
    }
    relays->door = listener_open(relays, NULL, (struct overlay_relay_port){.at_relay = port});
}

void relays_pass_on(struct relays *relays, const struct node_id *node,
                    const struct overlay_relay *grant)
{
    struct host_leaf *leaf = host_find(relays, node);
    char name[ID_SHORT_CHARS + 1];

    id_to_short(&node->id, name);
    if (grant->port_count == 0) {
        if (leaf != NULL) {
            log_info("nothing is passed on to %s any more", name);
            end_leaf(relays, leaf);
        }
        return;
    }
    if (leaf == NULL) {
        log_info("connections to port %u are passed on to %s", grant->ports[0].at_relay, name);
        leaf = take_place(relays, node);
    }
    if (leaf == NULL) {
        return;
    }
    if (memcmp(leaf->secret, grant->secret, RELAY_SECRET_BYTES) != 0) {
        relays_close_pipes(relays, false, node);
        memcpy(leaf->secret, grant->secret, RELAY_SECRET_BYTES);
    }
    move_door(relays, grant->door);
    close_others(leaf, grant);
    open_missing(relays, leaf, grant);
    host_flows_fit(relays, leaf, grant);
    relays_wake(relays);
}

/* ------------------------------------------------------------------ time */

void host_tick(struct relays *relays, uint64_t now_ms)
{
    for (struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        if ((pipe->phase == PIPE_CONNECTING || pipe->phase == PIPE_GREETING) &&
            now_ms - pipe->since_ms > GREETING_MS_MAX) {
            pipe_close(pipe);
        }
    }
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        if (relays->leaves[i].used) {
            host_flows_tick(&relays->leaves[i], now_ms);
        }
        for (uint32_t k = 0; relays->leaves[i].used && k < WAITING_MAX; k++) {
            struct waiting *waiting = &relays->leaves[i].waiting[k];

            if (waiting->plain != NULL && now_ms - waiting->since_ms > WAITING_MS_MAX) {
                plain_close(waiting->plain);
                waiting->plain = NULL;
                relays->counters.refused_count++;
            }
        }
    }
}

bool host_is_busy(const struct relays *relays)
{
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        if (relays->leaves[i].used) {
            return true;
        }
    }
    return false;
}

void host_close(struct relays *relays)
{
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        if (relays->leaves[i].used) {
            end_leaf(relays, &relays->leaves[i]);
        }
    }
    if (relays->door != NULL) {
        listener_close(relays->door);
        relays->door = NULL;
    }
}
