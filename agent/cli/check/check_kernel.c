// SPDX-License-Identifier: GPL-3.0-or-later
/* What sandboxes are made of: namespaces, mounts, filters, control groups. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cli/check/check.h"
#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/cgroup.h"

enum { PATH_BYTES = 128, LOOP_FREE = 0x4C82 };

/* Runs `try` in a child; its status is the errno, 0 for success. */
static int in_child(int (*try)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(try());
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return EIO;
    }
    return WEXITSTATUS(status);
}

static void judge(struct check_result *result, int code)
{
    if (code == 0) {
        check_have(result, "works");
    } else if (geteuid() != 0 && (code == EPERM || code == EACCES)) {
        check_unknown(result, "only root can tell");
    } else {
        check_missing(result, "%s", err_text(code));
    }
}

static void probe_release(struct check_result *result)
{
    struct utsname name;

    if (uname(&name) == 0) {
        check_have(result, "%.60s", name.release);
    } else {
        check_missing(result, "%s", err_text(errno));
    }
}

/* The user namespace first, as an ordinary user has to. */
static int try_namespaces(void)
{
    const int others =
        CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

    return unshare(CLONE_NEWUSER) < 0 || unshare(others) < 0 ? errno : 0;
}

static void probe_namespaces(struct check_result *result)
{
    judge(result, in_child(try_namespaces));
}

static int try_clone3(void)
{
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));

    if (pid == 0) {
        _exit(0);
    }
    if (pid < 0) {
        return errno;
    }
    waitpid(pid, NULL, 0);
    return 0;
}

static void probe_clone3(struct check_result *result)
{
    judge(result, in_child(try_clone3));
}

static int try_openat2(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    CLEANUP(cleanup_close) int root_fd = open("/", O_PATH | O_CLOEXEC);

    return syscall(SYS_openat2, root_fd, "proc", &how, sizeof(how)) < 0 ? errno : 0;
}

static void probe_openat2(struct check_result *result)
{
    judge(result, in_child(try_openat2));
}

static int try_overlay(void)
{
    return syscall(SYS_fsopen, "overlay", 0) < 0 ? errno : 0;
}

static void probe_overlay(struct check_result *result)
{
    judge(result, in_child(try_overlay));
}

/* A user namespace that maps one id; its first process waits to be killed. */
static int open_id_map(pid_t *pid_out)
{
    struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    char path[PATH_BYTES];

    *pid_out = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (*pid_out == 0) {
        pause();
        _exit(0);
    }
    if (*pid_out < 0) {
        return -1;
    }
    static const char *const maps[] = {"uid_map", "gid_map"};
    for (size_t i = 0; i < ARRAY_COUNT(maps); i++) {
        snprintf(path, sizeof(path), "/proc/%d/%s", *pid_out, maps[i]);
        CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0 1000 1", 8) != 8) {
            return -1;
        }
    }
    snprintf(path, sizeof(path), "/proc/%d/ns/user", *pid_out);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* On the file system where the trees are. */
static int try_idmap(void)
{
    const char *place = access("/var/lib/minga", F_OK) == 0 ? "/var/lib/minga" : "/var/lib";
    pid_t pid = -1;
    CLEANUP(cleanup_close) int map_fd = open_id_map(&pid);
    int code = errno;

    if (map_fd >= 0) {
        CLEANUP(cleanup_close)
        int tree_fd = open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        struct mount_attr wanted = {.attr_set = MOUNT_ATTR_IDMAP,
                                    .userns_fd = (uint64_t)(unsigned int)map_fd};

        code = tree_fd < 0 || mount_setattr(tree_fd, "", AT_EMPTY_PATH, &wanted, sizeof(wanted)) < 0
                   ? errno
                   : 0;
    }
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return code;
}

static void probe_idmap(struct check_result *result)
{
    judge(result, in_child(try_idmap));
}

static int try_loop(void)
{
    CLEANUP(cleanup_close) int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    return fd < 0 || ioctl(fd, LOOP_FREE) < 0 ? errno : 0;
}

static void probe_loop(struct check_result *result)
{
    judge(result, in_child(try_loop));
}

static int try_ext4(void)
{
    return syscall(SYS_fsopen, "ext4", 0) < 0 ? errno : 0;
}

static void probe_ext4(struct check_result *result)
{
    judge(result, in_child(try_ext4));
}

static void probe_seccomp(struct check_result *result)
{
    const uint32_t action = SECCOMP_RET_ERRNO;

    judge(result, syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? errno : 0);
}

static void probe_landlock(struct check_result *result)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version < 0) {
        check_missing(result, "%s", err_text(errno));
    } else {
        check_have(result, "ABI %ld", version);
    }
}

static void probe_memory_code(struct check_result *result)
{
    if (access("/proc/sys/vm/memfd_noexec", F_OK) == 0) {
        check_have(result, "vm.memfd_noexec");
    } else {
        check_missing(result, "the kernel is older than 6.3");
    }
}

static void look_at_cgroups(struct check_result *result)
{
    struct cgroups *cgroups = NULL;
    struct err err = {0};

    if (cgroups_open("minga-check", &cgroups, &err) < 0) {
        check_missing(result, "%.180s", err.text);
        return;
    }
    struct cgroup_ability ability = cgroups_ability(cgroups);
    cgroups_free(cgroups);
    if (ability.reason[0] != '\0') {
        check_missing(result, "%.180s", ability.reason);
    } else {
        check_have(result, "version %d: cpu, memory with swap, pids, freezer", ability.version);
    }
}

