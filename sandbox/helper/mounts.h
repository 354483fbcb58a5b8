// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The kernel's newer mount calls, with errors for people. Everything made here is detached: it
 * has no place in any mount table until somebody moves it there.
 */
#include <stdint.h>

#include "base/err.h"

struct mount_option {
    const char *name;
    const char *value; /* NULL: a flag */
};

/*
 * Makes a file system of `type` with `options` (ended by a NULL name). `attributes` are
 * MOUNT_ATTR_*. Returns the descriptor of a detached mount or -errno; the kernel's own words, if
 * it says any, are in the error.
 */
int mount_make(const char *type, const struct mount_option *options, uint64_t attributes,
               struct err *err);
/* Attaches a detached mount to the folder or file `path`. */
int mount_attach(int mount_fd, const char *path, struct err *err);
/* A detached copy of what is seen at `path` (not of mounts below it). Returns a descriptor. */
int mount_copy(const char *path, struct err *err);
/* Opens `path` below `dir_fd`: through no link, no mount, and never above. O_PATH descriptor. */
int open_beneath(int dir_fd, const char *path, struct err *err);
/* Likewise through no link, but through mounts: for folders that a user owns a part of. */
int open_no_links(int dir_fd, const char *path, struct err *err);
