// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/egress/egress.h"
#include "sandbox/helper/mounts.h"
#include "sandbox/helper/process.h"

enum { FD_TEXT_BYTES = 32, HOSTS_BYTES_MAX = 256 };

/*
 * The folder of trees is the agent's, so no link on the way may lead elsewhere, and a tree that
 * is not the agent's own is none.
 */
static int open_tree_folder(const struct rootfs_plan *plan, struct err *err)
{
    char name[ID_HEX_CHARS + 1];
    struct stat status;
    CLEANUP(cleanup_close) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_close) int trees_fd = open_no_links(root_fd, plan->trees + 1, err);

    if (trees_fd < 0) {
        return err_wrap(err, "folder of trees");
    }
    id_to_hex(&plan->tree.id, name);
    CLEANUP(cleanup_close) int tree_fd = open_beneath(trees_fd, name, err);
    if (tree_fd < 0 || fstat(tree_fd, &status) < 0) {
        return err_wrap(err, "tree");
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != plan->agent_uid) {
        return err_set(err, -EPERM, "tree %s: not a folder of the agent's", name);
    }
    return take_fd(&tree_fd);
}

/* By its parent, or with it. */
_Noreturn static void wait_to_be_killed(pid_t parent_pid)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent_pid) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

/* A user namespace that says: what belongs to the agent is shown as the service's. */
int rootfs_idmap(const struct rootfs_plan *plan, struct err *err)
{
    struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t parent_pid = getpid();
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    char path[PATH_MAX];
    int r;

    if (pid < 0) {
        return err_set(err, -errno, "user namespace: %m");
    }
    if (pid == 0) {
        wait_to_be_killed(parent_pid);
    }
    r = process_write_maps(pid, (struct id_map){plan->agent_uid, plan->service_id, 1},
                           (struct id_map){plan->agent_gid, plan->service_id, 1}, err);
    if (r == 0) {
        snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
        r = open(path, O_RDONLY | O_CLOEXEC);
        if (r < 0) {
            r = err_set(err, -errno, "%s: %m", path);
        }
    }
    kill(pid, SIGKILL); /* reaped by whoever calls, later: its death takes longer than the rest */
    return r;
}