/* In a child: where systemd delegates a group, looking moves the one who looks. */
static void probe_cgroups(struct check_result *result)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        check_unknown(result, "%s", err_text(errno));
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        look_at_cgroups(result);
        _exit(write(ends[1], result, sizeof(*result)) == (ssize_t)sizeof(*result) ? 0 : 1);
    }
    close(ends[1]);
    if (pid < 0 || read(ends[0], result, sizeof(*result)) != (ssize_t)sizeof(*result)) {
        check_unknown(result, "it could not be asked");
    }
    close(ends[0]);
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
}

static bool file_has(const char *path, const char *word)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    char line[512];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, word) != NULL) {
            return true;
        }
    }
    return false;
}

static void probe_io(struct check_result *result)
{
    if (file_has("/sys/fs/cgroup/cgroup.controllers", "io")) {
        check_have(result, "controller io: replicas yield to the machine's owner, and share");
    } else {
        check_missing(result, "what replicas read and write is measured, not shared by weight");
    }
}

static void probe_into_cgroup(struct check_result *result)
{
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
        check_have(result, "version 2: clone3 into the group");
    } else {
        check_missing(result, "version 1: a process enters its group itself");
    }
}

static bool loads_formats(const char *release)
{
    char *end = NULL;
    const unsigned long major_number = strtoul(release, &end, 10);
    const unsigned long minor_number = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

    return major_number < 6 || (major_number == 6 && minor_number < 14);
}

/* Eight arbitrary bytes are enough, and nobody's limit counts what the kernel then runs as root. */
static void probe_formats(struct check_result *result)
{
    struct utsname name;

    if (uname(&name) < 0) {
        check_unknown(result, "%s", err_text(errno));
    } else if (!loads_formats(name.release)) {
        check_have(result, "the kernel looks for no module that might know them");
    } else if (!file_has("/proc/sys/kernel/modprobe", "/")) {
        check_have(result, "the kernel runs no modprobe");
    } else {
        check_missing(result, "the kernel runs modprobe for each that a service executes");
    }
}

/* core(5): of a program ('|') the kernel heeds a limit of 1, of a socket ('@') none. */
static void probe_cores(struct check_result *result)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");

    if (file != NULL && fgetc(file) == '@') {
        check_missing(result, "the kernel gives them to a socket, whatever their limit");
    } else {
        check_have(result, "nobody is given what a replica leaves when it crashes");
    }
}

static const struct check rows[] = {
    {"kernel", CHECK_BETTER, probe_release, "", ""},
    {"namespaces", CHECK_TO_RUN, probe_namespaces, "a sandbox is made of them",
     "a kernel with user, mount, pid, network, IPC, UTS and cgroup namespaces; "
     "sysctl user.max_user_namespaces above 0"},
    {"clone3 and pidfd", CHECK_TO_RUN, probe_clone3, "processes cannot be held safely",
     "Linux 5.3 or newer"},
    {"openat2", CHECK_TO_RUN, probe_openat2, "trees cannot be opened without following links",
     "Linux 5.6 or newer"},
    {"id-mapped mounts", CHECK_TO_RUN, probe_idmap, "a tree cannot be shown as the service's",
     "Linux 5.19 or newer, and ext4, xfs or btrfs below /var/lib/minga"},
    {"overlayfs", CHECK_TO_RUN, probe_overlay, "a tree cannot be written over", "modprobe overlay"},
    {"loop devices", CHECK_TO_RUN, probe_loop, "a replica cannot have a disk of its own",
     "modprobe loop"},
    {"ext4", CHECK_TO_RUN, probe_ext4, "a replica cannot have a disk of its own", "modprobe ext4"},
    {"seccomp", CHECK_TO_RUN, probe_seccomp, "system calls cannot be filtered",
     "a kernel with CONFIG_SECCOMP_FILTER"},
    {"control groups", CHECK_TO_RUN, probe_cgroups,
     "limits cannot be held: this machine runs nothing",
     "boot with what the note says; on a Raspberry Pi cgroup_enable=memory"},
    {"shares of disk bandwidth", CHECK_BETTER, probe_io, "a replica may keep the disks busy",
     "boot with systemd.unified_cgroup_hierarchy=1, and a kernel with CONFIG_BLK_CGROUP"},
    {"birth inside the group", CHECK_BETTER, probe_into_cgroup, "starts take a little longer",
     "boot with systemd.unified_cgroup_hierarchy=1"},
    {"Landlock", CHECK_BETTER, probe_landlock, "bundles are unpacked behind one wall less",
     "boot with lsm=landlock,... (see /sys/kernel/security/lsm)"},
    {"no code in memory", CHECK_BETTER, probe_memory_code, "a service may execute what no file has",
     "Linux 6.3 or newer"},
    {"cores", CHECK_BETTER, probe_cores,
     "a program of this machine's looks at what crashes inside, outside of all limits",
     "sysctl kernel.core_pattern that does not begin with @"},
    {"files of no known format", CHECK_BETTER, probe_formats,
     "a service can keep processors busy beyond its limit",
     "Linux 6.14 or newer; or sysctl kernel.modprobe=\"\" once all modules are loaded"},
};

const struct check_group kernel_checks = {"kernel", rows, ARRAY_COUNT(rows)};
