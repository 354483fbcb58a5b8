// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/bar.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/units.h"

enum {
    SHOW_MS = 100,
    SAMPLE_MS = 250, /* a ring of them reaches 8 s back: what the line does now, without jumping */
    RATE_MS_MIN = 500,
    INNER_COLUMNS_MIN = 8, /* of the bar: a shorter one says nothing */
    INNER_COLUMNS_MAX = 40,
    PART_BYTES = 64,
};

void bar_begin(struct bar *bar, const char *what, uint64_t now_ms)
{
    memset(bar, 0, sizeof(*bar));
    bar->what = what;
    bar->began_ms = now_ms;
    bar->samples[0] = (struct bar_sample){now_ms, 0};
    bar->sample_next = 1;
    bar->sample_count = 1;
}

static const struct bar_sample *newest(const struct bar *bar)
{
    return &bar->samples[(bar->sample_next + BAR_SAMPLES_MAX - 1) % BAR_SAMPLES_MAX];
}

static const struct bar_sample *oldest(const struct bar *bar)
{
    return bar->sample_count < BAR_SAMPLES_MAX ? &bar->samples[0] : &bar->samples[bar->sample_next];
}

/* The newest place is rewritten until it is SAMPLE_MS younger than the one before it. */
static void take_sample(struct bar *bar, struct bar_sample sample)
{
    uint32_t last = (bar->sample_next + BAR_SAMPLES_MAX - 1) % BAR_SAMPLES_MAX;
    uint32_t before = (bar->sample_next + BAR_SAMPLES_MAX - 2) % BAR_SAMPLES_MAX;

    if (bar->sample_count > 1 && sample.at_ms < bar->samples[before].at_ms + SAMPLE_MS) {
        bar->samples[last] = sample;
        return;
    }
    bar->samples[bar->sample_next] = sample;
    bar->sample_next = (bar->sample_next + 1) % BAR_SAMPLES_MAX;
    bar->sample_count += bar->sample_count < BAR_SAMPLES_MAX ? 1 : 0;
}

bool bar_note(struct bar *bar, uint64_t done_bytes, uint64_t now_ms)
{
    CHECK(bar->sample_count > 0);
    take_sample(bar, (struct bar_sample){now_ms, done_bytes});
    if (bar->shown_ms != 0 && now_ms < bar->shown_ms + SHOW_MS) {
        return false;
    }
    bar->shown_ms = now_ms;
    return true;
}

uint64_t bar_rate(const struct bar *bar)
{
    const struct bar_sample *first = oldest(bar);
    const struct bar_sample *last = newest(bar);

    if (last->at_ms < first->at_ms + RATE_MS_MIN || last->done_bytes <= first->done_bytes) {
        return 0;
    }
    return (last->done_bytes - first->done_bytes) * 1000 / (last->at_ms - first->at_ms);
}

void bar_total(const struct bar *bar, uint64_t done_bytes, uint64_t now_ms,
               char text_out[BAR_LINE_BYTES_MAX])
{
    uint64_t took_ms = now_ms > bar->began_ms ? now_ms - bar->began_ms : 1;
    char done[UNITS_TEXT_BYTES_MAX];
    char rate[UNITS_TEXT_BYTES_MAX];

    units_print_bytes(done_bytes, done);
    units_print_bytes((uint64_t)((double)done_bytes * 1000.0 / (double)took_ms), rate);
    snprintf(text_out, BAR_LINE_BYTES_MAX, "%s in %.1f s, %s/s", done, (double)took_ms / 1000.0,
             rate);
}

/* ------------------------------------------------------------------ the line */

static void print_left(uint64_t left_bytes, uint64_t rate, char text_out[PART_BYTES])
{
    uint64_t left_s = rate == 0 ? 0 : (left_bytes + rate - 1) / rate;

    if (rate == 0 || left_s >= (uint64_t)100 * 3600) {
        snprintf(text_out, PART_BYTES, "   --:-- left");
    } else if (left_s >= 3600) {
        snprintf(text_out, PART_BYTES, "%2" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left",
                 left_s / 3600, left_s / 60 % 60, left_s % 60);
    } else {
        snprintf(text_out, PART_BYTES, "   %2" PRIu64 ":%02" PRIu64 " left", left_s / 60,
                 left_s % 60);
    }
}

