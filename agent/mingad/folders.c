// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "images/worker.h"
#include "sandbox/limits_file.h"

#define GONE "gone" /* below STATE/agent: what is to be removed, by numbers */

enum { BACKLOG = 64, GONE_MAX = 4096 };

static void join(const char *folder, const char *name, char path_out[FOLDERS_PATH_BYTES_MAX])
{
    int chars = snprintf(path_out, FOLDERS_PATH_BYTES_MAX, "%s/%s", folder, name);

    CHECK(chars > 0 && chars < FOLDERS_PATH_BYTES_MAX); /* the table bounds both folders */
}

/* A folder that another could write to is no place for root to make things in. */
static int check_parent(int fd, const char *path, struct err *err)
{
    struct stat status;

    if (fstat(fd, &status) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    if (geteuid() == 0 && (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
        err_set(err, -EPERM, "%s: must be root's, and nobody else may write to it", path);
        return err_hint(err, "chown root:root %s && chmod 755 %s", path, path);
    }
    return 0;
}

/* Works on the descriptor: what is given an owner is what was made, whatever its name means. */
static int make_inside(int parent_fd, const char *name, uid_t uid, gid_t gid, struct err *err)
{
    if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST) {
        return err_set(err, -errno, "folder %s: %m", name);
    }
    CLEANUP(cleanup_close)
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return err_set(err, -errno, "folder %s: %m", name);
    }
    if (geteuid() == 0 && fchown(fd, uid, gid) < 0) {
        return err_set(err, -errno, "folder %s: %m", name);
    }
    return fchmod(fd, 0700) < 0 ? err_set(err, -errno, "folder %s: %m", name) : 0;
}

static int make_pair(const char *path, const struct user *user, struct err *err)
{
    int r = file_make_folders(path, 0755, err);

    if (r < 0) {
        return r;
    }
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    r = check_parent(fd, path, err);
    if (r == 0) {
        r = make_inside(fd, "agent", user->uid, user->gid, err);
    }
    if (r == 0 && geteuid() == 0) {
        r = make_inside(fd, "sandbox", 0, 0, err);
    }
    return r < 0 ? err_wrap(err, "%s", path) : 0;
}

int folders_make(const struct config *config, const struct user *user, struct err *err)
{
    int r = make_pair(config->state, user, err);

    return r < 0 ? r : make_pair(config->run, user, err);
}

int folders_lock(const struct config *config, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(config->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return err_set(err, -errno, "%s: %m", config->state);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        err_set(err, -EADDRINUSE, "another mingad uses %s", config->state);
        return err_hint(err, "give each agent of this machine its own paths in its minga.yaml");
    }
    (void)take_fd(&fd); /* open until the process ends */
    return 0;
}

