// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* `minga cp` inside the sandbox: in a child of minga-init, with the service's rights. */
#include "base/err.h"

/* Writes an archive of what is at `path` to stdout; says on stderr what it leaves out. */
int copy_fetch(const char *path, struct err *err);
/* Unpacks the archive on stdin to `path`, or into it as `name` where it is a folder. */
int copy_store(const char *path, const char *name, struct err *err);
