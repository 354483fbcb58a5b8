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
    cr_assert_eq(door_stranger_count(fixture->ends[1].transport), 1);
    transport_hang_up(fixture->ends[0].transport, &fixture->ends[1].peer.node);
    for (int ms = 0; ms < WAIT_MS_MAX && door_stranger_count(fixture->ends[1].transport) > 0;
         ms++) {
        run_for_ms(fixture, 1);
    }
    cr_assert_eq(door_stranger_count(fixture->ends[1].transport), 0, "its end was not seen");
    run_for_ms(fixture, 100);
    cr_assert_eq(fixture->ends[1].caller_lost_count, 0);
    tear_down(fixture);
}
