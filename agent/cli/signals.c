// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/signals.h"

void signals_of_end(sigset_t *set_out)
{
    sigemptyset(set_out);
    sigaddset(set_out, SIGINT);
    sigaddset(set_out, SIGTERM);
    sigaddset(set_out, SIGHUP);
}
