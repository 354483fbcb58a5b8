// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/api/internal.h"
#include "agent/api/route.h"
#include "base/check.h"
#include "base/cleanup.h"

/* ------------------------------------------------------------------ connections */

static bool is_trusted(const struct api *api, const struct api_peer *peer)
{
    return peer_may(peer, API_GOVERN, api->group, api->own_uid);
}

static uint32_t connections_of(const struct api *api, uid_t uid)
{
    uint32_t count = 0;

    for (const struct connection *c = api->connections; c != NULL; c = c->next) {
        count += c->peer.uid == uid ? 1 : 0;
    }
    return count;
}

static void connection_opened(struct api *api, struct MHD_Connection *http, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(http, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL || info == NULL) {
        free(connection);
        return; /* requests without a context are refused */
    }
    peer_read(info->connect_fd, &connection->peer);
    connection->api = api;
    if (!is_trusted(api, &connection->peer) &&
        connections_of(api, connection->peer.uid) >= API_CONNECTIONS_PER_USER_MAX) {
        shutdown(info->connect_fd, SHUT_RDWR);
    }
    connection->next = api->connections;
    api->connections = connection;
    *context = connection;
}

static void connection_closed(struct api *api, struct connection *connection)
{
    struct connection **link = &api->connections;

    while (*link != NULL && *link != connection) {
        link = &(*link)->next;
    }
    CHECK(*link == connection);
    *link = connection->next;
    free(connection);
}

static void on_connection(void *self, struct MHD_Connection *http, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection_opened(self, http, context);
    } else if (*context != NULL) {
        connection_closed(self, *context);
        *context = NULL;
    }
}

/* ------------------------------------------------------------------ requests */

/* What the client says about its body's length, before sending it; 0 when it says nothing. */
static uint64_t announced_bytes(struct MHD_Connection *http)
{
    const char *text =
        MHD_lookup_connection_value(http, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

/* Room for the body, out of what all bodies may use. */
static bool reserve(struct exchange *exchange, size_t bytes)
{
    if (bytes > API_BODIES_BYTES_MAX - exchange->api->bodies_bytes) {
        return false;
    }
    exchange->reserved_bytes = bytes;
    exchange->api->bodies_bytes += bytes;
    return true;
}

/* Everything that can be refused before the body is read. A reply is set when refused. */
static void admit(struct exchange *exchange, const char *method, const char *path)
{
    struct api *api = exchange->api;
    enum route_match match = route_find(method, path, &exchange->route, exchange->parameters);

    if (match != ROUTE_FOUND) {
        exchange_fail(exchange, match == ROUTE_NO_PATH ? 404 : 405, "control API",
                      match == ROUTE_NO_PATH ? "no such path" : "no such method for this path",
                      "see docs/control-api.md; command and agent may differ in version");
    } else if (!peer_may(exchange->peer, exchange->route->right, api->group, api->own_uid)) {
        exchange_fail(exchange, 403, "not permitted",
                      exchange->route->right == API_ACT ? "only group minga and root may do this"
                                                        : "only root may do this",
                      exchange->route->right == API_ACT
                          ? "try sudo, or have yourself added to group minga"
                          : "try sudo");
    } else if (announced_bytes(exchange->connection) > exchange->route->body_bytes_max) {
        exchange_fail(exchange, 413, "request too long", "its body is over the limit", "");
    } else if (!reserve(exchange, exchange->route->body_bytes_max)) {
        exchange_fail(exchange, 503, "agent busy", "too many uploads at once", "try again");
    } else if (exchange->route->needs_community &&
               !overlay_belongs(core_overlay(exchange_core(exchange)))) {
        exchange_fail(exchange, 409, "no community", "this node belongs to none",
                      "sudo minga join, or sudo minga community create NAME");
    } else {
        exchange->body.bytes_max = exchange->route->body_bytes_max;
    }
}

static enum MHD_Result on_first_call(struct api *api, struct MHD_Connection *http, const char *path,
                                     const char *method, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(http, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct exchange *exchange;

    if (info == NULL || info->socket_context == NULL) {
        return MHD_NO;
    }
    exchange = exchange_new(api, http, &((struct connection *)info->socket_context)->peer);
    if (exchange == NULL) {
        return MHD_NO;
    }
    *context = exchange;
    admit(exchange, method, path);
    return exchange->status != 0 ? (enum MHD_Result)exchange_send(exchange) : MHD_YES;
}

/* The parameters are MHD's. NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result on_request(void *self, struct MHD_Connection *http, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **context)
{
    struct exchange *exchange = *context;

    (void)version;
    if (exchange == NULL) {
        return on_first_call(self, http, path, method, context);
    }
    if (*data_bytes > 0) {
        /* A body longer than announced, or than allowed where nothing was announced. */
        if (buffer_append(&exchange->body, data, *data_bytes) < 0) {
            return MHD_NO;
        }
        *data_bytes = 0;
        return MHD_YES;
    }
    if (exchange->state == EXCHANGE_READING) {
        exchange_start(exchange);
    }
    if (exchange->state == EXCHANGE_READY) {
        return (enum MHD_Result)exchange_send(exchange);
    }
    exchange->suspended = true;
    MHD_suspend_connection(http);
    return MHD_YES;
}

static void on_completed(void *self, struct MHD_Connection *http, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)self;
    (void)http;
    (void)code;
    exchange_free(*context);
    *context = NULL;
}

