// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Where a connection to a service's port may go: out of what the agent says of the service.
 *
 * Pure.
 */
#include "agent/cli/session.h"
#include "base/limits.h"

struct place { /* a healthy replica */
    uint32_t slot;
    char node[ID_HEX_CHARS + 1];
    char address[ADDRESS_CHARS_MAX + 1];
    uint16_t port;
    bool for_members;
};

struct places {
    uint32_t count;
    struct place list[REPLICAS_PER_SERVICE_MAX];
};

struct places_wanted {
    const char *service;   /* as typed, without the replica */
    uint32_t slot;         /* 0: any */
    const char *port_name; /* NULL: the only one */
    bool is_udp;           /* when it is known */
};

struct places_port {
    char name[NAME_CHARS_MAX + 1];
    bool is_udp; /* then it is for members only */
};

/*
 * Chooses the port, of the replicas in `service` (an element of "services"). Returns EXIT_DONE, or a
 * status with the problem: no such port, several, a public one of UDP, no replica that has any.
 */
int places_port(const json_t *service, const struct places_wanted *wanted,
                struct places_port *port_out, struct problem *problem);
/* The healthy replicas with that port. */
void places_find(const json_t *service, const struct places_wanted *wanted,
                 struct places *places_out);
/* One that asks with the same number begins with the same replica, as long as that is there. */
void places_order(struct places *places, uint64_t number);

/* "8080", "127.0.0.1:8080", "[::1]:8080": host (as given, or 127.0.0.1) and port. False: none. */
struct places_listen {
    char host[ADDRESS_CHARS_MAX + 1];
    uint16_t port; /* 0: any */
};
bool places_read_listen(const char *text, struct places_listen *listen_out);
