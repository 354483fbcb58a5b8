// SPDX-License-Identifier: GPL-3.0-or-later
/* Changing what is mounted, and being somewhere else: all that a sandbox is made of. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

/* In the attempt's own process; whatever was mounted goes with the sandbox. */
static void open_namespace(const struct attempt *attempt, const struct facts *facts,
                           struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_RDONLY | O_CLOEXEC);

    (void)facts;
    if (fd < 0) {
        outcome_of_absence(out, errno);
    } else if (setns(fd, 0) < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "entered");
    }
}

static void enter_by_pidfd(const struct attempt *attempt, const struct facts *facts,
                           struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = (int)syscall(SYS_pidfd_open, 1, 0);

    (void)attempt;
    (void)facts;
    if (fd < 0 || setns(fd, CLONE_NEWNS) < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "entered those of init");
    }
}

/* In the child, too, which has nothing to do. */
static void judge_clone(long pid, struct outcome *out)
{
    if (pid == 0) {
        _exit(0);
    }
    if (pid < 0) {
        outcome_of_error(out, errno);
        return;
    }
    waitpid((pid_t)pid, NULL, 0);
    outcome_open(out, "made");
}

static void clone_namespace(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    long pid = syscall(SYS_clone, attempt->number | SIGCHLD, 0, 0, 0, 0);

    (void)facts;
    judge_clone(pid, out);
}

/* Its flags lie in memory, where a filter cannot look. */
static void clone3_namespace(const struct attempt *attempt, const struct facts *facts,
                             struct outcome *out)
{
    struct {
        uint64_t flags;
        uint64_t others[3];
        uint64_t exit_signal;
        uint64_t more[6];
    } arguments = {.flags = (uint64_t)attempt->number, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

    (void)facts;
    judge_clone(pid, out);
}

#define MOUNT(text, source, target, type, flags)                                 \
    {                                                                            \
        .name = (text), .run = attempt_call, .number = SYS_mount, .arguments = { \
            TEXT(source),                                                        \
            TEXT(target),                                                        \
            TEXT(type),                                                          \
            (flags),                                                             \
            0                                                                    \
        }                                                                        \
    }
#define ENTER(kind)                                                                          \
    {                                                                                        \
        .name = "enter " kind " of init", .run = open_namespace, .path = "/proc/1/ns/" kind, \
        .control = control_path                                                              \
    }
#define UNSHARE(text, flag)                                                                        \
    {                                                                                              \
        .name = "unshare " text, .run = attempt_call, .number = SYS_unshare, .arguments = { flag } \
    }
#define CLONE(text, flag)                                               \
    {                                                                   \
        .name = "clone " text, .run = clone_namespace, .number = (flag) \
    }

static const struct attempt mount_rows[] = {
    MOUNT("mount a tmpfs", "none", "/tmp", "tmpfs", 0),
    MOUNT("mount a proc", "none", "/tmp", "proc", 0),
    MOUNT("mount a sysfs", "none", "/tmp", "sysfs", 0),
    MOUNT("mount control groups", "none", "/tmp", "cgroup2", 0),
    MOUNT("mount an overlay", "none", "/tmp", "overlay", 0),
    MOUNT("mount the kernel's debugging files", "none", "/tmp", "debugfs", 0),
    MOUNT("mount a block device", "/dev/loop0", "/tmp", "ext4", 0),
    MOUNT("bind a folder elsewhere", "/proc", "/tmp", "", MS_BIND),
    MOUNT("move a mount", "/proc", "/tmp", "", MS_MOVE),
    MOUNT("make /proc/sys writable", "none", "/proc/sys", "", MS_REMOUNT | MS_BIND),
    MOUNT("share mounts with the host", "none", "/", "", MS_SHARED | MS_REC),
    CALL("uncover what is masked", SYS_umount2, TEXT("/proc/kcore"), MNT_DETACH),
    CALL("take /proc away", SYS_umount2, TEXT("/proc"), MNT_DETACH),
    CALL("pivot_root", SYS_pivot_root, TEXT("/"), TEXT("/tmp")),
    CALL("chroot", SYS_chroot, TEXT("/tmp")),
    CALL("fsopen", SYS_fsopen, TEXT("tmpfs"), 0),
    CALL("fspick", SYS_fspick, AT_FDCWD, TEXT("/"), 0),
    CALL("open_tree", SYS_open_tree, AT_FDCWD, TEXT("/"), OPEN_TREE_CLONE),
    CALL("move_mount", SYS_move_mount, AT_FDCWD, TEXT("/tmp"), AT_FDCWD, TEXT("/proc"), 0),
    CALL("mount_setattr", SYS_mount_setattr, AT_FDCWD, TEXT("/proc/sys"), 0, 0, 0),
    CALL("swapon", SYS_swapon, TEXT("/tmp/swap"), 0),
    CALL("swapoff", SYS_swapoff, TEXT("/swapfile")),
    CALL("quotactl", SYS_quotactl, 0, 0, 0, 0),
    CALL("fanotify_init", SYS_fanotify_init, 0, 0),
};

static const struct attempt namespace_rows[] = {
    UNSHARE("a user namespace", CLONE_NEWUSER),
    UNSHARE("a mount namespace", CLONE_NEWNS),
    UNSHARE("a pid namespace", CLONE_NEWPID),
    UNSHARE("a network namespace", CLONE_NEWNET),
    UNSHARE("an IPC namespace", CLONE_NEWIPC),
    UNSHARE("a UTS namespace", CLONE_NEWUTS),
    UNSHARE("a cgroup namespace", CLONE_NEWCGROUP),
    UNSHARE("a time namespace", CLONE_NEWTIME),
    UNSHARE("user and network namespaces", CLONE_NEWUSER | CLONE_NEWNET),
    CLONE("into a user namespace", CLONE_NEWUSER),
    CLONE("into a mount namespace", CLONE_NEWNS),
    CLONE("into a pid namespace", CLONE_NEWPID),
    CLONE("into a network namespace", CLONE_NEWNET),
    {.name = "clone3 into a user namespace", .run = clone3_namespace, .number = CLONE_NEWUSER},
    ENTER("user"),
    ENTER("mnt"),
    ENTER("pid"),
    ENTER("net"),
    ENTER("ipc"),
    ENTER("uts"),
    ENTER("cgroup"),
    {.name = "enter the namespaces of init by a pidfd", .run = enter_by_pidfd},
    CALL("set the host name", SYS_sethostname, TEXT("escaped"), 7),
    CALL("set the domain name", SYS_setdomainname, TEXT("escaped"), 7),
};

const struct attempt_group mounts_group = {"mounts", mount_rows, ARRAY_COUNT(mount_rows)};
const struct attempt_group namespaces_group = {"namespaces", namespace_rows,
                                               ARRAY_COUNT(namespace_rows)};
