// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

void probe_init(struct probe *probe, int epoll_fd, uint64_t epoll_tag)
{
    memset(probe, 0, sizeof(*probe));
    probe->fd = -1;
    probe->epoll_fd = epoll_fd;
    probe->epoll_tag = epoll_tag;
}

void probe_cancel(struct probe *probe)
{
    if (probe->fd >= 0) {
        close(probe->fd); /* epoll forgets it with that */
        probe->fd = -1;
    }
}

static enum probe_outcome finish(struct probe *probe, enum probe_outcome outcome)
{
    probe_cancel(probe);
    return outcome;
}

/* Tries the families from probe->family on. Is one under way? */
static bool try_connect(struct probe *probe)
{
    for (; probe->family < LOOPBACK_FAMILY_COUNT; probe->family++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                    .data.u64 = probe->epoll_tag};

        probe->fd = connect_begin(probe->family, probe->port);
        if (probe->fd < 0) {
            continue;
        }
        if (epoll_ctl(probe->epoll_fd, EPOLL_CTL_ADD, probe->fd, &event) == 0) {
            return true;
        }
        probe_cancel(probe);
    }
    return false;
}

enum probe_outcome probe_begin(struct probe *probe, const struct sandbox_health *settings,
                               uint64_t now_ms)
{
    CHECK(probe->fd < 0);
    CHECK(settings->container_port != 0);
    probe->family = LOOPBACK_IPV4;
    probe->port = settings->container_port;
    probe->deadline_ms = now_ms + settings->timeout_ms;
    probe->sent_bytes = 0;
    probe->received_bytes = 0;
    probe->request[0] = '\0';
    if (settings->http_path[0] != '\0') {
        int length = snprintf(probe->request, sizeof(probe->request),
                              "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: minga\r\n"
                              "Connection: close\r\n\r\n",
                              settings->http_path);
        CHECK(length > 0 && (size_t)length < sizeof(probe->request));
    }
    return try_connect(probe) ? PROBE_PENDING : PROBE_FAILED;
}

/* Returns 0 when all is sent, -EAGAIN, or another -errno. */
static int send_request(struct probe *probe)
{
    size_t length_bytes = strlen(probe->request);

    while (probe->sent_bytes < length_bytes) {
        ssize_t count_bytes = send(probe->fd, probe->request + probe->sent_bytes,
                                   length_bytes - probe->sent_bytes, MSG_NOSIGNAL);
        if (count_bytes < 0) {
            return -errno;
        }
        probe->sent_bytes += (size_t)count_bytes;
    }
    return 0;
}

static bool status_is_good(const char status[12])
{
    return memcmp(status, "HTTP/1.", 7) == 0 && status[8] == ' ' &&
           (status[9] == '2' || status[9] == '3');
}

/* Only the status line's beginning is read; the rest goes with the connection. */
static enum probe_outcome read_status(struct probe *probe)
{
    while (probe->received_bytes < sizeof(probe->status)) {
        ssize_t count_bytes = recv(probe->fd, probe->status + probe->received_bytes,
                                   sizeof(probe->status) - probe->received_bytes, 0);
        if (count_bytes < 0 && errno == EAGAIN) {
            return PROBE_PENDING;
        }
        if (count_bytes <= 0) {
            return PROBE_FAILED;
        }
        probe->received_bytes += (size_t)count_bytes;
    }
    return status_is_good(probe->status) ? PROBE_SUCCEEDED : PROBE_FAILED;
}

static enum probe_outcome step(struct probe *probe)
{
    int r = connect_result(probe->fd);

    if (r == -EINPROGRESS) {
        return PROBE_PENDING;
    }
    if (r < 0) {
        probe_cancel(probe);
        probe->family++;
        return try_connect(probe) ? PROBE_PENDING : PROBE_FAILED;
    }
    if (probe->request[0] == '\0') {
        return PROBE_SUCCEEDED;
    }
    r = send_request(probe);
    if (r < 0) {
        return r == -EAGAIN ? PROBE_PENDING : PROBE_FAILED;
    }
    return read_status(probe);
}

enum probe_outcome probe_step(struct probe *probe, uint64_t now_ms)
{
    enum probe_outcome outcome;

    CHECK(probe->fd >= 0);
    outcome = step(probe);
    if (outcome == PROBE_PENDING && now_ms >= probe->deadline_ms) {
        outcome = PROBE_FAILED;
    }
    return outcome == PROBE_PENDING ? PROBE_PENDING : finish(probe, outcome);
}
