// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/trial/trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cli/screen/text.h"
#include "agent/cli/trial/trial_guard.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "images/worker.h"
#include "sandbox/limits_file.h"

#define STATE_PARENT "/var/lib/minga/try"
#define RUN_PARENT   "/run/minga/try"

enum {
    LOCK_TRIES_MAX = 20,
    HELPER_MS_MAX = 10000, /* until it answers */
    LOOK_MS = 5,
    LAST_LOOKS = 20,
    LOG_BYTES_MAX = 65536,
    TRIAL_UID_DEFAULT = 64321,    /* as mingad's, where user minga does not exist */
    TRIAL_UID_FIRST = 1879048192, /* minga.yaml's default `uids`: each sandbox locks its range */
    TRIAL_UID_LAST = 2147483647,
};

void trial_init(struct trial *trial)
{
    *trial = (struct trial){.state_fd = -1, .guard_fd = -1};
}

/* Whom the tree belongs to: mingad's user, as on a node. */
static void find_user(struct trial *trial)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const struct passwd *user = getpwnam("minga");

    trial->uid = user != NULL ? user->pw_uid : TRIAL_UID_DEFAULT;
    trial->gid = user != NULL ? user->pw_gid : TRIAL_UID_DEFAULT;
}

/* Locks the folder of all trials; another one may be removing it just now. */
static int lock_parent(struct err *err)
{
    for (int i = 0; i < LOCK_TRIES_MAX; i++) {
        struct stat status;

        if (file_make_folders(STATE_PARENT, 0755, err) < 0 ||
            file_make_folders(RUN_PARENT, 0755, err) < 0) {
            return err->code;
        }
        CLEANUP(cleanup_close) int fd = open(STATE_PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0 && flock(fd, LOCK_EX) == 0 && fstat(fd, &status) == 0 && status.st_nlink > 0) {
            return take_fd(&fd);
        }
    }
    return err_set(err, -EAGAIN, STATE_PARENT ": %m");
}

static void name_folders(struct trial *trial, const char *name)
{
    snprintf(trial->state, sizeof(trial->state), STATE_PARENT "/%.32s", name);
    snprintf(trial->run, sizeof(trial->run), RUN_PARENT "/%.32s", name);
}

/* A folder that nobody holds is of a trial whose guard was killed. */
static void clear_left_over(int parent_fd)
{
    CLEANUP(cleanup_closedir)
    DIR *folder = fdopendir(openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const struct dirent *entry;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct trial old;

        if (entry->d_name[0] == '.') {
            continue;
        }
        CLEANUP(cleanup_close)
        int fd = openat(parent_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            trial_init(&old);
            name_folders(&old, entry->d_name);
            guard_clear(&old);
        }
    }
}

static int make_folders(struct trial *trial, struct err *err)
{
    CLEANUP(cleanup_close) int parent_fd = lock_parent(err);

    if (parent_fd < 0) {
        return parent_fd;
    }
    clear_left_over(parent_fd);
    /* That may have removed the parents. */
    if (file_make_folders(RUN_PARENT, 0755, err) < 0 ||
        file_make_folders(STATE_PARENT, 0755, err) < 0) {
        return err->code;
    }
    name_folders(trial, "XXXXXX");
    if (mkdtemp(trial->state) == NULL) {
        return err_set(err, -errno, STATE_PARENT ": %m");
    }
    name_folders(trial, strrchr(trial->state, '/') + 1);
    trial->state_fd = open(trial->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (trial->state_fd < 0 || flock(trial->state_fd, LOCK_EX | LOCK_NB) < 0 ||
        fchmod(trial->state_fd, 0755) < 0 || mkdir(trial->run, 0755) < 0) {
        return err_set(err, -errno, "%s: %m", trial->state);
    }
    return 0;
}

int trial_open(struct session *session, struct trial *trial)
{
    struct err err = {0};
    int ends[2];

    if (geteuid() != 0) {
        problem_set(&session->problem, EXIT_NO_AGENT, "not permitted",
                    "only root can make a sandbox");
        return problem_advise(&session->problem, "try sudo");
    }
    if (worker_check(&err) < 0 || make_folders(trial, &err) < 0) {
        return problem_from_err(&session->problem, EXIT_REFUSED, &err);
    }
    find_user(trial);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "try", "%m");
    }
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); /* may come ignored */
    fflush(stdout);
    trial->guard_pid = fork();
    if (trial->guard_pid == 0) {
        close(ends[0]);
        guard_run(trial, ends[1]);
    }
    close(ends[1]);
    trial->guard_fd = ends[0];
    return trial->guard_pid < 0 ? problem_set(&session->problem, EXIT_REFUSED, "try", "%m")
                                : EXIT_DONE;
}

