// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Sockets where replicas' published ports appear: listening ones, or bound ones for UDP. */
#include "sandbox/environment.h"

struct ports {
    uint32_t count;
    int fds[PORTS_PER_SERVICE_MAX]; /* owned */
};

/*
 * Binds every host port of the spec on `bind_host` ("*": all addresses, IPv4 and IPv6). Returns 0,
 * or -errno with *refused_out the port that could not be had (nothing stays open).
 */
int ports_bind(const struct sandbox_spec *spec, const char *bind_host, struct ports *ports_out,
               uint16_t *refused_out);
void ports_close(struct ports *ports);
/* One such socket; `type` is SOCK_STREAM (then it listens) or SOCK_DGRAM. Returns it, or -errno. */
int ports_listen(const char *bind_host, uint16_t port, int type);
