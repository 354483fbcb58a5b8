// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One line to stderr per event, for the operator. Only the edge logs; pure code emits traces.
 * Under systemd (JOURNAL_STREAM set) the line carries its priority as <N> (sd-daemon(3)).
 */
#include "base/attributes.h"

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* Sets the most verbose level that is printed; LOG_LEVEL_INFO at start. */
void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
