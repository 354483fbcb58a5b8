// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Makes a replica's root (its disk, and the layers on it) in a process of its own, so that the
 * helper waits for no disk. The process dies with the helper; what it made has no name anywhere,
 * so nothing is left of it then.
 */
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/helper/disk.h"
#include "sandbox/helper/rootfs.h"

struct maker {
    pid_t pid; /* 0: none, or it is over */
    int pidfd;
    int answer_fd; /* readable when it has made it, or failed, or died */
};

struct made {
    int root_fd;     /* owned: the detached root */
    int template_fd; /* owned: a new template; -1 when one was given */
    int loop_number;
    char backing[LOOP_TEXT_BYTES_MAX];
};

void maker_init(struct maker *maker);
/* Begins. The root's plan needs no disk_fd. Everything is borrowed for the call only. */
int maker_begin(const struct disk_plan *disk, const struct rootfs_plan *root, struct maker *maker,
                struct err *err);
/* Reads the answer, when answer_fd is readable. Returns 0 or what went wrong. */
int maker_answer(struct maker *maker, struct made *made_out, struct err *err);
/* Ends it if it still lives, without waiting. Returns whether it is over, and all is closed. */
bool maker_over(struct maker *maker);
