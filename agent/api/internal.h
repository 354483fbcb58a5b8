// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* struct api, for api.c and exchange.c only. */
#include "agent/api/api.h"
#include "agent/api/exchange.h"
#include "agent/api/limits.h"

struct MHD_Daemon;

/* A request that the host has not answered yet. */
struct pending {
    uint64_t token; /* 0: free */
    uint64_t asked_ms;
    struct exchange *exchange;
    uint64_t context;
    exchange_on_answer *on_answer;
};

/* A connection: MHD's socket context. */
struct connection {
    struct api *api;
    struct api_peer peer;
    struct connection *next;
};

struct api {
    struct MHD_Daemon *daemon;
    int poll_fd; /* epoll: MHD's own descriptor, and wake_fd */
    int wake_fd; /* eventfd: a suspended connection has its reply, which MHD does not signal */
    bool is_woken;
    struct api_host host;
    gid_t group;
    uid_t own_uid;
    uint64_t token_next;
    size_t bodies_bytes;  /* reserved by exchanges that read a body */
    uint32_t entry_count; /* held by exchanges that put lists together */
    struct connection *connections;
    struct pending pending[API_PENDING_MAX];
};

/* Makes api_fd readable. */
void api_wake(struct api *api);

struct exchange *exchange_new(struct api *api, struct MHD_Connection *connection,
                              const struct api_peer *peer);
void exchange_free(struct exchange *exchange);
/* Body complete: calls the handler. */
void exchange_start(struct exchange *exchange);
/* Queues the reply. Returns MHD's result. */
int exchange_send(struct exchange *exchange);
