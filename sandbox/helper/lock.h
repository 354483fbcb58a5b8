// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A lock that belongs to one process alone. Not flock: what a killed helper had forked would hold
 * that on, and a machine may be so busy, or a child be stopped, that it does so for seconds.
 */
#include "base/err.h"

/*
 * Makes the file where it is missing and locks it until the process ends or closes *any*
 * descriptor of it. Returns a descriptor to keep, or -EADDRINUSE when another process has it.
 */
int lock_take(const char *path, struct err *err);
