// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The state belongs to one machine: a disk image that is copied must not make two nodes with one
 * key. What is kept is a hash of /etc/machine-id for this purpose only, so that nobody learns the
 * id from it. A machine without an id (some containers) is bound to nothing.
 */
#include <stdint.h>

#include "base/err.h"

enum { MACHINE_BOND_BYTES = 16 };

/*
 * The first time `path` is written; later -EXDEV when it is of another machine, with what to do.
 * `bond` NULL: this machine's.
 */
int machine_bond_check(const char *path, const uint8_t bond[MACHINE_BOND_BYTES], struct err *err);
