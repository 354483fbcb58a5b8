// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What the host's routing tables say about its networks, by rtnetlink. */
#include "base/bytes.h"
#include "sandbox/egress/rules.h"

enum routes_outcome { ROUTES_MORE = 1, ROUTES_END, ROUTES_BAD };

/*
 * Pure: takes the messages of one datagram of an answer to RTM_GETROUTE. Every network but the
 * default one is closed, and so is every gateway. ROUTES_BAD: the answer is not to be relied on.
 */
enum routes_outcome routes_take(struct egress_rules *rules, struct bytes datagram);

/* A socket that tells when routes or addresses change. Returns it or -errno. */
int routes_watch(void);
/* Reads what the socket has told; only that it did matters. */
void routes_seen(int watch_fd);
/*
 * Fills `rules` anew with what all tables say. On failure (-errno) everything is closed. `fd` is a
 * netlink socket from routes_open.
 */
int routes_load(int fd, struct egress_rules *rules);
int routes_open(void);
