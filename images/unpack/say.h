// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What minga-unpack tells its caller on descriptor 1, one line each:
 *
 *     note: usr/bin/su: setuid bit dropped
 *     refused: etc/passwd: path leads through a link
 *     failed: usr/bin/wiki: No space left on device
 *
 * and with its exit status: 0 done, 1 refused (the input is at fault), 2 failed (this machine is).
 */
#include "base/attributes.h"

enum { SAY_EXIT_REFUSED = 1, SAY_EXIT_FAILED = 2 };

/* A note; beyond a bound they are only counted. */
void say_note(const char *format, ...) PRINTF_LIKE(1, 2);
/* The last line. `path` may be NULL. Both end the process. */
_Noreturn void say_refused(const char *path, const char *format, ...) PRINTF_LIKE(2, 3);
_Noreturn void say_failed(const char *path, const char *format, ...) PRINTF_LIKE(2, 3);
/* Says how many notes were left out, if any. */
void say_done(void);
