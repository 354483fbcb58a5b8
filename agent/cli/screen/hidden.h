// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A secret that a person types. */
#include <stdbool.h>
#include <stddef.h>

/* Asks for a line of standard input; a terminal does not show it as it is typed, and does again when
 * this returns or a signal ends the command. False: there was none. The caller wipes it. */
bool hidden_line(const char *prompt, char *text_out, size_t capacity_bytes);
