// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A replica's interface to the Internet, made by its first process while that has all capabilities
 * over its new network namespace, and handed out to the helper through the set-up socket.
 */
#include "base/err.h"

/* Makes the device, with addresses, routes and names of sandbox/egress; sends it through setup_fd,
 * with one byte. The host's /dev must still be in sight. */
int tun_hand_out(int setup_fd, struct err *err);
