// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/units.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(units, sizes_are_powers_of_1024)
{
    uint64_t bytes = 0;

    cr_assert_eq(units_parse_bytes("0", &bytes), 0);
    cr_assert_eq(bytes, 0);
    cr_assert_eq(units_parse_bytes("128M", &bytes), 0);
    cr_assert_eq(bytes, (uint64_t)128 << 20);
    cr_assert_eq(units_parse_bytes("16777215T", &bytes), 0);
    cr_assert_eq(bytes, (uint64_t)16777215 << 40);
}

Test(units, what_is_no_size_is_refused_and_nothing_written)
{
    static const char *const wrong[] = {"", "M", "12 bananas", "-1", "1.5G", "1m", "1MB", " 1"};
    uint64_t bytes = 7;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(units_parse_bytes(wrong[i], &bytes), -EINVAL, "%s", wrong[i]);
    }
    cr_assert_eq(units_parse_bytes("16777216T", &bytes), -ERANGE);
    cr_assert_eq(units_parse_bytes("18446744073709551616", &bytes), -ERANGE);
    cr_assert_eq(bytes, 7);
}

Test(units, durations_need_a_unit_unless_zero)
{
    uint64_t ms = 0;

    cr_assert_eq(units_parse_duration("500ms", &ms), 0);
    cr_assert_eq(ms, 500);
    cr_assert_eq(units_parse_duration("7d", &ms), 0);
    cr_assert_eq(ms, 7U * 86400000U);
    cr_assert_eq(units_parse_duration("0", &ms), 0);
    cr_assert_eq(ms, 0);
    cr_assert_eq(units_parse_duration("5", &ms), -EINVAL);
}

Test(units, cores_have_up_to_three_decimals)
{
    uint64_t permille = 0;

    cr_assert_eq(units_parse_cores("0.1", &permille), 0);
    cr_assert_eq(permille, 100);
    cr_assert_eq(units_parse_cores("2", &permille), 0);
    cr_assert_eq(permille, 2000);
    cr_assert_eq(units_parse_cores("1.125", &permille), 0);
    cr_assert_eq(permille, 1125);
    cr_assert_eq(units_parse_cores("1.1255", &permille), -EINVAL);
    cr_assert_eq(units_parse_cores("1.", &permille), -EINVAL);
    cr_assert_eq(units_parse_cores(".5", &permille), -EINVAL);
}

Test(units, a_share_is_at_most_the_whole)
{
    uint32_t percent = 0;

    cr_assert_eq(units_parse_percent("100%", &percent), 0);
    cr_assert_eq(percent, 100);
    cr_assert_eq(units_parse_percent("101%", &percent), -ERANGE);
    cr_assert_eq(units_parse_percent("25", &percent), -EINVAL);
}

static void prints_bytes(uint64_t bytes, const char *expected)
{
    char text[UNITS_TEXT_BYTES_MAX];

    units_print_bytes(bytes, text);
    cr_assert_str_eq(text, expected);
}

Test(units, sizes_are_printed_short)
{
    prints_bytes(0, "0");
    prints_bytes(1023, "1023");
    prints_bytes(1024, "1K");
    prints_bytes((uint64_t)128 << 20, "128M");
    prints_bytes(((uint64_t)3 << 30) / 2, "1.5G");
    prints_bytes(((uint64_t)300 << 20) + 5, "300M");
}

Test(units, durations_are_printed_in_their_largest_unit)
{
    char text[UNITS_TEXT_BYTES_MAX];

    units_print_duration(850, text);
    cr_assert_str_eq(text, "850ms");
    units_print_duration(59999, text);
    cr_assert_str_eq(text, "59s");
    units_print_duration(3U * 3600000U + 1, text);
    cr_assert_str_eq(text, "3h");
    units_print_cores(1250, text);
    cr_assert_str_eq(text, "1.25");
}
