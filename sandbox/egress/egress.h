// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What minga-sandboxd, mingad and minga-egress must agree on. */

#include <assert.h>
#include <stdint.h>

#define EGRESS_STACK_PROGRAM "/usr/bin/passt" /* of Debian's package passt */
#define EGRESS_DEVICE        "net0"           /* the replica's interface */

enum {
    EGRESS_FD_TUN = 3,  /* what minga-egress inherits */
    EGRESS_FD_INIT = 4, /* a pidfd: the replica is over when it is readable */
    EGRESS_FD_LINE = 5, /* the replica's part of the line: sandbox/line.h */
    EGRESS_MTU_BYTES = 65520,
    EGRESS_PORT_FIRST = 61000, /* above what Linux hands out by itself */
    EGRESS_PORTS_PER_SLICE = 64,
    EGRESS_SLICES = 70, /* replicas with UDP ports of their own */
};
static_assert(EGRESS_PORT_FIRST + EGRESS_SLICES * EGRESS_PORTS_PER_SLICE - 1 <= UINT16_MAX,
              "all are ports");

/* The replica's own addresses, and the resolver's stand-ins. */
#define EGRESS_OWN_IPV4      "192.0.0.2" /* RFC 7335: for the inner end of such a tunnel */
#define EGRESS_RESOLVER_IPV4 "192.0.0.1"
#define EGRESS_OWN_IPV6      "fd6d:696e:6761::2"
#define EGRESS_RESOLVER_IPV6 "fd6d:696e:6761::1"
