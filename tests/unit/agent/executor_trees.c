// SPDX-License-Identifier: GPL-3.0-or-later
/* How long an executor keeps what is unpacked for its replicas. */
#include "agent/executor/internal.h"
#include "tests/unit/agent/one_executor.h"

static void found(struct bench *bench, uint8_t number)
{
    struct tree_id tree = {{{0}}};

    memset(tree.id.bytes, number, ID_BYTES);
    executor_tree_found(bench->executor, &bench->turn, &tree);
}

static void ticks_at(struct bench *bench, uint64_t now_ms)
{
    bench_at(bench, now_ms);
    executor_tick(bench->executor, &bench->turn);
}

/* Of an agent that a reboot or a crash has ended. */
Test(executor_trees, what_lies_there_from_before_and_is_not_used_goes_after_a_while_and_once)
{
    struct bench bench = bench_running(wiki);
    uint64_t began_ms = bench.turn.now_ms;

    found(&bench, 7); /* the one that runs */
    found(&bench, 8);
    found(&bench, 8); /* half a one, too */
    ticks_at(&bench, began_ms + TREE_UNUSED_MS - 1);
    cr_assert_eq(count_out(&bench, OUT_DROP_TREE), 0);
    ticks_at(&bench, began_ms + TREE_UNUSED_MS);
    cr_assert_eq(count_out(&bench, OUT_DROP_TREE), 1);
    for (uint32_t i = 0; i < bench.community->out.count; i++) {
        cr_assert(bench.community->out.list[i].kind != OUT_DROP_TREE ||
                  bench.community->out.list[i].tree.id.bytes[0] == 8);
    }
    ticks_at(&bench, began_ms + 3 * TREE_UNUSED_MS);
    cr_assert_eq(count_out(&bench, OUT_DROP_TREE), 0);
    fake_free(bench.community);
}

Test(executor_trees, the_oldest_that_is_not_used_makes_room_and_is_dropped)
{
    struct bench bench = bench_running(wiki);

    for (uint8_t i = 1; i < TREES_MAX; i++) {
        bench_at(&bench, bench.turn.now_ms + 1);
        found(&bench, (uint8_t)(100 + i));
        cr_assert_eq(count_out(&bench, OUT_DROP_TREE), 0);
    }
    found(&bench, 99);
    cr_assert_eq(count_out(&bench, OUT_DROP_TREE), 1);
    for (uint32_t i = 0; i < bench.community->out.count; i++) {
        cr_assert(bench.community->out.list[i].kind != OUT_DROP_TREE ||
                  bench.community->out.list[i].tree.id.bytes[0] == 101);
    }
    fake_free(bench.community);
}
