// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One line that says how far long work is: bar, share, amount, rate and time left, as much of it as
 * the window has room for. Pure: times are given; progress_bar (session.h) puts it on the terminal.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BAR_SAMPLES_MAX = 32, BAR_LINE_BYTES_MAX = 256 };

struct bar_sample {
    uint64_t at_ms;
    uint64_t done_bytes;
};

struct bar {
    const char *what; /* "pushing"; borrowed */
    uint64_t began_ms;
    uint64_t shown_ms;    /* last; 0: not yet */
    uint32_t sample_next; /* a ring */
    uint32_t sample_count;
    struct bar_sample samples[BAR_SAMPLES_MAX]; /* of the last seconds */
};

void bar_begin(struct bar *bar, const char *what, uint64_t now_ms);
/* So much is done. True when it is time for another line: ten a second are enough. */
bool bar_note(struct bar *bar, uint64_t done_bytes, uint64_t now_ms);
/* Bytes a second over the last seconds; 0: not known yet, or nothing moves. */
uint64_t bar_rate(const struct bar *bar);
/* What it came to, in all: "12M in 3s, 4.0M/s". */
void bar_total(const struct bar *bar, uint64_t done_bytes, uint64_t now_ms,
               char text_out[BAR_LINE_BYTES_MAX]);
/*
 * The line, at most width_columns - 1 wide: a terminal's last column makes some wrap. total_bytes 0:
 * nobody knows; a total may change on the way.
 */
void bar_line(const struct bar *bar, uint64_t total_bytes, uint32_t width_columns,
              char line_out[BAR_LINE_BYTES_MAX]);
