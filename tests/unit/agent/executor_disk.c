// SPDX-License-Identifier: GPL-3.0-or-later
/* An executor whose node's disk takes nothing, or gives nothing. */
#include "tests/unit/agent/one_executor.h"

/* Why it is over, for the node's log. */
static void expect_unready(const struct bench *bench, const char *why)
{
    const struct outbox *out = &bench->community->out;

    cr_assert_eq(count_out(bench, OUT_UNREADY), 1);
    for (uint32_t i = 0; i < out->count; i++) {
        if (out->list[i].kind == OUT_UNREADY) {
            cr_assert_eq(out->list[i].replica.slot, 1);
            cr_assert_eq(out->list[i].payload.length_bytes, strlen(why));
            cr_assert_eq(memcmp(out->list[i].payload.data, why, strlen(why)), 0);
        }
    }
}

static void expect_refuses(struct bench *bench, const char *why)
{
    struct owner_clock clock = {bench->turn.now_ms, bench->turn.wall_unix_s};
    struct node_status status;

    executor_status(bench->executor, clock, &status);
    cr_assert_str_eq(status.state, "disk refuses");
    cr_assert_not_null(strstr(status.reason, "nothing new is run here: its disk takes nothing: "));
    cr_assert_not_null(strstr(status.reason, why), "%s", status.reason);
    cr_assert_eq(executor_free_limits(bench->executor).memory_bytes, 0);
    cr_assert_eq(count_out(bench, OUT_STOP), 0);
    cr_assert_eq(first_replica(bench).status.state, REPLICA_RUNNING);
}

/* Also one that gives no storage: bundles are kept there. */
Test(executor_disk, a_node_whose_disk_takes_nothing_runs_nothing_new_and_keeps_what_runs)
{
    struct bench bench = bench_running(wiki);
    struct core_config config = bench.community->nodes[0].config;
    minga_AskStart ask = ask_start(&bench, 1, 2, 1);

    config.storage_bytes = 0;
    executor_configured(bench.executor, &bench.turn, &config);
    expect_refuses(&bench, "contribute.storage is 0");
    executor_set_disk(bench.executor, "its file system is as full as contribute.keep_free allows");
    expect_refuses(&bench, "as full as contribute.keep_free allows");
    executor_set_disk(bench.executor, "its file system is full");
    expect_refuses(&bench, "its file system is full");
    executor_set_isolated(bench.executor, &bench.turn, true); /* ends it */
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    executor_set_isolated(bench.executor, &bench.turn, false);
    cr_assert_eq(start(&bench, &ask), REFUSAL_OWN_DISK);
    executor_set_disk(bench.executor, "");
    cr_assert_eq(start(&bench, &ask), REFUSAL_OWN_DISK);
    config.storage_bytes = 1;
    executor_configured(bench.executor, &bench.turn, &config);
    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    fake_free(bench.community);
}

Test(executor_disk, what_is_being_fetched_when_the_disk_refuses_has_failed_here_at_once)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);
    struct core_event event = {.missing_count = 2};
    struct ask chunk = {.kind = ASK_CHUNK, .slot = 1, .number = 1};

    chunk.service = bench.community->service;
    memset(event.tree.id.bytes, 7, ID_BYTES);
    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    executor_scanned(bench.executor, &bench.turn, &event);
    executor_chunk(bench.executor, &bench.turn, &chunk, OVERLAY_FAILED, "no holder answers");
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_FETCHING);
    executor_set_disk(bench.executor, "No space left on device");
    executor_chunk(bench.executor, &bench.turn, &chunk, OVERLAY_FAILED, "refused");
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_FAILED);
    cr_assert_str_eq(first_replica(&bench).status.reason,
                     "its node's disk takes nothing: No space left on device");
    expect_unready(&bench, "its node's disk takes nothing: No space left on device");
    fake_free(bench.community);
}

Test(executor_disk, the_log_says_which_replica_cannot_be_unpacked_but_nothing_of_what_is_ended)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);
    struct core_event event = {0};

    memset(event.tree.id.bytes, 7, ID_BYTES);
    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    executor_scanned(bench.executor, &bench.turn, &event);
    cr_assert_eq(count_out(&bench, OUT_UNREADY), 0);
    event.failed = true;
    snprintf(event.reason, sizeof(event.reason), "bin/wiki: No space left on device");
    executor_built(bench.executor, &bench.turn, &event);
    expect_unready(&bench, "the bundle cannot be unpacked: bin/wiki: No space left on device");
    fake_free(bench.community);

    bench = bench_running(wiki); /* the sandbox's end is told by the sandbox */
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    cr_assert_eq(count_out(&bench, OUT_UNREADY), 0);
    fake_free(bench.community);
}
