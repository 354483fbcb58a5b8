// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The other side of maker.h: what a maker's process does, and what it and the helper tell each
 * other. It is a copy of the helper, made by fork, and does one order after the other.
 */
#include <stdbool.h>

#include "base/err.h"
#include "sandbox/environment.h"
#include "sandbox/helper/disk.h"
#include "sandbox/helper/packet.h"
#include "sandbox/helper/rootfs.h"

enum order_kind { ORDER_DISK, ORDER_ROOT, ORDER_CLEARING };

/*
 * With it come descriptors: a disk's template, if there is one; a root's disk and, if there is one,
 * id map; the mount to be cleared away, and a packet of one byte when the helper has let go of it.
 */
struct order {
    enum order_kind kind;
    /* Their pointers are to what stays the same while the helper lives: its own folders. */
    struct disk_plan disk;
    struct rootfs_plan root; /* but not its host name, which is this one */
    char hostname[sizeof(((struct sandbox_spec *)NULL)->hostname)];
};

struct answer {
    struct err err; /* code 0: it is made */
    int loop_number;
    char backing[LOOP_TEXT_BYTES_MAX];
    size_t fd_count; /* the root or disk, its devices, what the next one can be made of */
    bool has_devices;
    bool is_last; /* what is attached for a root goes with its maker, which ends now */
};

/*
 * In a fork. network_fd is the helper's own network namespace, where a maker is between two orders.
 * Ends the process when the other end of door_fd is closed, or parent_pid is dead.
 */
_Noreturn void making_run(int door_fd, int network_fd, pid_t parent_pid);
