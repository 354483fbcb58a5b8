// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* In a file of its own: the kernel's header, which has all fields of TCP_INFO, and the C library's,
 * which libuv includes, exclude each other. */
#include <stdint.h>

/* What the peer has sent and the kernel acknowledged; 0 when that cannot be known. */
uint64_t tcp_received_bytes(int fd);
