// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/screen/text.h"

static const char *const headings[] = {"NAME", "STATE", "NOTE"};

/* The table is done with. */
static char *print_table(struct table *table, uint32_t width, bool colour)
{
    static char text[4096];
    struct buffer out = {.bytes_max = sizeof(text) - 1};

    cr_assert_eq(table_print(table, width, colour, &out), 0);
    table_done(table);
    memcpy(text, out.data, out.length_bytes);
    text[out.length_bytes] = '\0';
    buffer_done(&out);
    return text;
}

static char *print(const char *note, uint32_t width, bool colour)
{
    struct table table;

    table_init(&table, headings, 3);
    table_add(&table, (const char *const[]){"wiki", "active", note});
    table_add(&table, (const char *const[]){"calendar", "off", NULL});
    return print_table(&table, width, colour);
}

static size_t widest_line(const char *text)
{
    size_t widest = 0;

    while (*text != '\0') {
        size_t bytes = strcspn(text, "\n");
        char line[512];

        snprintf(line, sizeof(line), "%.*s", (int)bytes, text);
        widest = text_width(line) > widest ? text_width(line) : widest;
        text += bytes + (text[bytes] == '\n' ? 1 : 0);
    }
    return widest;
}

Test(table, columns_are_as_wide_as_their_cells_and_nothing_trails)
{
    cr_assert_str_eq(print("state: none", 0, false), "NAME      STATE   NOTE\n"
                                                     "wiki      active  state: none\n"
                                                     "calendar  off\n");
}

Test(table, a_long_note_goes_on_below_itself)
{
    cr_assert_str_eq(print("a long note that goes on, and on, and on below", 60, false),
                     "NAME      STATE   NOTE\n"
                     "wiki      active  a long note that goes on, and on, and on\n"
                     "                  below\n"
                     "calendar  off\n");
}

Test(table, where_its_column_would_be_too_narrow_it_stands_below_its_row)
{
    cr_assert_str_eq(print("a long note that goes on and on below", 40, false),
                     "NAME      STATE\n"
                     "wiki      active\n"
                     "    a long note that goes on and on\n"
                     "    below\n"
                     "calendar  off\n");
}

Test(table, no_word_of_a_note_is_lost_in_any_window)
{
    for (uint32_t width = 28; width < 100; width++) {
        const char *text =
            print("0/1: big/1 needs 900M memory, the most given is 256M", width, false);

        cr_expect_not_null(strstr(text, "900M"), "width %u", width);
        cr_expect_not_null(strstr(text, "256M"), "width %u", width);
        cr_expect_null(strstr(text, "..."), "width %u", width);
    }
}

Test(table, a_minor_note_has_no_line_of_its_own)
{
    struct buffer out = {.bytes_max = 1000};
    struct table table;

    table_init(&table, headings, 3);
    table.minor_note = "state: none";
    table_add(&table,
              (const char *const[]){"wiki", "degraded", "a note that needs a line of its own"});
    table_add(&table, (const char *const[]){"web", "active", "state: none"});
    cr_assert_eq(table_print(&table, 39, false, &out), 0);
    cr_assert_eq(memcmp(out.data,
                        "NAME  STATE\n"
                        "wiki  degraded\n"
                        "    a note that needs a line of its own\n"
                        "web   active\n",
                        out.length_bytes),
                 0);
    table_done(&table);
    buffer_done(&out);
}

Test(table, a_name_that_is_a_state_s_has_no_colour)
{
    struct buffer out = {.bytes_max = 1000};
    struct table table;

    table_init(&table, headings, 3);
    table_add(&table, (const char *const[]){"down", "down", "down"});
    cr_assert_eq(table_print(&table, 0, true, &out), 0);
    cr_assert_eq(
        memcmp(out.data, "NAME  STATE  NOTE\ndown  \033[31mdown\033[0m   down\n", out.length_bytes),
        0);
    table_done(&table);
    buffer_done(&out);
}

Test(table, no_line_is_wider_than_any_window_from_25_columns_on)
{
    for (uint32_t width = 26; width < 100; width++) {
        cr_expect_leq(widest_line(print("a note that is quite a bit longer than that, and on it "
                                        "goes until nobody reads it any more",
                                        width, false)),
                      width, "width %u", width);
    }
}

Test(table, expendable_columns_go_in_their_order_and_the_note_takes_the_room)
{
    struct buffer out = {.bytes_max = 1000};
    struct table table;

    table_init(&table, (const char *const[]){"NAME", "AGE", "STATE", "NOTE"}, 4);
    table.expendable = ",AGE,STATE,";
    table_add(&table, (const char *const[]){"calendar", "12 days", "active", "0123456789abc"});
    cr_assert_eq(table_print(&table, 26, false, &out), 0);
    cr_assert_eq(memcmp(out.data, "NAME      NOTE\ncalendar  0123456789abc\n", out.length_bytes),
                 0);
    table_done(&table);
    buffer_done(&out);
}

static char *print_figures(uint32_t width)
{
    struct table table;

    table_init(&table,
               (const char *const[]){"", "CPU", "MEMORY", "DISK", "STORAGE", "PIDS", "NOTE"}, 7);
    table.indent_columns = TABLE_INDENT_COLUMNS;
    table_add(&table,
              (const char *const[]){"promised", "1.00", "512M", "512M", "512M", "512", NULL});
    return print_table(&table, width, false);
}

