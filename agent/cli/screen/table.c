// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/table.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cli/screen/text.h"
#include "base/attributes.h"
#include "base/check.h"

enum {
    GAP_COLUMNS = 2,
    NOTE_COLUMNS_MIN = 8,
    NOTE_COLUMNS_KEPT = 24, /* a note that is no longer keeps its column */
    FOLD_COLUMNS_MIN = 40,  /* a longer one goes on below itself, or stands below its row */
    BELOW_COLUMNS = 4,      /* indented so much more than its row */
    CELL_COLUMNS_MIN = 5,
    NOTE_BYTES_MAX = 2048, /* with what folding adds */
};

struct layout {
    size_t widths[TABLE_COLUMNS_MAX]; /* 0: left out */
    size_t gap;
    size_t below_columns; /* what notes below their rows have; 0: they have a column */
};

void table_init(struct table *table, const char *const *headings, uint32_t column_count)
{
    CHECK(column_count > 0 && column_count <= TABLE_COLUMNS_MAX);
    memset(table, 0, sizeof(*table));
    table->column_count = column_count;
    for (uint32_t i = 0; i < column_count; i++) {
        table->headings[i] = headings[i];
    }
}

void table_done(struct table *table)
{
    for (uint32_t i = 0; i < table->row_count * table->column_count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    table->cells = NULL;
    table->row_count = 0;
}

void table_add(struct table *table, const char *const *cells)
{
    size_t used_count = (size_t)table->row_count * table->column_count;
    char **grown = realloc(table->cells, (used_count + table->column_count) * sizeof(*grown));

    if (grown == NULL) {
        return; /* a table short of a row, on a machine without memory */
    }
    table->cells = grown;
    for (uint32_t i = 0; i < table->column_count; i++) {
        char *copy = strdup(cells[i] != NULL ? cells[i] : "");

        if (copy != NULL) {
            text_clean(copy);
        }
        table->cells[used_count + i] = copy;
    }
    table->row_count++;
}

/* Row 0 is the heading. */
static const char *cell(const struct table *table, uint32_t row, uint32_t column)
{
    const char *text = row == 0 ? table->headings[column]
                                : table->cells[(size_t)(row - 1) * table->column_count + column];

    return text != NULL ? text : "";
}

static void measure(const struct table *table, struct layout *layout_out)
{
    *layout_out = (struct layout){.gap = GAP_COLUMNS};
    for (uint32_t column = 0; column < table->column_count; column++) {
        size_t *widest = &layout_out->widths[column];

        for (uint32_t row = 0; row <= table->row_count; row++) {
            size_t width = text_width(cell(table, row, column));

            *widest = width > *widest ? width : *widest;
        }
    }
}

static size_t total(const struct table *table, const struct layout *layout)
{
    size_t sum = table->indent_columns;

    for (uint32_t i = 0; i < table->column_count; i++) {
        sum += layout->widths[i] > 0 ? layout->widths[i] + (i > 0 ? layout->gap : 0) : 0;
    }
    return sum;
}

static size_t excess_of(const struct table *table, const struct layout *layout,
                        size_t width_columns)
{
    size_t sum = total(table, layout);

    return sum > width_columns ? sum - width_columns : 0;
}

/* Takes `excess` off a column, but not below `floor`. */
static void shrink(size_t *width, size_t floor, size_t excess)
{
    size_t give = *width > floor ? *width - floor : 0;

    *width -= give < excess ? give : excess;
}

static bool is_empty(const struct table *table, uint32_t column)
{
    for (uint32_t row = 1; row <= table->row_count; row++) {
        if (cell(table, row, column)[0] != '\0') {
            return false;
        }
    }
    return table->row_count > 0;
}

/* A heading with nothing below it. */
static void leave_out_empty(const struct table *table, size_t width_columns, struct layout *layout)
{
    for (uint32_t i = table->column_count; i > 1; i--) {
        if (excess_of(table, layout, width_columns) > 0 && is_empty(table, i - 1)) {
            layout->widths[i - 1] = 0;
        }
    }
}

/* Leaves one expendable column out after the other until the rest fits. */
static void leave_out(const struct table *table, size_t width_columns, struct layout *layout)
{
    const char *name = table->expendable != NULL ? table->expendable + 1 : "";

    while (*name != '\0' && excess_of(table, layout, width_columns) > 0) {
        size_t length = strcspn(name, ",");

        for (uint32_t i = 0; i < table->column_count; i++) {
            if (strlen(table->headings[i]) == length &&
                strncmp(table->headings[i], name, length) == 0) {
                layout->widths[i] = 0;
            }
        }
        name += length + (name[length] == ',' ? 1 : 0);
    }
}

/* The widest first, none below `floor`. */
static void narrow(const struct table *table, size_t width_columns, size_t floor,
                   struct layout *layout)
{
    size_t *widths = layout->widths;

    for (size_t excess = excess_of(table, layout, width_columns); excess > 0; excess--) {
        uint32_t widest = 0;

        for (uint32_t i = 1; i < table->column_count; i++) {
            widest = widths[i] > widths[widest] ? i : widest;
        }
        if (widths[widest] <= floor) {
            return;
        }
        widths[widest]--;
    }
}

/* Columns come closer, then narrower, then the last ones go. */
static void squeeze(const struct table *table, size_t width_columns, struct layout *layout)
{
    narrow(table, width_columns, NOTE_COLUMNS_MIN, layout);
    if (excess_of(table, layout, width_columns) > 0) {
        layout->gap = 1;
        narrow(table, width_columns, CELL_COLUMNS_MIN, layout);
    }
    for (uint32_t i = table->column_count; i > 1; i--) {
        if (excess_of(table, layout, width_columns) > 0) {
            layout->widths[i - 1] = 0;
        }
    }
    narrow(table, width_columns, 1, layout);
}

static bool has_notes(const struct table *table)
{
    return strcmp(table->headings[table->column_count - 1], "NOTE") == 0;
}

/* A note that is longer than its column may be is never cut: it is why the table is looked at. */
static bool fit_notes(const struct table *table, size_t width_columns, struct layout *layout)
{
    size_t *note = &layout->widths[table->column_count - 1];
    size_t note_columns = *note;

    if (!has_notes(table) || note_columns <= NOTE_COLUMNS_KEPT ||
        width_columns < table->indent_columns + BELOW_COLUMNS + NOTE_COLUMNS_KEPT) {
        return false;
    }
    *note = note_columns < FOLD_COLUMNS_MIN ? note_columns : FOLD_COLUMNS_MIN;
    leave_out_empty(table, width_columns, layout);
    if (excess_of(table, layout, width_columns) > 0) {
        *note = 0;
        layout->below_columns = width_columns - table->indent_columns - BELOW_COLUMNS;
        leave_out(table, width_columns, layout);
        squeeze(table, width_columns, layout);
        return true;
    }
    *note += width_columns - total(table, layout);
    *note = *note < note_columns ? *note : note_columns;
    return true;
}

static void fit(const struct table *table, size_t width_columns, struct layout *layout)
{
    size_t *note = &layout->widths[table->column_count - 1];
    size_t note_columns = *note;

    CHECK(table->column_count > 0);
    if (excess_of(table, layout, width_columns) == 0 || fit_notes(table, width_columns, layout)) {
        return;
    }
    if (!has_notes(table)) {
        shrink(note, NOTE_COLUMNS_MIN, excess_of(table, layout, width_columns));
    }
    leave_out_empty(table, width_columns, layout);
    leave_out(table, width_columns, layout);
    squeeze(table, width_columns, layout);
    /* What was left out may have made more room than was wanted: the note has it. */
    if (*note > 0 && total(table, layout) < width_columns) {
        *note += width_columns - total(table, layout);
        *note = *note < note_columns ? *note : note_columns;
    }
}

#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"

static const char *colour_of(const char *word)
{
    static const struct {
        const char *word;
        const char *colour;
    } colours[] = {
        {"active", GREEN},   {"running", GREEN},       {"ok", GREEN},        {"up", GREEN},
        {"ready", GREEN},    {"direct", GREEN},        {"starting", YELLOW}, {"fetching", YELLOW},
        {"waiting", YELLOW}, {"stopping", YELLOW},     {"updating", YELLOW}, {"suspect", YELLOW},
        {"pausing", YELLOW}, {"paused", YELLOW},       {"draining", YELLOW}, {"drained", YELLOW},
        {"degraded", RED},   {"failed", RED},          {"failing", RED},     {"down", RED},
        {"expelled", RED},   {"isolated", RED},        {"no sandbox", RED},  {"disk refuses", RED},
        {"MISSING", RED},    {"no community", YELLOW}, {"keeping", YELLOW},  {"missing", RED},
    };

    for (size_t i = 0; i < ARRAY_COUNT(colours); i++) {
        if (strcmp(colours[i].word, word) == 0) {
            return colours[i].colour;
        }
    }
    return NULL;
}

static int append_text(struct buffer *out, const char *text)
{
    return buffer_append(out, text, strlen(text));
}

static int append_spaces(struct buffer *out, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        r = buffer_append(out, " ", 1);
    }
    return r;
}

