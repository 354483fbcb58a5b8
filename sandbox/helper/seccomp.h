// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which system calls a service may make: an allow-list, exported once to BPF. minga-init loads it
 * into the service just before it is executed.
 */
#include "base/err.h"

/* Returns a sealed memory file with struct sock_filter[], or -errno. Costs about 1 ms. */
int seccomp_make(struct err *err);
