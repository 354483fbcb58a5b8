// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What `minga check` looks at, one row each. A probe tries the thing itself where that can be done
 * without leaving a trace, in a child of its own; the kernel's number says little.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum check_state {
    CHECK_HAVE,
    CHECK_MISSING,
    CHECK_UNKNOWN, /* only root can tell */
    CHECK_STATES,
};

enum check_need {
    CHECK_TO_RUN, /* without it no replica runs here */
    CHECK_BETTER, /* without it something is weaker, slower or unknown */
};

struct check_result {
    enum check_state state;
    char detail[192]; /* what there is, or why not */
};

struct check {
    const char *name;
    enum check_need need;
    void (*probe)(struct check_result *result);
    const char *meaning; /* what it means when it is missing */
    const char *advice;  /* how to mend it */
};

struct check_group {
    const char *name;
    const struct check *checks;
    size_t count;
};

extern const struct check_group kernel_checks;  /* check_kernel.c */
extern const struct check_group machine_checks; /* check_machine.c */
extern const struct check_group network_checks; /* check_network.c */

void check_have(struct check_result *result, const char *format, ...) PRINTF_LIKE(2, 3);
void check_missing(struct check_result *result, const char *format, ...) PRINTF_LIKE(2, 3);
void check_unknown(struct check_result *result, const char *format, ...) PRINTF_LIKE(2, 3);
