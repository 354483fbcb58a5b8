// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* /dev and /proc of a sandbox. */
#include <stdint.h>

#include "base/err.h"

/*
 * Run as uid 0 of the sandbox's user namespace, in its mount and pid namespaces, with the new
 * root as working folder and the host's root still at "/". The root has folders "dev" and "proc".
 */
int furniture_make(uint64_t shm_bytes_max, struct err *err);
