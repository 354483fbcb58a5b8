// SPDX-License-Identifier: GPL-3.0-or-later
/* Who hears nobody is isolated; who slept has not listened. */
#include "network.h"

static bool is_isolated(uint32_t index)
{
    return overlay_isolated(net.nodes[index].overlay, net.now_ms);
}

static void fall_asleep(uint32_t index, uint64_t duration_ms)
{
    net.nodes[index].stalled_until_ms = net.now_ms + duration_ms;
}

/* Whatever is the first that it is told of: the overlay itself may be called only later. */
Test(isolated, a_machine_that_wakes_after_a_minute_is_not_before_it_has_listened)
{
    make_members(3);
    run_for(2000);
    fall_asleep(1, 60000);
    run_for(59999);
    cr_assert(!is_isolated(1), "not even before its first step");
    for (uint32_t i = 0; i < 200; i++) {
        run_for(100);
        cr_assert(!is_isolated(1), "%u ms later", 100 * i);
    }
    end_network();
}

Test(isolated, who_was_cut_off_in_its_sleep_is_fifteen_seconds_after_it)
{
    make_members(3);
    run_for(2000);
    net.nodes[1].side = 1;
    fall_asleep(1, 60000);
    run_for(60000 + ISOLATED_MS - 3000);
    cr_assert(!is_isolated(1));
    run_for(3500);
    cr_assert(is_isolated(1));
    end_network();
}

/* A second at a time it listens hardly less than others. */
Test(isolated, short_stalls_do_not_put_it_off)
{
    make_members(3);
    run_for(2000);
    net.nodes[1].side = 1;
    for (uint64_t slept_ms = 0; slept_ms < ISOLATED_MS; slept_ms += 1000) {
        fall_asleep(1, 500);
        run_for(1000);
    }
    cr_assert(is_isolated(1));
    end_network();
}
