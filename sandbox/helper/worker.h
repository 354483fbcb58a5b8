// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Runs one trusted program (mkfs) to its end, as an unused uid that may do nothing. */
#include <sys/types.h>

#include "base/err.h"

enum { WORKER_MS_MAX = 10000 };

/*
 * Executes `program` (absolute path; no shell, empty environment) as `uid` without capabilities,
 * with nothing open but `file_fd` as descriptor 3 and its messages kept. Waits for it. Returns 0;
 * -ENOENT when there is no such program; -ETIME when it took too long and was killed; -EIO with
 * what it said when it failed.
 */
int worker_run(const char *program, const char *const *arguments, uid_t uid, int file_fd,
               struct err *err);
