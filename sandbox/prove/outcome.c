// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "sandbox/prove/attempt.h"

PRINTF_LIKE(3, 0)
static void say(struct outcome *out, enum verdict verdict, const char *format, va_list arguments)
{
    out->verdict = verdict;
    (void)vsnprintf(out->remark, sizeof(out->remark), format, arguments);
    for (char *c = out->remark; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ') {
            *c = ' ';
        }
    }
}

void outcome_open(struct outcome *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(out, VERDICT_OPEN, format, arguments);
    va_end(arguments);
}

void outcome_stopped(struct outcome *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(out, VERDICT_STOPPED, format, arguments);
    va_end(arguments);
}

void outcome_unsure(struct outcome *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(out, VERDICT_UNSURE, format, arguments);
    va_end(arguments);
}

void outcome_of_error(struct outcome *out, int error_number)
{
    switch (error_number) {
    case EPERM:
    case EACCES:
    case ENOSYS:
    case EROFS:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
        outcome_stopped(out, "%s", err_text(error_number));
        break;
    default:
        outcome_unsure(out, "%s", err_text(error_number));
        break;
    }
}

void outcome_of_absence(struct outcome *out, int error_number)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
    case ENXIO:
    case ENODEV:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ECONNREFUSED:
    case EADDRNOTAVAIL:
        outcome_stopped(out, "%s", err_text(error_number));
        break;
    default:
        outcome_of_error(out, error_number);
        break;
    }
}
