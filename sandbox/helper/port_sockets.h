// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The sockets that come with a START: mingad binds them, and is not believed.
 *
 * minga-init will accept and read from them in the name of this machine. So each is exactly what the
 * specification says of its port, at that port, and the port is one that root gives.
 */
#include <stdint.h>

#include "base/err.h"
#include "sandbox/environment.h"
#include "sandbox/limits_file.h"

/* `fds`: in the order of spec->ports; borrowed. Returns 0 or -EPERM with err set. */
int port_sockets_check(const struct sandbox_spec *spec, const struct host_limits *limits,
                       const int *fds, uint32_t fd_count, struct err *err);
