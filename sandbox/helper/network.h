// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The network of a sandbox: a loopback device and nothing else. To make the namespace takes the
 * kernel some 0.4 ms, so where starts follow each other it is made ahead, along with the disk,
 * and is given to one replica only. Then it belongs to the host's user namespace: nobody inside
 * has any right to it, not even as root there.
 */
#include "base/err.h"

/* In a process of its own, which has it from then on. Returns a descriptor of it or -errno. */
int network_make(struct err *err);
/* In the namespace that it is for, with rights to it: the device is up, every port may be bound. */
int network_settle(const char *proc, struct err *err);
/*
 * Nobody reads any more, in the network whose files /proc has in `folder`, those that tell of the
 * whole machine. By the host's root: the files of a new network are that one's.
 */
void network_hush(const char *folder);
