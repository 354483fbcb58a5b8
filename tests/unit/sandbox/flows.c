// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/flows.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { NOW_MS = 1000000, PER_PORT = 4 };

static struct flows *table(uint32_t per_port_max)
{
    struct flows *flows = calloc(1, sizeof(*flows));

    flows_init(flows, per_port_max, 0x1234567890abcdef);
    return flows;
}

static struct flow_key key_of(uint16_t client_port, uint16_t service_port)
{
    return (struct flow_key){
        .client = {[15] = 1}, .client_port = client_port, .service_port = service_port};
}

/* As the caller does: makes room, or not. */
static struct flow *add(struct flows *flows, struct flow_key key, uint64_t now_ms)
{
    struct flow *yields = NULL;
    struct flow *flow;

    if (!flows_have_room(flows, key.service_port, now_ms, &yields)) {
        if (yields == NULL) {
            return NULL;
        }
        flows_remove(flows, yields);
    }
    flow = flows_add(flows, &key, now_ms);
    flow->fd = 3;
    return flow;
}

Test(flows, a_client_is_found_again_and_another_is_not)
{
    struct flows *flows = table(PER_PORT);
    struct flow_key key = key_of(5000, 0);
    struct flow *flow = add(flows, key, NOW_MS);

    cr_assert_eq(flows_find(flows, &key), flow);
    key.client_port++;
    cr_assert_null(flows_find(flows, &key));
    key = key_of(5000, 1);
    cr_assert_null(flows_find(flows, &key));
    key = key_of(5000, 0);
    key.here[0] = 1; /* the same client at another address of the host */
    cr_assert_null(flows_find(flows, &key));
    cr_assert_eq(flows_at(flows, flows_index(flows, flow), flow->version), flow);
    cr_assert_null(flows_at(flows, flows_index(flows, flow), flow->version + 1));
    cr_assert_null(flows_at(flows, FLOWS_MAX, flow->version));
    free(flows);
}

Test(flows, those_never_answered_end_sooner)
{
    struct flows *flows = table(PER_PORT);
    struct flow *silent = add(flows, key_of(1, 0), NOW_MS);
    struct flow *answered = add(flows, key_of(2, 0), NOW_MS);

    flows_touch(flows, answered, true, NOW_MS);
    cr_assert_eq(flows_wakeup_ms(flows), NOW_MS + FLOW_UNANSWERED_MS_MAX);
    cr_assert_null(flows_expired(flows, NOW_MS + FLOW_UNANSWERED_MS_MAX - 1));
    cr_assert_eq(flows_expired(flows, NOW_MS + FLOW_UNANSWERED_MS_MAX), silent);
    flows_remove(flows, silent);
    cr_assert_null(flows_expired(flows, NOW_MS + FLOW_ANSWERED_MS_MAX - 1));
    cr_assert_eq(flows_expired(flows, NOW_MS + FLOW_ANSWERED_MS_MAX), answered);
    flows_remove(flows, answered);
    cr_assert_eq(flows_wakeup_ms(flows), UINT64_MAX);
    cr_assert_eq(flows->count, 0);
    free(flows);
}

Test(flows, use_puts_the_end_off)
{
    struct flows *flows = table(PER_PORT);
    struct flow *flow = add(flows, key_of(1, 0), NOW_MS);

    flows_touch(flows, flow, false, NOW_MS + 20000);
    cr_assert_eq(flows_wakeup_ms(flows), NOW_MS + 20000 + FLOW_UNANSWERED_MS_MAX);
    free(flows);
}

Test(flows, when_a_port_is_full_only_the_unanswered_yield_and_only_after_a_moment)
{
    struct flows *flows = table(PER_PORT);
    struct flow_key first = key_of(0, 0);

    for (uint16_t i = 0; i < PER_PORT; i++) {
        cr_assert_not_null(add(flows, key_of(i, 0), NOW_MS));
    }
    cr_assert_null(add(flows, key_of(100, 0), NOW_MS + FLOW_YIELDS_MS - 1));
    cr_assert_not_null(add(flows, key_of(100, 1), NOW_MS), "another port has room");
    cr_assert_not_null(add(flows, key_of(101, 0), NOW_MS + FLOW_YIELDS_MS));
    cr_assert_null(flows_find(flows, &first), "the oldest went");
    cr_assert_eq(flows->count_of_port[0], PER_PORT);
    for (uint16_t i = 1; i < PER_PORT; i++) {
        struct flow_key key = key_of(i, 0);

        flows_touch(flows, flows_find(flows, &key), true, NOW_MS);
    }
    struct flow_key last = key_of(101, 0);
    flows_touch(flows, flows_find(flows, &last), true, NOW_MS);
    cr_assert_null(add(flows, key_of(102, 0), NOW_MS + FLOW_ANSWERED_MS_MAX - 1));
    free(flows);
}

Test(flows, the_whole_table_has_an_end_and_is_reused)
{
    struct flows *flows = table(CONNECTIONS_PER_PORT_MAX);

    for (uint32_t i = 0; i < FLOWS_MAX; i++) {
        uint16_t port = (uint16_t)(i / CONNECTIONS_PER_PORT_MAX);

        cr_assert_not_null(
            add(flows, key_of((uint16_t)(i % CONNECTIONS_PER_PORT_MAX), port), NOW_MS));
    }
    cr_assert_eq(flows->count, FLOWS_MAX);
    cr_assert_null(add(flows, key_of(1, 7), NOW_MS));
    cr_assert_not_null(add(flows, key_of(1, 7), NOW_MS + FLOW_YIELDS_MS), "of any port");
    cr_assert_eq(flows->count, FLOWS_MAX);
    for (uint32_t i = 0; i < FLOWS_MAX; i++) {
        flows_remove(flows, flows_expired(flows, UINT64_MAX - 1));
    }
    cr_assert_eq(flows->count, 0);
    cr_assert_not_null(add(flows, key_of(9, 7), NOW_MS));
    cr_assert_eq(flows->fresh_count, FLOWS_MAX);
    free(flows);
}

Test(flows, the_oldest_is_the_one_silent_for_longest_answered_or_not)
{
    struct flows *flows = table(PER_PORT);

    cr_assert_null(flows_oldest(flows));
    struct flow *first = add(flows, key_of(1, 0), NOW_MS);
    struct flow *second = add(flows, key_of(2, 0), NOW_MS + 1);

    cr_assert_eq(flows_oldest(flows), first);
    flows_touch(flows, second, true, NOW_MS + 2);
    cr_assert_eq(flows_oldest(flows), first);
    flows_touch(flows, first, false, NOW_MS + 3);
    cr_assert_eq(flows_oldest(flows), second);
    flows_remove(flows, first);
    cr_assert_eq(flows_oldest(flows), second);
    flows_remove(flows, second);
    cr_assert_null(flows_oldest(flows));
    free(flows);
}
