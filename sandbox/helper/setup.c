// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/helper/give_up.h"
#include "sandbox/helper/lines.h"
#include "sandbox/helper/lock.h"
#include "sandbox/helper/memory_file.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/seccomp.h"
#include "sandbox/helper/way_out.h"
#include "sandbox/init_protocol.h"

/* Whoever can write to one of our folders could put another in its place. */
static int make_own_folder(const char *path, mode_t mode, struct err *err)
{
    struct stat status;
    int r = file_make_folders(path, mode, err);

    if (r < 0) {
        return r;
    }
    if (lstat(path, &status) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != 0 || (status.st_mode & 022) != 0) {
        return err_set(err, -EPERM, "%s: must be a folder of root's that nobody else can write to",
                       path);
    }
    return 0;
}

static int join_path(char path_out[FOLDER_BYTES_MAX], const char *folder, const char *name,
                     struct err *err)
{
    if (snprintf(path_out, FOLDER_BYTES_MAX, "%s/%s", folder, name) >= FOLDER_BYTES_MAX) {
        return err_set(err, -ENAMETOOLONG, "%s/%s: path too long", folder, name);
    }
    return 0;
}

static int make_named_folder(char path_out[FOLDER_BYTES_MAX], const char *folder, const char *name,
                             struct err *err)
{
    int r = join_path(path_out, folder, name, err);

    return r < 0 ? r : make_own_folder(path_out, 0700, err);
}

static int make_layers(const char *layers, struct err *err)
{
    static const char *const names[] = {"lower", "disk", "root"};
    char path[FOLDER_BYTES_MAX];
    int r = 0;

    for (size_t i = 0; i < ARRAY_COUNT(names) && r == 0; i++) {
        r = make_named_folder(path, layers, names[i], err);
    }
    return r;
}

static int make_folders(const struct options *options, struct helper_folders *folders,
                        struct err *err)
{
    char run[FOLDER_BYTES_MAX];
    int r = make_own_folder(options->run, 0755, err);

    if (r == 0) {
        r = make_own_folder(options->state, 0755, err);
    }
    if (r == 0) {
        r = make_named_folder(run, options->run, "sandbox", err);
    }
    if (r == 0) {
        r = make_named_folder(folders->state, options->state, "sandbox", err);
    }
    if (r == 0) {
        r = make_named_folder(folders->logs, folders->state, "logs", err);
    }
    if (r == 0) {
        r = make_named_folder(folders->records, run, "replicas", err);
    }
    if (r == 0) {
        r = make_named_folder(folders->controls, run, "inits", err);
    }
    if (r == 0) {
        r = make_named_folder(folders->lines, run, "lines", err);
    }
    if (r == 0) {
        r = make_named_folder(folders->layers, run, "layers", err);
    }
    if (r == 0) {
        r = make_layers(folders->layers, err);
    }
    if (r == 0) {
        r = join_path(folders->socket, options->run, "sandbox.sock", err);
    }
    if (r == 0) {
        r = join_path(folders->lock, options->run, "sandbox.lock", err);
    }
    return r < 0 ? r : text_copy(folders->uids, sizeof(folders->uids), options->uids);
}

/*
 * What we attach for a moment while a root is stacked is seen by us only, while what the host
 * mounts and unmounts still reaches us. And no network: a helper that talks to one mingad over a
 * unix socket needs none. (Listening sockets that mingad hands over belong to its network.)
 */
static int leave_host(int *own_network_fd_out, struct err *err)
{
    static const struct rlimit no_core = {CORE_BYTES_MAX, CORE_BYTES_MAX};

    if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
        return err_set(err, -errno, "namespaces of our own: %m");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return err_set(err, -errno, "no new privileges: %m");
    }
    /* No process of ours has the host look at what it leaves when it dies; see CORE_BYTES_MAX. */
    if (setrlimit(RLIMIT_CORE, &no_core) < 0) {
        return err_set(err, -errno, "limit of cores: %m");
    }
    *own_network_fd_out = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return *own_network_fd_out < 0 ? err_set(err, -errno, "our network: %m") : 0;
}

