// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The disks of all replicas: made ahead where starts follow each other, waited for by those who
 * start, and cleared away behind those who have ended. All that is slow happens in makers.
 *
 * What there is at any moment (in use, ready, being made, being cleared) is never more than the
 * contribution. An ended replica's disk may still be going when the next one is asked for: that one
 * then waits, as it does for its own.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "sandbox/helper/disk.h"
#include "sandbox/helper/maker.h"
#include "sandbox/helper/uid_range.h"

enum {
    DISK_JOBS_MAX = 8,      /* being made at once */
    DISK_SPARES_MAX = 8,    /* ready, and nobody's yet */
    DISK_TEMPLATES_MAX = 8, /* of as many sizes */
    DISK_ASKED_MAX = 16,    /* starts remembered */
    DISK_SPARES_MS = 500,   /* spares are made and kept for as many starts as were that lately */
};

struct disk_template {
    uint64_t size_bytes; /* 0: none */
    int fd;              /* owned */
};

struct disk_job {
    struct maker maker; /* pid 0: the slot is free */
    uint64_t size_bytes;
    struct uid_range uids; /* mkfs's, where there is no template yet */
    bool network;          /* it makes a network namespace, too */
};

struct disk_spare {
    uint64_t size_bytes; /* 0: none */
    struct disk disk;
};

struct disk_clearing {
    struct maker maker;
    uint64_t size_bytes;
};

struct disks {
    struct disk_template templates[DISK_TEMPLATES_MAX];
    uint32_t template_next; /* the oldest, or a free one */
    struct disk_job jobs[DISK_JOBS_MAX];
    struct disk_spare spares[DISK_SPARES_MAX];
    struct disk_clearing clearings[2 * REPLICAS_PER_NODE_MAX];
    uint64_t asked_bytes;              /* the size asked for last ... */
    uint64_t asked_ms[DISK_ASKED_MAX]; /* ... and when, a ring */
    uint32_t asked_next;
    struct makers makers; /* of disks and roots */
};

struct helper;

void disks_init(struct disks *disks);
/* A disk of that size is wanted now: how many will soon be follows from that. */
void disks_asked(struct disks *disks, uint64_t size_bytes, uint64_t at_ms);
/* How many spares of the size asked for last are worth having. Pure. */
uint32_t disks_spares_wanted(const struct disks *disks, uint64_t at_ms);
/* Is there nothing ready, be it a disk or a maker, that disks_tick lets go after a while? */
bool disks_rest(const struct disks *disks);
/* Takes a ready one. Returns false when there is none of that size. */
bool disks_take(struct disks *disks, uint64_t size_bytes, struct disk *disk_out);
/*
 * Takes a disk that is not needed any more, and lets its mount go elsewhere. Returns false, with
 * the disk still the caller's, when that cannot be begun now. Fine with a disk that is none.
 */
bool disks_clear(struct disks *disks, struct disk *disk, uint64_t size_bytes);
/*
 * One round: takes what has been made and gives it to replicas that wait (or ends them when it
 * failed), reaps what is over, begins what is wanted and fits. Never waits.
 */
void disks_tick(struct helper *helper, uint64_t at_ms);
/* The last part of that, at once: somebody new waits. */
void disks_begin(struct helper *helper);
/* The helper leaves: spares go. Returns whether nothing is left, being made or being cleared. */
bool disks_over(struct helper *helper);
/* Calls `watch` with each descriptor that becomes readable when disks_tick has something to do. */
void disks_each_fd(const struct disks *disks, void (*watch)(void *context, int fd), void *context);
