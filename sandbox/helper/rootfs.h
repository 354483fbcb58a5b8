// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a replica sees as "/": the service's tree, read-only and shown as the service user's, under
 * a writable layer on the replica's own disk.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/ids.h"

struct rootfs_plan {
    const char *trees;   /* the agent's folder of trees: absolute path */
    const char *layers;  /* a folder of ours with the folders "lower" and "disk" in it */
    struct tree_id tree; /* the tree's name is its hash in hexadecimal */
    uid_t agent_uid;     /* who owns every file of the tree ... */
    gid_t agent_gid;
    uid_t service_id; /* ... and whom they belong to inside; a uid and gid of the host */
    int idmap_fd;     /* borrowed: rootfs_idmap's for the same ids */
    int disk_fd;      /* borrowed: the detached mount of the replica's disk, prepared */
    const char *hostname;
    bool egress; /* then names are asked of minga-egress */
};

enum rootfs_etc {
    ROOTFS_ETC_BARE, /* none, or without "hosts" */
    ROOTFS_ETC_HOSTS,
    ROOTFS_ETC_ODD, /* no folder: left as it is */
};

/*
 * What the folder "etc" of a tree is. Follows no link: a stranger's would be followed by root, and
 * from the host's "/".
 */
enum rootfs_etc rootfs_etc(int tree_fd);
/*
 * Puts the folders onto an empty disk that every root needs. Returns 0 or -errno. This and
 * rootfs_make() want to be called without a umask.
 */
int rootfs_prepare(int disk_fd, struct err *err);
/*
 * Returns a user namespace, nobody's, that says whose the tree's files are. May be used for any
 * number of roots whose agent and service have the same ids.
 */
int rootfs_idmap(const struct rootfs_plan *plan, struct err *err);
/*
 * Returns the descriptor of a detached overlay mount, or -errno. Kernels before 6.15 stack layers
 * only that are attached somewhere: there the caller finds itself in another mount namespace, where
 * they are, and has to end soon.
 */
int rootfs_make(const struct rootfs_plan *plan, bool *left_mounts_out, struct err *err);
