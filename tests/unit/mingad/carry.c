// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/carry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static uint8_t data[CHUNK_BYTES_MAX];
static struct carry carry;

static struct chunk_id chunk_of(uint8_t number)
{
    return (struct chunk_id){{{number}}};
}

static bool add(uint8_t number, size_t length_bytes, uint64_t now_ms)
{
    return carry_add(
        &carry, &(struct carry_new){number, chunk_of(number), -EIO, {data, length_bytes}}, now_ms);
}

static bool has(uint8_t number)
{
    struct chunk_id chunk = chunk_of(number);

    return carry_find(&carry, &chunk) != NULL;
}

Test(carry, a_chunk_is_had_until_its_push_has_ended)
{
    struct chunk_id chunk = chunk_of(1);
    int result = 0;

    memcpy(data, "bytes", 5);
    cr_assert(add(1, 5, 1000));
    cr_assert(add(2, 7, 1000));
    memset(data, 0, 5);
    cr_assert_eq(carry_find(&carry, &chunk)->length_bytes, 5);
    cr_assert_eq(memcmp(carry_find(&carry, &chunk)->data, "bytes", 5), 0, "a copy");
    cr_assert(!carry_end(&carry, 3, false, &result));
    cr_assert(carry_end(&carry, 1, false, &result));
    cr_assert_eq(result, -EIO);
    cr_assert(!has(1));
    cr_assert(has(2));
    cr_assert(!carry_end(&carry, 1, false, &result), "once");
    cr_assert_eq(carry.bytes, 7);
    carry_clear(&carry);
}

Test(carry, is_bounded_and_what_somebody_waits_for_stays)
{
    int result = 0;
    uint8_t count = 0;

    while (add((uint8_t)(count + 1), CHUNK_BYTES_MAX, 1000)) {
        count++;
        cr_assert_leq(carry.bytes, CARRIED_BYTES_MAX);
    }
    cr_assert_eq(count, CARRIED_BYTES_MAX / CHUNK_BYTES_MAX);
    cr_assert(carry_end(&carry, 2, true, &result));
    cr_assert(carry_end(&carry, 5, true, &result));
    cr_assert(has(2) && has(5), "it may be sent again");
    cr_assert(add(100, CHUNK_BYTES_MAX, 1000));
    cr_assert(!has(2));
    cr_assert(has(5) && has(1) && has(100));
    carry_clear(&carry);
}

Test(carry, nothing_is_carried_for_long)
{
    cr_assert(add(1, 10, 1000));
    cr_assert(add(2, 10, 2000));
    carry_tidy(&carry, 1000 + CARRIED_MS - 1);
    cr_assert(has(1));
    carry_tidy(&carry, 1000 + CARRIED_MS);
    cr_assert(!has(1));
    cr_assert(has(2));
    carry_clear(&carry);
    cr_assert_eq(carry.bytes, 0);
}
