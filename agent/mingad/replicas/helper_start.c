// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/helper_start.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/folders.h"
#include "base/log.h"

enum {
    START_MS_MAX = 10000, /* adopting sandboxes takes a while */
    END_MS_MAX = 5000,
    POLL_MS = 10,
};

static void wait_a_little(void)
{
    const struct timespec time = {.tv_nsec = POLL_MS * 1000000L};

    nanosleep(&time, NULL);
}

/* The helper of the same build lies beside this program. */
static int helper_program(const char *name, char path_out[PATH_MAX], struct err *err)
{
    ssize_t length = readlink("/proc/self/exe", path_out, PATH_MAX - NAME_MAX - 1);

    if (length < 0) {
        return err_set(err, -errno, "/proc/self/exe: %m");
    }
    path_out[length] = '\0';
    char *slash = strrchr(path_out, '/');

    if (slash == NULL) {
        return err_set(err, -ENOENT, "no sandbox helper beside mingad");
    }
    memcpy(slash + 1, name, strlen(name) + 1);
    if (access(path_out, X_OK) < 0) {
        return err_set(err, -errno, "%s: %m", path_out);
    }
    return 0;
}

/* In the child: a session of its own, so that a terminal's Ctrl-C is for the agent alone. */
static void become_helper(const char *program, const struct config *config)
{
    char limits[FOLDERS_PATH_BYTES_MAX];
    const char *const arguments[] = {program,     "--limits",         limits,
                                     "--state",   config->state,      "--run",
                                     config->run, "--exit-when-idle", NULL};

    folders_limits_path(config, limits);
    setsid();
    /* execv takes what it does not change as changeable. */
    execv(program, (char *const *)(const void *)arguments);
    _exit(127);
}

/* The same for the one of another execution environment, which works in the agent's folders. */
static void become_environment(const char *program, const struct config *config)
{
    enum { OPTION_WORDS = 8 };
    char run[FOLDERS_PATH_BYTES_MAX];
    char state[FOLDERS_PATH_BYTES_MAX];
    char trees[FOLDERS_PATH_BYTES_MAX];
    const char *arguments[OPTION_WORDS + CONFIG_ENVIRONMENT_WORDS_MAX + 1] = {
        program, "--run", run, "--state", state, "--trees", trees, "--"};

    snprintf(run, sizeof(run), "%s/agent", config->run);
    snprintf(state, sizeof(state), "%s/agent", config->state);
    snprintf(trees, sizeof(trees), "%s/agent/trees", config->state);
    for (uint32_t i = 0; i < config->environment_word_count; i++) {
        arguments[OPTION_WORDS + i] = config->environment_words[i];
    }
    setsid();
    execv(program, (char *const *)(const void *)arguments);
    _exit(127);
}

static int start_program(const struct config *config, const char *name,
                         void (*become)(const char *program, const struct config *config),
                         pid_t *pid_out, struct err *err)
{
    char program[PATH_MAX];
    int r = helper_program(name, program, err);

    if (r < 0) {
        return r;
    }
    pid_t pid = fork();

    if (pid < 0) {
        return err_set(err, -errno, "start %s: %m", name);
    }
    if (pid == 0) {
        become(program, config);
    }
    *pid_out = pid;
    return 0;
}

int environment_start(const struct config *config, pid_t *pid_out, struct err *err)
{
    return start_program(config, "minga-environment", become_environment, pid_out, err);
}

static int await_answer(struct sandbox_link *link, pid_t pid, struct err *err)
{
    uint64_t end_ms = clock_now_ms() + START_MS_MAX;

    while (clock_now_ms() < end_ms) {
        int status = 0;

        if (sandbox_link_connect(link, err) == 0) {
            return 0;
        }
        if (waitpid(pid, &status, WNOHANG) == pid) {
            return err_set(err, -ECHILD, "the sandbox helper ended at once; see its message above");
        }
        wait_a_little();
    }
    kill(pid, SIGTERM); /* ours, and still starting */
    return err_set(err, -ETIMEDOUT, "the sandbox helper does not answer");
}

int helper_start(const struct config *config, struct sandbox_link *link, pid_t *pid_out,
                 struct err *err)
{
    *pid_out = 0;
    if (sandbox_link_connect(link, err) == 0) {
        return 0;
    }
    pid_t pid = 0;
    int r = config->environment[0] != '\0'
                ? environment_start(config, &pid, err)
                : start_program(config, "minga-sandboxd", become_helper, &pid, err);

    r = r < 0 ? r : await_answer(link, pid, err);
    if (r == 0) {
        *pid_out = pid;
    }
    return r;
}

void helper_await_end(pid_t pid)
{
    uint64_t end_ms = clock_now_ms() + END_MS_MAX;
    int status = 0;

    while (pid != 0 && clock_now_ms() < end_ms) {
        if (waitpid(pid, &status, WNOHANG) != 0) {
            return; /* ended, or not ours to wait for */
        }
        wait_a_little();
    }
    if (pid != 0) {
        log_warning("the sandbox helper (process %d) is still ending sandboxes", (int)pid);
    }
}