/* ------------------------------------------------------------------ life */

static struct MHD_Daemon *start_daemon(struct api *api, int listen_fd)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request,
                            api, MHD_OPTION_LISTEN_SOCKET, listen_fd,                   /* */
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)API_CONNECTIONS_MAX, /* */
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)API_IDLE_S_MAX,    /* */
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)API_CONNECTION_BYTES_MAX,               /* */
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, api, /* */
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, api, MHD_OPTION_END);
}

static int watch(int poll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* One descriptor for the host, over MHD's and ours. */
static int open_poll(struct api *api)
{
    int daemon_fd = MHD_get_daemon_info(api->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

    api->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    api->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (api->poll_fd < 0 || api->wake_fd < 0 || watch(api->poll_fd, daemon_fd) < 0 ||
        watch(api->poll_fd, api->wake_fd) < 0) {
        return -errno;
    }
    return 0;
}

void api_wake(struct api *api)
{
    api->is_woken = true;
    /* Full means that it is readable already. */
    (void)eventfd_write(api->wake_fd, 1);
}

static void close_all(struct api *api)
{
    MHD_stop_daemon(api->daemon);
    cleanup_close(&api->poll_fd);
    cleanup_close(&api->wake_fd);
}

int api_new(const struct api_config *config, struct api **api_out, struct err *err)
{
    CLEANUP(cleanup_close) int listen_fd = config->listen_fd;
    CLEANUP(cleanup_free) struct api *api = calloc(1, sizeof(*api));
    int flags = fcntl(listen_fd, F_GETFL);

    if (api == NULL) {
        return err_set(err, -ENOMEM, "control API: %m");
    }
    if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return err_set(err, -errno, "control API: listening socket: %m");
    }
    api->host = config->host;
    api->group = config->group;
    api->own_uid = geteuid();
    api->token_next = 1;
    api->poll_fd = -1;
    api->wake_fd = -1;
    api->daemon = start_daemon(api, listen_fd);
    if (api->daemon == NULL) {
        return err_set(err, -EIO, "control API: the HTTP server does not start");
    }
    take_fd(&listen_fd); /* closed by the daemon */
    if (open_poll(api) < 0) {
        err_set(err, -errno, "control API: %m");
        close_all(api);
        return err->code;
    }
    *api_out = take_ptr(api);
    return 0;
}

static void abandon(struct api *api, const struct pending *pending, const char *reason)
{
    struct core_answer answer = {.token = pending->token, .outcome = OVERLAY_TIMED_OUT};

    (void)text_copy(answer.reason, sizeof(answer.reason), reason);
    api_answer(api, &answer);
}

/* Exchanges that have waited since `asked_ms_max` or longer get an end. Returns whether there were
 * any: an end may make its handler ask for more. */
static bool abandon_pending(struct api *api, uint64_t asked_ms_max, const char *reason)
{
    bool found = false;

    for (uint32_t i = 0; i < API_PENDING_MAX; i++) {
        struct pending pending = api->pending[i];

        if (pending.token != 0 && pending.asked_ms <= asked_ms_max) {
            found = true;
            abandon(api, &pending, reason);
        }
    }
    return found;
}

/* The host answers nothing any more. */
static void ignore_request(void *self, const struct core_request *request)
{
    (void)self;
    (void)request;
}

static void ignore_chunk(void *self, const struct core_request *request, struct bytes bytes)
{
    (void)self;
    (void)request;
    (void)bytes;
}

void api_free(struct api *api)
{
    if (api == NULL) {
        return;
    }
    api->host.request = ignore_request;
    api->host.push_chunk = ignore_chunk;
    while (abandon_pending(api, UINT64_MAX, "the agent is stopping")) {
    }
    MHD_run(api->daemon);
    close_all(api);
    CHECK(api->connections == NULL);
    free(api);
}

int api_fd(const struct api *api)
{
    return api->poll_fd;
}

void api_run(struct api *api)
{
    eventfd_t ignored = 0;
    uint64_t now_ms = api->host.now_ms(api->host.self);

    /* The host answers everything; should an answer be lost, its client is not lost with it. */
    if (now_ms > API_ANSWER_MS_MAX) {
        (void)abandon_pending(api, now_ms - API_ANSWER_MS_MAX, "the agent lost track of it");
    }
    api->is_woken = false;
    (void)eventfd_read(api->wake_fd, &ignored);
    MHD_run(api->daemon);
}

bool api_has_replies(const struct api *api)
{
    return api->is_woken;
}

int api_timeout_ms(const struct api *api)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;

    if (MHD_get_timeout(api->daemon, &timeout_ms) != MHD_YES) {
        return -1;
    }
    return timeout_ms > 60000 ? 60000 : (int)timeout_ms;
}
