// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/transport/address_watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SETTLE_MS = 500, /* changes come in rows: an address goes, another comes, then a route */
    READS_MAX = 64,  /* a turn */
};

struct address_watch {
    uv_poll_t poll;
    uv_timer_t timer;
    int fd;
    uint32_t handle_count;
    void (*changed)(void *context);
    void *context;
};

static int open_socket(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                               RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

static void on_settled(uv_timer_t *timer)
{
    struct address_watch *watch = timer->data;

    watch->changed(watch->context);
}

/* What exactly has changed is of no interest: whoever is told looks at everything. */
static void on_news(uv_poll_t *poll, int status, int events)
{
    struct address_watch *watch = poll->data;
    uint8_t bytes[4096];

    (void)status;
    (void)events;
    for (int i = 0; i < READS_MAX; i++) {
        if (recv(watch->fd, bytes, sizeof(bytes), MSG_TRUNC) < 0 && errno != ENOBUFS) {
            break;
        }
    }
    if (!uv_is_active((const uv_handle_t *)&watch->timer)) {
        uv_timer_start(&watch->timer, on_settled, SETTLE_MS, 0);
    }
}

struct address_watch *address_watch_new(uv_loop_t *loop, void (*changed)(void *context),
                                        void *context)
{
    struct address_watch *watch = calloc(1, sizeof(*watch));
    int fd = watch == NULL ? -ENOMEM : open_socket();

    if (fd < 0 || uv_poll_init(loop, &watch->poll, fd) < 0) {
        if (fd >= 0) {
            close(fd);
        }
        free(watch);
        return NULL;
    }
    uv_timer_init(loop, &watch->timer);
    watch->fd = fd;
    watch->handle_count = 2;
    watch->changed = changed;
    watch->context = context;
    watch->poll.data = watch;
    watch->timer.data = watch;
    uv_poll_start(&watch->poll, UV_READABLE, on_news);
    return watch;
}

static void on_closed(uv_handle_t *handle)
{
    struct address_watch *watch = handle->data;

    watch->handle_count--;
    if (watch->handle_count == 0) {
        close(watch->fd);
        free(watch);
    }
}

void address_watch_close(struct address_watch *watch)
{
    if (watch != NULL) {
        uv_poll_stop(&watch->poll);
        uv_close((uv_handle_t *)&watch->poll, on_closed);
        uv_close((uv_handle_t *)&watch->timer, on_closed);
    }
}
