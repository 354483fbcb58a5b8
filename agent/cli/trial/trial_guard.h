// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The guard of a trial: a process that outlives `minga try` by as long as clearing up takes. */
#include "agent/cli/trial/trial.h"

/* What goes over its socket: a command's wish, and the guard's word that the helper has ended. */
enum { GUARD_START_HELPER = 'h', GUARD_HELPER_OVER = 'e' };

/* In the forked child; never returns. `fd` is its end of the socket. */
_Noreturn void guard_run(const struct trial *trial, int fd);
/* Ends and removes what a trial without a guard left in these folders. */
void guard_clear(const struct trial *trial);
