// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Counts the IPv4 TCP segments that pass a switch: with data, and bare ones (acknowledgements, and what
 * opens and ends connections). Exact, and cheap enough for a look before and after each request: the
 * kernel sorts and counts, nothing is read.
 */
#include <stdint.h>

struct packets {
    uint64_t data;
    uint64_t bare;
};

struct packet_counter {
    int fds[2]; /* with data, bare */
    struct packets sum;
};

/* In the network namespace whose file that is. Returns 0 or -errno. */
int packets_open(struct packet_counter *counter, const char *namespace_path);
/* All since it was opened. */
struct packets packets_now(struct packet_counter *counter);
