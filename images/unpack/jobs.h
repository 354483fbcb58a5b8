// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The two jobs of minga-unpack. Each returns when it is done, and ends the process otherwise. */
#include "base/ids.h"

/* The tar stream of archive_fd into the empty folder staging_fd. */
void job_unpack(int archive_fd, int staging_fd);
/* The tree from the chunk files in chunks_fd into the empty folder staging_fd, synced. */
void job_build(const struct tree_id *tree, int chunks_fd, int staging_fd);
