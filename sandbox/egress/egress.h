// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What minga-sandboxd, mingad and minga-egress must agree on. */

#define EGRESS_STACK_PROGRAM "/usr/bin/passt" /* of Debian's package passt */
#define EGRESS_DEVICE        "net0"           /* the replica's interface */

enum {
    EGRESS_FD_TUN = 3,  /* what minga-egress inherits */
    EGRESS_FD_INIT = 4, /* a pidfd: the replica is over when it is readable */
    EGRESS_MTU_BYTES = 65520,
    EGRESS_PORT_FIRST = 61000, /* above what Linux hands out by itself */
    EGRESS_SLICES = 70,        /* replicas with UDP ports of their own */
};
