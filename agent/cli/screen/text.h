// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Text of others on a person's terminal. Pure. */
#include <stddef.h>
#include <stdint.h>

/* Replaces, in place, what a terminal would obey or cannot show (control characters, also those
 * of C1, and what is no UTF-8) by "?". */
void text_clean(char *text);
/* The same for a window of output, which keeps line ends and tabs. */
void text_clean_output(char *text, size_t length_bytes);
/* Columns that cleaned text takes: one per character. */
size_t text_width(const char *text);
/* How many bytes the first `width` characters take. */
size_t text_prefix_bytes(const char *text, size_t width);
/* Lines of at most `width` characters (0: as many as there are), broken at blanks; those after the first are
 * indented. A longer word has a line of its own. What does not fit out_bytes is left out. */
void text_fold(const char *text, size_t width, size_t indent, char *out, size_t out_bytes);
/* How far two words are apart: insertions, deletions, replacements, swaps of neighbours. Words
 * are cut at 31 characters. */
uint32_t text_distance(const char *a, const char *b);
