// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* One health probe: a TCP connection, or an HTTP GET that must answer 2xx or 3xx. */
#include <stddef.h>
#include <stdint.h>

#include "sandbox/environment.h"
#include "sandbox/init/connect.h"

enum probe_outcome { PROBE_PENDING, PROBE_SUCCEEDED, PROBE_FAILED };

struct probe {
    int fd; /* -1: none under way */
    int epoll_fd;
    uint64_t epoll_tag;
    enum loopback_family family;
    uint16_t port;
    uint64_t deadline_ms;
    char request[256]; /* "": a connection is enough */
    size_t sent_bytes;
    char status[12]; /* "HTTP/1.1 200" */
    size_t received_bytes;
};

/* epoll_fd will report epoll_tag when probe_step is to be called. */
void probe_init(struct probe *probe, int epoll_fd, uint64_t epoll_tag);
enum probe_outcome probe_begin(struct probe *probe, const struct sandbox_health *settings,
                               uint64_t now_ms);
/* Goes on, after an event or at the deadline. */
enum probe_outcome probe_step(struct probe *probe, uint64_t now_ms);
/* Gives a probe under way up. */
void probe_cancel(struct probe *probe);
