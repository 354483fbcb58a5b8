// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * CHECK(): what our own code guarantees, on in release builds too.
 *
 * A failed CHECK is our mistake and ends the process before the mistake spreads. Never use it on
 * bytes that a peer, an operator or a file can cause: those get error returns.
 */

#define CHECK(condition)                                  \
    do {                                                  \
        if (__builtin_expect(!(condition), 0)) {          \
            check_failed(__FILE__, __LINE__, #condition); \
        }                                                 \
    } while (0)

/* Prints where and what to stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *condition);