static int append_cell(struct buffer *out, const char *text, size_t width, const char *colour)
{
    bool cut = text_width(text) > width;
    int r = colour != NULL ? append_text(out, colour) : 0;

    if (r == 0) {
        r = buffer_append(out, text,
                          cut ? text_prefix_bytes(text, width > 3 ? width - 3 : 0) : strlen(text));
    }
    if (r == 0 && cut) {
        r = append_text(out, width > 3 ? "..." : "");
    }
    if (r == 0 && colour != NULL) {
        r = append_text(out, "\033[0m");
    }
    return r;
}

static bool is_state(const char *heading)
{
    static const char *const headings[] = {"STATE", "HEALTH", "REACH"};

    for (size_t i = 0; i < ARRAY_COUNT(headings); i++) {
        if (strcmp(headings[i], heading) == 0) {
            return true;
        }
    }
    return false;
}

/* The note's first line; what follows goes to *rest_out. */
static void split_note(const char *note, size_t columns, char text_out[NOTE_BYTES_MAX],
                       const char **rest_out)
{
    char *end;

    text_fold(note, columns, 0, text_out, NOTE_BYTES_MAX);
    end = strchr(text_out, '\n');
    *rest_out = end != NULL ? end + 1 : "";
    if (end != NULL) {
        *end = '\0';
    }
}

