// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What forward.c does with the sockets of a connection, and asks of them. */
#include <stdbool.h>

enum { SOCKET_BUFFER_BYTES = 1 << 19 }; /* of one whose other end is on this machine */

void socket_suit_to_this_host(int fd);
/* Does the peer have the address that it has called? Over a network the kernel knows best. */
bool socket_is_of_this_host(int fd);
/* The peer is to see that the stream did not come to its end. Of TCP; a unix socket has no such thing. */
void socket_reset_at_close(int fd);
/*
 * At the end of what the peer has said, and before ours was shut: has it closed the socket as a
 * whole? So does mingad, with a unix socket of a port for members, when the member's connection
 * was cut; else it shuts its direction first, and closes when it has heard our end.
 */
bool socket_was_closed(int fd);
