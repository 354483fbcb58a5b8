// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A second wall around files that come from others. */

/*
 * From here on this process (and what it starts) can open, make and remove files and folders below
 * `folder_fd` only; what is open stays. Landlock: where the kernel has none, nothing changes.
 * Needs PR_SET_NO_NEW_PRIVS. Returns 0, -EOPNOTSUPP without Landlock, or another -errno.
 */
int beneath_only(int folder_fd);
