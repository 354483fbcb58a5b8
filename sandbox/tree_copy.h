// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Files and folders as a tar stream: made by tree_send, unpacked by tree_receive. Each blocks, and
 * runs in a process of its own: in minga-init's child, as the service, and in a child of `minga cp`.
 *
 * The stream may come from a hostile member. Nothing is ever placed outside of the target: every
 * name is resolved beneath it without following any link (openat2), a link that would lead out is
 * left out, and there are no other kinds of things; sizes and numbers are bounded.
 */
#include <stdint.h>

#include "base/err.h"

#define TREE_COPY_ROOT "root" /* what the archive's outermost entry is called */

enum { TREE_COPY_ENTRIES_MAX = 1000000, TREE_COPY_NAME_BYTES = 256 };

struct tree_copy {
    /* Something was left out; `why` is a few words. May be NULL. */
    void (*say)(void *context, const char *path, const char *why);
    void *context;
    uint64_t bytes_max;      /* in all files together */
    uint64_t bytes;          /* so far */
    uint32_t entry_count;    /* so far */
    uint32_t left_out_count; /* so far */
};

/*
 * Writes what is at `path` (a link there is followed, below it none) to out_fd. Sockets, devices
 * and what cannot be read are left out. Returns 0 or a negative code.
 */
int tree_send(struct tree_copy *copy, const char *path, int out_fd, struct err *err);
/*
 * Unpacks the stream to the name `name` in the folder; "": into the folder itself. Files that are
 * there are replaced, each at once when the new one is complete; folders are filled.
 */
int tree_receive(struct tree_copy *copy, int in_fd, int folder_fd, const char *name,
                 struct err *err);
/*
 * Where something called `name` goes that is copied to `path`, as cp has it: into a folder, or
 * else to that very name. A path with a slash at its end is made a folder. Returns the folder's
 * descriptor, the caller's.
 */
int tree_copy_place(const char *path, const char *name, char name_out[TREE_COPY_NAME_BYTES],
                    struct err *err);
