// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Tables that fit a window: columns as wide as their cells; where they do not fit, those with
 * nothing in them and expendable ones are left out, then the widest are narrowed, and in the
 * narrowest windows only the first ones are left. A last column NOTE is not cut: a long note goes on
 * below itself or, where its column would be too narrow, stands below its row. Cells are cleaned.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { TABLE_COLUMNS_MAX = 12, TABLE_INDENT_COLUMNS = 2 };

struct table {
    uint32_t column_count;
    const char *headings[TABLE_COLUMNS_MAX]; /* borrowed */
    uint32_t row_count;
    char **cells; /* row_count times column_count */
    uint32_t indent_columns;
    const char *expendable; /* headings, each between commas, left out in this order: ",A,B," */
    const char *minor_note; /* this one is not worth a line of its own; or NULL */
};

/* The headings are borrowed. */
void table_init(struct table *table, const char *const *headings, uint32_t column_count);
void table_done(struct table *table);
/* Appends a row; texts are copied, NULL is an empty cell. */
void table_add(struct table *table, const char *const *cells);
/*
 * Appends the printed table to `out`. `width_columns` 0: as wide as it gets. `colour`: words that
 * name a state get one. Returns 0 or as buffer_append.
 */
int table_print(const struct table *table, uint32_t width_columns, bool colour, struct buffer *out);
