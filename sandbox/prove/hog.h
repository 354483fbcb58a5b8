// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What a sandbox has to end or to hold from outside: none returns. */
#include <stdbool.h>

/* Runs the one of that name; false when there is none. */
bool hog_run(const char *name);
