// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/portmap/place.h"

#include <arpa/inet.h>
#include <string.h>

#include "agent/portmap/line.h"

#define SCHEME "http://"

/* Host, port and path of a URL, none of them copied further than it may be long. */
struct place {
    char host[PORTMAP_HOST_CHARS_MAX + 1];
    uint32_t port;
};

static bool is_digits_port(const char *text, size_t length, uint32_t *port_out)
{
    uint32_t port = 0;

    if (length == 0 || length > 5) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    *port_out = port;
    return port > 0 && port <= UINT16_MAX;
}

/* No spaces, no control characters, nothing that ends a header or a word. */
static bool is_plain_text(const char *text)
{
    size_t length = strnlen(text, PORTMAP_PLACE_CHARS_MAX + 1);

    if (length > PORTMAP_PLACE_CHARS_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"'<>@\\^`{|}", text[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static bool split(const char *url, struct place *place_out)
{
    const size_t scheme_chars = sizeof(SCHEME) - 1;
    const char *host = url + scheme_chars;
    size_t host_chars;
    struct in_addr address;
    struct place place = {.port = 80};

    if (!is_plain_text(url) || strncmp(url, SCHEME, scheme_chars) != 0) {
        return false;
    }
    host_chars = strcspn(host, ":/");
    if (host_chars == 0 || host_chars > PORTMAP_HOST_CHARS_MAX) {
        return false;
    }
    memcpy(place.host, host, host_chars);
    host += host_chars;
    if (host[0] == ':') {
        size_t port_chars = strcspn(host + 1, "/");

        if (!is_digits_port(host + 1, port_chars, &place.port)) {
            return false;
        }
        host += 1 + port_chars;
    }
    /* inet_pton takes the dotted form with decimal digits only. */
    if (host[0] != '/' || inet_pton(AF_INET, place.host, &address) != 1) {
        return false;
    }
    *place_out = place;
    return true;
}

bool place_is_plain(const char *url)
{
    struct place place;

    return split(url, &place);
}

bool place_is_at(const char *url, const char *host)
{
    struct place place;

    return split(url, &place) && strcmp(place.host, host) == 0;
}
