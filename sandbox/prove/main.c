// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-probe: what `minga prove` runs in a sandbox. Static, since the sandbox has nothing else.
 *
 *     minga-probe list                prints NUMBER, group, name and what is meant to work
 *     minga-probe control FACT...     outside, as nobody: NUMBER and whether the thing is there
 *     minga-probe try FACT...         inside: NUMBER, verdict, remark, as they come
 *     minga-probe hog NAME            inside: takes what it can, until it is ended
 *
 * Outside of a sandbox `try` and `hog` refuse to run: some attempts would be harmful.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "sandbox/prove/facts.h"
#include "sandbox/prove/hog.h"

enum { STATUS_REFUSED = 1, STATUS_USAGE = 2, ATTEMPT_S_MAX = 60, NOBODY = 65534 };

static const struct attempt_group *const groups[] = {
    &files_group,      &devices_group, &kernel_group,  &settings_group, &mounts_group,
    &namespaces_group, &calls_group,   &sockets_group, &network_group,  &processes_group,
    &rights_group,     &limits_group,  &doors_group};

/* Calls `each` for every attempt with its number. */
static void for_each(void (*each)(unsigned number, const struct attempt_group *group,
                                  const struct attempt *attempt, const struct facts *facts),
                     const struct facts *facts)
{
    unsigned number = 0;

    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        for (size_t j = 0; j < groups[i]->count; j++) {
            each(number++, groups[i], &groups[i]->attempts[j], facts);
            fflush(stdout);
        }
    }
}

static void print(unsigned number, const struct attempt_group *group, const struct attempt *attempt,
                  const struct facts *facts)
{
    (void)facts;
    printf("%u\t%s\t%s\t%s\n", number, group->name, attempt->name,
           attempt->meant == NULL ? "" : attempt->meant);
}

/* Runs in a process of its own; what it tells comes through a pipe. */
static void run_alone(const struct attempt *attempt, const struct facts *facts, int fd)
{
    struct outcome outcome = {.verdict = VERDICT_UNSURE, .remark = "nothing was told"};

    alarm(ATTEMPT_S_MAX);
    attempt->run(attempt, facts, &outcome);
    if (write(fd, &outcome, sizeof(outcome)) < 0) {
        _exit(1);
    }
    _exit(0);
}

static void judge_end(int status, struct outcome *outcome)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        outcome_stopped(outcome, "ended by the filter");
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        outcome_unsure(outcome, "no end after %d s", ATTEMPT_S_MAX);
    } else {
        outcome_unsure(outcome, "ended with status %d", status);
    }
}

static void try(unsigned number, const struct attempt_group *group, const struct attempt *attempt,
                const struct facts *facts)
{
    static const char *const verdicts[] = {"stopped", "open", "unsure"};
    struct outcome outcome = {0};
    int ends[2];
    int status = 0;

    (void)group;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        /* What the probe itself opened is not what it was born with. */
        (void)dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        run_alone(attempt, facts, STDERR_FILENO);
    }
    close(ends[1]);
    ssize_t count_bytes = pid < 0 ? -1 : read(ends[0], &outcome, sizeof(outcome));
    close(ends[0]);
    if (pid > 0) {
        waitpid(pid, &status, 0);
    }
    if (count_bytes != (ssize_t)sizeof(outcome)) {
        judge_end(status, &outcome);
    }
    printf("%u\t%s\t%s\n", number, verdicts[outcome.verdict], outcome.remark);
}

static void control(unsigned number, const struct attempt_group *group,
                    const struct attempt *attempt, const struct facts *facts)
{
    int status = 0;
    pid_t pid = attempt->control == NULL ? 0 : fork();

    (void)group;
    if (attempt->control != NULL && pid == 0) {
        alarm(ATTEMPT_S_MAX);
        _exit(attempt->control(attempt, facts) ? 0 : 1);
    }
    if (attempt->control != NULL && (pid < 0 || waitpid(pid, &status, 0) != pid)) {
        status = -1;
    }
    printf("%u\t%s\n", number, status == 0 ? "there" : "missing");
}

/* Nobody, with nothing, for good. */
static int become_nobody(void)
{
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                           setresuid(NOBODY, NOBODY, NOBODY) < 0)) {
        return -errno;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -errno;
    }
    return setuid(0) == 0 ? -EPERM : 0;
}

/* The host's own ids are mapped one to one; a sandbox's are not. */
static bool is_inside(void)
{
    unsigned long inside = 0;
    unsigned long outside = 0;
    char line[128];

    return geteuid() != 0 && read_line("/proc/self/uid_map", line, sizeof(line)) &&
           sscanf(line, "%lu %lu", &inside, &outside) == 2 && outside != 0;
}

static int run_all(const char *kind, char *const *words)
{
    struct facts facts;
    const char *wrong = facts_read(words, &facts);

    if (wrong != NULL) {
        fprintf(stderr, "minga-probe: %s: not a fact\n", wrong);
        return STATUS_USAGE;
    }
    if (strcmp(kind, "control") == 0) {
        if (become_nobody() < 0) {
            fprintf(stderr, "minga-probe: cannot become nobody: %m\n");
            return STATUS_REFUSED;
        }
        for_each(control, &facts);
    } else {
        for_each(try, &facts);
        puts("over");
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    bool is_try = strcmp(kind, "try") == 0;

    if (strcmp(kind, "list") == 0) {
        for_each(print, NULL);
        return 0;
    }
    if (!is_try && strcmp(kind, "control") != 0 && strcmp(kind, "hog") != 0) {
        fprintf(stderr, "minga-probe is run by minga prove, in a sandbox\n");
        return STATUS_USAGE;
    }
    if (strcmp(kind, "control") == 0) {
        return run_all(kind, argv + 2);
    }
    if (!is_inside()) {
        fprintf(stderr, "minga-probe: not in a sandbox\n");
        return STATUS_REFUSED;
    }
    if (is_try) {
        return run_all(kind, argv + 2);
    }
    return argc > 2 && hog_run(argv[2]) ? 0 : STATUS_USAGE;
}
