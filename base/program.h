// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Programs of the same build: beside the one that is running, or in its library folder. */
#include "base/err.h"

enum { PROGRAM_BYTES_MAX = 4096 };

/* Returns 0, or a negative code with err saying where it should be. */
int program_find(const char *name, char path_out[PROGRAM_BYTES_MAX], struct err *err);
