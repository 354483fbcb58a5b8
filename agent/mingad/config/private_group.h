// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Is who may write by the group the owner alone? */
#include <stdbool.h>
#include <sys/stat.h>

/*
 * Can anybody but the owner of this file or folder write to it? A group-writable one is its owner's alone where
 * its group is the owner's private one, as Debian and Fedora make it with each user (umask 002): named as the
 * user, the user's primary group, with no other member and nobody else's primary group. What cannot be looked up
 * is not private.
 */
bool others_can_write(const struct stat *status);
