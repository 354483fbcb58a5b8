// SPDX-License-Identifier: GPL-3.0-or-later
/* Signals: stop and hand over, step aside for a restart; reload.c is called. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "agent/mingad/edge.h"
#include "base/attributes.h"
#include "base/log.h"

enum {
    BACK_SOON_MS_MAX = 1500,
    FAREWELL_MS = 60, /* for the last messages: closing drops what is still queued */
};

static void on_farewell(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* The last messages are on their way; then the loop ends. */
static void leave(struct edge *edge)
{
    uv_timer_start(&edge->stop_timer, on_farewell, FAREWELL_MS, 0);
}

static void on_late(uv_timer_t *timer)
{
    struct edge *edge = timer->data;

    log_warning("not everything has ended in time; leaving");
    uv_stop(&edge->loop);
}

void stop_answered(struct edge *edge, const struct core_answer *answer)
{
    if (answer->token == TOKEN_STEP_ASIDE) {
        aside_answered(edge, answer);
    }
    if (edge->phase != EDGE_STOPPING || answer->token >= TOKEN_DESCRIBE) {
        return;
    }
    if (answer->outcome != OVERLAY_OK && answer->reason[0] != '\0') {
        log_warning("%s", answer->reason);
    }
    leave(edge);
}

void stop_left(struct edge *edge, const struct core_answer *answer)
{
    edge->leave_token = 0;
    if (answer->outcome != OVERLAY_OK) {
        return;
    }
    log_event(LOG_LEVEL_INFO, "left", "left the community: what was stored of it is deleted");
    edge->has_left = true; /* also while the process ends: who asked has been told so */
    if (edge->phase == EDGE_RUNNING) {
        edge->phase = EDGE_STOPPING;
        leave(edge);
    }
}

static void begin_stopping(struct edge *edge, enum core_request_kind kind, uint64_t token,
                           uint64_t ms_max)
{
    struct core_request request = {.kind = kind, .token = token};

    edge->phase = EDGE_STOPPING;
    edge->is_told_to_end = true;
    sd_notify(0, "STOPPING=1");
    uv_timer_start(&edge->stop_timer, on_late, ms_max, 0);
    edge_request(edge, &request);
}

/* Told to end while the community is being left: that ends what runs here, too, and goes first. */
static bool ends_by_leaving(struct edge *edge)
{
    if ((edge->leave_token == 0 && !edge->has_left) || edge->is_told_to_end) {
        return false;
    }
    edge->is_told_to_end = true;
    log_event(LOG_LEVEL_INFO, "stopping", "stopping: the community is left first");
    sd_notify(0, "STOPPING=1");
    if (!edge->has_left) {
        uv_timer_start(&edge->stop_timer, on_late, SHUTDOWN_MS, 0);
    }
    return true;
}

static void on_terminate(uv_signal_t *signal, int number)
{
    struct edge *edge = signal->data;

    if (ends_by_leaving(edge)) {
        return;
    }
    if (edge->is_told_to_end) {
        log_warning("%s again: leaving at once", sigdescr_np(number));
        uv_stop(&edge->loop);
        return;
    }
    log_event(LOG_LEVEL_INFO, "stopping", "stopping: replicas are handed over");
    begin_stopping(edge, CORE_SHUT_DOWN, TOKEN_SHUT_DOWN, SHUTDOWN_MS);
}

static void on_restart(uv_signal_t *signal, int number)
{
    struct edge *edge = signal->data;

    (void)number;
    if (!ends_by_leaving(edge) && !edge->is_told_to_end) {
        edge->is_restart = true;
        log_event(LOG_LEVEL_INFO, "restarting", "leaving for a restart: replicas keep running");
        begin_stopping(edge, CORE_BACK_SOON, TOKEN_BACK_SOON, BACK_SOON_MS_MAX);
    }
}

static void reap_helper(struct edge *edge)
{
    int status = 0;

    if (edge->helper_pid != 0 && waitpid(edge->helper_pid, &status, WNOHANG) == edge->helper_pid) {
        log_warning("the sandbox helper (process %d) has ended", (int)edge->helper_pid);
        edge->helper_pid = 0;
    }
}

static void on_child(uv_signal_t *signal, int number)
{
    (void)number;
    reap_helper(signal->data);
}

/* Which came between two lives, when no loop hears them. */
static volatile sig_atomic_t kept[NSIG];

static void keep(int number)
{
    kept[number] = 1;
}

static void hear_kept(int number)
{
    if (kept[number] != 0) {
        kept[number] = 0;
        raise(number);
    }
}

int signals_open(struct edge *edge, struct err *err)
{
    static const struct {
        int number;
        uv_signal_cb handle;
    } rows[] = {
        {SIGTERM, on_terminate},    {SIGINT, on_terminate}, {SIGUSR2, on_restart},
        {SIGHUP, reload_on_signal}, {SIGCHLD, on_child},
    };

    static_assert(ARRAY_COUNT(rows) == ARRAY_COUNT(edge->signals), "a handle for each");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uv_signal_t *handle = &edge->signals[i];

        uv_signal_init(&edge->loop, handle);
        handle->data = edge;
        int r = uv_signal_start(handle, rows[i].handle, rows[i].number);

        if (r < 0) {
            return err_set(err, r, "signals: %s", uv_strerror(r));
        }
        hear_kept(rows[i].number);
    }
    uv_timer_init(&edge->loop, &edge->stop_timer);
    edge->stop_timer.data = edge;
    reap_helper(edge); /* it may have ended while nobody listened */
    return 0;
}

void signals_close(struct edge *edge)
{
    const struct sigaction action = {.sa_handler = keep, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < ARRAY_COUNT(edge->signals); i++) {
        int number = edge->signals[i].signum;

        uv_close((uv_handle_t *)&edge->signals[i], NULL);
        if (edge->has_left) {
            sigaction(number, &action, NULL);
        }
    }
    uv_close((uv_handle_t *)&edge->stop_timer, NULL);
}