int setup_open_beside(const char *name, struct err *err)
{
    char beside[PATH_MAX];
    ssize_t length;
    char *slash;

    length = readlink("/proc/self/exe", beside, sizeof(beside) - strlen(name) - 1);
    if (length < 0) {
        return err_set(err, -errno, "/proc/self/exe: %m");
    }
    beside[length] = '\0';
    slash = strrchr(beside, '/');
    if (slash == NULL) {
        return err_set(err, -ENOENT, "%s: not found beside this program", name);
    }
    memcpy(slash + 1, name, strlen(name) + 1);
    return memory_file_copy(beside, err);
}

static int open_cgroups(struct helper *helper, struct err *err)
{
    struct cgroup_ability ability;
    int r = cgroups_open(helper->limits.cgroup, &helper->cgroups, err);

    if (r < 0) {
        return r;
    }
    ability = cgroups_ability(helper->cgroups);
    /* Fail closed, but stay: each START is then refused with this reason. */
    if (ability.reason[0] != '\0') {
        return 0;
    }
    r = cgroups_make_parent(helper->cgroups, &helper->limits.contribution, err);
    if (r == -EINVAL || r == -EBUSY) {
        /* The contribution was lowered below what runs here from before: the owner wins. */
        log_warning("%s: ending what runs here", err->text);
        helper_end_unknown_groups(helper, ADOPT_ROUNDS);
        r = cgroups_make_parent(helper->cgroups, &helper->limits.contribution, err);
    }
    if (r == 0) {
        cgroups_weigh(helper->cgroups, helper->limits.weight_percent);
    }
    return r;
}

/*
 * It is forked for each start, and pages that nobody has written to cost nothing: so the table of
 * replicas stays all zeros (REPLICA_FREE), and who takes a slot fills it in.
 */
static void helper_clear(struct helper *helper)
{
    helper->init_program_fd = -1;
    helper->filter_fd = -1;
    helper->egress_program_fd = -1;
    helper->network_fd = -1;
    helper->lock_fd = -1;
    helper->listen_fd = -1;
    helper->client_fd = -1;
    helper->alone_since_ms = now_ms();
    disks_init(&helper->disks);
}

int helper_setup(const struct options *options, struct helper *helper_out, struct err *err)
{
    int r;

    helper_clear(helper_out);
    supervisor_open(&helper_out->supervisor);
    helper_out->exit_when_idle = options->exit_when_idle;
    helper_out->leaving = options->end_all;
    umask(022);
    helper_out->limits_path = options->limits;
    r = sandbox_limits_read(options->limits, &helper_out->limits, err);
    helper_out->allowed = helper_out->limits.contribution;
    lines_limit(helper_out, 0, 0);
    if (r == 0 && options->trees != NULL &&
        (options->trees[0] != '/' ||
         text_copy(helper_out->limits.trees, sizeof(helper_out->limits.trees), options->trees) <
             0)) {
        r = err_set(err, -EINVAL, "--trees: want an absolute path");
    }
    if (r == 0) {
        r = make_folders(options, &helper_out->folders, err);
    }
    if (r == 0) {
        r = process_boot_id(helper_out->boot_id);
        r = r < 0 ? err_set(err, r, "this boot's id is not to be read in /proc") : 0;
    }
    if (r == 0) {
        r = helper_out->lock_fd = lock_take(helper_out->folders.lock, err);
    }
    if (r >= 0) {
        way_out_keep(helper_out); /* while we are in the host's network */
        r = leave_host(&helper_out->disks.makers.network_fd, err);
    }
    if (r == 0) {
        r = helper_out->init_program_fd = options->init != NULL
                                              ? memory_file_copy(options->init, err)
                                              : setup_open_beside("minga-init", err);
    }
    if (r >= 0) {
        r = helper_out->filter_fd = seccomp_make(err);
        (void)malloc_trim(0); /* libseccomp's leavings would be copied at each fork */
    }
    if (r >= 0) {
        r = open_cgroups(helper_out, err);
    }
    return r < 0 ? r : give_up_privileges(err);
}

int helper_listen(struct helper *helper, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (text_copy(address.sun_path, sizeof(address.sun_path), helper->folders.socket) < 0) {
        return err_set(err, -ENAMETOOLONG, "%s: too long for a socket", helper->folders.socket);
    }
    unlink(address.sun_path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(address.sun_path, 0600) < 0 ||
        lchown(address.sun_path, helper->limits.agent_uid, helper->limits.agent_gid) < 0 ||
        listen(fd, 8) < 0) {
        return err_set(err, -errno, "%s: %m", address.sun_path);
    }
    helper->listen_fd = take_fd(&fd);
    return 0;
}
