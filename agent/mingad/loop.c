// SPDX-License-Identifier: GPL-3.0-or-later
/* What happens on each turn of the loop, and when it wakes up. */
#include <errno.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"

enum { TIDY_MS = 15000, SETTLE_ROUNDS_MAX = 8 };

void loop_wake(struct edge *edge, enum edge_waker waker, uint64_t wake_ms)
{
    edge->wake_ms[waker] = wake_ms;
}

static uint64_t earliest(const struct edge *edge)
{
    uint64_t wake_ms = 0;

    for (int i = 0; i < EDGE_WAKERS; i++) {
        if (edge->wake_ms[i] != 0 && (wake_ms == 0 || edge->wake_ms[i] < wake_ms)) {
            wake_ms = edge->wake_ms[i];
        }
    }
    return wake_ms;
}

/*
 * libuv's timers stand still while the machine sleeps; the core's time does not, hence a timer on
 * its clock. An absolute time in the past fires at once.
 */
static void arm(struct edge *edge)
{
    uint64_t wake_ms = earliest(edge);
    /* clock_now_ms counts from 1. */
    uint64_t at_ms = wake_ms > 1 ? wake_ms - 1 : 1;
    struct itimerspec time = {
        .it_value = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000}};

    if (wake_ms == edge->armed_ms) {
        return;
    }
    if (wake_ms == 0) {
        time = (struct itimerspec){0};
    }
    CHECK(timerfd_settime(edge->wake_fd, TFD_TIMER_ABSTIME, &time, NULL) == 0);
    edge->armed_ms = wake_ms;
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct edge *edge = poll->data;
    struct core_event tick = {.kind = CORE_TICK};
    uint64_t now_ms = clock_now_ms();
    uint64_t expirations = 0;

    (void)status;
    (void)events;
    if (read(edge->wake_fd, &expirations, sizeof(expirations)) != sizeof(expirations)) {
        return;
    }
    edge->armed_ms = 0;
    for (int i = 0; i < EDGE_WAKERS; i++) {
        if (edge->wake_ms[i] <= now_ms) {
            edge->wake_ms[i] = 0;
        }
    }
    edge_event(edge, &tick);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* while it runs, the loop does not block */
}

/* Before the loop blocks: what this turn has left to do. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct edge *edge = prepare->data;
    bool more = true;

    for (int i = 0; more && i < SETTLE_ROUNDS_MAX; i++) {
        more = transport_settle(edge->transport);
        more = api_link_reply(edge) || more;
    }
    api_link_settle(edge);
    store_writer_flush(edge->writer);
    loop_wake(edge, EDGE_WAKER_STORE, store_writer_wake_ms(edge->writer));
    if (more) {
        uv_idle_start(&edge->idle, on_idle);
    } else {
        uv_idle_stop(&edge->idle);
    }
    arm(edge);
}

/* For good, unless somebody acts. */
static void say_cut_off(struct edge *edge)
{
    bool is_cut_off = core_is_cut_off(edge->core);

    if (is_cut_off && !edge->is_cut_off) {
        log_error("%s", CORE_CUT_OFF_TEXT);
    }
    edge->is_cut_off = is_cut_off;
}

static void on_tidy(uv_timer_t *timer)
{
    struct edge *edge = timer->data;

    transport_tidy(edge->transport, clock_now_ms());
    carry_tidy(&edge->carry, clock_now_ms());
    if (edge->phase == EDGE_RUNNING) {
        say_cut_off(edge);
        own_disk_look(edge);
        edge_describe(edge, false); /* a laptop moves, a lease ends */
        portmap_link_tidy(edge, clock_now_ms());
    }
}

/* The same addresses may be those of another network by now: others have to say. */
static void on_addresses(void *context)
{
    struct edge *edge = context;

    if (edge->phase == EDGE_RUNNING) {
        edge_describe(edge, true);
        portmap_link_look_again(edge);
    }
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    sd_notify(0, "WATCHDOG=1");
}

int loop_open(struct edge *edge, struct err *err)
{
    uint64_t watchdog_us = 0;

    edge->wake_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (edge->wake_fd < 0 || uv_poll_init(&edge->loop, &edge->wake_poll, edge->wake_fd) < 0) {
        return err_set(err, -errno, "timer: %m");
    }
    uv_prepare_init(&edge->loop, &edge->prepare);
    uv_idle_init(&edge->loop, &edge->idle);
    uv_timer_init(&edge->loop, &edge->tidy_timer);
    uv_timer_init(&edge->loop, &edge->watchdog_timer);
    edge->wake_poll.data = edge;
    edge->prepare.data = edge;
    edge->tidy_timer.data = edge;
    uv_poll_start(&edge->wake_poll, UV_READABLE, on_wake);
    uv_prepare_start(&edge->prepare, on_prepare);
    uv_timer_start(&edge->tidy_timer, on_tidy, TIDY_MS, TIDY_MS);
    own_disk_open(edge);
    edge->address_watch = address_watch_new(&edge->loop, on_addresses, edge);
    if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
        uv_timer_start(&edge->watchdog_timer, on_watchdog, 0, watchdog_us / 2000);
    }
    return 0;
}

static void close_handle(uv_handle_t *handle)
{
    uv_close(handle, NULL);
}

void loop_close(struct edge *edge)
{
    address_watch_close(edge->address_watch);
    edge->address_watch = NULL;
    uv_poll_stop(&edge->wake_poll);
    close_handle((uv_handle_t *)&edge->wake_poll);
    close_handle((uv_handle_t *)&edge->prepare);
    close_handle((uv_handle_t *)&edge->idle);
    close_handle((uv_handle_t *)&edge->tidy_timer);
    close_handle((uv_handle_t *)&edge->watchdog_timer);
    own_disk_close(edge);
    cleanup_close(&edge->wake_fd);
    edge->wake_fd = -1;
}
