// SPDX-License-Identifier: GPL-3.0-or-later
/* Where keys lie that are asked for again and again, in a community of which only a part is known. */
#include "large_community.h"

enum { NODES = 24, PLACES = 22 };

static struct ring_key key;

static void locate(bool anew)
{
    struct overlay_event now = now_event();

    (anew ? overlay_locate_anew : overlay_locate)(net.nodes[0].overlay, &now, &key,
                                                  &net.nodes[0].effects);
    perform(0);
}

static const struct located *located(void)
{
    const struct overlay *overlay = net.nodes[0].overlay;

    for (uint32_t i = 0; i < LOCATED_MAX; i++) {
        if (overlay->located[i].used && id_equal(&overlay->located[i].key.id, &key.id)) {
            return &overlay->located[i];
        }
    }
    cr_assert_fail("it was never asked for");
    return NULL;
}

Test(located, what_is_doubted_is_looked_up_again_and_used_until_then, .timeout = 300)
{
    uint64_t begin_ms;
    uint64_t found_ms;
    struct node_id node;

    make_large(NODES, PLACES);
    begin_ms = net.now_ms;
    for (uint8_t i = 1; search_is_known(net.nodes[0].overlay, &key); i++) {
        cr_assert_gt(i, 0);
        key.id.bytes[0] = i;
    }
    do { /* links are built, and chains shown */
        locate(false);
        found_ms = located()->found_ms;
        run_for(500);
        cr_assert_lt(net.now_ms, begin_ms + 30000);
    } while (overlay_replica_set(net.nodes[0].overlay, &key, 1, &node) == 0 ||
             located()->found_ms != found_ms);
    locate(true);
    cr_assert_eq(overlay_replica_set(net.nodes[0].overlay, &key, 1, &node), 1);
    run_for(500);
    cr_assert_gt(located()->found_ms, found_ms);
    end_network();
}
