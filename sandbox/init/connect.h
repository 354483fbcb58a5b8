// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A connection to the service, on the sandbox's own loopback: 127.0.0.1 first, then ::1. */
#include <stdbool.h>
#include <stdint.h>

enum loopback_family { LOOPBACK_IPV4, LOOPBACK_IPV6, LOOPBACK_FAMILY_COUNT };

/*
 * Begins to connect without waiting. Returns the socket (non-blocking, the caller's), which is
 * writable when connect_result may be asked, or -errno.
 */
int connect_begin(enum loopback_family family, uint16_t port);
/* 0 when connected, else -errno (-EINPROGRESS: not yet). */
int connect_result(int fd);
