// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Names in addresses. ZeroMQ would look them up on its own thread, and keep all links waiting while
 * a name server is silent: one member with such a name would cut all others off from each other.
 * Here they are looked up by the loop's pool, one at a time, and remembered for a while; ZeroMQ gets
 * numeric addresses only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"

enum {
    NAMES_MAX = 64,
    KNOWN_MS = 60000,
    UNKNOWN_MS = 30000,
    LOOKED_UP_CHARS_MAX = ADDRESS_CHARS_MAX,
    SHOWN_CHARS_MAX = HOST_CHARS_MAX + 2, /* with brackets */
};

struct name {
    char name[LOOKED_UP_CHARS_MAX + 1]; /* "": unused */
    /* As in an endpoint, one of each family, which to try first before; "": there is none. */
    char hosts[TRANSPORT_HOSTS_MAX][SHOWN_CHARS_MAX + 1];
    bool is_waiting;
    uint64_t waits_since_ms;
    uint64_t until_ms; /* what is known of it is forgotten then */
};

struct names {
    uv_getaddrinfo_t question; /* first */
    struct transport *transport;
    struct name *asked; /* NULL: none is looked up now */
    struct name list[NAMES_MAX];
};

/* ZeroMQ takes brackets off, and would look up what is no address between them. */
static bool is_numeric(const char *host)
{
    struct in_addr address;
    struct in6_addr address6;
    char between[INET6_ADDRSTRLEN] = "";
    size_t length_chars = strlen(host);

    if (host[0] != '[') {
        return inet_pton(AF_INET, host, &address) == 1;
    }
    if (length_chars < 2 || length_chars - 2 >= sizeof(between) || host[length_chars - 1] != ']') {
        return false;
    }
    memcpy(between, host + 1, length_chars - 2);
    return inet_pton(AF_INET6, between, &address6) == 1;
}

static struct name *find(struct names *names, const char *name)
{
    struct name *unused = NULL;
    uint64_t now_ms = clock_now_ms();

    for (size_t i = 0; i < NAMES_MAX; i++) {
        struct name *entry = &names->list[i];
        bool is_free = entry->name[0] == '\0' || (!entry->is_waiting && now_ms >= entry->until_ms);

        if (!is_free && strcmp(entry->name, name) == 0) {
            return entry;
        }
        unused = unused == NULL && is_free ? entry : unused;
    }
    if (unused != NULL) {
        *unused = (struct name){.is_waiting = true, .waits_since_ms = now_ms};
        (void)text_copy(unused->name, sizeof(unused->name), name);
    }
    return unused;
}

/* ------------------------------------------------------------------ asking */

static void show(const struct addrinfo *info, char host_out[SHOWN_CHARS_MAX + 1])
{
    char text[INET6_ADDRSTRLEN] = "";

    if (info->ai_family == AF_INET) {
        const struct sockaddr_in *address = (const void *)info->ai_addr;

        (void)inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text));
        (void)text_copy(host_out, SHOWN_CHARS_MAX + 1, text);
    } else if (info->ai_family == AF_INET6) {
        const struct sockaddr_in6 *address = (const void *)info->ai_addr;

        (void)inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof(text));
        (void)snprintf(host_out, SHOWN_CHARS_MAX + 1, "[%s]", text);
    }
}

static void keep_found(struct name *name, const struct addrinfo *found)
{
    int first_family = found == NULL ? AF_UNSPEC : found->ai_family;

    if (found != NULL) {
        show(found, name->hosts[0]);
    }
    for (; found != NULL; found = found->ai_next) {
        if (found->ai_family != first_family) {
            show(found, name->hosts[1]);
            return;
        }
    }
}

static void ask_next(struct names *names);

static void on_answer(uv_getaddrinfo_t *question, int status, struct addrinfo *found)
{
    struct names *names = (struct names *)(void *)question;
    struct name *asked = names->asked;

    names->asked = NULL;
    if (!names->transport->is_over) {
        asked->is_waiting = false;
        keep_found(asked, status == 0 ? found : NULL);
        asked->until_ms = clock_now_ms() + (asked->hosts[0][0] == '\0' ? UNKNOWN_MS : KNOWN_MS);
        links_named(names->transport);
        ask_next(names);
    }
    uv_freeaddrinfo(found);
}

/* The one that has waited for longest. */
static void ask_next(struct names *names)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct name *next = NULL;

    if (names->asked != NULL) {
        return;
    }
    for (size_t i = 0; i < NAMES_MAX; i++) {
        struct name *name = &names->list[i];

        if (name->is_waiting && (next == NULL || name->waits_since_ms < next->waits_since_ms)) {
            next = name;
        }
    }
    if (next == NULL) {
        return;
    }
    names->asked = next;
    if (uv_getaddrinfo(names->transport->loop, &names->question, on_answer, next->name, NULL,
                       &hints) < 0) {
        names->asked = NULL; /* no name by the rules */
        next->is_waiting = false;
        next->until_ms = clock_now_ms() + UNKNOWN_MS;
    }
}

/* ------------------------------------------------------------------ what others call */

int names_open(struct transport *transport)
{
    transport->names = calloc(1, sizeof(*transport->names));
    if (transport->names == NULL) {
        return -ENOMEM;
    }
    transport->names->transport = transport;
    return 0;
}

void names_close(struct transport *transport)
{
    if (transport->names != NULL && transport->names->asked != NULL) {
        (void)uv_cancel((uv_req_t *)&transport->names->question);
    }
}

/* An address comes from a peer: only what looks like host:port is looked up, or handed to ZeroMQ, which
 * would take other transports and options in it. */
static bool is_host_and_port(const char *address)
{
    size_t length_chars = strnlen(address, ADDRESS_CHARS_MAX + 1);
    const char *colon = strrchr(address, ':');

    if (length_chars == 0 || length_chars > ADDRESS_CHARS_MAX || colon == NULL ||
        colon == address || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        return false;
    }
    return strspn(address,
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:") ==
           length_chars;
}

int transport_numeric(struct transport *transport, const char *address, size_t which,
                      char address_out[TRANSPORT_ADDRESS_BYTES_MAX])
{
    const char *colon = strrchr(address, ':');
    char host[LOOKED_UP_CHARS_MAX + 1] = "";
    const char *shown = which == 0 ? host : "";

    CHECK(which < TRANSPORT_HOSTS_MAX);
    if (!is_host_and_port(address)) {
        return -EHOSTUNREACH;
    }
    memcpy(host, address, (size_t)(colon - address));
    if (!is_numeric(host)) {
        const struct name *name = host[0] == '[' ? NULL : find(transport->names, host);

        ask_next(transport->names);
        if (name != NULL && name->is_waiting) {
            return -EAGAIN;
        }
        shown = name == NULL ? "" : name->hosts[which];
    }
    if (shown[0] == '\0') {
        return -EHOSTUNREACH;
    }
    (void)snprintf(address_out, TRANSPORT_ADDRESS_BYTES_MAX, "%s%s", shown, colon);
    return 0;
}

int names_endpoint(struct transport *transport, const char *address, size_t which,
                   char endpoint_out[ENDPOINT_BYTES_MAX])
{
    char numeric[TRANSPORT_ADDRESS_BYTES_MAX];
    int r = transport_numeric(transport, address, which, numeric);

    if (r == 0) {
        (void)snprintf(endpoint_out, ENDPOINT_BYTES_MAX, "tcp://%s", numeric);
    }
    return r;
}