static int make_lower(const struct rootfs_plan *plan, struct err *err)
{
    CLEANUP(cleanup_close) int tree_fd = open_tree_folder(plan, err);
    if (tree_fd < 0) {
        return tree_fd;
    }
    CLEANUP(cleanup_close)
    int lower_fd = open_tree(tree_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_IDMAP,
        .userns_fd = (unsigned int)plan->idmap_fd,
    };
    if (lower_fd < 0) {
        return err_set(err, -errno, "tree: open_tree: %m");
    }
    if (mount_setattr(lower_fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) {
        err_set(err, -errno, "tree: id-mapped mount: %m");
        return err_hint(err, "the file system of %s must support them (ext4, xfs, btrfs)",
                        plan->trees);
    }
    return take_fd(&lower_fd);
}

/* What must exist in every root, whatever the tree has of that name. */
static const struct {
    const char *name;
    mode_t mode;
} folders_of_all[] = {{"dev", 0755}, {"proc", 0555}, {"tmp", 01777}};

static int make_folder(int dir_fd, const char *name, mode_t mode, struct err *err)
{
    if (mkdirat(dir_fd, name, mode) < 0) {
        return err_set(err, -errno, "disk: folder %s: %m", name);
    }
    return 0;
}

static int give_folder(int dir_fd, const char *name, uid_t owner, struct err *err)
{
    if (fchownat(dir_fd, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0) {
        return err_set(err, -errno, "disk: folder %s: %m", name);
    }
    return 0;
}

static int open_layer(int disk_fd, const char *name, struct err *err)
{
    int fd = openat(disk_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 ? fd : err_set(err, -errno, "disk: %s: %m", name);
}

int rootfs_prepare(int disk_fd, struct err *err)
{
    if (make_folder(disk_fd, "upper", 0755, err) < 0 ||
        make_folder(disk_fd, "work", 0700, err) < 0) {
        return err->code;
    }
    CLEANUP(cleanup_close) int upper_fd = open_layer(disk_fd, "upper", err);
    int r = upper_fd < 0 ? upper_fd : 0;

    for (size_t i = 0; i < ARRAY_COUNT(folders_of_all) && r == 0; i++) {
        r = make_folder(upper_fd, folders_of_all[i].name, folders_of_all[i].mode, err);
    }
    return r;
}

static int make_etc_file(const struct rootfs_plan *plan, int upper_fd, const char *path,
                         const char *text, struct err *err)
{
    CLEANUP(cleanup_close)
    int fd = openat(upper_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0 || fchown(fd, plan->service_id, plan->service_id) < 0) {
        return err_set(err, -errno, "disk: %s: %m", path);
    }
    int r = file_write_all(fd, bytes_of_text(text));
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "disk: %s: %m", path);
    }
    return 0;
}

enum rootfs_etc rootfs_etc(int tree_fd)
{
    struct stat status;
    CLEANUP(cleanup_close)
    int etc_fd = openat(tree_fd, "etc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (etc_fd < 0) {
        return errno == ENOENT ? ROOTFS_ETC_BARE : ROOTFS_ETC_ODD;
    }
    return fstatat(etc_fd, "hosts", &status, AT_SYMLINK_NOFOLLOW) == 0 ? ROOTFS_ETC_HOSTS
                                                                       : ROOTFS_ETC_BARE;
}

/*
 * Without "hosts" localhost has no address; a tree that brings its own keeps it. Where names are
 * asked is ours to say.
 */
static int make_etc(const struct rootfs_plan *plan, int lower_fd, int upper_fd, struct err *err)
{
    static const char resolver[] =
        "nameserver " EGRESS_RESOLVER_IPV4 "\nnameserver " EGRESS_RESOLVER_IPV6 "\n";
    char hosts[HOSTS_BYTES_MAX];
    const enum rootfs_etc etc = rootfs_etc(lower_fd);

    if (etc == ROOTFS_ETC_ODD || (etc == ROOTFS_ETC_HOSTS && !plan->egress)) {
        return 0;
    }
    int r = make_folder(upper_fd, "etc", 0755, err);
    if (r == 0) {
        r = give_folder(upper_fd, "etc", plan->service_id, err);
    }
    if (r == 0 && etc != ROOTFS_ETC_HOSTS) {
        snprintf(hosts, sizeof(hosts), "127.0.0.1 localhost %s\n::1 localhost %s\n", plan->hostname,
                 plan->hostname);
        r = make_etc_file(plan, upper_fd, "etc/hosts", hosts, err);
    }
    if (r == 0 && plan->egress) {
        r = make_etc_file(plan, upper_fd, "etc/resolv.conf", resolver, err);
    }
    return r;
}

static int fill_upper(const struct rootfs_plan *plan, int lower_fd, int upper_fd, struct err *err)
{
    int r = give_folder(upper_fd, ".", plan->service_id, err);

    for (size_t i = 0; i < ARRAY_COUNT(folders_of_all) && r == 0; i++) {
        r = give_folder(upper_fd, folders_of_all[i].name, plan->service_id, err);
    }
    return r < 0 ? r : make_etc(plan, lower_fd, upper_fd, err);
}

/*
 * volatile: nobody waits for the disk, whose content ends with the replica. The other options
 * keep layers independent of what an overlay remembers about its lower one.
 */
static int stack_layers(int lower_fd, int upper_fd, int work_fd, struct err *err)
{
    char lower[FD_TEXT_BYTES];
    char upper[FD_TEXT_BYTES];
    char work[FD_TEXT_BYTES];
    const struct mount_option options[] = {
        {"lowerdir", lower},
        {"upperdir", upper},
        {"workdir", work},
        {"index", "off"},
        {"metacopy", "off"},
        {"xino", "off"},
        {"redirect_dir", "nofollow"},
        {"volatile", NULL},
        {NULL, NULL},
    };

    snprintf(lower, sizeof(lower), "/proc/self/fd/%d", lower_fd);
    snprintf(upper, sizeof(upper), "/proc/self/fd/%d", upper_fd);
    snprintf(work, sizeof(work), "/proc/self/fd/%d", work_fd);
    return mount_make("overlay", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, err);
}

/* What it attaches goes with the mount namespace: to detach it here waits for the kernel (RCU). */
static int attach_layers(const struct rootfs_plan *plan, int lower_fd, struct err *err)
{
    char lower_path[PATH_MAX];
    char disk_path[PATH_MAX];

    snprintf(lower_path, sizeof(lower_path), "%s/lower", plan->layers);
    snprintf(disk_path, sizeof(disk_path), "%s/disk", plan->layers);
    int r = mount_attach(lower_fd, lower_path, err);
    return r < 0 ? r : mount_attach(plan->disk_fd, disk_path, err);
}

/* A mount namespace of its own, so that makers side by side may attach at the same places. */
static int leave_mounts(struct err *err)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return err_set(err, -errno, "mount namespace: %m");
    }
    return 0;
}

int rootfs_make(const struct rootfs_plan *plan, bool *left_mounts_out, struct err *err)
{
    struct err refused = {0};
    CLEANUP(cleanup_close) int lower_fd = make_lower(plan, err);

    if (lower_fd < 0) {
        return lower_fd;
    }
    CLEANUP(cleanup_close) int upper_fd = open_layer(plan->disk_fd, "upper", err);
    CLEANUP(cleanup_close) int work_fd = open_layer(plan->disk_fd, "work", err);
    if (upper_fd < 0 || work_fd < 0) {
        return err->code;
    }
    int r = fill_upper(plan, lower_fd, upper_fd, err);
    if (r < 0) {
        return r;
    }
    r = stack_layers(lower_fd, upper_fd, work_fd, &refused);
    if (r >= 0) {
        return r;
    }
    *left_mounts_out = true;
    r = leave_mounts(err);
    if (r == 0) {
        r = attach_layers(plan, lower_fd, err);
    }
    return r < 0 ? r : stack_layers(lower_fd, upper_fd, work_fd, err);
}
