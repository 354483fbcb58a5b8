// SPDX-License-Identifier: GPL-3.0-or-later
/* Signals, leaving, and what happens when they meet. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/mingad/edge.h"
#include "base/attributes.h"

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

static void get_signal(int number)
{
    raise(number);
    uv_run(&edge->loop, UV_RUN_NOWAIT);
}

static void leave_community(void)
{
    stop_left(edge, &(struct core_answer){.outcome = OVERLAY_OK});
}

Test(stop, told_to_end_while_it_leaves_it_has_left_before_it_ends)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR2};

    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        begin(0);
        edge->leave_token = API_TOKEN_BIT | 1;
        get_signal(numbers[i]);
        cr_assert(edge->is_told_to_end);
        cr_assert_eq(edge->phase, EDGE_RUNNING, "no other word is said to the community");
        cr_assert_eq(edge->queue_count, 0);
        leave_community();
        cr_assert(edge->has_left);
        uv_run(&edge->loop, UV_RUN_DEFAULT); /* to the end of the farewell */
        end();
    }
}

Test(stop, a_community_that_is_left_while_the_process_ends_is_left)
{
    begin(0);
    get_signal(SIGTERM);
    cr_assert_eq(edge->phase, EDGE_STOPPING);
    cr_assert_eq(edge->queue_count, 1);
    leave_community();
    cr_assert(edge->has_left);
    cr_assert(edge->is_told_to_end);
    end();
}

Test(stop, who_did_not_leave_is_a_member_still)
{
    begin(0);
    get_signal(SIGTERM);
    stop_left(edge, &(struct core_answer){.outcome = OVERLAY_REFUSED});
    cr_assert_not(edge->has_left);
    end();
}

Test(stop, told_to_end_during_the_farewell_no_other_life_begins)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR2};

    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        begin(0);
        leave_community();
        cr_assert_not(edge->is_told_to_end);
        get_signal(numbers[i]);
        cr_assert(edge->is_told_to_end);
        cr_assert(edge->has_left);
        cr_assert(uv_is_active((uv_handle_t *)&edge->stop_timer), "the farewell goes out");
        uv_run(&edge->loop, UV_RUN_DEFAULT); /* to its end */
        end();
    }
}

Test(stop, what_comes_between_two_lives_is_for_the_next_one)
{
    begin(0);
    leave_community();
    end();
    raise(SIGTERM);
    begin(0);
    uv_run(&edge->loop, UV_RUN_NOWAIT);
    cr_assert_eq(edge->phase, EDGE_STOPPING);
    cr_assert(edge->is_told_to_end);
    end();
    begin(0);
    uv_run(&edge->loop, UV_RUN_NOWAIT);
    cr_assert_eq(edge->phase, EDGE_RUNNING, "once");
    end();
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
