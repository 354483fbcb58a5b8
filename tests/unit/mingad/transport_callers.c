// SPDX-License-Identifier: GPL-3.0-or-later
/* Those who have dialled us, and go. */
#include "tests/unit/mingad/transport_pair.h"

TestSuite(transport_callers, .timeout = 60);

Test(transport_callers, the_end_of_a_members_link_is_told_after_what_came_on_it)
{
    struct fixture *fixture = set_up();
    uint32_t sent_count = 0;

    for (uint32_t i = 1; i <= 10; i++) {
        for (uint32_t k = 0; k < 50; k++) {
            send_text(fixture, "hello");
        }
        sent_count += 50;
        wait_for(fixture, &fixture->ends[1].received_count, sent_count - 49);
        usleep(2000); /* the others are on their way, and not read yet */
        transport_hang_up(fixture->ends[0].transport, &fixture->ends[1].peer.node);
        wait_for(fixture, &fixture->ends[1].caller_lost_count, i);
        cr_assert_eq(fixture->ends[1].lost_link, fixture->ends[1].source.link);
        cr_assert_eq(fixture->ends[1].received_before_count, fixture->ends[1].received_count);
        sent_count = fixture->ends[1].received_count;
    }
    tear_down(fixture);
}

Test(transport_callers, of_a_stranger_that_goes_nothing_is_told)
{
    struct fixture *fixture = set_up();

    fixture->ends[1].knows_nobody = true;
    send_text(fixture, "hello");
    wait_for(fixture, &fixture->ends[1].received_count, 1);
    transport_hang_up(fixture->ends[0].transport, &fixture->ends[1].peer.node);
    for (int i = 0; i < 200; i++) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        usleep(500);
    }
    cr_assert_eq(fixture->ends[1].caller_lost_count, 0);
    tear_down(fixture);
}
