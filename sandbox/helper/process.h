// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What /proc knows and takes about a process of the host. */
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct id_map { /* `count` ids from `inside` on are `outside` and up */
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};

/* Writes the maps of a process's new user namespace. setgroups stays allowed inside. */
int process_write_maps(pid_t pid, struct id_map uids, struct id_map gids, struct err *err);
/* The third map, of projects' disk quotas. It takes no right to write it, but only the first can. */
int process_write_project_map(pid_t pid, struct id_map projects, struct err *err);

/*
 * When the host itself runs out of memory, its owner's programs are to live longer than ours:
 * makes the process, and what it starts, be preferred as victims.
 */
int process_offer_to_oom_killer(pid_t pid, struct err *err);

/*
 * When it started, in clock ticks since boot: pid and this together name a process for good.
 * Returns 0, or -ESRCH also for a zombie.
 */
int process_start_ticks(pid_t pid, uint64_t *ticks_out);

/* A random number of this boot of the machine, as hexadecimal text with dashes (36 chars). */
enum { BOOT_ID_BYTES_MAX = 40 };
int process_boot_id(char boot_id_out[BOOT_ID_BYTES_MAX]);

/* Bytes in use on the file system that the process has as root, and its size. */
int process_root_usage(pid_t pid, uint64_t *used_bytes_out);

/* CLOCK_MONOTONIC: leases and deadlines stand still while the machine sleeps, for nobody could renew
 * or obey meanwhile. */
uint64_t now_ms(void);

/* CLOCK_BOOTTIME, in which minga-init says when its service began. */
uint64_t boot_ms(void);
