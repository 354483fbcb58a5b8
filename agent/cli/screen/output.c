// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/screen/bar.h"
#include "agent/cli/screen/text.h"
#include "agent/cli/session.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { OUTPUT_BYTES_MAX = 16 * 1048576 };

void session_measure(struct session *session)
{
    struct winsize window = {0};
    const char *text = getenv("COLUMNS");
    uint64_t columns = 0;

    if (session->interactive_output && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0) {
        session->width_columns = window.ws_col;
        session->row_count = window.ws_row;
    }
    if (text != NULL && units_parse_number(text, &columns) == 0 && columns >= 20 &&
        columns <= 1000) {
        session->width_columns = (uint32_t)columns;
    }
}

/* ASCII: an escape sequence in someone's name never reaches the terminal. */
void print_document(const json_t *document)
{
    json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    fputc('\n', stdout);
}

void print_line(const json_t *document)
{
    json_dumpf(document, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    fputc('\n', stdout);
    fflush(stdout);
}

void print_table(const struct session *session, struct table *table)
{
    CLEANUP(cleanup_buffer) struct buffer own = {.bytes_max = OUTPUT_BYTES_MAX};
    struct buffer *out = session->frame != NULL ? session->frame : &own;

    if (table_print(table, session->width_columns, session->colour, out) == 0 && out == &own) {
        fwrite(own.data, 1, own.length_bytes, stdout);
    }
    table_done(table);
}

bool confirm(const struct session *session, const struct arguments *arguments, const char *question)
{
    char answer[16] = "";

    if (!session->asks || arguments->options[OPTION_YES] != NULL) {
        return true;
    }
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) == NULL) {
        return false;
    }
    return strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0;
}

void remark(const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    text_clean(line);
    fprintf(stderr, "%s\n", line);
}

/* Of the window that stderr is on, now. */
static uint32_t progress_columns(void)
{
    enum { COLUMNS_DEFAULT = 80 };
    struct winsize window = {0};

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col
                                                                               : COLUMNS_DEFAULT;
}

/* A line that wrapped could not be overwritten. */
static void put_progress(char *line)
{
    text_clean(line);
    line[text_prefix_bytes(line, progress_columns() - 1)] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void progress_begin(struct bar *bar, const char *what)
{
    bar_begin(bar, what, now_ms());
}

void progress_bar(const struct session *session, struct bar *bar, uint64_t done_bytes,
                  uint64_t total_bytes)
{
    char line[BAR_LINE_BYTES_MAX];

    if (session->progress && session->draws && !session->json &&
        bar_note(bar, done_bytes, now_ms())) {
        bar_line(bar, total_bytes, progress_columns(), line);
        put_progress(line);
    }
}

void progress_total(const struct session *session, const struct bar *bar, const char *done,
                    uint64_t done_bytes)
{
    char text[BAR_LINE_BYTES_MAX];

    progress(session, "%s", "");
    if (session->progress && !session->json) {
        bar_total(bar, done_bytes, now_ms(), text);
        remark("minga: %s %s", done, text);
    }
}

void progress(const struct session *session, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    if (!session->progress || !session->draws || session->json) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    put_progress(line);
}
