// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Sockets where replicas' published ports appear: listening ones, or bound ones for UDP. Of a port
 * for members only it is a listening unix socket (of UDP one of packets) in a folder of mingad's own: what listens at the
 * published port is a door (doors/doors.h).
 */
#include "sandbox/environment.h"

struct ports {
    uint32_t count;
    int fds[PORTS_PER_SERVICE_MAX]; /* owned */
};

struct ports_where {
    const char *bind_host; /* "*": all addresses, IPv4 and IPv6 */
    int members_fd;        /* the folder for members' ports */
};

/*
 * Binds every host port of the spec. Returns 0, or -errno with *refused_out the port that could not
 * be had (nothing stays open).
 */
int ports_bind(const struct sandbox_spec *spec, const struct ports_where *where,
               struct ports *ports_out, uint16_t *refused_out);
void ports_close(struct ports *ports);
/* One such socket; `type` is SOCK_STREAM (then it listens) or SOCK_DGRAM. Returns it, or -errno. */
int ports_listen(const char *bind_host, uint16_t port, int type);

enum { PORTS_PATH_BYTES = 48 };

/* The socket of a port for members: its name in the folder, and a path to it. */
void ports_members_name(uint16_t port, char name_out[PORTS_PATH_BYTES]);
void ports_members_path(int members_fd, uint16_t port, char path_out[PORTS_PATH_BYTES]);
/* To be connected to it; whoever is there can pass us no descriptor (base/descriptors.h). Returns it, or
 * -errno. */
int ports_members_socket(int type);
/* A connection to that of a UDP port: packets. Returns it, or -errno, at once. */
int ports_members_connect(int members_fd, uint16_t port);
