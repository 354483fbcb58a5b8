// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A replica's own disk: a file of the promised size, every block allocated, with an ext4 in it
 * that is mounted nowhere but in the replica.
 *
 * The file never has a name and the loop device clears itself, so nothing can be left behind: when
 * the last mount of the file system goes, device and file go too, even if the helper is dead.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { DISK_BYTES_MIN = 1 << 20, LOOP_TEXT_BYTES_MAX = 256 };

struct disk {
    int mount_fd;                      /* owned: a detached mount of the file system */
    int loop_number;                   /* -1: none */
    char backing[LOOP_TEXT_BYTES_MAX]; /* what names what is attached there, for ever */
    int network_fd; /* owned: a network namespace made along with it (network.h); -1: none */
};

/* What a disk is made from; everything borrowed. */
struct disk_plan {
    const char *state; /* a folder of ours on the file system that holds it */
    uint64_t size_bytes;
    uid_t maker;     /* an otherwise unused uid that mkfs runs as */
    int template_fd; /* disk_template_make's of the same size; -1: none yet */
    bool network;    /* make a network namespace along with it; only where there is a template */
};

/*
 * A sparse file with a file system of the plan's size, and in it what `fill` puts onto its mount:
 * both are done once for a size, and each disk gets a copy of the blocks that they wrote. Returns
 * its descriptor or -errno.
 */
int disk_template_make(const struct disk_plan *plan, int (*fill)(int mount_fd, struct err *err),
                       struct err *err);
/* Needs the plan's template. Returns 0; -ENOSPC when the host's file system is full. */
int disk_make(const struct disk_plan *plan, struct disk *disk_out, struct err *err);
void disk_done(struct disk *disk);
/* What has been read from it and written to it, the file system's own blocks included. */
int disk_activity(int loop_number, uint64_t *read_bytes_out, uint64_t *written_bytes_out);
/* Is what was `backing` still attached to loop device `loop_number`? */
bool disk_attached(int loop_number, const char *backing);
