// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Starting minga-portmap for one job. */
#include <sys/types.h>

#include "agent/portmap/plan.h"
#include "base/err.h"

/* On success: its pid, and where it says its line (non-blocking; its end is seen there). */
int portmap_worker_start(const struct plan_job *job, const uint8_t nonce[PORTMAP_NONCE_BYTES],
                         pid_t *pid_out, int *fd_out, struct err *err);
/* Ends it, if it has not ended, and reaps it. */
void portmap_worker_end(pid_t pid);
