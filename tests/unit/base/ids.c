// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/ids.h"

#include <criterion/criterion.h>
#include <string.h>

static struct id id_of(uint8_t first, uint8_t last)
{
    struct id id = {{0}};

    id.bytes[0] = first;
    id.bytes[ID_BYTES - 1] = last;
    return id;
}

Test(ids, an_arc_is_open_at_its_start_and_closed_at_its_end)
{
    struct id from = id_of(1, 0);
    struct id to = id_of(3, 0);
    struct id between = id_of(2, 9);
    struct id after = id_of(3, 1);

    cr_assert(!id_in_arc(&from, &from, &to));
    cr_assert(id_in_arc(&between, &from, &to));
    cr_assert(id_in_arc(&to, &from, &to));
    cr_assert(!id_in_arc(&after, &from, &to));
}

Test(ids, an_arc_wraps_around_zero)
{
    struct id from = id_of(0xf0, 0);
    struct id to = id_of(0x10, 0);
    struct id zero = id_of(0, 0);
    struct id outside = id_of(0x20, 0);

    cr_assert(id_in_arc(&zero, &from, &to));
    cr_assert(!id_in_arc(&outside, &from, &to));
}

Test(ids, the_arc_from_a_point_to_itself_is_the_whole_ring)
{
    struct id point = id_of(7, 7);
    struct id other = id_of(8, 0);

    cr_assert(id_in_arc(&other, &point, &point));
    cr_assert(id_in_arc(&point, &point, &point));
}

Test(ids, distance_borrows_through_all_bytes)
{
    struct id from = id_of(0, 1);
    struct id to = id_of(1, 0);
    struct id distance = id_distance(&from, &to);

    cr_assert_eq(distance.bytes[0], 0);
    for (int i = 1; i < ID_BYTES; i++) {
        cr_assert_eq(distance.bytes[i], 0xff);
    }
}

Test(ids, hexadecimal_round_trips_and_refuses_other_lengths)
{
    struct id id = id_of(0xab, 0xcd);
    struct id back;
    char hex[ID_HEX_CHARS + 1];

    id_to_hex(&id, hex);
    cr_assert_eq(strlen(hex), ID_HEX_CHARS);
    cr_assert_eq(id_from_hex(hex, &back), 0);
    cr_assert(id_equal(&id, &back));
    hex[ID_HEX_CHARS - 1] = '\0';
    cr_assert_lt(id_from_hex(hex, &back), 0);
    cr_assert(id_has_prefix(&id, "AB"));
    cr_assert(!id_has_prefix(&id, ""));
    cr_assert(!id_has_prefix(&id, "ac"));
}

Test(ids, the_top_is_the_first_eight_bytes_as_a_number)
{
    const struct id id = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xff}};

    cr_assert_eq(id_top(&id), 0x0123456789abcdefU);
}
