// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/way_out.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/egress/egress.h"
#include "sandbox/helper/memory_file.h"
#include "sandbox/helper/say.h"
#include "sandbox/helper/setup.h"
#include "sandbox/init_protocol.h"

enum { HIGH_FD = 64, NUMBER_TEXT_BYTES = 16, CAPABILITY_LAST = 63 };

void way_out_keep(struct helper *helper)
{
    struct err err = {0};

    helper->egress_program_fd = setup_open_beside("minga-egress", &err);
    if (helper->egress_program_fd < 0) {
        helper->egress_program_fd = -1;
        if (helper->limits.egress != 0) {
            log_warning("no egress: %s", err.text);
        }
        return;
    }
    helper->network_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

const char *way_out_problem(const struct helper *helper)
{
    if (helper->limits.egress == 0) {
        return "no way to the Internet is given (minga.yaml: network.egress)";
    }
    if (helper->egress_program_fd < 0 || helper->network_fd < 0) {
        return "egress: minga-egress is missing";
    }
    if (access(EGRESS_STACK_PROGRAM, X_OK) < 0) {
        return "egress: " EGRESS_STACK_PROGRAM " is missing: install the package passt";
    }
    return access("/dev/net/tun", F_OK) < 0 ? "egress: this kernel has no /dev/net/tun" : NULL;
}

/* Nobody else has this range, so these ports are this replica's alone. */
static unsigned udp_first(const struct helper *helper, const struct replica *replica)
{
    unsigned index = 0;

    for (uint32_t i = 0; i < helper->limits.uid_span_count; i++) {
        const struct uid_span *span = &helper->limits.uid_spans[i];

        if (replica->uids.first >= span->first && replica->uids.first <= span->last) {
            index += (replica->uids.first - span->first) / UID_RANGE_COUNT;
            break;
        }
        index += (span->last - span->first + 1) / UID_RANGE_COUNT;
    }
    return EGRESS_PORT_FIRST + index % EGRESS_SLICES * EGRESS_PORTS_PER_SLICE;
}

/* Where the first process was born in its group, there are no entries: only the folder is open. */
static int enter_folder(int group_fd)
{
    CLEANUP(cleanup_close) int fd = openat(group_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, CGROUP_ENTER, strlen(CGROUP_ENTER)) < 0 ? -errno : 0;
}

static int enter_group(const struct replica *replica)
{
    if (replica->launch.group_fd >= 0) {
        return enter_folder(replica->launch.group_fd);
    }
    for (int i = 0; i < CGROUP_ENTRIES; i++) {
        if (write(replica->launch.init_entries[i], CGROUP_ENTER, strlen(CGROUP_ENTER)) < 0) {
            return -errno;
        }
    }
    return 0;
}

static void uncover(const char *path)
{
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
}

/*
 * passt covers /tmp whenever it starts. The helper's is a folder that systemd removes when the
 * helper ends (PrivateTmp=), with all that is mounted on it, and then nothing can be: this has one
 * of its own, on the host's. What the helper stacks at this moment is not held here.
 */
static int make_own_tmp(const struct helper *helper)
{
    static const char *const stacked[] = {"lower", "disk", "root"};
    char path[FOLDER_BYTES_MAX + 8];

    if (unshare(CLONE_NEWNS) < 0) {
        return -errno;
    }
    for (size_t i = 0; i < ARRAY_COUNT(stacked); i++) {
        snprintf(path, sizeof(path), "%s/%s", helper->folders.layers, stacked[i]);
        uncover(path);
    }
    uncover("/tmp");
    return mount("minga-egress", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
                 "size=4k,nr_inodes=2,mode=555") < 0
               ? -errno
               : 0;
}

/* Everything that the helper has and this must not: namespaces, capabilities, ids, descriptors. */
static int leave_helper(const struct helper *helper, uid_t id)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    sigset_t signals;

    sigemptyset(&signals);
    if (setns(helper->network_fd, CLONE_NEWNET) < 0 || setsid() < 0 || chdir("/") < 0 ||
        sigprocmask(SIG_SETMASK, &signals, NULL) < 0 || setgroups(0, NULL) < 0) {
        return -errno;
    }
    for (unsigned long capability = 0; capability <= CAPABILITY_LAST; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL) {
            return -errno;
        }
    }
    if (setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0 ||
        syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -errno;
    }
    return 0;
}

static int arrange(const struct helper *helper, const struct replica *replica, int *program_fd)
{
    int tun_fd = fcntl(replica->launch.tun_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    int init_fd = fcntl(replica->pidfd, F_DUPFD_CLOEXEC, HIGH_FD);
    int line_fd = fcntl(replica->line_fd, F_DUPFD_CLOEXEC, HIGH_FD);

    *program_fd = fcntl(helper->egress_program_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (tun_fd < 0 || init_fd < 0 || line_fd < 0 || *program_fd < 0 ||
        dup2(tun_fd, EGRESS_FD_TUN) < 0 || dup2(init_fd, EGRESS_FD_INIT) < 0 ||
        dup2(line_fd, EGRESS_FD_LINE) < 0 ||
        close_range(EGRESS_FD_LINE + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
        return -errno;
    }
    return 0;
}

static _Noreturn void become(const struct helper *helper, const struct replica *replica)
{
    static char name[] = "minga-egress";
    static char *const no_environment[] = {NULL};
    char port[NUMBER_TEXT_BYTES];
    char *const arguments[] = {name, port, NULL};
    int program_fd = -1;
    int r = enter_group(replica);

    snprintf(port, sizeof(port), "%u", udp_first(helper, replica));
    if (r == 0) {
        r = make_own_tmp(helper);
    }
    if (r == 0) {
        r = leave_helper(helper, replica->uids.first + INIT_UID);
    }
    if (r == 0) {
        r = arrange(helper, replica, &program_fd);
    }
    if (r == 0) {
        syscall(SYS_execveat, program_fd, "", arguments, no_environment, AT_EMPTY_PATH);
        r = -errno;
    }
    errno = -r;
    say_replica(replica, LOG_LEVEL_WARNING, "egress-failed", "minga-egress: %m");
    _exit(1);
}

/* Nobody's child here: it is not waited for, and a later helper could not either. */
int way_out_start(struct helper *helper, struct replica *replica, struct err *err)
{
    int status = 0;
    pid_t pid;

    CHECK(replica->launch.tun_fd >= 0 && replica->pidfd >= 0 && replica->line_fd >= 0);
    pid = fork();
    if (pid == 0) {
        pid = fork();
        if (pid == 0) {
            become(helper, replica);
        }
        _exit(pid < 0 ? 1 : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        return err_set(err, -EAGAIN, "egress: no process for it");
    }
    return 0;
}
