// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/signals.h"

/* What is blocked comes though it is ignored, as SIGHUP is under nohup. SIGINT stays: every script's
 * shell has what it starts with & ignore it, and means no more by it than that of the keyboard. */
void signals_of_end(sigset_t *set_out)
{
    struct sigaction hangup;

    sigemptyset(set_out);
    sigaddset(set_out, SIGINT);
    sigaddset(set_out, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
        sigaddset(set_out, SIGHUP);
    }
}
