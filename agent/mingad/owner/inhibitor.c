// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/owner/inhibitor.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"
#include "base/log.h"

#define LOGIN_NAME      "org.freedesktop.login1"
#define LOGIN_PATH      "/org/freedesktop/login1"
#define LOGIN_INTERFACE "org.freedesktop.login1.Manager"

enum {
    DELAY_MS_DEFAULT = 5000, /* logind.conf(5), InhibitDelayMaxSec= */
    DELAY_MS_MAX = 60000,    /* whatever is configured */
    MARGIN_MS = 400,         /* logind is told before it loses patience */
    RETRY_MS = 60000,        /* the bus was gone */
    PROCESS_MAX = 64,        /* messages a turn */
};

enum reason { REASON_SLEEP = 1, REASON_SHUTDOWN = 2 };

/* Each a lock of its own: one for both is, to logind's policy, one for none of the two, and that
 * nobody but root may have. */
enum { LOCK_SLEEP, LOCK_SHUTDOWN, LOCK_COUNT };

struct lock {
    struct inhibitor *inhibitor;
    int fd; /* -1: not held */
};

/* A connection to the bus; its poll handle is closed with it, and never used again. */
struct link {
    uv_poll_t poll;
    sd_bus *bus;
};

struct inhibitor {
    uv_loop_t *loop;
    uv_timer_t timer; /* the bus's own deadlines; without a connection: the next attempt */
    struct inhibitor_events events;
    struct link *link;
    struct lock locks[LOCK_COUNT];
    uint64_t delay_ms;
    unsigned reasons; /* to be aside now */
    bool is_broken;   /* the connection is to be dropped, outside of the bus's callbacks */
    bool has_said;    /* that nobody asks us */
};

static void process(struct inhibitor *inhibitor);
static void connect_bus(struct inhibitor *inhibitor);

static void say_once(struct inhibitor *inhibitor, const char *why)
{
    if (!inhibitor->has_said) {
        log_info("no lock against sleep and shutdown (%s): replicas are not handed over before "
                 "this machine sleeps",
                 why);
    }
    inhibitor->has_said = true;
}

static void let_go(struct inhibitor *inhibitor)
{
    for (int i = 0; i < LOCK_COUNT; i++) {
        cleanup_close(&inhibitor->locks[i].fd);
        inhibitor->locks[i].fd = -1;
    }
}

static void go_on(struct inhibitor *inhibitor)
{
    bool was_aside = inhibitor->reasons != 0;

    inhibitor->reasons = 0;
    if (was_aside) {
        inhibitor->events.back(inhibitor->events.context);
    }
}

/* ------------------------------------------------------------------ what logind says */

static int on_lock(sd_bus_message *reply, void *context, sd_bus_error *error)
{
    struct lock *lock = context;
    struct inhibitor *inhibitor = lock->inhibitor;
    const sd_bus_error *refusal = sd_bus_message_get_error(reply);
    int fd = -1;

    (void)error;
    if (refusal != NULL) {
        say_once(inhibitor, refusal->message == NULL ? refusal->name : refusal->message);
        return 0;
    }
    if (sd_bus_message_read(reply, "h", &fd) < 0) { /* the message's own */
        say_once(inhibitor, "an answer without a lock");
        return 0;
    }
    cleanup_close(&lock->fd);
    lock->fd = inhibitor->reasons == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (inhibitor->locks[LOCK_SLEEP].fd >= 0 && inhibitor->locks[LOCK_SHUTDOWN].fd >= 0) {
        inhibitor->has_said = false;
        log_debug("before this machine sleeps or stops, replicas are handed over");
    }
    return 0;
}

static int on_delay(sd_bus_message *reply, void *context, sd_bus_error *error)
{
    struct inhibitor *inhibitor = context;
    uint64_t delay_us = 0;

    (void)error;
    if (!sd_bus_message_is_method_error(reply, NULL) &&
        sd_bus_message_read(reply, "v", "t", &delay_us) >= 0) {
        inhibitor->delay_ms = delay_us / 1000 < DELAY_MS_MAX ? delay_us / 1000 : DELAY_MS_MAX;
    }
    return 0;
}

static void cleanup_message(sd_bus_message **message)
{
    sd_bus_message_unref(*message);
}

static int call(sd_bus *bus, sd_bus_message *message, sd_bus_message_handler_t answered,
                void *context)
{
    (void)sd_bus_message_set_auto_start(message, 0); /* nobody is started for it */
    return sd_bus_call_async(bus, NULL, message, answered, context, 0);
}

