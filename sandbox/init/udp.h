// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Datagrams of a published port: who sends them, to which of the host's addresses, and how answers
 * leave from that one again, since clients compare. Used by minga-init and, for those who are
 * reached through a relay, by mingad.
 */
#include <stddef.h>

#include "base/bytes.h"
#include "sandbox/init/flows.h"

enum { UDP_DATAGRAM_BYTES_MAX = 65535 };

/*
 * Datagrams of a port for members travel as packets of a SOCK_SEQPACKET socket, each behind one byte
 * 0: a packet is never empty then, as the end is that of such a socket.
 */
enum {
    UDP_PACKET_MARK_BYTES = 1,
    UDP_MEMBERS_BYTES_MAX = 16376, /* of a datagram: as much as one of a relay's may have */
    UDP_PACKET_BYTES_MAX = UDP_PACKET_MARK_BYTES + UDP_MEMBERS_BYTES_MAX,
};

/* A bound socket: non-blocking from now on. Returns 0 or -errno. */
int udp_begin(int fd);

enum udp_received {
    UDP_TAKEN,
    UDP_NOBODY, /* taken, but it cannot be answered */
    UDP_EMPTY,  /* there is no more */
};
/* One datagram into `block`, of UDP_DATAGRAM_BYTES_MAX; `service_port` goes into the key. */
enum udp_received udp_receive(int fd, uint8_t *block, uint16_t service_port,
                              struct flow_key *key_out, size_t *length_bytes_out);
/* Lost, if it cannot be sent: so it is with datagrams. */
void udp_answer(int fd, const struct flow_key *key, struct bytes datagram);
