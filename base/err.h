// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Errors that a person must read.
 *
 * The first finder records what failed (err_set), every caller on the way up puts context in
 * front (err_wrap), the edge prints it once: "start replica 3: bundle 9f2c: No such file".
 * err_hint adds what to do about it. A function reports or returns, never both.
 */
#include "base/attributes.h"

enum { ERR_TEXT_BYTES_MAX = 512, ERR_HINT_BYTES_MAX = 256 };

struct err {
    int code;                      /* 0: no error; else negative errno */
    char text[ERR_TEXT_BYTES_MAX]; /* "what: why", one line */
    char hint[ERR_HINT_BYTES_MAX]; /* what to do; "" when nothing better is known */
};

/* Records the first cause. `code` is a negative errno; %m prints errno. Returns code. */
int err_set(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " in front of the text and keeps the code. Returns err->code. */
int err_wrap(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* What an errno (either sign) means, in words; never NULL. Safe in threads. */
const char *err_text(int code);

/* Sets what the person can do about it. Returns err->code. */
int err_hint(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);