static int ask_delay(struct inhibitor *inhibitor)
{
    CLEANUP(cleanup_message) sd_bus_message *message = NULL;
    sd_bus *bus = inhibitor->link->bus;
    int r = sd_bus_message_new_method_call(bus, &message, LOGIN_NAME, LOGIN_PATH,
                                           "org.freedesktop.DBus.Properties", "Get");

    if (r >= 0) {
        r = sd_bus_message_append(message, "ss", LOGIN_INTERFACE, "InhibitDelayMaxUSec");
    }
    return r < 0 ? r : call(bus, message, on_delay, inhibitor);
}

static int ask_lock(struct inhibitor *inhibitor, int which)
{
    static const char *const what[LOCK_COUNT] = {"sleep", "shutdown"};
    CLEANUP(cleanup_message) sd_bus_message *message = NULL;
    sd_bus *bus = inhibitor->link->bus;
    int r = sd_bus_message_new_method_call(bus, &message, LOGIN_NAME, LOGIN_PATH, LOGIN_INTERFACE,
                                           "Inhibit");

    if (r >= 0) {
        r = sd_bus_message_append(message, "ssss", what[which], "Minga",
                                  "what runs here for the community is started elsewhere first",
                                  "delay");
    }
    return r < 0 ? r : call(bus, message, on_lock, &inhibitor->locks[which]);
}

/* For what is not held. */
static int ask(struct inhibitor *inhibitor)
{
    int r = ask_delay(inhibitor);

    for (int i = 0; i < LOCK_COUNT && r >= 0; i++) {
        r = inhibitor->locks[i].fd >= 0 ? 0 : ask_lock(inhibitor, i);
    }
    return r;
}

static void begin(struct inhibitor *inhibitor, unsigned reason)
{
    uint64_t within_ms =
        inhibitor->delay_ms > MARGIN_MS ? inhibitor->delay_ms - MARGIN_MS : inhibitor->delay_ms;
    bool was_aside = inhibitor->reasons != 0;

    inhibitor->reasons |= reason;
    if (!was_aside) {
        inhibitor->events.aside(inhibitor->events.context, within_ms);
    }
}

static void end(struct inhibitor *inhibitor, unsigned reason)
{
    if (inhibitor->reasons == reason) {
        go_on(inhibitor);
    }
    inhibitor->reasons &= ~reason;
    if (inhibitor->reasons == 0) {
        inhibitor->is_broken = inhibitor->is_broken || ask(inhibitor) < 0;
    }
}

static int on_prepare(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct inhibitor *inhibitor = context;
    unsigned reason = sd_bus_message_is_signal(message, LOGIN_INTERFACE, "PrepareForSleep") > 0
                          ? REASON_SLEEP
                          : REASON_SHUTDOWN;
    int begins = 0;

    (void)error;
    if (sd_bus_message_read(message, "b", &begins) < 0) {
        return 0;
    }
    if (begins != 0) {
        begin(inhibitor, reason);
    } else {
        end(inhibitor, reason);
    }
    return 0;
}

/* logind has gone, or come: locks of an earlier one are none. */
static int on_owner(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct inhibitor *inhibitor = context;
    const char *owner = NULL;

    (void)error;
    if (sd_bus_message_read(message, "sss", NULL, NULL, &owner) < 0) {
        return 0;
    }
    let_go(inhibitor);
    go_on(inhibitor);
    if (owner[0] != '\0') {
        inhibitor->is_broken = inhibitor->is_broken || ask(inhibitor) < 0;
    }
    return 0;
}

/* ------------------------------------------------------------------ the connection */

static void on_link_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void drop(struct inhibitor *inhibitor)
{
    struct link *link = inhibitor->link;

    inhibitor->link = NULL;
    inhibitor->is_broken = false;
    let_go(inhibitor);
    uv_poll_stop(&link->poll);
    sd_bus_close_unref(link->bus);
    link->poll.data = link;
    uv_close((uv_handle_t *)&link->poll, on_link_closed);
}

static void on_retry(uv_timer_t *timer)
{
    connect_bus(timer->data);
}

