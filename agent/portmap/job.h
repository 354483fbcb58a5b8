// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* One job of minga-portmap: what is asked of the router, and the three ways to ask it. */
#include <netinet/in.h>

#include "agent/portmap/line.h"

enum job_kind {
    JOB_LOOK,  /* does it map at all? Changes nothing there */
    JOB_MAP,   /* open these, or keep them open */
    JOB_UNMAP, /* close them again */
};

struct job {
    enum job_kind kind;
    enum portmap_method by; /* NONE: whatever works */
    uint32_t lease_s;
    uint8_t nonce[PORTMAP_NONCE_BYTES];
    const char *place; /* "": UPnP's router is searched for */
    uint32_t port_count;
    struct portmap_port ports[PORTMAP_PORTS_MAX];
    bool is_ipv6;           /* its firewall is asked to let others in: by PCP only */
    struct in_addr gateway; /* the router on the default route, and we as it sees us */
    struct in_addr own;
    struct sockaddr_in6 gateway_ipv6;
    struct in6_addr own_ipv6;
    char gateway_text[INET6_ADDRSTRLEN];
    char own_text[PORTMAP_HOST_CHARS_MAX + 1];
};

enum {
    JOB_TRIES = 3,
    JOB_FIRST_WAIT_MS = 250, /* doubled each time: RFC 6886, section 3.1 */
};

/* Finds gateway and own address. Returns 0, or -errno with the reason in `why_out`: there is no
 * router that hides this machine. Reads a file of /proc: before confine(). */
int gateway_find(struct job *job, char why_out[PORTMAP_WHY_CHARS_MAX + 1]);
/* The same for IPv6, where nothing is hidden, but a firewall may stand. */
int gateway_find_ipv6(struct job *job, char why_out[PORTMAP_WHY_CHARS_MAX + 1]);

/* Gives up everything but the network of that family. Returns 0 or -errno. */
int confine(int family);

/*
 * Each returns 0 when the router speaks this protocol and has done what it was asked (at least one
 * port of it), with method, host, lease and ports in the answer; else -errno and `why`. The ports
 * of the answer are those of the job, up to the first that the router was silent about; outside 0
 * when refused.
 */
int by_pcp(const struct job *job, struct portmap_answer *answer);
int by_natpmp(const struct job *job, struct portmap_answer *answer);
int by_upnp(const struct job *job, struct portmap_answer *answer);
