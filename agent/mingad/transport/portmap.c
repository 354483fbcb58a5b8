// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/transport/portmap.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/portmap/worker.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"

enum { LOOK_MS = 1000 };

struct portmap {
    struct portmap_config config;
    struct plan plan;
    bool is_closing;
    bool keeps_open;
    bool has_parted;       /* the last job has been started, or there is none */
    uv_timer_t look_timer; /* whether there is something to do */
    uv_timer_t life_timer; /* of the worker */
    uv_poll_t poll;        /* what it says */
    uv_udp_t announced;    /* what routers say to all */
    bool is_listening;
    char heard[ANNOUNCE_BYTES_MAX + 1]; /* one more than an announcement has */
    uint32_t handle_count;
    pid_t pid; /* 0: none */
    int fd;
    uint32_t said_bytes;
    uint8_t said[PORTMAP_LINE_BYTES_MAX + 1]; /* one more than a line has: too much is seen */
};

static void look(struct portmap *portmap);

/* ------------------------------------------------------------------ the worker's end */

static void note_result(const struct portmap *portmap, const struct portmap_answer *answer)
{
    if (answer->method == PORTMAP_NONE) {
        log_info("port mapping: %s", answer->why);
        return;
    }
    for (uint32_t i = 0; i < answer->port_count && portmap->plan.job.kind == PLAN_MAP; i++) {
        const struct portmap_port *port = &answer->ports[i];

        if (port->outside == 0) {
            log_info("port mapping: the router refuses %s %u", port->is_udp ? "UDP" : "TCP",
                     port->inside);
        }
    }
}

static void read_answer(const struct portmap *portmap, struct portmap_answer *answer)
{
    struct bytes said = {portmap->said, portmap->said_bytes};

    if (portmap_line_parse(said, portmap->plan.job.ports, portmap->plan.job.port_count, answer) <
        0) {
        *answer = (struct portmap_answer){
            .method = PORTMAP_NONE,
            .why = "minga-portmap has failed: the router's answers were not what they should be"};
    }
}

static void tell(struct portmap *portmap)
{
    struct portmap_port port;

    while (plan_news(&portmap->plan, clock_now_ms(), &port)) {
        if (port.outside != 0) {
            log_info("port mapping: the router's %s%s port %u leads to %u here (%s)",
                     portmap->config.is_ipv6 ? "IPv6 " : "", port.is_udp ? "UDP" : "TCP",
                     port.outside, port.inside, portmap_method_name(portmap->plan.method));
        }
        portmap->config.changed(portmap->config.context, &port);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct portmap *portmap = handle->data;

    CHECK(portmap->handle_count > 0);
    portmap->handle_count--;
}

static void close_timers(struct portmap *portmap)
{
    uv_close((uv_handle_t *)&portmap->look_timer, on_handle_closed);
    uv_close((uv_handle_t *)&portmap->life_timer, on_handle_closed);
}

static void part(struct portmap *portmap);

static void on_worker_closed(uv_handle_t *handle)
{
    struct portmap *portmap = handle->data;
    struct portmap_answer answer;

    on_handle_closed(handle);
    cleanup_close(&portmap->fd);
    portmap->fd = -1;
    if (portmap->is_closing) {
        part(portmap);
        return;
    }
    read_answer(portmap, &answer);
    note_result(portmap, &answer);
    plan_done(&portmap->plan, &answer, clock_now_ms());
    tell(portmap);
    look(portmap);
}

/* It has closed its end, so it has nothing to do any more. */
static void end_worker(struct portmap *portmap)
{
    uv_poll_stop(&portmap->poll);
    uv_timer_stop(&portmap->life_timer);
    portmap_worker_end(portmap->pid);
    portmap->pid = 0;
    uv_close((uv_handle_t *)&portmap->poll, on_worker_closed);
}

static void on_said(uv_poll_t *poll, int status, int events)
{
    struct portmap *portmap = poll->data;

    (void)events;
    while (status == 0) {
        uint32_t room_bytes = (uint32_t)sizeof(portmap->said) - portmap->said_bytes;
        ssize_t count_bytes;

        if (room_bytes == 0) {
            break; /* one gone wild: what it said is no line */
        }
        count_bytes = read(portmap->fd, portmap->said + portmap->said_bytes, room_bytes);
        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0 && errno == EAGAIN) {
            return;
        }
        if (count_bytes <= 0) {
            break;
        }
        portmap->said_bytes += (uint32_t)count_bytes;
    }
    end_worker(portmap);
}

static void on_late(uv_timer_t *timer)
{
    struct portmap *portmap = timer->data;

    log_info("port mapping: minga-portmap took too long and was ended");
    portmap->said_bytes = 0;
    end_worker(portmap);
}

/* ------------------------------------------------------------------ its beginning */

static bool start_worker(struct portmap *portmap, const struct plan_job *job, uint64_t life_ms)
{
    struct err err = {0};

    portmap->said_bytes = 0;
    if (portmap_worker_start(job, portmap->config.nonce, &portmap->pid, &portmap->fd, &err) < 0) {
        log_warning("port mapping: %s", err.text);
        return false;
    }
    if (uv_poll_init(portmap->config.loop, &portmap->poll, portmap->fd) < 0) {
        portmap_worker_end(portmap->pid);
        cleanup_close(&portmap->fd);
        portmap->pid = 0;
        return false;
    }
    portmap->poll.data = portmap;
    portmap->handle_count++;
    uv_poll_start(&portmap->poll, UV_READABLE, on_said);
    uv_timer_start(&portmap->life_timer, on_late, life_ms, 0);
    return true;
}

