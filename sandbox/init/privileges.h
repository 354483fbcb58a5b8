// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What minga-init and the service may do. For pid 1 of a sandbox and its first child only. */
#include <stdint.h>

#include "base/err.h"

/*
 * As root of the sandbox: not dumpable, no new privileges, empty bounding and ambient sets, uid
 * and gid INIT_UID. Keeps CAP_SETUID and CAP_SETGID for the child to come, and CAP_KILL: the
 * service has another uid than init, so without it init could neither stop nor end it. The death
 * signal, which the change of uid clears, is set anew: SIGKILL.
 */
int privileges_of_init(struct err *err);
/*
 * After the service has been started: no death signal any more. The three capabilities stay, in
 * the sandbox's own user namespace: probes and execs are started as the service's user, and ended.
 */
int privileges_when_started(struct err *err);
/* In the child: uid and gid `user`, no groups, no capability in any of the five sets. */
int privileges_of_service(uint32_t user, struct err *err);
