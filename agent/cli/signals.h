// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
#include <signal.h>

/* Those by which a terminal or a supervisor says that the command is to end; under nohup without the
 * terminal's end. */
void signals_of_end(sigset_t *set_out);
