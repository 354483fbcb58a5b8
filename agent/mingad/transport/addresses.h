// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Under which addresses this node says that it can be reached. */
#include <stddef.h>

#include "agent/mingad/config/config.h"
#include "base/limits.h"

struct addresses {
    size_t count;
    char list[ADDRESSES_MAX][ADDRESS_CHARS_MAX + 1]; /* "host:port", IPv6 in brackets */
};

/*
 * network.advertise: as given; none; or (auto) the address that we listen on, else the one towards
 * the default route, then the other global ones of the interfaces, IPv4 first, loopback only if
 * there is nothing else. May be empty.
 */
void addresses_find(const struct config *config, struct addresses *addresses_out);
