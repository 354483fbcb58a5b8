// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

enum {
    LOG_LINE_BYTES_MAX = 1024,
    RECORD_BYTES_MAX = 4096,
    HIGH_FD = 128, /* out of the way of children that arrange theirs */
};

static enum log_level level_max = LOG_LEVEL_INFO;

/* Written by log_open and log_set_common, before there are threads. */
static struct {
    bool is_open;
    int fd;
    struct sockaddr_un address;
    char common_name[LOG_COMMON_BYTES_MAX];
    char common_value[LOG_COMMON_BYTES_MAX];
} journal;

void log_set_level(enum log_level level)
{
    level_max = level;
}

void log_set_common(const char *name, const char *value)
{
    snprintf(journal.common_name, sizeof(journal.common_name), "%s", name);
    snprintf(journal.common_value, sizeof(journal.common_value), "%s", value);
}

/* ------------------------------------------------------------------ the journal */

/* JOURNAL_STREAM is inherited also by those whose stderr was led elsewhere. */
static bool leads_to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe): only read
    unsigned long long device = 0;
    unsigned long long inode = 0;
    struct stat status;

    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_open(const char *socket_path)
{
    const char *path = socket_path == NULL ? JOURNAL_SOCKET : socket_path;
    int fd;

    if (!leads_to_journal() || strlen(path) >= sizeof(journal.address.sun_path)) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    journal.fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    close(fd);
    journal.is_open = journal.fd >= 0;
    journal.address.sun_family = AF_UNIX;
    memcpy(journal.address.sun_path, path, strlen(path) + 1);
}

static void blank_controls(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
}

struct record {
    size_t used_bytes;
    char bytes[RECORD_BYTES_MAX];
};

/* NAME=value and a newline, which no value has; what does not fit is left out as a whole. */
static void add_field(struct record *record, const char *name, const char *value)
{
    char *begin = record->bytes + record->used_bytes;
    size_t left_bytes = sizeof(record->bytes) - record->used_bytes;
    int length = 0;

    if (name == NULL || value == NULL || value[0] == '\0') {
        return;
    }
    length = snprintf(begin, left_bytes, "%s=%s", name, value);
    if (length < 0 || (size_t)length + 1 >= left_bytes) {
        return;
    }
    blank_controls(begin);
    begin[length] = '\n';
    record->used_bytes += (size_t)length + 1;
}

static bool say_to_journal(enum log_level level, const struct log_field *fields, size_t field_count,
                           const char *line)
{
    struct record record = {.used_bytes = 0};
    char priority[2] = {(char)('0' + (int)level), '\0'};

    if (!journal.is_open) {
        return false;
    }
    add_field(&record, "PRIORITY", priority);
    add_field(&record, "SYSLOG_IDENTIFIER", program_invocation_short_name);
    add_field(&record, "MESSAGE", line);
    add_field(&record, journal.common_name, journal.common_value);
    for (size_t i = 0; i < field_count; i++) {
        add_field(&record, fields[i].name, fields[i].value);
    }
    /* By name each time: a journald that was started again has another socket there. */
    return sendto(journal.fd, record.bytes, record.used_bytes, MSG_NOSIGNAL,
                  (const struct sockaddr *)&journal.address,
                  sizeof(journal.address)) == (ssize_t)record.used_bytes;
}

/* ------------------------------------------------------------------ stderr */

static void say_to_stderr(enum log_level level, const char *line)
{
    char text[LOG_LINE_BYTES_MAX + 8];
    int length = leads_to_journal() ? snprintf(text, sizeof(text), "<%d>%s\n", (int)level, line)
                                    : snprintf(text, sizeof(text), "%s\n", line);

    if (length < 0 || write(STDERR_FILENO, text, (size_t)length) < 0) {
        /* nowhere left to say it */
    }
}

static void say(enum log_level level, const struct log_field *fields, size_t field_count,
                const char *format, va_list arguments) PRINTF_LIKE(4, 0);

static void say(enum log_level level, const struct log_field *fields, size_t field_count,
                const char *format, va_list arguments)
{
    char line[LOG_LINE_BYTES_MAX];
    int saved_errno = errno;

    if (level > level_max) {
        return;
    }
    vsnprintf(line, sizeof(line), format, arguments);
    blank_controls(line);
    if (!say_to_journal(level, fields, field_count, line)) {
        say_to_stderr(level, line);
    }
    errno = saved_errno;
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(level, NULL, 0, format, arguments);
    va_end(arguments);
}

void log_fields(enum log_level level, const struct log_field *fields, size_t field_count,
                const char *format, ...)
{
    va_list arguments;

    CHECK(field_count <= LOG_FIELDS_MAX);
    va_start(arguments, format);
    say(level, fields, field_count, format, arguments);
    va_end(arguments);
}
