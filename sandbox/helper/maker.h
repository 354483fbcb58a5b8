// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What waits for a disk or for the kernel, each in a process of its own, so that the helper waits
 * for none: a disk is made, a root is stacked on it, a disk is cleared away. What they make has no
 * name anywhere, so nothing is left of it when they or the helper die.
 *
 * To fork the helper and to end its copy costs more than most of that: while starts follow each
 * other, a maker that has answered stays for the next order.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/helper/disk.h"
#include "sandbox/helper/making.h"
#include "sandbox/helper/rootfs.h"

enum {
    MAKERS_IDLE_MAX = 8,
    MAKER_IDLE_MS = 500, /* then it goes */
};

struct maker {
    pid_t pid; /* 0: none, or it is over */
    int pidfd;
    int answer_fd; /* readable when it has made it, or failed, or died; -1: no answer comes */
};

struct made {
    int fd;         /* owned: the detached mount of the root or of the disk */
    int devices_fd; /* owned: of a root, its detached /dev; -1: none */
    int more_fd;    /* owned: the new template of a disk, or id map of a root, if none was given; or
                    the network namespace of a disk, if one was wanted; -1: none of these */
    int loop_number; /* of a disk */
    char backing[LOOP_TEXT_BYTES_MAX];
};

struct makers {     /* that nobody has */
    int network_fd; /* owned: the empty one that the helper, and all makers, are in */
    struct {
        struct maker maker;
        uint64_t until_ms; /* 0: it is leaving */
    } idle[MAKERS_IDLE_MAX];
};

void makers_init(struct makers *makers);
/* Those whose time has come go. */
void makers_tick(struct makers *makers, uint64_t at_ms);
bool makers_has_idle(const struct makers *makers);
/* All go. Returns whether none is left. */
bool makers_over(struct makers *makers);
/* Calls `watch` with each descriptor that becomes readable when makers_tick has something to do. */
void makers_each_fd(const struct makers *makers, void (*watch)(void *context, int fd),
                    void *context);

void maker_init(struct maker *maker);
/* Begin, in an empty maker. Everything is borrowed for the call only. */
int maker_begin_disk(struct makers *makers, const struct disk_plan *plan, struct maker *maker,
                     struct err *err);
int maker_begin_root(struct makers *makers, const struct rootfs_plan *plan, struct maker *maker,
                     struct err *err);
/* Takes the mount and lets go of it there: the last one to do so waits for the disk. */
int maker_begin_clearing(struct makers *makers, int *mount_fd, struct maker *maker,
                         struct err *err);
/*
 * Reads the answer, when answer_fd is readable. Returns 0 or what went wrong. The maker is empty
 * then, or maker_over() is to be asked until it is.
 */
int maker_answer(struct makers *makers, struct maker *maker, struct made *made_out,
                 struct err *err);
/* Ends it if its answer is still to come, without waiting. Returns whether it is over. */
bool maker_over(struct maker *maker);
