// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"

enum { ANSWER_S_MAX = 12, REQUEST_BYTES_MAX = 16384 };

struct http *http_new(const char *socket_path)
{
    struct http *http = calloc(1, sizeof(*http));

    if (http != NULL) {
        http->fd = -1;
        (void)text_copy(http->path, sizeof(http->path), socket_path);
    }
    return http;
}

void http_hang_up(struct http *http)
{
    if (http->fd >= 0) {
        close(http->fd);
    }
    http->fd = -1;
}

void http_free(struct http *http)
{
    if (http != NULL) {
        http_hang_up(http);
        free(http);
    }
}

static int dial(struct http *http)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = ANSWER_S_MAX};

    (void)text_copy(address.sun_path, sizeof(address.sun_path), http->path);
    http->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (http->fd < 0 || connect(http->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = -errno;

        http_hang_up(http);
        return r;
    }
    setsockopt(http->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return 0;
}

static int send_request(struct http *http, const char *path, const char *body)
{
    char request[REQUEST_BYTES_MAX];
    int length =
        body == NULL
            ? snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: minga\r\n\r\n", path)
            : snprintf(request, sizeof(request),
                       "POST %s HTTP/1.1\r\nHost: minga\r\nContent-Length: %zu\r\n\r\n%s", path,
                       strlen(body), body);

    if (length < 0 || length >= (int)sizeof(request)) {
        return -EMSGSIZE;
    }
    return send(http->fd, request, (size_t)length, MSG_NOSIGNAL) == length ? 0 : -EPIPE;
}

/* Reads until head and body are there; the head is cut off. */
static int receive(struct http *http)
{
    size_t have = 0;
    size_t wanted = SIZE_MAX;
    size_t head = 0;

    while (have < wanted) {
        ssize_t count = recv(http->fd, http->body + have, HTTP_BODY_BYTES_MAX - have, 0);
        const char *end;

        if (count <= 0) {
            return -EPIPE;
        }
        have += (size_t)count;
        http->body[have] = '\0';
        end = head == 0 ? strstr(http->body, "\r\n\r\n") : NULL;
        if (end != NULL) {
            const char *length = strcasestr(http->body, "content-length:");

            head = (size_t)(end - http->body) + 4;
            wanted = head + (length == NULL ? 0 : strtoul(length + 15, NULL, 10));
            http->status = (int)strtol(http->body + 9, NULL, 10);
        }
    }
    http->length_bytes = have - head;
    memmove(http->body, http->body + head, http->length_bytes + 1);
    return 0;
}

int http_ask(struct http *http, const char *path, const char *body_or_null)
{
    for (int attempt = 0; attempt < 2; attempt++) { /* a kept connection may be closed by now */
        int r = http->fd < 0 ? dial(http) : 0;

        if (r == 0) {
            r = send_request(http, path, body_or_null);
        }
        if (r == 0) {
            r = receive(http);
        }
        if (r == 0) {
            return 0;
        }
        http_hang_up(http);
    }
    return -EPIPE;
}

json_t *http_get(struct http *http, const char *path)
{
    if (http_ask(http, path, NULL) < 0 || http->status != 200) {
        return NULL;
    }
    return json_loadb(http->body, http->length_bytes, 0, NULL);
}
