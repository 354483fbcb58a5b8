// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/bytes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(bytes, base64_there_and_back_is_the_same)
{
    static const uint8_t data[] = {0xfb, 0xff, 0x00, 0x10};
    char text[7];
    uint8_t back[sizeof(data)] = {0};

    cr_assert_eq(bytes_to_base64((struct bytes){data, sizeof(data)}, text, sizeof(text)), 6);
    cr_assert_str_eq(text, "-_8AEA");
    cr_assert_eq(bytes_from_base64(text, back, sizeof(back)), (int)sizeof(data));
    cr_assert_eq(memcmp(back, data, sizeof(data)), 0);
}

Test(bytes, base64_that_does_not_fit_is_refused)
{
    static const uint8_t data[] = {1, 2, 3, 4};
    char text[6];
    uint8_t back[3];

    cr_assert_eq(bytes_to_base64((struct bytes){data, sizeof(data)}, text, sizeof(text)),
                 -EMSGSIZE);
    cr_assert_eq(bytes_from_base64("AQIDBA", back, sizeof(back)), -EINVAL);
}

Test(bytes, what_is_no_base64_is_refused)
{
    uint8_t back[8];

    cr_assert_eq(bytes_from_base64("AQ+D", back, sizeof(back)), -EINVAL,
                 "not the URL-safe letters");
    cr_assert_eq(bytes_from_base64("AQIDBA==", back, sizeof(back)), -EINVAL, "padding");
    cr_assert_eq(bytes_from_base64("AQ ID", back, sizeof(back)), -EINVAL, "a space");
    cr_assert_eq(bytes_from_base64("", back, sizeof(back)), 0);
}

Test(bytes, hexadecimal_takes_both_cases_and_nothing_else)
{
    uint8_t back[2];

    cr_assert_eq(bytes_from_hex("aF09", back, sizeof(back)), 0);
    cr_assert_eq(back[0], 0xaf);
    cr_assert_eq(back[1], 0x09);
    cr_assert_eq(bytes_from_hex("aF0", back, sizeof(back)), -EINVAL);
    cr_assert_eq(bytes_from_hex("aF0g", back, sizeof(back)), -EINVAL);
}
