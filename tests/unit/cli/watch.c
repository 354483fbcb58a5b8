// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/watch.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *lay(const char *text, uint32_t row_count)
{
    static char screen[4096];
    struct buffer out = {.bytes_max = sizeof(screen) - 1};
    struct bytes frame = {(const uint8_t *)text, strlen(text)};

    cr_assert_eq(watch_lay(frame, row_count, &out), 0);
    memcpy(screen, out.data, out.length_bytes);
    screen[out.length_bytes] = '\0';
    buffer_done(&out);
    return screen;
}

Test(watch, each_row_is_cleared_behind_its_text_and_the_rest_below)
{
    cr_assert_str_eq(lay("one\ntwo\n", 24), "\033[Hone\033[K\ntwo\033[K\n\033[J");
}

Test(watch, a_frame_that_fills_the_window_to_its_last_free_row_is_whole)
{
    cr_assert_str_eq(lay("one\ntwo\n", 3), "\033[Hone\033[K\ntwo\033[K\n\033[J");
}

Test(watch, what_does_not_fit_is_counted_and_never_scrolls)
{
    cr_assert_str_eq(lay("one\ntwo\nthree\n", 3),
                     "\033[Hone\033[K\n... and 2 lines more\033[K\n\033[J");
}

Test(watch, without_a_known_window_everything_is_shown)
{
    cr_assert_str_eq(lay("one\ntwo\n", 0), "\033[Hone\033[K\ntwo\033[K\n\033[J");
}

Test(watch, nothing_to_show_clears_the_window)
{
    cr_assert_str_eq(lay("", 24), "\033[H\033[J");
}