void trial_close(struct trial *trial)
{
    cleanup_close(&trial->guard_fd);
    if (trial->guard_pid > 0) {
        while (waitpid(trial->guard_pid, NULL, 0) < 0 && errno == EINTR) {
        }
    } else if (trial->state_fd >= 0) {
        guard_clear(trial); /* there is no guard to do it */
    }
    cleanup_close(&trial->state_fd);
    trial_init(trial);
}

/* Everything that could be asked of this helper is what this one replica needs. */
static void limits_of(const struct trial *trial, const struct sandbox_spec *spec,
                      struct host_limits *limits)
{
    *limits = (struct host_limits){
        .contribution = spec->limits,
        .agent_uid = trial->uid,
        .agent_gid = trial->gid,
        .uid_span_count = 1,
        .uid_spans = {{TRIAL_UID_FIRST, TRIAL_UID_LAST}},
        .port_first = 65535,
        .port_last = 1,
        .egress = spec->egress ? 1 : 0, /* whoever tries it is its volunteer, too */
    };
    for (uint32_t i = 0; i < spec->port_count; i++) {
        uint16_t port = spec->ports[i].host_port;

        limits->port_first = port < limits->port_first ? port : limits->port_first;
        limits->port_last = port > limits->port_last ? port : limits->port_last;
    }
    if (spec->port_count == 0) {
        limits->port_first = limits->port_last = 65535;
    }
    snprintf(limits->cgroup, sizeof(limits->cgroup), "minga-try-%.32s",
             strrchr(trial->state, '/') + 1);
    snprintf(limits->trees, sizeof(limits->trees), "%s/trees", trial->state);
}

int trial_start_helper(struct session *session, const struct trial *trial,
                       const struct sandbox_spec *spec)
{
    const char word = GUARD_START_HELPER;
    struct host_limits limits;
    struct err err = {0};
    char path[TRIAL_PATH_BYTES_MAX + 8];

    limits_of(trial, spec, &limits);
    snprintf(path, sizeof(path), "%s/limits", trial->run);
    if (sandbox_limits_write(path, &limits, &err) < 0) {
        return problem_from_err(&session->problem, EXIT_REFUSED, &err);
    }
    if (write(trial->guard_fd, &word, 1) != 1) {
        return problem_set(&session->problem, EXIT_REFUSED, "try", "the guard is gone: %m");
    }
    return EXIT_DONE;
}

/* The last line of its log, without the level in front. */
static void last_words(const struct trial *trial, char *words_out, size_t capacity_bytes)
{
    struct buffer log = {.bytes_max = LOG_BYTES_MAX};
    struct err err;
    char *line;

    snprintf(words_out, capacity_bytes, "it left no message");
    if (file_read(trial->state_fd, "log", &log, &err) == 0 && buffer_append(&log, "", 1) == 0) {
        line = (char *)log.data;
        for (size_t length = strlen(line); length > 0 && line[length - 1] == '\n'; length--) {
            line[length - 1] = '\0';
        }
        if (line[0] != '\0') {
            char *last = strrchr(line, '\n');

            snprintf(words_out, capacity_bytes, "%s", last != NULL ? last + 1 : line);
        }
    }
    buffer_done(&log);
}

/* Has the helper ended already? Its last words, for people. */
static bool is_over(const struct trial *trial, char *words_out, size_t capacity_bytes)
{
    struct pollfd polled = {trial->guard_fd, POLLIN, 0};

    if (poll(&polled, 1, 0) <= 0) {
        return false;
    }
    last_words(trial, words_out, capacity_bytes);
    return true;
}

int trial_helper_failed(struct session *session, const struct trial *trial)
{
    char words[ERR_TEXT_BYTES_MAX];

    for (int i = 0; i < LAST_LOOKS && !is_over(trial, words, sizeof(words)); i++) {
        poll(NULL, 0, LOOK_MS); /* its connection ends before it does */
    }
    if (!is_over(trial, words, sizeof(words))) {
        snprintf(words, sizeof(words), "its connection broke");
    }
    text_clean(words);
    return problem_set(&session->problem, EXIT_REFUSED, "the sandbox helper ended", "%s", words);
}

int trial_connect(struct session *session, const struct trial *trial,
                  struct sandbox_client *client_out)
{
    char path[TRIAL_PATH_BYTES_MAX];
    char words[ERR_TEXT_BYTES_MAX];
    struct err err = {0};

    snprintf(path, sizeof(path), "%.*s/sandbox.sock", TRIAL_PATH_BYTES_MAX - 16, trial->run);
    for (int waited_ms = 0; waited_ms < HELPER_MS_MAX; waited_ms += LOOK_MS) {
        if (sandbox_client_connect(client_out, path, &err) == 0) {
            return EXIT_DONE;
        }
        if (is_over(trial, words, sizeof(words))) {
            return trial_helper_failed(session, trial);
        }
        poll(NULL, 0, LOOK_MS);
    }
    return problem_from_err(&session->problem, EXIT_LATE, &err);
}
