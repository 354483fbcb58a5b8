// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A kept connection to an agent's control socket, and one request after the other on it. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { HTTP_BODY_BYTES_MAX = 1 << 20 };

struct http {
    int fd; /* -1: none */
    char path[108];
    int status;          /* of the last answer */
    size_t length_bytes; /* of its body */
    char body[HTTP_BODY_BYTES_MAX + 1];
};

struct http *http_new(const char *socket_path);
void http_free(struct http *http);
/* The next request makes a new connection. */
void http_hang_up(struct http *http);
/* Returns 0 when some answer came; body NULL: GET. */
int http_ask(struct http *http, const char *path, const char *body_or_null);
/* The answer of a GET as JSON, or NULL. The caller's. */
json_t *http_get(struct http *http, const char *path);
