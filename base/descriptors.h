// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Descriptors that the other end of a unix socket passes. */
#include <stdbool.h>

/*
 * Nobody can pass a descriptor to this end any more. One that is not taken is closed by whoever reads
 * the bytes beside it, also by a plain read(), and that may take as long as its giver has set
 * (SO_LINGER), in which this process stands still. Before the socket is connected, or given away.
 * False: the kernel does not know how (before 6.16).
 */
bool descriptors_refuse(int fd);
