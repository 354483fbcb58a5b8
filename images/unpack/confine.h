// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Giving up everything that one job does not need, before the first foreign byte is read:
 * resource limits, Landlock (where the kernel has it), no new privileges, a seccomp allow-list.
 */

enum confine_limits { CONFINE_CPU_S_MAX = 600, CONFINE_FILES_MAX = 32 };

/* `write_fd` may be filled, `read_fd` (or -1) read, beneath them; nothing else can be opened. */
void confine(int write_fd, int read_fd);
