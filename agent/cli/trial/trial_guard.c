// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/trial/trial_guard.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "images/worker.h"

enum { END_MS_MAX = 20000, POLL_MS = 10, GUARD_FD = 3, STATE_FD = 4, FIRST_FREE_FD = 5 };

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
}

/* Beside this program, or where a package puts what is not typed. */
static bool helper_program(char path_out[PATH_MAX])
{
    static const char *const places[] = {"/minga-sandboxd", "/../sbin/minga-sandboxd",
                                         "/../lib/minga/minga-sandboxd"};
    char own[PATH_MAX - 64];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    if (length < 0) {
        return false;
    }
    own[length] = '\0';
    slash = strrchr(own, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        snprintf(path_out, PATH_MAX, "%s%s", own, places[i]);
        if (access(path_out, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

static _Noreturn void become_helper(const struct trial *trial, pid_t guard_pid, bool end_all)
{
    char program[PATH_MAX];
    char limits[TRIAL_PATH_BYTES_MAX + 8];
    char log[TRIAL_PATH_BYTES_MAX + 8];
    const char *const arguments[] = {
        program,      "--limits", limits,     "--state",
        trial->state, "--run",    trial->run, end_all ? "--end-all" : "--exit-when-idle",
        NULL};
    sigset_t none;

    snprintf(limits, sizeof(limits), "%s/limits", trial->run);
    snprintf(log, sizeof(log), "%s/log", trial->state);
    CLEANUP(cleanup_close) int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    /* A guard that is killed takes the sandbox along, not its own duties: those wait for the next
     * trial. */
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != guard_pid || log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0) {
        _exit(127);
    }
    if (!helper_program(program)) {
        dprintf(STDERR_FILENO, "minga-sandboxd is not beside this program\n");
        _exit(127);
    }
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    /* execv takes what it does not change as changeable. */
    execv(program, (char *const *)(const void *)arguments);
    dprintf(STDERR_FILENO, "%s: %m\n", program);
    _exit(127);
}

static pid_t start_helper(const struct trial *trial, bool end_all)
{
    pid_t guard_pid = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        become_helper(trial, guard_pid, end_all);
    }
    return pid;
}

/* False when it did not end in time. */
static bool await_helper(pid_t pid)
{
    for (unsigned waited_ms = 0; waited_ms < END_MS_MAX; waited_ms += POLL_MS) {
        if (waitpid(pid, NULL, WNOHANG) != 0) {
            return true;
        }
        wait_a_little();
    }
    return false;
}

/* The last component: the same below both parents. */
static const char *trial_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static void remove_folder(const char *path)
{
    char parent[TRIAL_PATH_BYTES_MAX];

    snprintf(parent, sizeof(parent), "%.*s", (int)(trial_name(path) - path), path);
    CLEANUP(cleanup_close) int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (parent_fd >= 0) {
        /* A worker that was killed with its command may write a moment longer. */
        for (int i = 0; i < 50 && worker_remove_folder(parent_fd, trial_name(path)) < 0 &&
                        faccessat(parent_fd, trial_name(path), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
             i++) {
            wait_a_little();
        }
    }
    /* Only when this was the only trial. */
    (void)rmdir(parent);
}

void guard_clear(const struct trial *trial)
{
    char limits[TRIAL_PATH_BYTES_MAX + 8];

    snprintf(limits, sizeof(limits), "%s/limits", trial->run);
    if (access(limits, F_OK) == 0) { /* a helper may have been started, and killed */
        pid_t pid = start_helper(trial, true);

        if (pid > 0 && !await_helper(pid)) {
            return; /* the next trial tries again */
        }
    }
    remove_folder(trial->run);
    remove_folder(trial->state);
}

/* Only the socket and the lock stay open; what the command prints is not held up by us. */
static void settle(const struct trial *trial, int fd)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int guard_fd = fcntl(fd, F_DUPFD_CLOEXEC, 16);
    int state_fd = fcntl(trial->state_fd, F_DUPFD_CLOEXEC, 16);

    if (null_fd < 0 || guard_fd < 0 || state_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(null_fd, STDOUT_FILENO) < 0 || dup2(null_fd, STDERR_FILENO) < 0 ||
        dup3(guard_fd, GUARD_FD, O_CLOEXEC) < 0 || dup3(state_fd, STATE_FD, O_CLOEXEC) < 0) {
        _exit(1);
    }
    close_range(FIRST_FREE_FD, ~0U, 0);
    setsid();
    if (chdir("/") < 0) {
        _exit(1);
    }
}

/* Until the command is over. Returns the helper's pid, 0 when there is none (any more). */
static pid_t keep_watch(const struct trial *trial, int signal_fd)
{
    struct pollfd polled[2] = {{GUARD_FD, POLLIN, 0}, {signal_fd, POLLIN, 0}};
    struct signalfd_siginfo ignored;
    pid_t pid = 0;
    char word;

    for (;;) {
        if (poll(polled, 2, -1) < 0) {
            continue;
        }
        if (polled[1].revents != 0 && read(signal_fd, &ignored, sizeof(ignored)) > 0 && pid > 0 &&
            waitpid(pid, NULL, WNOHANG) == pid) {
            pid = 0;
            word = GUARD_HELPER_OVER;
            if (send(GUARD_FD, &word, 1, MSG_NOSIGNAL) < 0) {
                return pid; /* the command is gone, too */
            }
        }
        if (polled[0].revents != 0) {
            if (read(GUARD_FD, &word, 1) != 1) {
                return pid;
            }
            if (word == GUARD_START_HELPER && pid == 0) {
                pid = start_helper(trial, false);
            }
        }
    }
}

_Noreturn void guard_run(const struct trial *trial, int fd)
{
    sigset_t all;
    sigset_t children;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    settle(trial, fd);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    pid = keep_watch(trial, signalfd(-1, &children, SFD_CLOEXEC));
    if (pid > 0) {
        kill(pid, SIGTERM);
        if (!await_helper(pid)) {
            kill(pid, SIGKILL);
            (void)await_helper(pid);
        }
    }
    guard_clear(trial);
    _exit(0);
}