Test(table, what_is_empty_is_left_out_before_anything_else_and_then_columns_come_closer)
{
    cr_expect_str_eq(print_figures(80), "            CPU   MEMORY  DISK  STORAGE  PIDS  NOTE\n"
                                        "  promised  1.00  512M    512M  512M     512\n");
    cr_expect_str_eq(print_figures(47), "            CPU   MEMORY  DISK  STORAGE  PIDS\n"
                                        "  promised  1.00  512M    512M  512M     512\n");
    cr_expect_str_eq(print_figures(40), "           CPU  MEMORY DISK STORAGE PIDS\n"
                                        "  promised 1.00 512M   512M 512M    512\n");
}

Test(table, no_window_is_too_narrow)
{
    for (uint32_t width = 8; width < 60; width++) {
        cr_expect_leq(widest_line(print_figures(width)), width, "width %u", width);
        cr_expect_leq(widest_line(print("a note", width, false)), width, "width %u", width);
    }
    cr_expect_not_null(strstr(print("a note", 12, false), "wiki"));
}

Test(table, letters_beyond_ascii_count_once)
{
    cr_assert_str_eq(print("\xc3\xa4\xc3\xb6\xc3\xbc", 0, false), "NAME      STATE   NOTE\n"
                                                                  "wiki      active  äöü\n"
                                                                  "calendar  off\n");
}

Test(table, escape_sequences_of_others_do_not_reach_the_terminal)
{
    const char *text = print("\033[2Jboo\a\xc2\x9b"
                             "31m",
                             0, false);

    cr_assert_null(strchr(text, '\033'));
    cr_assert_null(strchr(text, '\a'));
    cr_assert_not_null(strstr(text, "?[2Jboo???31m"));
}

Test(table, states_are_coloured_and_widths_do_not_change)
{
    cr_assert_not_null(strstr(print("x", 80, true), "\033[32mactive\033[0m  x\n"));
}

Test(table, a_table_without_rows_is_its_heading)
{
    struct buffer out = {.bytes_max = 100};
    struct table table;

    table_init(&table, headings, 3);
    cr_assert_eq(table_print(&table, 80, true, &out), 0);
    cr_assert_eq(out.length_bytes, strlen("NAME  STATE  NOTE\n"));
    table_done(&table);
    buffer_done(&out);
}

Test(text, what_is_no_utf_8_becomes_question_marks)
{
    static const struct {
        const char *before;
        const char *after;
    } rows[] = {
        {"plain", "plain"},           {"tab\there", "tab?here"},
        {"\xff\xfe", "??"},           {"\xc0\xaf", "??"}, /* overlong */
        {"\xe0\x80\xaf", "???"},                          /* overlong */
        {"\xed\xa0\x80", "???"},                          /* surrogate */
        {"\xf4\x90\x80\x80", "????"},                     /* beyond Unicode */
        {"\xe2\x80\xae", "???"},                          /* turns what follows around */
        {"cut\xe2\x82", "cut??"},     {"\xe2\x82\xac", "\xe2\x82\xac"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[16];

        snprintf(text, sizeof(text), "%s", rows[i].before);
        text_clean(text);
        cr_expect_str_eq(text, rows[i].after, "row %zu: %s", i, text);
    }
}

Test(text, output_keeps_its_lines)
{
    char text[] = "one\n\ttwo\033[0m\n";

    text_clean_output(text, strlen(text));
    cr_assert_str_eq(text, "one\n\ttwo?[0m\n");
}

Test(text, distance_counts_slips_of_the_finger)
{
    cr_assert_eq(text_distance("status", "status"), 0);
    cr_assert_eq(text_distance("statsu", "status"), 1);
    cr_assert_eq(text_distance("stat", "status"), 2);
    cr_assert_eq(text_distance("", "abc"), 3);
    cr_assert_eq(text_distance("a", "b"), 1);
}

static const char *fold(const char *text, size_t width, size_t indent)
{
    static char folded[256];

    text_fold(text, width, indent, folded, sizeof(folded));
    return folded;
}

Test(text, a_line_that_is_too_long_goes_on_at_a_word_below)
{
    cr_assert_str_eq(fold("one two", 7, 2), "one two");
    cr_assert_str_eq(fold("one two", 6, 2), "one\n  two");
    cr_assert_str_eq(fold("one two three", 7, 2), "one two\n  three");
    cr_assert_str_eq(fold("one  two", 6, 2), "one\n  two", "no blanks at an end or a beginning");
    cr_assert_str_eq(fold("\xc3\xa4\xc3\xa4 two", 6, 0), "\xc3\xa4\xc3\xa4 two",
                     "characters count");
    cr_assert_str_eq(fold("one two", 0, 2), "one two", "0: as wide as it gets");
}

Test(text, a_word_that_fits_nowhere_is_left_to_the_terminal)
{
    cr_assert_str_eq(fold("a incomprehensibly b", 8, 2), "a\n  incomprehensibly\n  b");
    cr_assert_str_eq(fold("incomprehensibly", 8, 2), "incomprehensibly");
    cr_assert_str_eq(fold("a b c d", 4, 4), "a b\n    c\n    d", "no room beside the indent");
}

Test(text, what_has_no_room_is_left_out)
{
    char small[8];

    text_fold("one two three", 4, 2, small, sizeof(small));
    cr_assert_str_eq(small, "one\n  t");
}
