// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Stops one thread of a process for a while, and lets the others run: what a busy machine or a slow
 * disk does to a loop. SIGSTOP would stop all of them.
 *
 *   thread_stopper THREAD MS
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

int main(int count, char **words)
{
    pid_t thread = count == 3 ? (pid_t)strtol(words[1], NULL, 10) : 0;
    long ms = count == 3 ? strtol(words[2], NULL, 10) : 0;
    int status;

    if (thread <= 0 || ms <= 0) {
        fprintf(stderr, "usage: thread_stopper THREAD MS\n");
        return 2;
    }
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0 ||
        ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) < 0 ||
        waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) {
        perror("thread_stopper");
        return 1;
    }
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    return ptrace(PTRACE_DETACH, thread, NULL, NULL) < 0 ? 1 : 0;
}
