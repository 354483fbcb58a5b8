// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/links/rtt.h"

#include <criterion/criterion.h>

static void measure(struct rtt *rtt, uint64_t took_ms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rtt_measured(rtt, took_ms);
    }
}

Test(rtt, nothing_known_means_the_full_patience)
{
    struct rtt rtt = {0};

    cr_assert_eq(rtt_timeout_ms(&rtt), REPLY_MS);
    rtt_missed(&rtt);
    cr_assert_eq(rtt_timeout_ms(&rtt), REPLY_MS);
}

Test(rtt, the_first_answer_gives_three_times_its_time)
{
    struct rtt rtt = {0};

    rtt_measured(&rtt, 50);
    cr_assert_eq(rtt_timeout_ms(&rtt), 50 + 4 * 25);
}

Test(rtt, steady_answers_bring_the_time_out_down_to_the_round_trip_and_never_below_the_least)
{
    struct rtt rtt = {0};

    measure(&rtt, 100, 60);
    cr_assert_geq(rtt_timeout_ms(&rtt), 100);
    cr_assert_leq(rtt_timeout_ms(&rtt), 112);
    measure(&rtt, 0, 100);
    cr_assert_eq(rtt_timeout_ms(&rtt), RTT_TIMEOUT_MS_MIN);
}

Test(rtt, answers_that_vary_are_waited_for_longer)
{
    struct rtt steady = {0};
    struct rtt varying = {0};

    for (uint32_t i = 0; i < 60; i++) {
        rtt_measured(&steady, 60);
        rtt_measured(&varying, i % 2 == 0 ? 30 : 90);
    }
    cr_assert_gt(rtt_timeout_ms(&varying), rtt_timeout_ms(&steady) + 60);
    cr_assert_gt(rtt_timeout_ms(&varying), 90);
}

Test(rtt, each_missed_answer_doubles_the_patience_until_one_is_measured)
{
    struct rtt rtt = {0};

    measure(&rtt, 1, 60);
    cr_assert_eq(rtt_timeout_ms(&rtt), 20);
    rtt_missed(&rtt);
    cr_assert_eq(rtt_timeout_ms(&rtt), 40);
    rtt_missed(&rtt);
    cr_assert_eq(rtt_timeout_ms(&rtt), 80);
    for (uint32_t i = 0; i < 100; i++) {
        rtt_missed(&rtt);
    }
    cr_assert_eq(rtt_timeout_ms(&rtt), REPLY_MS);
    rtt_measured(&rtt, 1);
    cr_assert_eq(rtt_timeout_ms(&rtt), 20);
}

Test(rtt, a_line_that_became_slow_is_learnt_although_questions_are_repeated_early)
{
    struct rtt rtt = {0};
    uint32_t questions = 0;

    measure(&rtt, 2, 60);
    while (questions++ < 20 && rtt_timeout_ms(&rtt) < 250) {
        if (rtt_timeout_ms(&rtt) > 250) {
            rtt_measured(&rtt, 250);
        } else {
            rtt_missed(&rtt); /* repeated: its answer is not measured */
        }
    }
    cr_assert_gt(rtt_timeout_ms(&rtt), 250);
    cr_assert_lt(questions, 8);
    rtt_measured(&rtt, 250);
    cr_assert_gt(rtt_timeout_ms(&rtt), 250);
}

Test(rtt, absurd_times_do_no_harm)
{
    struct rtt rtt = {0};

    measure(&rtt, UINT64_MAX, 1000);
    cr_assert_eq(rtt_timeout_ms(&rtt), REPLY_MS);
    measure(&rtt, 0, 1000);
    cr_assert_eq(rtt_timeout_ms(&rtt), RTT_TIMEOUT_MS_MIN);
}

Test(rtt, ranks_are_by_powers_of_two)
{
    struct rtt near = {0};
    struct rtt equal = {0};
    struct rtt far = {0};
    struct rtt unknown = {0};

    measure(&near, 8, 40);
    measure(&equal, 14, 40);
    measure(&far, 200, 40);
    cr_assert_eq(rtt_rank(&near), rtt_rank(&equal));
    cr_assert_lt(rtt_rank(&near), rtt_rank(&unknown));
    cr_assert_lt(rtt_rank(&unknown), rtt_rank(&far));
}
