// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/signals.h"

#include <criterion/criterion.h>

Test(signals, a_terminal_s_hangup_ends_a_command)
{
    sigset_t set;

    signals_of_end(&set);
    cr_assert_eq(sigismember(&set, SIGINT), 1);
    cr_assert_eq(sigismember(&set, SIGTERM), 1);
    cr_assert_eq(sigismember(&set, SIGHUP), 1);
    cr_assert_eq(sigismember(&set, SIGCHLD), 0);
}

Test(signals, under_nohup_it_does_not)
{
    sigset_t set;

    cr_assert_eq(sigaction(SIGHUP, &(struct sigaction){.sa_handler = SIG_IGN}, NULL), 0);
    signals_of_end(&set);
    cr_assert_eq(sigismember(&set, SIGHUP), 0);
    cr_assert_eq(sigismember(&set, SIGTERM), 1);
}

/* As of all that a script starts with &. */
Test(signals, kill_by_a_script_ends_one_in_its_background)
{
    sigset_t set;

    cr_assert_eq(sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_IGN}, NULL), 0);
    signals_of_end(&set);
    cr_assert_eq(sigismember(&set, SIGINT), 1);
}
