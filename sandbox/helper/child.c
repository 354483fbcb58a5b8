// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/helper/mounts.h"
#include "sandbox/helper/packet.h"
#include "sandbox/helper/tun.h"

enum { DESCRIPTORS_MAX = INIT_FD_LAST + 1, HIGH_FD = 64 };

static int enter_cgroup(const struct child_plan *plan, struct err *err)
{
    for (int i = 0; plan->enters && i < CGROUP_ENTRIES; i++) {
        if (write(plan->init_entries[i], CGROUP_ENTER, strlen(CGROUP_ENTER)) < 0) {
            return err_set(err, -errno, "enter the control group: %m");
        }
    }
    return 0;
}

/*
 * The helper may die while we wait, before or after the death signal is set: both end us.
 */
static void await(const struct child_plan *plan, struct packet_fds *given_out)
{
    char go;

    if (packet_receive(plan->setup_fd, &go, 1, 0, given_out) != 1) {
        _exit(1);
    }
}

/* The helper makes them while we are furnishing. */
static int receive_belongings(struct child_plan *plan, struct err *err)
{
    struct packet_fds given;

    await(plan, &given);
    for (size_t i = 0; i < CHILD_BELONGINGS; i++) {
        plan->belongings[i] = given.fds[i];
    }
    return given.count == CHILD_BELONGINGS ? 0
                                           : err_set(err, -EBADMSG, "its belongings did not come");
}

/* Becoming uid 0 of the namespace clears the death signal, so it is set again. */
static int become_root_inside(struct err *err)
{
    if (setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
        return err_set(err, -errno, "become root of the user namespace: %m");
    }
    return 0;
}

/*
 * What is written to memory (memfd_create) is not executed in the new pid namespace. The setting
 * is the namespace's, but its file is the host root's, so this comes before we are nobody there. A
 * kernel before 6.3 has none, and a host whose /proc/sys is read-only keeps it from us.
 */
static void forbid_code_in_memory(void)
{
    CLEANUP(cleanup_close) int fd = open("/proc/sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, "1", 1) != 1) {
        errno = 0; /* as good as no such setting */
    }
}

/*
 * As the host's root (without its capabilities: those ended at the border of the user namespace)
 * we may still pass the folders above `stage` and `place`; as uid 0 of the namespace no longer.
 */
static int enter_folders(const struct child_plan *plan, int *place_fd_out, struct err *err)
{
    *place_fd_out = open(plan->place, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*place_fd_out < 0) {
        return err_set(err, -errno, "%s: %m", plan->place);
    }
    return chdir(plan->stage) < 0 ? err_set(err, -errno, "%s: %m", plan->stage) : 0;
}

static int move_into(int root_fd, const char *from, const char *to, struct err *err)
{
    if (move_mount(AT_FDCWD, from, root_fd, to, 0) < 0) {
        return err_set(err, -errno, "move /%s into the root: %m", to);
    }
    return 0;
}

/* From the stage. Its maker may still be at the root when all else is furnished. */
static int enter_root(const struct child_plan *plan, int place_fd, struct err *err)
{
    struct packet_fds given;

    await(plan, &given);
    CLEANUP(cleanup_close) int root_fd = given.fds[0];
    CLEANUP(cleanup_close) int devices_fd = given.fds[1];
    if (root_fd < 0 || devices_fd < 0) {
        return err_set(err, -EBADMSG, "the root did not come");
    }
    if (move_mount(root_fd, "", place_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
        0) {
        return err_set(err, -errno, "attach the root: %m");
    }
    if (move_mount(devices_fd, "", root_fd, "dev", MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        return err_set(err, -errno, "attach /dev: %m");
    }
    int r = move_into(root_fd, "shm", "dev/shm", err);
    if (r == 0) {
        r = move_into(root_fd, "proc", "proc", err);
    }
    if (r == 0 && fchdir(root_fd) < 0) {
        r = err_set(err, -errno, "enter the root: %m");
    }
    return r;
}

/* The old root ends up below the new one at the same place, and goes. */
static int leave_old_root(struct err *err)
{
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) {
        return err_set(err, -errno, "pivot the root: %m");
    }
    return 0;
}

/* What can be done before there are maps and a root. */
static int begin(struct err *err)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
        return err_set(err, -errno, "death signal: %m");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return err_set(err, -errno, "private mounts: %m");
    }
    return 0;
}

