// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

/* An error is one line wherever it is shown, whatever a file name or a peer put into it. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

int err_set(struct err *err, int code, const char *format, ...)
{
    int saved_errno = errno;
    va_list arguments;

    CHECK(code < 0);
    err->code = code;
    err->hint[0] = '\0';
    errno = saved_errno;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof(err->text), format, arguments);
    va_end(arguments);
    make_printable(err->text);
    return code;
}

int err_wrap(struct err *err, const char *format, ...)
{
    char context[ERR_TEXT_BYTES_MAX];
    char cause[ERR_TEXT_BYTES_MAX];
    va_list arguments;

    CHECK(err->code < 0);
    va_start(arguments, format);
    vsnprintf(context, sizeof(context), format, arguments);
    va_end(arguments);
    make_printable(context);
    memcpy(cause, err->text, sizeof(cause));
    /* Cutting the tail of an over-long chain is wanted: the outer context is worth more. */
    if (snprintf(err->text, sizeof(err->text), "%s: %s", context, cause) < 0) {
        err->text[0] = '\0';
    }
    return err->code;
}

int err_hint(struct err *err, const char *format, ...)
{
    va_list arguments;

    CHECK(err->code < 0);
    va_start(arguments, format);
    vsnprintf(err->hint, sizeof(err->hint), format, arguments);
    va_end(arguments);
    make_printable(err->hint);
    return err->code;
}

#ifdef __GLIBC__
#define ERROR_WORDS strerrordesc_np
#else /* musl's reads a table: safe in threads, too */
#define ERROR_WORDS strerror
#endif

const char *err_text(int code)
{
    const char *text = ERROR_WORDS(code < 0 ? -code : code);

    return text != NULL ? text : "unknown error";
}
