// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/foreign/program.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"

enum {
    KILL_ROUNDS_MAX = 500,
    GUARD_ROUNDS = 400,
    KILL_PAUSE_US = 2000,
    READS_AT_ONCE_MAX = 16,
    GUARD_END_SIGNAL = SIGUSR1,
};

void program_init(struct program *program)
{
    *program = (struct program){.pid = 0, .fd = -1};
}

_Noreturn static void become_program(char *const *arguments, int fd)
{
    sigset_t none;

    sigemptyset(&none);
    if (setsid() < 0 || pthread_sigmask(SIG_SETMASK, &none, NULL) != 0 || dup2(fd, 0) < 0 ||
        dup2(fd, 1) < 0 || close_range(3, ~0U, 0) < 0) {
        _exit(1);
    }
    execvp(arguments[0], arguments);
    fprintf(stderr, "minga-environment: %s: %s\n", arguments[0], err_text(errno));
    _exit(127);
}

/* proc(5): pid (name) state ppid ... */
static pid_t parent_of(const char *pid)
{
    char path[300];
    char text[512];

    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    const char *field =
        file == NULL || fgets(text, sizeof(text), file) == NULL ? NULL : strrchr(text, ')');

    return field == NULL || strlen(field) < 4 ? 0 : (pid_t)strtol(field + 3, NULL, 10);
}

/* What loses its parent becomes ours (PR_SET_CHILD_SUBREAPER). */
static void kill_children(pid_t spared)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir("/proc");
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && pid != spared &&
            parent_of(entry->d_name) == getpid()) {
            kill(pid, SIGKILL);
        }
    }
}

/* Until none is left; `patience_rounds` for the guard to do so first. */
static void kill_all(pid_t guard, int patience_rounds)
{
    for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
        pid_t over;

        kill_children(round < patience_rounds ? guard : 0);
        do {
            over = waitpid(-1, NULL, WNOHANG);
        } while (over > 0);
        if (over < 0 && errno == ECHILD) {
            break;
        }
        usleep(KILL_PAUSE_US);
    }
}

/*
 * Between minga-environment and the program: what the program has started ends with it also when
 * minga-environment is killed at the same time. It does nothing else, and hears no signal but the
 * word to end all now; the program's input and output are not its own.
 */
_Noreturn static void guard_program(char *const *arguments, int fd)
{
    sigset_t heard;
    sigset_t all;
    int signal_number = 0;
    siginfo_t over = {0};

    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, GUARD_END_SIGNAL);
    sigfillset(&all);
    if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
        pthread_sigmask(SIG_SETMASK, &all, NULL) != 0) {
        _exit(1);
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_program(arguments, fd);
    }
    if (close_range(3, ~0U, 0) < 0 || pid < 0) {
        kill_all(0, 0);
        _exit(1);
    }
    while (signal_number != GUARD_END_SIGNAL && over.si_pid == 0) {
        (void)sigwait(&heard, &signal_number);
        while (waitid(P_ALL, 0, &over, WEXITED | WNOHANG) == 0 && over.si_pid != 0 &&
               over.si_pid != pid) {
        }
    }
    kill_all(0, 0);
    _exit(0);
}

int program_start(struct program *program, char *const *arguments, struct err *err)
{
    int pair[2];

    CHECK(program->pid == 0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return err_set(err, -errno, "%s: %m", arguments[0]);
    }
    CLEANUP(cleanup_close) int ours_fd = pair[0];
    CLEANUP(cleanup_close) int its_fd = pair[1];
    pid_t pid = fork();
    if (pid < 0) {
        return err_set(err, -errno, "%s: %m", arguments[0]);
    }
    if (pid == 0) {
        guard_program(arguments, its_fd);
    }
    program->pid = pid;
    program->fd = take_fd(&ours_fd);
    return 0;
}

void program_kill(struct program *program)
{
    /* It, not we: should we be killed now, it goes on. */
    if (program->pid != 0) {
        kill(program->pid, GUARD_END_SIGNAL);
    }
    kill_all(program->pid, GUARD_ROUNDS);
    cleanup_close(&program->fd);
    free(program->waiting);
    program_init(program);
}

bool program_is_over(const struct program *program)
{
    siginfo_t over = {0};

    return program->pid != 0 &&
           (waitid(P_PID, (id_t)program->pid, &over, WEXITED | WNOHANG | WNOWAIT) < 0 ||
            over.si_pid != 0);
}

int program_flush(struct program *program, struct err *err)
{
    while (program->waiting_bytes > 0) {
        ssize_t count_bytes = send(program->fd, program->waiting, program->waiting_bytes,
                                   MSG_DONTWAIT | MSG_NOSIGNAL);

        if (count_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
            return 0;
        }
        if (count_bytes < 0) {
            return err_set(err, -errno, "the environment's program does not listen: %m");
        }
        program->waiting_bytes -= (size_t)count_bytes;
        memmove(program->waiting, program->waiting + count_bytes, program->waiting_bytes);
    }
    return 0;
}

int program_tell(struct program *program, char *line, struct err *err)
{
    CLEANUP(cleanup_free) char *owned = line;
    size_t length_bytes = line == NULL ? 0 : strlen(line);
    char *grown;

    if (program->waiting_bytes + length_bytes + 1 > PROGRAM_WAITING_BYTES_MAX) {
        return err_set(err, -ENOBUFS, "the environment's program does not read what it is told");
    }
    grown =
        line == NULL ? NULL : realloc(program->waiting, program->waiting_bytes + length_bytes + 1);
    if (grown == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    program->waiting = grown;
    memcpy(grown + program->waiting_bytes, owned, length_bytes);
    grown[program->waiting_bytes + length_bytes] = '\n';
    program->waiting_bytes += length_bytes + 1;
    return program_flush(program, err);
}

static int hear_lines(struct program *program,
                      int (*hear)(void *context, const char *line, size_t length_bytes,
                                  struct err *err),
                      void *context, struct err *err)
{
    char *end;
    int r = 0;

    while (r >= 0 && (end = memchr(program->line, '\n', program->line_bytes)) != NULL) {
        size_t length_bytes = (size_t)(end - program->line);

        *end = '\0';
        r = hear(context, program->line, length_bytes, err);
        program->line_bytes -= length_bytes + 1;
        memmove(program->line, end + 1, program->line_bytes);
    }
    if (r >= 0 && program->line_bytes == sizeof(program->line)) {
        r = err_set(err, -EMSGSIZE, "the environment's program says a line of more than %d bytes",
                    WORDS_LINE_BYTES_MAX);
    }
    return r;
}

int program_hear(struct program *program,
                 int (*hear)(void *context, const char *line, size_t length_bytes, struct err *err),
                 void *context, struct err *err)
{
    for (int i = 0; i < READS_AT_ONCE_MAX; i++) {
        ssize_t count_bytes = recv(program->fd, program->line + program->line_bytes,
                                   sizeof(program->line) - program->line_bytes, MSG_DONTWAIT);

        if (count_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
            return 0;
        }
        if (count_bytes <= 0) {
            return err_set(err, -EPIPE, "the environment's program has ended");
        }
        program->line_bytes += (size_t)count_bytes;
        int r = hear_lines(program, hear, context, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}
