// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which client of a published UDP port has which socket inside: a bounded table, found by hash,
 * left by those that are silent for too long.
 *
 * Pure: time and the hash's seed are parameters, sockets are the caller's. A flow that was never
 * answered may be anybody's forged address: it ends sooner, and gives way to a new one when the
 * table is full. One that was answered does not.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum {
    FLOWS_MAX = 8192,
    FLOW_BUCKETS = 4096,
    FLOW_NONE = UINT16_MAX,
    FLOW_UNANSWERED_MS_MAX = 30000, /* of silence */
    FLOW_ANSWERED_MS_MAX = 180000,
    FLOW_YIELDS_MS = 1000, /* an unanswered one is not driven out before */
};

struct flow_key {          /* IPv4 addresses as ::ffff:a.b.c.d; padding-free */
    uint8_t client[16];    /* who sends */
    uint8_t here[16];      /* to which of the host's addresses: answers come from it */
    uint32_t scope;        /* interface of a link-local client; else 0 */
    uint16_t client_port;  /* host byte order */
    uint16_t service_port; /* index into spec.ports */
};

struct flow {
    struct flow_key key;
    int fd;            /* of the socket inside; the caller's to close. -1: not in use */
    int outside_fd;    /* likewise, where the client has one of its own; -1: it has none */
    bool answered;     /* by the service, at least once */
    bool other_family; /* 127.0.0.1 refused, ::1 is tried */
    uint64_t used_ms;  /* last */
    uint32_t version;  /* tells its epoll events from those of its predecessor */
    uint16_t next_in_bucket;
    uint16_t older, newer; /* in the list of those answered or not, by used_ms */
};

struct flow_list {
    uint16_t oldest, newest;
};

struct flows {
    uint64_t seed;
    uint32_t count;
    uint32_t count_of_port[PORTS_PER_SERVICE_MAX];
    uint32_t per_port_max;
    uint16_t free_head;        /* by next_in_bucket */
    uint16_t fresh_count;      /* never used so far: untouched memory */
    struct flow_list lists[2]; /* by `answered` */
    uint16_t buckets[FLOW_BUCKETS];
    struct flow entries[FLOWS_MAX];
};

/* `seed` is random, so that nobody can choose addresses that meet in one bucket. */
void flows_init(struct flows *flows, uint32_t per_port_max, uint64_t seed);
/* NULL when there is none. */
struct flow *flows_find(struct flows *flows, const struct flow_key *key);
/*
 * Is there room for one more of that port? If not, *yields_out is the flow that may be removed for
 * it, or NULL when none yields.
 */
bool flows_have_room(struct flows *flows, uint16_t service_port, uint64_t now_ms,
                     struct flow **yields_out);
/* Only after flows_have_room; the key is not in the table. The flow's fd is to be filled in. */
struct flow *flows_add(struct flows *flows, const struct flow_key *key, uint64_t now_ms);
/* A datagram has passed; `answer`: from the service. */
void flows_touch(struct flows *flows, struct flow *flow, bool answer, uint64_t now_ms);
/* The one silent for longest; NULL: there is none. */
struct flow *flows_oldest(struct flows *flows);
void flows_remove(struct flows *flows, struct flow *flow);
/* A flow whose time is over, or NULL. */
struct flow *flows_expired(struct flows *flows, uint64_t now_ms);
/* When the next one's time is over; UINT64_MAX: there is none. */
uint64_t flows_wakeup_ms(const struct flows *flows);
/* By index, as in an event's tag; NULL when it is not, or no longer, in use. */
struct flow *flows_at(struct flows *flows, uint32_t index, uint32_t version);
uint16_t flows_index(const struct flows *flows, const struct flow *flow);
