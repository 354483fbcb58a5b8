// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/transport/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

static void add(struct addresses *addresses, const char *host, uint16_t port)
{
    char text[ADDRESS_CHARS_MAX + 1];
    bool is_v6 = strchr(host, ':') != NULL;
    int chars =
        snprintf(text, sizeof(text), "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);

    if (chars < 0 || (size_t)chars >= sizeof(text) || addresses->count == ADDRESSES_MAX) {
        return;
    }
    for (size_t i = 0; i < addresses->count; i++) {
        if (strcmp(addresses->list[i], text) == 0) {
            return;
        }
    }
    memcpy(addresses->list[addresses->count++], text, (size_t)chars + 1);
}

/*
 * Asks the kernel's routing table: connecting a datagram socket sends nothing. The addresses are
 * of the documentation ranges (RFC 5737, RFC 3849), hence reached by the default route.
 */
static void add_towards_default_route(struct addresses *addresses, int family, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    char host[INET6_ADDRSTRLEN] = "";
    CLEANUP(cleanup_close) int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_v4 = family == AF_INET;
    socklen_t length_bytes = is_v4 ? sizeof(v4) : sizeof(v6);
    struct sockaddr *address = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;

    inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
    inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
    if (fd < 0 || connect(fd, address, length_bytes) < 0 ||
        getsockname(fd, address, &length_bytes) < 0) {
        return;
    }
    const void *bytes = is_v4 ? (const void *)&v4.sin_addr : (const void *)&v6.sin6_addr;

    if (inet_ntop(family, bytes, host, sizeof(host)) != NULL) {
        add(addresses, host, port);
    }
}

static void add_interface(struct addresses *addresses, const struct ifaddrs *interface, int family,
                          uint16_t port)
{
    char host[INET6_ADDRSTRLEN];
    const void *bytes = NULL;

    if (interface->ifa_addr == NULL || interface->ifa_addr->sa_family != family ||
        (interface->ifa_flags & IFF_UP) == 0 || (interface->ifa_flags & IFF_LOOPBACK) != 0) {
        return;
    }
    if (family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)interface->ifa_addr;

        bytes = &v4->sin_addr;
    } else {
        const struct sockaddr_in6 *v6 = (const void *)interface->ifa_addr;

        if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) {
            return; /* means nothing without an interface's name */
        }
        bytes = &v6->sin6_addr;
    }
    if (inet_ntop(family, bytes, host, sizeof(host)) != NULL) {
        add(addresses, host, port);
    }
}

static void add_interfaces(struct addresses *addresses, int family, uint16_t port)
{
    struct ifaddrs *list = NULL;

    if (getifaddrs(&list) < 0) {
        return;
    }
    for (const struct ifaddrs *interface = list; interface != NULL;
         interface = interface->ifa_next) {
        add_interface(addresses, interface, family, port);
    }
    freeifaddrs(list);
}

void addresses_find(const struct config *config, struct addresses *addresses_out)
{
    uint16_t port = config->listen_port;

    memset(addresses_out, 0, sizeof(*addresses_out));
    if (strcmp(config->advertise, "none") == 0) {
        return;
    }
    if (strcmp(config->advertise, "auto") != 0) {
        addresses_out->count = 1;
        memcpy(addresses_out->list[0], config->advertise, sizeof(config->advertise));
        return;
    }
    if (strcmp(config->listen_host, "*") != 0 && strcmp(config->listen_host, "0.0.0.0") != 0 &&
        strcmp(config->listen_host, "::") != 0) {
        add(addresses_out, config->listen_host, port);
        return;
    }
    add_towards_default_route(addresses_out, AF_INET, port);
    add_interfaces(addresses_out, AF_INET, port);
    add_towards_default_route(addresses_out, AF_INET6, port);
    add_interfaces(addresses_out, AF_INET6, port);
    if (addresses_out->count == 0) {
        add(addresses_out, "127.0.0.1", port);
    }
}
