// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What libseccomp cannot say, in front of its program: calls, arguments and options of sockets that
 * are answered as if the kernel had none of them. Whatever it does not answer goes on to what
 * follows, which checks the architecture.
 */

#include <stdint.h>

/* Appends steps (struct sock_filter) for an architecture (SCMP_ARCH_...) to `fd`. Returns 0 or -errno. */
int seccomp_front_put(int fd, uint32_t architecture);