/* "" for what is not known. */
struct parts {
    char share[PART_BYTES];
    char amount[PART_BYTES];
    char rate[PART_BYTES];
    char left[PART_BYTES];
};

static void make_parts(const struct bar *bar, uint64_t total_bytes, struct parts *parts)
{
    uint64_t done_bytes = newest(bar)->done_bytes;
    uint64_t rate = bar_rate(bar);
    char done[UNITS_TEXT_BYTES_MAX];
    char text[UNITS_TEXT_BYTES_MAX];

    memset(parts, 0, sizeof(*parts));
    units_print_bytes(done_bytes, done);
    if (total_bytes == 0) {
        snprintf(parts->amount, PART_BYTES, "%6s", done);
    } else {
        done_bytes = done_bytes < total_bytes ? done_bytes : total_bytes;
        units_print_bytes(total_bytes, text);
        snprintf(parts->amount, PART_BYTES, "%6s/%s", done, text);
        snprintf(parts->share, PART_BYTES, "%3u%%",
                 (unsigned)((double)done_bytes * 100.0 / (double)total_bytes));
        print_left(total_bytes - done_bytes, rate, parts->left);
    }
    if (rate != 0) {
        units_print_bytes(rate, text);
        snprintf(parts->rate, PART_BYTES, "%6s/s", text);
    } else {
        snprintf(parts->rate, PART_BYTES, "%8s", "");
    }
}

/* Keeps `text` if it fits what is left of the window, with a space in front. */
static void fit(char *text, uint32_t *left_columns)
{
    uint32_t columns = (uint32_t)strlen(text) + 1;

    if (text[0] == '\0' || columns > *left_columns) {
        text[0] = '\0';
    } else {
        *left_columns -= columns;
    }
}

static void print_bar(uint64_t done_bytes, uint64_t total_bytes, uint32_t left_columns,
                      char text_out[PART_BYTES])
{
    uint32_t inner = left_columns < 3 ? 0 : left_columns - 3; /* a space, two brackets */
    uint32_t full;

    inner = inner < INNER_COLUMNS_MAX ? inner : INNER_COLUMNS_MAX;
    if (total_bytes == 0 || inner < INNER_COLUMNS_MIN) {
        return;
    }
    full = done_bytes >= total_bytes
               ? inner
               : (uint32_t)((double)done_bytes / (double)total_bytes * (double)inner);
    text_out[0] = '[';
    memset(text_out + 1, '#', full);
    memset(text_out + 1 + full, '.', inner - full);
    text_out[inner + 1] = ']';
    text_out[inner + 2] = '\0';
}

void bar_line(const struct bar *bar, uint64_t total_bytes, uint32_t width_columns,
              char line_out[BAR_LINE_BYTES_MAX])
{
    static_assert(INNER_COLUMNS_MAX + 3 <= PART_BYTES, "the bar is a part");
    uint32_t left_columns = width_columns < 2 ? 0 : width_columns - 1;
    uint32_t what_columns = (uint32_t)strlen(bar->what);
    char drawn[PART_BYTES] = "";
    struct parts parts;
    size_t used = 0;

    what_columns = what_columns < left_columns ? what_columns : left_columns;
    left_columns -= what_columns;
    make_parts(bar, total_bytes, &parts);
    fit(parts.share, &left_columns); /* what matters most comes first */
    fit(parts.left, &left_columns);
    fit(parts.rate, &left_columns);
    fit(parts.amount, &left_columns);
    print_bar(newest(bar)->done_bytes, total_bytes, left_columns, drawn);

    const char *const order[] = {drawn, parts.share, parts.amount, parts.rate, parts.left};

    used = (size_t)snprintf(line_out, BAR_LINE_BYTES_MAX, "%.*s", (int)what_columns, bar->what);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && used < BAR_LINE_BYTES_MAX; i++) {
        if (order[i][0] != '\0') {
            used += (size_t)snprintf(line_out + used, BAR_LINE_BYTES_MAX - used, " %s", order[i]);
        }
    }
}
