// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A CurveZMQ client (RFC 26) over one TCP connection, for what ZeroMQ's own sockets do not send.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"

struct wire_curve {
    int fd; /* -1: closed */
    uint64_t nonce;
    uint8_t shared[32];
};

/* Takes fd, a connected or connecting TCP socket, and shakes hands. Returns 0, or -1 with link->fd
 * -1 and the socket closed. */
int wire_curve_open(struct wire_curve *link, int fd, const struct curve_keypair *own,
                    const uint8_t server_key[32]);
/* Sends one frame; `more` announces another of the same message. Returns 0 or -1. */
int wire_curve_send(struct wire_curve *link, const uint8_t *bytes, size_t length_bytes, bool more);
void wire_curve_close(struct wire_curve *link);
