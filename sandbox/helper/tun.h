// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A replica's interface to the Internet, made by its first process while that has all capabilities
 * over its new network namespace, and handed out to the helper through the set-up socket.
 */
#include <sys/types.h>

#include "base/err.h"

/* Makes the device, with addresses, routes and names of sandbox/egress; sends it through setup_fd.
 * The host's /dev must still be in sight. */
int tun_hand_out(int setup_fd, struct err *err);
/*
 * In the helper: takes a packet from the socket's other end. Returns its length and bytes as recv
 * does, without waiting; a descriptor that came along is *tun_fd_out, else that is untouched.
 */
ssize_t tun_receive(int setup_fd, void *bytes_out, size_t capacity_bytes, int *tun_fd_out);