static void look(struct portmap *portmap)
{
    struct portmap_port ports[PORTMAP_PORTS_MAX];
    uint64_t now_ms = clock_now_ms();
    struct plan_job job;

    plan_want(&portmap->plan, ports, portmap->config.wanted(portmap->config.context, ports),
              now_ms);
    tell(portmap);
    if (plan_next(&portmap->plan, now_ms, &job) && !start_worker(portmap, &job, PORTMAP_JOB_MS)) {
        struct portmap_answer answer = {.method = PORTMAP_NONE,
                                        .why = "minga-portmap could not be started"};

        plan_done(&portmap->plan, &answer, now_ms);
    }
    if (!portmap->plan.is_allowed && !portmap->plan.is_running && portmap->plan.told_count == 0) {
        uv_timer_stop(&portmap->look_timer);
    }
}

/* The last job, then the end. */
static void part(struct portmap *portmap)
{
    struct plan_job job;

    if (portmap->has_parted || portmap->keeps_open || !plan_farewell(&portmap->plan, &job) ||
        !start_worker(portmap, &job, PORTMAP_FAREWELL_MS)) {
        close_timers(portmap);
    }
    portmap->has_parted = true;
}

static void on_look(uv_timer_t *timer)
{
    look(timer->data);
}

/* ------------------------------------------------------------------ what routers say to all */

static void on_room(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer_out)
{
    struct portmap *portmap = handle->data;

    (void)suggested_bytes;
    *buffer_out = uv_buf_init(portmap->heard, sizeof(portmap->heard));
}

/* Anybody in the local network can say so: it makes this node ask its router sooner, and no more. */
static void on_announced(uv_udp_t *udp, ssize_t count_bytes, const uv_buf_t *buffer,
                         const struct sockaddr *from, unsigned flags)
{
    struct portmap *portmap = udp->data;
    uint32_t router_s = 0;

    if (count_bytes > 0 && from != NULL && (flags & UV_UDP_PARTIAL) == 0 &&
        announce_decode((struct bytes){(const uint8_t *)buffer->base, (size_t)count_bytes},
                        &router_s) == 0) {
        plan_announced(&portmap->plan, router_s, clock_now_ms());
    }
}

/* Bound to the group of all hosts: what is sent to this machine alone is not heard. Without it the
 * next answer shows what has changed. */
static void listen_to_all(struct portmap *portmap)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(ANNOUNCE_PORT),
                                  .sin_addr = {htonl(INADDR_ALLHOSTS_GROUP)}};

    if (portmap->is_listening) { /* stopped, perhaps */
        (void)uv_udp_recv_start(&portmap->announced, on_room, on_announced);
        return;
    }
    if (uv_udp_init(portmap->config.loop, &portmap->announced) < 0) {
        return;
    }
    portmap->is_listening = true;
    portmap->handle_count++;
    portmap->announced.data = portmap;
    int r = uv_udp_bind(&portmap->announced, (const struct sockaddr *)&address, UV_UDP_REUSEADDR);

    if (r == 0) {
        r = uv_udp_recv_start(&portmap->announced, on_room, on_announced);
    }
    if (r < 0) {
        log_info("port mapping: routers' announcements are not heard: %s", uv_strerror(r));
    }
}

static void listen_no_more(struct portmap *portmap)
{
    if (portmap->is_listening && !uv_is_closing((uv_handle_t *)&portmap->announced)) {
        uv_close((uv_handle_t *)&portmap->announced, on_handle_closed);
    }
}

/* ------------------------------------------------------------------ outside */

struct portmap *portmap_new(const struct portmap_config *config)
{
    struct portmap *portmap = calloc(1, sizeof(*portmap));

    if (portmap == NULL) {
        return NULL;
    }
    portmap->config = *config;
    portmap->fd = -1;
    plan_init(&portmap->plan, config->is_ipv6);
    uv_timer_init(config->loop, &portmap->look_timer);
    uv_timer_init(config->loop, &portmap->life_timer);
    portmap->look_timer.data = portmap;
    portmap->life_timer.data = portmap;
    portmap->handle_count = 2;
    return portmap;
}

void portmap_allow(struct portmap *portmap, bool is_allowed)
{
    plan_allow(&portmap->plan, is_allowed, clock_now_ms());
    if (is_allowed && !portmap->config.is_ipv6) {
        listen_to_all(portmap);
    } else if (portmap->is_listening) {
        uv_udp_recv_stop(&portmap->announced);
    }
    if (is_allowed || portmap->plan.open_count > 0 || portmap->plan.is_running) {
        uv_timer_start(&portmap->look_timer, on_look, 0, LOOK_MS);
    }
}

void portmap_look_again(struct portmap *portmap)
{
    plan_look_again(&portmap->plan, clock_now_ms());
}

const struct plan *portmap_plan(const struct portmap *portmap)
{
    return &portmap->plan;
}

void portmap_close(struct portmap *portmap, bool keeps_open)
{
    if (portmap == NULL || portmap->is_closing) {
        return;
    }
    portmap->is_closing = true;
    portmap->keeps_open = keeps_open;
    uv_timer_stop(&portmap->look_timer);
    listen_no_more(portmap);
    if (portmap->pid != 0) {
        end_worker(portmap);
    } else {
        part(portmap);
    }
}

void portmap_free(struct portmap *portmap)
{
    if (portmap != NULL) {
        CHECK(portmap->handle_count == 0);
        free(portmap);
    }
}
