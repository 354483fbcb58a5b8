// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Datagrams passed on: what relay_flows_*.c have in common. One connection between relay and leaf
 * carries those of all clients and ports, each in a sealed frame:
 *
 *     the leaf's port (16 bits), the flow's number (16 + 32 bits), the datagram
 *
 * A flow is a client (address and port) of one of the leaf's ports. The relay numbers them, and
 * answers only what comes back on one that a client has begun; the leaf has a socket of its own
 * for each, so that its service can tell clients apart. Silent flows end, those never answered
 * sooner, and they are bounded (sandbox/init/flows.h). What does not get through at once is lost:
 * while the relay's volunteer's rate is used up, or the connection is full, or there is none yet.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/mingad/relays/relay_seal.h"
#include "sandbox/init/flows.h"
#include "sandbox/init/udp.h"

enum {
    RELAY_FLOW_HEADER_BYTES = 8,
    RELAY_DATAGRAM_BYTES_MAX = RELAY_BODY_BYTES_MAX - RELAY_FLOW_HEADER_BYTES,
    RELAY_FLOWS_OF_PORT_MAX = 128,
    LEAF_FLOWS_MAX = 256, /* of all relays and ports */
    FLOW_DATAGRAMS_PER_TURN = 32,
};

struct relay_flow_id {
    uint16_t port_at_leaf;
    uint16_t index;
    uint32_t version;
};

void relay_flow_write(struct relay_flow_id id, uint8_t header_out[RELAY_FLOW_HEADER_BYTES]);
/* False: too short. `datagram_out` is a part of `body`. */
bool relay_flow_read(struct bytes body, struct relay_flow_id *id_out, struct bytes *datagram_out);