/* Line by line, each after so many spaces. */
static int append_lines(struct buffer *out, const char *lines, size_t indent)
{
    int r = 0;

    while (*lines != '\0' && r == 0) {
        size_t length = strcspn(lines, "\n");

        r = append_spaces(out, indent);
        r = r == 0 ? buffer_append(out, lines, length) : r;
        r = r == 0 ? append_text(out, "\n") : r;
        lines += length + (lines[length] == '\n' ? 1 : 0);
    }
    return r;
}

/* What does not fit beside the row, or on its first line. */
static int print_rest(const struct table *table, uint32_t row, const struct layout *layout,
                      const char *rest, struct buffer *out)
{
    uint32_t last = table->column_count - 1;
    const char *note = cell(table, row, last);
    char folded[NOTE_BYTES_MAX];

    if (layout->below_columns == 0) {
        return append_lines(out, rest, total(table, layout) - layout->widths[last]);
    }
    if (row == 0 || (table->minor_note != NULL && strcmp(note, table->minor_note) == 0)) {
        return 0;
    }
    text_fold(note, layout->below_columns, 0, folded, sizeof(folded));
    return append_lines(out, folded, table->indent_columns + BELOW_COLUMNS);
}

static int print_row(const struct table *table, uint32_t row, const struct layout *layout,
                     bool colour, struct buffer *out)
{
    const size_t *widths = layout->widths;
    size_t owed = table->indent_columns; /* spaces, printed only when something follows */
    char note[NOTE_BYTES_MAX];
    const char *rest = "";
    int r = 0;

    for (uint32_t i = 0; i < table->column_count && r == 0; i++) {
        const char *text = cell(table, row, i);

        if (widths[i] == 0) {
            continue;
        }
        if (i + 1 == table->column_count && has_notes(table) && widths[i] > NOTE_COLUMNS_KEPT) {
            split_note(text, widths[i], note, &rest);
            text = note;
        }
        size_t width = text_width(text) < widths[i] ? text_width(text) : widths[i];

        if (text[0] != '\0') {
            r = append_spaces(out, owed);
            owed = 0;
            if (r == 0) {
                bool is_coloured = colour && row > 0 && is_state(table->headings[i]);

                r = append_cell(out, text, widths[i], is_coloured ? colour_of(text) : NULL);
            }
        }
        owed += widths[i] - width + layout->gap;
    }
    r = r == 0 ? append_text(out, "\n") : r;
    return r == 0 ? print_rest(table, row, layout, rest, out) : r;
}

int table_print(const struct table *table, uint32_t width_columns, bool colour, struct buffer *out)
{
    struct layout layout;
    int r = 0;

    measure(table, &layout);
    if (width_columns > 0) {
        fit(table, width_columns, &layout);
    }
    for (uint32_t row = 0; row <= table->row_count && r == 0; row++) {
        r = print_row(table, row, &layout, colour, out);
    }
    return r;
}
