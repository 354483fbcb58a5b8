// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Whole files: read with a bound, written complete or not at all. For the edge only. */
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"

/* Appends the file's content to `buffer` (whose bytes_max bounds it). -EFBIG when larger. */
int file_read(int dir_fd, const char *path, struct buffer *buffer, struct err *err);
/* Writes path.new, syncs, renames over `path`, syncs the folder. */
int file_write_atomic(int dir_fd, const char *path, struct bytes content, mode_t mode,
                      struct err *err);
/* Writes all of `bytes` to fd, going on after short writes and EINTR. Returns 0 or -errno. */
int file_write_all(int fd, struct bytes bytes);
/* mkdir -p with `mode` for what is made. */
int file_make_folders(const char *path, mode_t mode, struct err *err);
/*
 * What of descriptors 0 to 2 is closed refuses reads and writes from now on: else the next thing that is opened would be
 * taken for the standard output, and written into. First thing in main. Returns 0 or -EBADF.
 */
int file_hold_standard(void);