static int furnish(const struct child_plan *plan, struct err *err)
{
    CLEANUP(cleanup_close) int place_fd = -1;
    struct packet_fds nothing;
    int r;

    forbid_code_in_memory();
    r = plan->egress ? tun_hand_out(plan->setup_fd, err) : 0;
    if (r == 0) {
        r = enter_folders(plan, &place_fd, err);
    }
    if (r == 0) {
        await(plan, &nothing); /* the maps are written */
        r = become_root_inside(err);
    }
    /* Now that we were moved into the replica's group, it is what the namespace calls "/". */
    if (r == 0 && unshare(CLONE_NEWCGROUP) < 0) {
        r = err_set(err, -errno, "cgroup namespace: %m");
    }
    if (r == 0) {
        r = furniture_make(&plan->furniture, err);
    }
    if (r == 0) {
        r = enter_root(plan, place_fd, err);
    }
    if (r == 0) {
        r = leave_old_root(err);
    }
    if (r == 0 && sethostname(plan->hostname, strlen(plan->hostname)) < 0) {
        r = err_set(err, -errno, "host name: %m");
    }
    return r;
}

static int limit_resources(struct err *err)
{
    static const struct rlimit no_core = {CORE_BYTES_MAX, CORE_BYTES_MAX};
    struct rlimit files;

    if (setrlimit(RLIMIT_CORE, &no_core) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return err_set(err, -errno, "limits: %m");
    }
    /* Not fewer yet: what we were forked with, and arrange next, are all of the helper's. */
    files.rlim_max = files.rlim_max < 65536 ? files.rlim_max : 65536;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        return err_set(err, -errno, "limit of open files: %m");
    }
    return 0;
}

/* Puts the descriptors where init_protocol.h says, without running over one still needed. */
static int arrange_descriptors(const struct child_plan *plan, int *init_fd, int *setup_fd,
                               struct err *err)
{
    int wanted[DESCRIPTORS_MAX];
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int count = INIT_FD_PORTS + (int)plan->port_count;

    for (int i = 0; i <= 2; i++) {
        wanted[i] = null_fd;
    }
    wanted[INIT_FD_CONTROL] = plan->control_fd;
    wanted[INIT_FD_LISTEN] = plan->belongings[CHILD_LISTEN];
    wanted[INIT_FD_SPEC] = plan->belongings[CHILD_SPEC];
    wanted[INIT_FD_FILTER] = plan->filter_fd;
    wanted[INIT_FD_LOG] = plan->belongings[CHILD_LOG];
    wanted[INIT_FD_LOG_OTHER] = plan->belongings[CHILD_LOG_OTHER];
    wanted[INIT_FD_UIDS] = plan->lock_fd;
    for (int i = 0; i < CGROUP_ENTRIES; i++) {
        wanted[INIT_FD_ENTRIES + i] = plan->service_entries[i];
    }
    wanted[INIT_FD_LINE] = plan->belongings[CHILD_LINE];
    for (uint32_t i = 0; i < plan->port_count; i++) {
        wanted[INIT_FD_PORTS + i] = plan->port_fds[i];
    }
    for (int i = 0; i < count; i++) {
        wanted[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, HIGH_FD);
        if (wanted[i] < 0) {
            return err_set(err, -errno, "descriptors: %m");
        }
    }
    *init_fd = fcntl(plan->init_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    *setup_fd = fcntl(plan->setup_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (*init_fd < 0 || *setup_fd < 0) {
        return err_set(err, -errno, "descriptors: %m");
    }
    for (int i = 0; i < count; i++) {
        if (dup2(wanted[i], i) < 0) {
            return err_set(err, -errno, "descriptors: %m");
        }
    }
    /* Everything else goes at execve; setup_fd too, which tells the helper that it worked. */
    if (close_range((unsigned int)count, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
        return err_set(err, -errno, "descriptors: %m");
    }
    return 0;
}

static int execute_init(int init_fd, struct err *err)
{
    static char name[] = "minga-init";
    static char *const arguments[] = {name, NULL};
    static char *const no_environment[] = {NULL};
    sigset_t no_signals;

    sigemptyset(&no_signals);
    pthread_sigmask(SIG_SETMASK, &no_signals, NULL);
    syscall(SYS_execveat, init_fd, "", arguments, no_environment, AT_EMPTY_PATH);
    return err_set(err, -errno, "execute minga-init: %m");
}

_Noreturn void child_run(struct child_plan *plan)
{
    struct child_failure failure = {0};
    struct err err = {0};
    int setup_fd = plan->setup_fd;
    int init_fd = plan->init_fd;
    int r = enter_cgroup(plan, &err);

    if (r == 0) {
        r = begin(&err);
    }
    if (r == 0) {
        r = furnish(plan, &err);
    }
    if (r == 0 && setsid() < 0) {
        r = err_set(&err, -errno, "session: %m");
    }
    umask(022);
    if (r == 0) {
        r = limit_resources(&err);
    }
    if (r == 0) {
        r = receive_belongings(plan, &err);
    }
    if (r == 0) {
        r = arrange_descriptors(plan, &init_fd, &setup_fd, &err);
    }
    if (r == 0) {
        execute_init(init_fd, &err);
    }
    failure.code = err.code;
    memcpy(failure.text, err.text, sizeof(failure.text));
    send(setup_fd, &failure, sizeof(failure), MSG_NOSIGNAL);
    _exit(1);
}
