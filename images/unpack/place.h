// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Putting files, folders and links below one folder, and nowhere else: every name is resolved
 * step by step beneath it without following any link. Paths have passed the archive rules; this
 * holds even if they were wrong. Each function ends the process with a message when it cannot do it.
 */
#include <stdbool.h>
#include <stdint.h>

/* A new file, open for writing; the caller closes it. */
int place_file(int root_fd, const char *path, uint16_t mode);
/* A new folder, or the mode of one that place_* made as a parent before. */
void place_folder(int root_fd, const char *path, uint16_t mode);
void place_link(int root_fd, const char *path, const char *target);
/* Another name for the file `target` that is there. False where that is not allowed: copy it. */
bool place_hard_link(int root_fd, const char *path, const char *target);
/* A file that is there, open for reading; the caller closes it. -1 with errno. */
int place_open(int root_fd, const char *path);
