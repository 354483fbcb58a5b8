// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which system calls a service may make: an allow-list, exported once to BPF. minga-init loads it
 * into the service just before it is executed.
 */
#include <stdint.h>

#include "base/err.h"

/* Returns a sealed memory file with struct sock_filter[], or -errno. Costs about 1 ms. */
int seccomp_make(struct err *err);

/*
 * The same for another machine: SCMP_ARCH_ARM and so on (seccomp.h), of the same order of bytes. The numbers of
 * flags and ioctls are this machine's.
 */
int seccomp_make_for(uint32_t architecture, struct err *err);
