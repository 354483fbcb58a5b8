// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* KEY=VALUE words of the command line, as `minga prove` writes them. */
#include "sandbox/prove/attempt.h"

/* Fills in what `words` (NULL at the end) say. Returns NULL, or the word that is none. */
const char *facts_read(char *const *words, struct facts *facts_out);
