// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Who can put another file in the place of minga.yaml? */
#include "base/err.h"

/*
 * 0 when nobody but root and we can: by the folder that it lies in, and by those above. -EPERM names the
 * folder, and what mends it. A folder above that all may write to is fine where only owners may
 * rename (sticky); the one that the file lies in is not, for an editor makes a file anew. One that its owner's
 * private group may write to is the owner's (private_group.h).
 */
int config_check_folders(const char *path, struct err *err);
