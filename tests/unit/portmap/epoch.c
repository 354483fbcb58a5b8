// SPDX-License-Identifier: GPL-3.0-or-later
/* Since when a router knows its mappings. */
#include "agent/portmap/epoch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const struct router_epoch before = {true, 1000, 500000};

static bool goes_on(uint32_t router_s, uint64_t passed_s)
{
    return epoch_goes_on(&before, router_s, before.heard_ms + passed_s * 1000);
}

Test(epoch, a_first_one_is_always_right)
{
    cr_assert(epoch_goes_on(&(struct router_epoch){0}, 0, 1));
}

Test(epoch, one_that_goes_on_about_as_our_clock_does_is_right)
{
    cr_assert(goes_on(1000, 0));
    cr_assert(goes_on(999, 0), "the answers were reordered");
    cr_assert(goes_on(2600, 1600));
    cr_assert(goes_on(2600 - 100, 1600), "a sixteenth slower");
    cr_assert(goes_on(2600 + 100, 1600), "or faster");
}

Test(epoch, one_that_fell_stood_still_or_ran_away_is_not)
{
    cr_assert_not(goes_on(998, 0));
    cr_assert_not(goes_on(0, 10));
    cr_assert_not(goes_on(1000, 1600));
    cr_assert_not(goes_on(2600 - 103, 1600));
    cr_assert_not(goes_on(2600 + 120, 1600));
    cr_assert_not(goes_on(UINT32_MAX, 1));
}

static int decode(const uint8_t *bytes, size_t length_bytes, uint32_t *router_s_out)
{
    return announce_decode((struct bytes){bytes, length_bytes}, router_s_out);
}

Test(epoch, both_kinds_of_announcements_are_understood)
{
    const uint8_t pcp[24] = {2, 0x80, [8] = 1, 2, 3, 4};
    const uint8_t natpmp[12] = {0, 0x80, 0, 0, 0, 0, 1, 0, 203, 0, 113, 7};
    uint32_t router_s = 0;

    cr_assert_eq(decode(pcp, sizeof(pcp), &router_s), 0);
    cr_assert_eq(router_s, 0x01020304);
    cr_assert_eq(decode(natpmp, sizeof(natpmp), &router_s), 0);
    cr_assert_eq(router_s, 256);
}

Test(epoch, what_is_no_announcement_is_refused)
{
    uint8_t bytes[ANNOUNCE_BYTES_MAX + 1] = {2, 0x80};
    uint32_t router_s = 77;

    for (size_t length = 0; length < 24; length++) {
        cr_assert_eq(decode(bytes, length, &router_s), -EBADMSG, "%zu", length);
    }
    cr_assert_eq(decode(bytes, sizeof(bytes), &router_s), -EBADMSG);
    bytes[1] = 0; /* a question */
    cr_assert_eq(decode(bytes, 24, &router_s), -EBADMSG);
    bytes[1] = 0x81; /* the answer to a question of another */
    cr_assert_eq(decode(bytes, 24, &router_s), -EBADMSG);
    bytes[1] = 0x80;
    bytes[3] = 1;
    cr_assert_eq(decode(bytes, 24, &router_s), -EBADMSG);
    bytes[3] = 0;
    bytes[0] = 3;
    cr_assert_eq(decode(bytes, 24, &router_s), -EBADMSG);
    bytes[0] = 0;
    cr_assert_eq(decode(bytes, 24, &router_s), -EBADMSG, "NAT-PMP's is shorter");
    cr_assert_eq(router_s, 77);
}
