// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * How long a router has known its mappings: it says so in every answer of PCP and NAT-PMP, and to
 * all when it begins anew (RFC 6887, sections 8.5 and 14.1; RFC 6886, sections 3.2.1 and 3.6). One
 * whose clock does not go on as ours does has lost them. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/portmap/line.h"
#include "base/bytes.h"

enum {
    ANNOUNCE_PORT = 5350,      /* on 224.0.0.1, which every host hears */
    ANNOUNCE_BYTES_MAX = 1100, /* a longer datagram is none */
};

struct router_epoch {
    bool is_known;
    uint32_t router_s;
    uint64_t heard_ms; /* our clock then */
};

/* Does the router still know what it knew at `before`? Also when nothing was known then. */
bool epoch_goes_on(const struct router_epoch *before, uint32_t router_s, uint64_t now_ms);

/* What a router says to all. Returns 0, or -EBADMSG; whoever sends it may lie. */
int announce_decode(struct bytes datagram, uint32_t *router_s_out);
