// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_LINE_BYTES_MAX = 1024 };

static enum log_level level_max = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    level_max = level;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_BYTES_MAX];
    int saved_errno = errno;
    int length = 0;
    va_list arguments;

    if (level > level_max) {
        return;
    }
    if (getenv("JOURNAL_STREAM") != NULL) {
        length = snprintf(line, sizeof(line), "<%d>", (int)level);
    }
    va_start(arguments, format);
    errno = saved_errno;
    vsnprintf(line + length, sizeof(line) - (size_t)length - 1, format, arguments);
    va_end(arguments);
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    size_t length_bytes = strlen(line);
    line[length_bytes] = '\n'; /* room was kept above */
    if (write(STDERR_FILENO, line, length_bytes + 1) < 0) {
        /* nowhere left to say it */
    }
    errno = saved_errno;
}
