// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/bucket.h"

#include <criterion/criterion.h>

Test(bucket, without_a_limit_it_is_always_open)
{
    struct bucket bucket;

    bucket_init(&bucket, 0, 1000, 5);
    bucket_take(&bucket, UINT64_C(1) << 40);
    cr_assert(bucket_is_open(&bucket, 5));
    cr_assert_eq(bucket_wait_ms(&bucket, 5), 0);
}

Test(bucket, a_burst_then_the_rate)
{
    struct bucket bucket;

    bucket_init(&bucket, 1000, 3000, 5);
    bucket_take(&bucket, 3000);
    cr_assert_not(bucket_is_open(&bucket, 5));
    cr_assert(bucket_is_open(&bucket, 6));
    bucket_take(&bucket, 2001);
    cr_assert_eq(bucket_wait_ms(&bucket, 6), 2002);
    cr_assert_not(bucket_is_open(&bucket, 6 + 2000));
    cr_assert(bucket_is_open(&bucket, 6 + 2002));
}

Test(bucket, one_piece_larger_than_the_burst_goes_and_is_paid_for_afterwards)
{
    struct bucket bucket;

    bucket_init(&bucket, 1000, 1, 5);
    cr_assert(bucket_is_open(&bucket, 5));
    bucket_take(&bucket, 100000);
    cr_assert_not(bucket_is_open(&bucket, 5 + 99000));
    cr_assert(bucket_is_open(&bucket, 5 + 101000));
}

Test(bucket, over_a_long_time_no_more_goes_than_rate_and_burst)
{
    struct bucket bucket;
    uint64_t sent_bytes = 0;

    bucket_init(&bucket, 777, 5000, 1);
    for (uint64_t now_ms = 1; now_ms <= 100001; now_ms += 3) {
        if (bucket_is_open(&bucket, now_ms)) {
            bucket_take(&bucket, 100);
            sent_bytes += 100;
        }
    }
    cr_assert_leq(sent_bytes, 5000 + 77700 + 100);
    cr_assert_geq(sent_bytes, 77000);
}

Test(bucket, idling_fills_no_more_than_the_burst)
{
    struct bucket bucket;

    bucket_init(&bucket, UINT64_MAX, 4000, 1);
    bucket_take(&bucket, 4000);
    cr_assert(bucket_is_open(&bucket, UINT64_MAX / 2));
    bucket_take(&bucket, 4000);
    cr_assert_not(bucket_is_open(&bucket, UINT64_MAX / 2));
}

Test(bucket, what_is_given_back_can_be_taken_again_and_no_more)
{
    struct bucket bucket;

    bucket_init(&bucket, 10, 100, 1);
    bucket_take(&bucket, 100);
    bucket_give_back(&bucket, 60);
    cr_assert(bucket_is_open(&bucket, 1));
    bucket_give_back(&bucket, 6000);
    bucket_take(&bucket, 100);
    cr_assert_not(bucket_is_open(&bucket, 1));
}

Test(bucket, another_rate_counts_from_now_on_and_keeps_the_debt)
{
    struct bucket bucket;

    bucket_init(&bucket, 1000, 1000, 1);
    bucket_take(&bucket, 3000); /* 2000 of debt */
    bucket_limit(&bucket, 100, 100, 1);
    cr_assert(!bucket_is_open(&bucket, 1 + 19000));
    cr_assert(bucket_is_open(&bucket, 1 + 20100));
    bucket_limit(&bucket, 0, 0, 30000);
    cr_assert(bucket_is_open(&bucket, 30000));
    bucket_limit(&bucket, 10, 10, 30000);
    cr_assert(bucket_is_open(&bucket, 30000), "begins full after no limit");
}

Test(bucket, a_clock_that_stands_or_runs_back_earns_nothing)
{
    struct bucket bucket;

    bucket_init(&bucket, 1000, 100, 500);
    bucket_take(&bucket, 100);
    cr_assert_not(bucket_is_open(&bucket, 400));
    cr_assert_not(bucket_is_open(&bucket, 500));
}
