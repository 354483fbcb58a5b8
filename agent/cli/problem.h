// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a command ends with: an exit status and one line that says what, why, and
 * what to do. The first finder records it and returns its status; main prints it once.
 */
#include <stdbool.h>
#include <stdio.h>

#include "base/attributes.h"
#include "base/err.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,   /* refused, or failed */
    EXIT_USAGE = 2,     /* wrong usage */
    EXIT_NO_AGENT = 3,  /* no agent, or not permitted */
    EXIT_NOT_FOUND = 4, /* no such thing */
    EXIT_LATE = 5,      /* not in time, or below what is wanted */
};

struct problem {
    int status; /* enum exit_status; EXIT_DONE: none */
    char what[ERR_TEXT_BYTES_MAX];
    char why[ERR_TEXT_BYTES_MAX];
    char advice[ERR_TEXT_BYTES_MAX];
};

/* Records a problem; returns `status`. */
int problem_set(struct problem *problem, int status, const char *what, const char *why_format, ...)
    PRINTF_LIKE(4, 5);
/* Adds what to do; returns the status. */
int problem_advise(struct problem *problem, const char *format, ...) PRINTF_LIKE(2, 3);
/* Takes over an err: its text up to the first ": " is the what. Returns `status`. */
int problem_from_err(struct problem *problem, int status, const struct err *err);

/* "minga: WHAT: WHY. DO" on `stream`, or {"error": {...}}. */
void problem_print(const struct problem *problem, bool as_json, FILE *stream);
