// SPDX-License-Identifier: GPL-3.0-or-later
/* Signals, leaving, and what happens when they meet. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/mingad/edge.h"

static struct edge *edge;

/* As much of an edge as hears signals: within a step, so that no core is asked. */
static void begin(pid_t helper_pid)
{
    struct err err = {0};

    edge = calloc(1, sizeof(*edge));
    cr_assert_eq(edge_open(edge, &err), 0, "%s", err.text);
    edge->is_stepping = true;
    edge->helper_pid = helper_pid;
    cr_assert_eq(signals_open(edge, &err), 0, "%s", err.text);
}

static void end(void)
{
    signals_close(edge);
    uv_run(&edge->loop, UV_RUN_DEFAULT);
    events_clear(edge);
    cr_assert_eq(uv_loop_close(&edge->loop), 0);
    free(edge);
}

Test(stop, a_helper_that_has_ended_while_nobody_listened_is_gone)
{
    pid_t pid = fork();
    siginfo_t info;

    if (pid == 0) {
        _exit(0);
    }
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    begin(pid);
    cr_assert_eq(edge->helper_pid, 0);
    end();
}

Test(stop, a_helper_that_lives_is_there)
{
    pid_t pid = fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    begin(pid);
    cr_assert_eq(edge->helper_pid, pid);
    kill(pid, SIGKILL);
    while (edge->helper_pid != 0) {
        uv_run(&edge->loop, UV_RUN_ONCE);
    }
    end();
}
