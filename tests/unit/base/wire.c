// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/wire.h"

#include <criterion/criterion.h>
#include <string.h>

Test(wire, what_is_written_is_read_back)
{
    uint8_t bytes[256];
    struct wire_writer writer = wire_writer(bytes, sizeof(bytes));
    struct id id = {{1, 2, 3}};
    struct id id_back;
    struct wire_reader reader;
    char text[16];

    wire_put_u8(&writer, 0xfe);
    wire_put_u16(&writer, 0xabcd);
    wire_put_u32(&writer, 0xdeadbeef);
    wire_put_u64(&writer, 0x0123456789abcdef);
    wire_put_bool(&writer, true);
    wire_put_id(&writer, &id);
    wire_put_text(&writer, "wiki");
    cr_assert(wire_ok(&writer));

    reader = wire_reader((struct bytes){bytes, writer.written_bytes});
    cr_assert_eq(wire_u8(&reader), 0xfe);
    cr_assert_eq(wire_u16(&reader), 0xabcd);
    cr_assert_eq(wire_u32(&reader), 0xdeadbeef);
    cr_assert_eq(wire_u64(&reader), 0x0123456789abcdef);
    cr_assert(wire_bool(&reader));
    wire_id(&reader, &id_back);
    cr_assert(id_equal(&id, &id_back));
    wire_text(&reader, text, sizeof(text));
    cr_assert_str_eq(text, "wiki");
    cr_assert(wire_done(&reader));
}

Test(wire, failure_sticks_and_yields_zeros)
{
    const uint8_t bytes[] = {1, 2, 3};
    struct wire_reader reader = wire_reader((struct bytes){bytes, sizeof(bytes)});

    cr_assert_eq(wire_u32(&reader), 0);
    cr_assert_eq(wire_u8(&reader), 0);
    cr_assert(!wire_done(&reader));
}

Test(wire, left_over_bytes_are_an_error)
{
    const uint8_t bytes[] = {1, 2};
    struct wire_reader reader = wire_reader((struct bytes){bytes, sizeof(bytes)});

    cr_assert_eq(wire_u8(&reader), 1);
    cr_assert(!wire_done(&reader));
}

Test(wire, a_text_must_fit_and_hold_no_nul)
{
    const uint8_t exact[] = {0, 0, 0, 3, 'a', 'b', 'c'};
    const uint8_t nul[] = {0, 0, 0, 3, 'a', 0, 'c'};
    struct wire_reader reader = wire_reader((struct bytes){exact, sizeof(exact)});
    char text[4];

    wire_text(&reader, text, 4);
    cr_assert(wire_done(&reader));
    reader = wire_reader((struct bytes){exact, sizeof(exact)});
    wire_text(&reader, text, 3);
    cr_assert(!wire_done(&reader));
    cr_assert_str_eq(text, "");
    reader = wire_reader((struct bytes){nul, sizeof(nul)});
    wire_text(&reader, text, 4);
    cr_assert(!wire_done(&reader));
}

Test(wire, a_length_beyond_the_input_is_refused)
{
    const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 1};
    struct wire_reader reader = wire_reader((struct bytes){bytes, sizeof(bytes)});

    cr_assert_eq(wire_blob(&reader, SIZE_MAX).length_bytes, 0);
    cr_assert(!wire_done(&reader));
}

Test(wire, only_zero_and_one_are_booleans)
{
    const uint8_t two[] = {2};
    struct wire_reader reader = wire_reader((struct bytes){two, 1});

    cr_assert(!wire_bool(&reader));
    cr_assert(!wire_done(&reader));
}

Test(wire, a_full_writer_fails_and_writes_no_part)
{
    uint8_t bytes[6] = {0};
    struct wire_writer writer = wire_writer(bytes, sizeof(bytes));

    wire_put_u32(&writer, 1);
    wire_put_u32(&writer, 0xffffffff);
    cr_assert(!wire_ok(&writer));
    cr_assert_eq(writer.written_bytes, 4);
    cr_assert_eq(bytes[4], 0);
}
