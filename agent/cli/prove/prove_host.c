// SPDX-License-Identifier: GPL-3.0-or-later
/* minga-probe outside: the list of its attempts, and their controls. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cli/prove/prove.h"
#include "base/attributes.h"
#include "base/cleanup.h"

enum { LINE_BYTES = 512, FIELDS_MAX = 4 };

int prove_find_probe(struct prove *prove)
{
    static const char *const places[] = {"/minga-probe", "/../sbin/minga-probe",
                                         "/../lib/minga/minga-probe"};
    char own[sizeof(prove->probe) - 64];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    own[length < 0 ? 0 : length] = '\0';
    slash = strrchr(own, '/');
    for (size_t i = 0; slash != NULL && i < ARRAY_COUNT(places); i++) {
        *slash = '\0';
        snprintf(prove->probe, sizeof(prove->probe), "%s%s", own, places[i]);
        if (access(prove->probe, X_OK) == 0) {
            return EXIT_DONE;
        }
    }
    return problem_set(&prove->session->problem, EXIT_REFUSED, "prove",
                       "minga-probe is not beside this program");
}

/* Starts it with its output in a pipe; the read end is the caller's. */
static int start_probe(struct prove *prove, const char *kind, pid_t *pid_out, int *fd_out)
{
    char *words[PROVE_FACTS_MAX + 3] = {prove->probe, (char *)(uintptr_t)kind};
    uint32_t count = 2;
    int ends[2];

    for (uint32_t i = 0; strcmp(kind, "control") == 0 && i < prove->bait.fact_count; i++) {
        words[count++] = prove->bait.facts[i];
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        static char *const no_environment[] = {NULL};

        if (dup2(ends[1], STDOUT_FILENO) >= 0) {
            execve(prove->probe, words, no_environment);
        }
        _exit(127);
    }
    close(ends[1]);
    *fd_out = ends[0];
    *pid_out = pid;
    return pid < 0 ? -errno : 0;
}

/* Runs it and hands every line, cut at its tabs, to `take`. */
static int read_probe(struct prove *prove, const char *kind,
                      void (*take)(struct prove *prove, char *const *fields, uint32_t count))
{
    char line[LINE_BYTES];
    int status = 0;
    pid_t pid = -1;
    int fd = -1;
    int r = start_probe(prove, kind, &pid, &fd);

    if (r < 0) {
        return problem_set(&prove->session->problem, EXIT_REFUSED, prove->probe, "%s", err_text(r));
    }
    CLEANUP(cleanup_fclose) FILE *file = fdopen(fd, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *fields[FIELDS_MAX];
        uint32_t count = 0;
        char *rest = line;

        line[strcspn(line, "\n")] = '\0';
        while (count < FIELDS_MAX && rest != NULL) {
            fields[count++] = strsep(&rest, "\t");
        }
        take(prove, fields, count);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        return problem_set(&prove->session->problem, EXIT_REFUSED, prove->probe,
                           "ended with status %d", status);
    }
    return EXIT_DONE;
}

static void take_name(struct prove *prove, char *const *fields, uint32_t count)
{
    struct prove_attempt *attempt = &prove->attempts[prove->attempt_count];

    if (count < FIELDS_MAX || prove->attempt_count == PROVE_ATTEMPTS_MAX) {
        return;
    }
    snprintf(attempt->group, sizeof(attempt->group), "%s", fields[1]);
    snprintf(attempt->name, sizeof(attempt->name), "%s", fields[2]);
    snprintf(attempt->meant, sizeof(attempt->meant), "%s", fields[3]);
    snprintf(attempt->detail, sizeof(attempt->detail), "nothing was told");
    prove->attempt_count++;
}

int prove_list(struct prove *prove)
{
    prove->attempt_count = 0;
    return read_probe(prove, "list", take_name);
}

static void take_control(struct prove *prove, char *const *fields, uint32_t count)
{
    unsigned long number = strtoul(fields[0], NULL, 10);

    if (count >= 2 && number < prove->attempt_count) {
        prove->attempts[number].is_absent = strcmp(fields[1], "there") != 0;
    }
}

int prove_control(struct prove *prove)
{
    return read_probe(prove, "control", take_control);
}
