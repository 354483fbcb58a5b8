// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One line to stderr per event, for the operator. Only the edge logs; pure code emits traces.
 * Where stderr leads to the journal (JOURNAL_STREAM names it) the line carries its priority as
 * <N> (sd-daemon(3)); after log_open it goes to the journal itself, with fields (journald's native
 * protocol, systemd.io/JOURNAL_NATIVE_PROTOCOL). What the journal does not take goes to stderr.
 */
#include <stddef.h>

#include "base/attributes.h"

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

enum { LOG_FIELDS_MAX = 8, LOG_COMMON_BYTES_MAX = 128 };

struct log_field {     /* MINGA_SERVICE=wiki; no secrets */
    const char *name;  /* [A-Z][A-Z0-9_]* */
    const char *value; /* NULL or "": left out; control characters become "?" */
};

/*
 * From now on to the journal, if stderr leads there. Before any thread is started. `socket_path` is
 * journald's, NULL: where it always is.
 */
void log_open(const char *socket_path);
/* Goes with every line from now on; copied, up to LOG_COMMON_BYTES_MAX. Before any thread, too. */
void log_set_common(const char *name, const char *value);
/* Sets the most verbose level that is printed; LOG_LEVEL_INFO at start. */
void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same with fields, at most LOG_FIELDS_MAX, for who asks the journal for them. */
void log_fields(enum log_level level, const struct log_field *fields, size_t field_count,
                const char *format, ...) PRINTF_LIKE(4, 5);

/* With MINGA_EVENT only, a word that is kept. */
#define log_event(level, event, ...) \
    log_fields(level, (const struct log_field[]){{"MINGA_EVENT", event}}, 1, __VA_ARGS__)
#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
