// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/unpack/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum { LINE_BYTES_MAX = 2304, NOTES_BYTES_MAX = 49152, MESSAGE_FD = 1 };

/* The one state of a process that does one job: how much it has said. */
static struct {
    size_t bytes;
    uint32_t left_out_count;
} said;

/* One line of text is one line of text, whatever is in a name. */
static void write_line(char *line)
{
    size_t length_bytes = strlen(line);
    bool is_text = mbstowcs(NULL, line, 0) != (size_t)-1;

    for (size_t i = 0; i < length_bytes; i++) {
        unsigned char byte = (unsigned char)line[i];

        if (byte < 0x20 || byte == 0x7f || (byte > 0x7f && !is_text)) {
            line[i] = '?';
        }
    }
    line[length_bytes++] = '\n';
    said.bytes += length_bytes;
    if (file_write_all(MESSAGE_FD, (struct bytes){(const uint8_t *)line, length_bytes}) < 0) {
        _exit(SAY_EXIT_FAILED);
    }
}

void say_note(const char *format, ...)
{
    char line[LINE_BYTES_MAX] = "note: ";
    size_t used_bytes = strlen(line);
    va_list arguments;

    if (said.bytes > NOTES_BYTES_MAX) {
        said.left_out_count++;
        return;
    }
    va_start(arguments, format);
    vsnprintf(line + used_bytes, sizeof(line) - used_bytes - 1, format, arguments);
    va_end(arguments);
    write_line(line);
}

void say_done(void)
{
    char line[LINE_BYTES_MAX];

    if (said.left_out_count > 0) {
        snprintf(line, sizeof(line), "note: and %u more like these", said.left_out_count);
        write_line(line);
    }
}

static void say_last(const char *what, const char *path, const char *format, va_list arguments)
    PRINTF_LIKE(3, 0);

static void say_last(const char *what, const char *path, const char *format, va_list arguments)
{
    char line[LINE_BYTES_MAX];
    int used_bytes =
        snprintf(line, 1200, "%s: %s%s", what, path == NULL ? "" : path, path == NULL ? "" : ": ");

    /* A path too long for the line is cut. */
    if (used_bytes >= 1200) {
        used_bytes = 1199;
    }
    vsnprintf(line + used_bytes, sizeof(line) - (size_t)used_bytes - 1, format, arguments);
    write_line(line);
}

void say_refused(const char *path, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_last("refused", path, format, arguments);
    va_end(arguments);
    _exit(SAY_EXIT_REFUSED);
}

void say_failed(const char *path, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_last("failed", path, format, arguments);
    va_end(arguments);
    _exit(SAY_EXIT_FAILED);
}
