// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Against a sender who fills the memory: ZeroMQ counts whole messages against its high-water mark,
 * so one that never ends, frame after frame, is kept without limit, and nothing tells whose it is.
 *
 * When the process grows beyond what it can need, the socket that strangers dial is closed, with
 * all that ZeroMQ keeps for it, and bound again; for a while only members who have greeted are
 * let in then. Members dial again by themselves, and whatever was on its way is repeated.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"
#include "base/log.h"

enum {
    REBIND_MS = 10,
    STRICT_MS = 60000, /* strangers wait so long */
    RESIDENT_MIB_MAX = 192,
    GROWN_MIB_MIN = 64, /* else it is not the messages: closing would not help */
};

static uint64_t resident_mib(int statm_fd)
{
    char text[128];
    ssize_t count = pread(statm_fd, text, sizeof(text) - 1, 0);
    char *end = text;

    if (count <= 0) {
        return 0;
    }
    text[count] = '\0';
    (void)strtoull(text, &end, 10); /* the first number is the size of the address space */
    return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
}

static void rebind(struct transport *transport)
{
    struct err err = {0};

    transport->router = (struct watch){0};
    transport->door_watch = (struct watch){0};
    if (inbound_open(transport, &err) == 0) {
        transport->is_rebinding = false;
        return;
    }
    transport->router.is_closed = true;
    if (err.code != -EADDRINUSE) { /* ZeroMQ's thread has not closed the old one yet */
        log_warning("%s", err.text);
    }
}

static void on_closed_for_long(uv_timer_t *timer)
{
    struct transport *transport = timer->data;

    if (transport->is_rebinding) {
        rebind(transport);
    }
    if (!transport->is_rebinding && !transport->router.is_closed) {
        uv_timer_stop(timer);
    }
}

static void on_router_closed(uv_handle_t *handle)
{
    struct transport *transport = ((struct watch *)handle)->transport;

    transport->is_rebinding = !transport->is_over;
}

void guard_relieve(struct transport *transport)
{
    if (transport->router.is_closed) {
        return;
    }
    transport->strict_until_ms = clock_now_ms() + STRICT_MS;
    transport->relieved_count++;
    zmq_socket_monitor(transport->router.socket, NULL, 0);
    watch_close(&transport->door_watch, NULL);
    watch_close(&transport->router, on_router_closed);
    uv_timer_start(&transport->guard_timer, on_closed_for_long, REBIND_MS, REBIND_MS);
}

void guard_look(struct transport *transport)
{
    uint64_t now_mib = resident_mib(transport->statm_fd);

    if (transport->router.is_closed) {
        return;
    }
    if (transport->resident_mib_min == 0 || now_mib < transport->resident_mib_min) {
        transport->resident_mib_min = now_mib;
    }
    if (now_mib > RESIDENT_MIB_MAX && now_mib - transport->resident_mib_min > GROWN_MIB_MIN) {
        log_warning("messages that never end fill %llu MiB of memory: all links to this node are "
                    "closed, only members are let in for %d s",
                    (unsigned long long)now_mib, STRICT_MS / 1000);
        transport->resident_mib_min = 0;
        guard_relieve(transport);
    }
}

bool guard_admits(struct transport *transport, const uint8_t key[CURVE_KEY_BYTES])
{
    if (door_is_banned(transport, key)) {
        return false;
    }
    return clock_now_ms() >= transport->strict_until_ms || transport->is_member == NULL ||
           transport->is_member(transport->context, key);
}

int guard_open(struct transport *transport, struct err *err)
{
    transport->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (transport->statm_fd < 0) {
        return err_set(err, -errno, "/proc/self/statm: %m");
    }
    transport->guard_timer.data = transport;
    return 0;
}

void guard_close(struct transport *transport)
{
    transport->is_over = true;
    transport->is_rebinding = false;
    uv_close((uv_handle_t *)&transport->guard_timer, NULL);
    if (transport->statm_fd >= 0) {
        close(transport->statm_fd);
        transport->statm_fd = -1;
    }
}
