// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The small /dev of a sandbox. */
#include "base/err.h"

/*
 * Returns the descriptor of a detached read-only mount, or -errno: the devices that every program
 * expects, and an empty folder "shm". Made by the host's root, since nobody else may make devices;
 * never by mounting the host's: a file of the host's can be watched, locked and touched by whoever
 * may open it, so that replicas would see when the host's programs open /dev/null.
 */
int devices_make(struct err *err);
