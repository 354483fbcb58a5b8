// SPDX-License-Identifier: GPL-3.0-or-later
/* Two services on one node that gives less than both were promised: one goes, the other one stays. */
#include "tests/unit/agent/one_executor.h"

enum { PROMISED_BYTES = 128 << 20 };

/* A service of this name runs here, too; it becomes the one that the bench's helpers speak of. */
static void add_guest(struct bench *bench, const char *name)
{
    struct community *community = bench->community;
    struct public_key owner = keys_public(&community->owner);
    minga_AskStart ask;

    cr_assert_eq(text_copy(community->manifest.name, sizeof(community->manifest.name), name), 0);
    community->service = keys_service_id(&owner, name);
    fake_put_version(community);
    ask = ask_start(bench, 1, 1, 1);
    bench_at(bench, community->now_ms + 100);
    cr_assert_eq(start(bench, &ask), REFUSAL_NONE);
    tree_there(bench);
    sandbox(bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
}

/* The wiki is older than the blog, which the helpers speak of. */
static struct bench bench_of_two(void)
{
    struct bench bench = bench_new(wiki);

    add_guest(&bench, "wiki");
    add_guest(&bench, "blog");
    cr_assert_eq(executor_count(bench.executor), 2);
    return bench;
}

/* Is its manager told to start it elsewhere? */
static bool is_leaving(struct bench *bench, const char *name)
{
    struct public_key owner = keys_public(&bench->community->owner);
    struct service_id service = keys_service_id(&owner, name);
    minga_Report report;
    uint32_t place = 0;

    executor_flush(bench->executor, &bench->turn);
    while (next_report(bench, &place, &report)) {
        for (uint32_t j = 0; j < report.replicas_count; j++) {
            if (report.mood == MOOD_DRAINING &&
                memcmp(report.replicas[j].service, service.id.bytes, ID_BYTES) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void give(struct bench *bench, uint64_t memory_bytes)
{
    struct core_config config = bench->community->nodes[0].config;

    config.contribution.memory_bytes = memory_bytes;
    bench_at(bench, bench->community->now_ms + 100);
    executor_configured(bench->executor, &bench->turn, &config);
}

static void next_tick(struct bench *bench)
{
    bench_at(bench, bench->community->now_ms + 500);
    executor_tick(bench->executor, &bench->turn);
}

static void ask_stop(struct bench *bench)
{
    const struct node_id *manager = &bench->community->nodes[0].member.node;
    struct epoch epoch = {1, *manager};
    minga_AskStop stop = {.slot = 1, .incarnation = 1, .has_epoch = true};
    minga_AskReply reply;

    memcpy(stop.service, bench->community->service.id.bytes, ID_BYTES);
    stop.epoch = epoch_to_wire(&epoch);
    bench_at(bench, bench->community->now_ms + 100);
    executor_ask_stop(bench->executor, &bench->turn, manager, &stop, &reply);
    cr_assert_eq(reply.refusal, REFUSAL_NONE);
    cr_assert_eq(count_out(bench, OUT_STOP), 1);
}

Test(fit, what_stays_is_not_driven_out_by_what_is_still_stopping)
{
    struct bench bench = bench_of_two();

    fake_node_make(bench.community, 1);
    bench.community->node_count = 2;
    bench_at(&bench, bench.community->now_ms);
    executor_look_around(bench.executor, &bench.turn);
    give(&bench, PROMISED_BYTES);
    cr_assert(is_leaving(&bench, "blog"));
    cr_assert_not(is_leaving(&bench, "wiki"));
    ask_stop(&bench);                   /* it runs elsewhere */
    for (uint32_t i = 0; i < 10; i++) { /* of its grace */
        next_tick(&bench);
        cr_assert_not(is_leaving(&bench, "wiki"), "tick %u", i);
    }
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    next_tick(&bench);
    cr_assert_not(is_leaving(&bench, "wiki"));
    fake_free(bench.community);
}

Test(fit, where_nobody_else_is_up_one_is_ended_and_not_the_other_after_it)
{
    struct bench bench = bench_of_two();
    uint32_t stop_count;

    while (bench.community->now_ms < 1000 + ISOLATED_MS) { /* others could have been heard by now */
        next_tick(&bench);
    }
    give(&bench, PROMISED_BYTES);
    stop_count = count_out(&bench, OUT_STOP);
    for (uint32_t i = 0; i < 10; i++) {
        next_tick(&bench);
        stop_count += count_out(&bench, OUT_STOP);
    }
    cr_assert_eq(stop_count, 1);
    fake_free(bench.community);
}

/* Room that is not free yet is not given away. */
Test(fit, what_is_stopping_still_has_its_room_where_another_one_is_to_come)
{
    struct bench bench = bench_of_two();
    struct sandbox_limits free = executor_free_limits(bench.executor);

    ask_stop(&bench);
    cr_assert_eq(executor_free_limits(bench.executor).memory_bytes, free.memory_bytes);
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    cr_assert_eq(executor_free_limits(bench.executor).memory_bytes,
                 free.memory_bytes + PROMISED_BYTES);
    fake_free(bench.community);
}
