// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What minga-sandboxd gives up for itself and everything that it starts, once it is set up: root's
 * capabilities that no sandbox needs, and system calls that reach for the machine instead of a
 * sandbox. If a request ever found a hole, the hole would open into less.
 */
#include "base/err.h"

int give_up_privileges(struct err *err);