static int open_agent(const struct config *config, char path_out[FOLDERS_PATH_BYTES_MAX])
{
    join(config->state, "agent", path_out);
    return open(path_out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* In one step, however much there is in it. */
static int put_away(int agent_fd, int gone_fd, const char *name)
{
    for (uint32_t i = 0; i < GONE_MAX; i++) {
        char place[16];

        snprintf(place, sizeof(place), "%u", i);
        if (renameat(agent_fd, name, gone_fd, place) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno != ENOTEMPTY && errno != EEXIST) {
            return -errno;
        }
    }
    return -EEXIST;
}

static int put_all_away(int agent_fd, const char *path, struct err *err)
{
    static const char *const folders[] = {"chunks", "doors", "trees"};

    if (mkdirat(agent_fd, GONE, 0700) < 0 && errno != EEXIST) {
        return err_set(err, -errno, "%s/" GONE ": %m", path);
    }
    CLEANUP(cleanup_close)
    int gone_fd = openat(agent_fd, GONE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (gone_fd < 0) {
        return err_set(err, -errno, "%s/" GONE ": %m", path);
    }
    int result = 0;

    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        int r = put_away(agent_fd, gone_fd, folders[i]);

        if (r < 0) {
            errno = -r;
            result = err_set(err, r, "%s/%s: %m", path, folders[i]);
        }
    }
    return result;
}

int folders_forget(const struct config *config, struct err *err)
{
    static const char *const files[] = {"minga.db",         "minga.db-wal",    "minga.db-shm",
                                        "minga.db.damaged", "minga.db.mended", "minga.db.mending"};
    char path[FOLDERS_PATH_BYTES_MAX];
    CLEANUP(cleanup_close) int fd = open_agent(config, path);

    if (fd < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    /* First: without the records nobody would know whose they are. Whatever came of it, the
     * community is left. */
    int r = put_all_away(fd, path, err);

    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        if (unlinkat(fd, files[i], 0) < 0 && errno != ENOENT) {
            return err_set(err, -errno, "%s/%s: %m", path, files[i]);
        }
    }
    return r;
}

int folders_remove_gone(const struct config *config, uint32_t count_max)
{
    char path[FOLDERS_PATH_BYTES_MAX];
    CLEANUP(cleanup_close) int fd = open_agent(config, path);

    if (fd < 0) {
        return -errno;
    }
    int r = worker_remove_some(fd, GONE, count_max);

    return r == -ENOENT ? 0 : r;
}

static int remove_all_gone(const struct config *config, struct err *err)
{
    int r = 1;

    while (r > 0) {
        r = folders_remove_gone(config, UINT32_MAX);
    }
    errno = -r;
    return r < 0 ? err_set(err, r, "%s/agent/" GONE ": %m", config->state) : 0;
}

int folders_renew(const struct config *config, struct err *err)
{
    static const char *const files[] = {"node.key", FOLDERS_BOND_FILE};
    char path[FOLDERS_PATH_BYTES_MAX];
    int r = folders_forget(config, err);

    if (r == 0) {
        r = remove_all_gone(config, err);
    }
    CLEANUP(cleanup_close) int fd = open_agent(config, path);

    for (size_t i = 0; r == 0 && i < ARRAY_COUNT(files); i++) {
        if (unlinkat(fd, files[i], 0) < 0 && errno != ENOENT) {
            r = err_set(err, -errno, "%s/%s: %m", path, files[i]);
        }
    }
    return r;
}

void folders_limits_path(const struct config *config, char path_out[FOLDERS_PATH_BYTES_MAX])
{
    join(config->run, "limits", path_out);
}

void folders_helper_path(const struct config *config, char path_out[FOLDERS_PATH_BYTES_MAX])
{
    /* minga-environment has no more rights than the agent, and listens in its folder. */
    join(config->run, config->environment[0] == '\0' ? "sandbox.sock" : "agent/sandbox.sock",
         path_out);
}

/* Those that rules name, each once. */
static void name_programs(const struct owner_rules *rules, struct sandbox_programs *programs_out)
{
    static_assert((int)OWNER_WORD_CHARS_MAX <= (int)SANDBOX_PROGRAM_CHARS_MAX &&
                      (int)OWNER_RULES_MAX * (int)OWNER_WORDS_MAX <= (int)SANDBOX_PROGRAMS_MAX,
                  "all that rules can name fit");
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct owner_words *words = &rules->list[i].when.programs;

        for (uint32_t j = 0; j < words->count; j++) {
            bool is_there = words->list[j][0] == '\0';

            for (uint32_t k = 0; k < programs_out->count; k++) {
                is_there = is_there || strcmp(programs_out->names[k], words->list[j]) == 0;
            }
            if (!is_there) {
                (void)text_copy(programs_out->names[programs_out->count++],
                                sizeof(programs_out->names[0]), words->list[j]);
            }
        }
    }
}

int folders_write_limits(const struct config *config, const struct contribution *contribution,
                         const struct user *user, struct err *err)
{
    struct host_limits limits = {.contribution = contribution->limits,
                                 .agent_uid = user->uid,
                                 .agent_gid = user->gid,
                                 .uid_span_count = 1,
                                 .uid_spans = {{config->uid_first, config->uid_last}},
                                 .port_first = config->port_first,
                                 .port_last = config->port_last,
                                 .connections_max = config->connections_max,
                                 .egress = config->egress != 0,
                                 .weight_percent = config->weight_percent,
                                 .upload_bytes_per_s = config->upload_bytes_per_s,
                                 .download_bytes_per_s = config->download_bytes_per_s};
    char path[FOLDERS_PATH_BYTES_MAX];

    name_programs(&contribution->rules, &limits.programs);
    join(config->state, "agent/trees", path);
    if (text_copy(limits.trees, sizeof(limits.trees), path) < 0 ||
        text_copy(limits.cgroup, sizeof(limits.cgroup), config->cgroup) < 0) {
        return err_set(err, -ENAMETOOLONG, "limits: a path is too long");
    }
    folders_limits_path(config, path);
    return sandbox_limits_write(path, &limits, err);
}

/* Is somebody listening there? */
static bool answers(const struct sockaddr_un *address)
{
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

/* The socket that systemd passes. -ENOENT: it passes none. */
static int take_passed(struct err *err)
{
    int count = sd_listen_fds(1);

    if (count == 0) {
        return -ENOENT;
    }
    if (count != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0 ||
        fcntl(SD_LISTEN_FDS_START, F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
        return err_set(err, -EINVAL, "what systemd passes is not one listening UNIX socket");
    }
    return SD_LISTEN_FDS_START;
}

int folders_bind_control(const struct config *config, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[FOLDERS_PATH_BYTES_MAX];
    int passed_fd = take_passed(err);

    if (passed_fd != -ENOENT) {
        return passed_fd;
    }
    join(config->run, "agent.sock", path);
    if (text_copy(address.sun_path, sizeof(address.sun_path), path) < 0) {
        return err_set(err, -ENAMETOOLONG, "%s: too long for a socket", path);
    }
    if (answers(&address)) {
        err_set(err, -EADDRINUSE, "another mingad answers on %s", path);
        return err_hint(err, "give each agent of this machine its own paths in its minga.yaml");
    }
    unlink(path); /* of one that was killed */
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0) {
        err_set(err, -errno, "control socket %s: %m", path);
        return errno == EACCES ? err_hint(err, "start mingad as root: it drops its rights itself")
                               : err->code;
    }
    return take_fd(&fd);
}