static void on_due(uv_timer_t *timer)
{
    process(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    process(poll->data);
}

/* Waits for what the bus waits for. Returns 0 or -errno. */
static int arm(struct inhibitor *inhibitor)
{
    struct link *link = inhibitor->link;
    uint64_t due_us = UINT64_MAX;
    uint64_t now_us = uv_hrtime() / 1000; /* CLOCK_MONOTONIC, as the bus counts */
    int wanted = sd_bus_get_events(link->bus);
    int r = wanted < 0 ? wanted : sd_bus_get_timeout(link->bus, &due_us);

    if (r < 0) {
        return r;
    }
    uv_timer_stop(&inhibitor->timer);
    if (due_us != UINT64_MAX) {
        uv_timer_start(&inhibitor->timer, on_due,
                       due_us > now_us ? (due_us - now_us + 999) / 1000 : 0, 0);
    }
    return uv_poll_start(&link->poll,
                         ((wanted & POLLIN) != 0 ? UV_READABLE : 0) |
                             ((wanted & POLLOUT) != 0 ? UV_WRITABLE : 0),
                         on_readable);
}

static void process(struct inhibitor *inhibitor)
{
    int r = 1;

    for (int i = 0; r > 0 && i < PROCESS_MAX && !inhibitor->is_broken; i++) {
        r = sd_bus_process(inhibitor->link->bus, NULL);
    }
    if (r >= 0 && !inhibitor->is_broken) {
        r = arm(inhibitor);
    }
    if (r < 0 || inhibitor->is_broken) {
        drop(inhibitor);
        go_on(inhibitor);
        say_once(inhibitor, "the system bus has gone");
        uv_timer_start(&inhibitor->timer, on_retry, RETRY_MS, 0);
    }
}

static int subscribe(struct inhibitor *inhibitor)
{
    static const char *const signals[] = {"PrepareForSleep", "PrepareForShutdown"};
    sd_bus *bus = inhibitor->link->bus;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < sizeof(signals) / sizeof(signals[0]); i++) {
        r = sd_bus_match_signal_async(bus, NULL, LOGIN_NAME, LOGIN_PATH, LOGIN_INTERFACE,
                                      signals[i], on_prepare, NULL, inhibitor);
    }
    if (r >= 0) {
        r = sd_bus_add_match_async(bus, NULL,
                                   "type='signal',sender='org.freedesktop.DBus',"
                                   "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
                                   "arg0='" LOGIN_NAME "'",
                                   on_owner, NULL, inhibitor);
    }
    return r < 0 ? r : ask(inhibitor);
}

static int open_link(struct inhibitor *inhibitor)
{
    struct link *link = calloc(1, sizeof(*link));
    int fd = -1;

    if (link == NULL || sd_bus_open_system(&link->bus) < 0) {
        free(link);
        return -1;
    }
    fd = sd_bus_get_fd(link->bus);
    if (fd < 0 || uv_poll_init(inhibitor->loop, &link->poll, fd) < 0) {
        sd_bus_close_unref(link->bus);
        free(link);
        return -1;
    }
    link->poll.data = inhibitor;
    inhibitor->link = link;
    return 0;
}

static void connect_bus(struct inhibitor *inhibitor)
{
    if (open_link(inhibitor) < 0) {
        say_once(inhibitor, "there is no system bus");
        uv_timer_start(&inhibitor->timer, on_retry, RETRY_MS, 0);
        return;
    }
    inhibitor->is_broken = subscribe(inhibitor) < 0;
    process(inhibitor);
}

/* ------------------------------------------------------------------ the outside */

struct inhibitor *inhibitor_new(uv_loop_t *loop, const struct inhibitor_events *events)
{
    struct inhibitor *inhibitor = calloc(1, sizeof(*inhibitor));

    if (inhibitor == NULL) {
        return NULL;
    }
    inhibitor->loop = loop;
    inhibitor->events = *events;
    for (int i = 0; i < LOCK_COUNT; i++) {
        inhibitor->locks[i] = (struct lock){.inhibitor = inhibitor, .fd = -1};
    }
    inhibitor->delay_ms = DELAY_MS_DEFAULT;
    uv_timer_init(loop, &inhibitor->timer);
    inhibitor->timer.data = inhibitor;
    connect_bus(inhibitor);
    return inhibitor;
}

void inhibitor_release(struct inhibitor *inhibitor)
{
    if (inhibitor->reasons != 0) {
        let_go(inhibitor);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void inhibitor_close(struct inhibitor *inhibitor)
{
    if (inhibitor == NULL) {
        return;
    }
    if (inhibitor->link != NULL) {
        drop(inhibitor);
    }
    let_go(inhibitor);
    uv_timer_stop(&inhibitor->timer);
    uv_close((uv_handle_t *)&inhibitor->timer, on_timer_closed);
}
