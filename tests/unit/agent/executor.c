// SPDX-License-Identifier: GPL-3.0-or-later
/* One executor by itself: what it admits, restarts, adopts and ends. */
#include "tests/unit/agent/one_executor.h"

Test(executor, missing_chunks_are_fetched_several_at_once_and_scanned_again)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);
    struct core_event event = {.missing_count = 20};
    struct ask chunk = {.kind = ASK_CHUNK, .slot = 1, .number = 1};

    chunk.service = bench.community->service;
    memset(event.tree.id.bytes, 7, ID_BYTES);
    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    cr_assert_eq(count_out(&bench, OUT_SCAN_TREE), 1);
    executor_scanned(bench.executor, &bench.turn, &event);
    cr_assert_eq(count_out(&bench, OUT_CHUNK), 8);
    for (uint32_t i = 0; i < 20; i++) {
        executor_chunk(bench.executor, &bench.turn, &chunk, OVERLAY_OK, "");
    }
    cr_assert_eq(count_out(&bench, OUT_CHUNK), 20);
    cr_assert_eq(count_out(&bench, OUT_SCAN_TREE), 2);
    fake_free(bench.community);
}

Test(executor, how_far_a_bundle_is_here_is_told_until_it_is_started)
{
    struct bench bench = bench_new(wiki);
    const uint64_t begin_ms = bench.community->now_ms;
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);
    struct core_event event = {.missing_count = 20, .here_count = 29, .chunk_count = 100};
    struct ask chunk = {.kind = ASK_CHUNK, .slot = 1, .number = 1};

    chunk.service = bench.community->service;
    memset(event.tree.id.bytes, 7, ID_BYTES);
    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    cr_assert_str_empty(first_replica(&bench).status.reason);
    bench_at(&bench, begin_ms + 1000);
    executor_scanned(bench.executor, &bench.turn, &event);
    cr_assert_str_eq(first_replica(&bench).status.reason, "29 % of its bundle is here");
    executor_chunk(bench.executor, &bench.turn, &chunk, OVERLAY_NOT_FOUND, "nobody has it");
    cr_assert_str_eq(first_replica(&bench).status.reason,
                     "a chunk of the bundle cannot be fetched: nobody has it");
    for (uint32_t i = 1; i < 20; i++) {
        executor_chunk(bench.executor, &bench.turn, &chunk, OVERLAY_OK, "");
    }
    cr_assert_str_eq(first_replica(&bench).status.reason, "49 % of its bundle is here");
    bench_at(&bench, begin_ms + 3000);
    event = (struct core_event){.tree = event.tree, .here_count = 100, .chunk_count = 100};
    executor_tick(bench.executor, &bench.turn);
    executor_scanned(bench.executor, &bench.turn, &event);
    cr_assert_str_eq(first_replica(&bench).status.reason, "its bundle is being unpacked");
    cr_assert_eq(first_replica(&bench).status.age_ms, 3000, "since it is fetched");
    executor_built(bench.executor, &bench.turn, &event);
    cr_assert_str_empty(first_replica(&bench).status.reason);
    fake_free(bench.community);
}

Test(executor, restarts_come_after_0_1_2_4_up_to_60_seconds)
{
    static const uint64_t delays_ms[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct bench bench = bench_running(wiki);

    for (uint32_t i = 0; i < 9; i++) {
        bench_at(&bench, bench.community->now_ms + 100);
        sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_EXITED);
        if (delays_ms[i] > 0) {
            uint64_t ended_ms = bench.community->now_ms;

            cr_assert_eq(count_out(&bench, OUT_START), 0);
            cr_assert_eq(first_replica(&bench).status.next_try_s, delays_ms[i] / 1000);
            bench_at(&bench, ended_ms + delays_ms[i] - 1);
            executor_tick(bench.executor, &bench.turn);
            cr_assert_eq(first_replica(&bench).status.next_try_s, 1);
            cr_assert_eq(count_out(&bench, OUT_START), 0, "too early after end %u", i);
            bench_at(&bench, ended_ms + delays_ms[i]);
            executor_tick(bench.executor, &bench.turn);
        }
        cr_assert_eq(count_out(&bench, OUT_START), 1, "after end %u", i);
        cr_assert_eq(first_replica(&bench).status.next_try_s, 0);
        sandbox(&bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
    }
    cr_assert_eq(first_replica(&bench).status.restart_count, 9);
    fake_free(bench.community);
}

Test(executor, a_minute_of_running_makes_the_next_restart_immediate_again)
{
    struct bench bench = bench_running(wiki);

    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_EXITED);
    sandbox(&bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
    bench_at(&bench, bench.community->now_ms + 60000);
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_EXITED);
    cr_assert_eq(count_out(&bench, OUT_START), 1);
    fake_free(bench.community);
}

Test(executor, the_reason_of_a_restart_stays_while_it_runs)
{
    struct bench bench = bench_running(wiki);

    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_OUT_OF_MEMORY);
    sandbox(&bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
    cr_assert_str_eq(first_replica(&bench).status.reason,
                     "out of memory: limit 128M; restarted once");
    fake_free(bench.community);
}

Test(executor, what_it_printed_last_is_part_of_the_reason)
{
    struct bench bench = bench_running(wiki);
    struct sandbox_event event = {.kind = SANDBOX_ENDED,
                                  .end = SANDBOX_END_EXITED,
                                  .status = 3,
                                  .reason = "exit status 3: no such table: page"};

    event.key = (struct replica_key){bench.community->service, 1, 1};
    executor_sandbox(bench.executor, &bench.turn, &event);
    cr_assert_str_eq(first_replica(&bench).status.reason,
                     "exit status 3: no such table: page; restarted once");
    fake_free(bench.community);
}

Test(executor, restart_never_ends_with_the_first_end)
{
    struct bench bench = bench_running("name: wiki\ncommand: [/bin/wiki]\nrestart: never\n");

    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_EXITED);
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_ENDED);
    cr_assert(executor_is_empty(bench.executor));
    fake_free(bench.community);
}

Test(executor, three_refused_starts_have_failed_here)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);

    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    tree_there(&bench);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_neq(first_replica(&bench).status.state, REPLICA_FAILED);
        sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_REFUSED);
        bench_at(&bench, bench.community->now_ms + 2000);
        executor_tick(bench.executor, &bench.turn);
    }
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_FAILED);
    fake_free(bench.community);
}

/* In steps of a second, as long as nothing of that kind is asked for. */
static void tick_until(struct bench *bench, enum out_kind kind)
{
    uint64_t begin_ms = bench->community->now_ms;

    do {
        bench_at(bench, bench->community->now_ms + 1000);
        executor_tick(bench->executor, &bench->turn);
        cr_assert_leq(bench->community->now_ms, begin_ms + 120000);
    } while (count_out(bench, kind) == 0);
}

static struct bench bench_starting(const char *yaml)
{
    struct bench bench = bench_new(yaml);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);

    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    tree_there(&bench);
    cr_assert_eq(count_out(&bench, OUT_START), 1);
    return bench;
}

Test(executor, what_is_not_started_in_time_three_times_has_failed_here)
{
    struct bench bench = bench_starting(wiki);

    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_neq(first_replica(&bench).status.state, REPLICA_FAILED, "after %u tries", i);
        tick_until(&bench, OUT_STOP);
        cr_assert_eq(count_out(&bench, OUT_START), 0, "it is still cleared away");
        sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    }
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_FAILED);
    cr_assert_str_eq(first_replica(&bench).status.reason,
                     "cannot be started: it did not start in time");
    fake_free(bench.community);
}

/* The end of what was late comes when the next try is under way: a job has not ended with it. */
Test(executor, the_end_of_a_late_try_is_not_that_of_the_next_one)
{
    struct bench bench = bench_starting("name: wiki\ncommand: [/bin/wiki]\nrestart: never\n");

    tick_until(&bench, OUT_STOP);
    tick_until(&bench, OUT_START);
    bench_at(&bench, bench.community->now_ms + 4000);
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_STARTING);
    sandbox(&bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_RUNNING);
    fake_free(bench.community);
}

Test(executor, a_lower_epoch_and_an_incarnation_that_ran_here_are_refused)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart high = ask_start(&bench, 1, 5, 7);
    minga_AskStart low = ask_start(&bench, 1, 6, 6);
    minga_AskStart again = ask_start(&bench, 1, 5, 8);
    minga_AskStop stop = minga_AskStop_init_zero;
    minga_AskReply reply;

    cr_assert_eq(start(&bench, &high), REFUSAL_NONE);
    cr_assert_eq(start(&bench, &low), REFUSAL_STALE);
    memcpy(stop.service, high.service, ID_BYTES);
    stop.slot = 1;
    stop.incarnation = 5;
    stop.has_epoch = true;
    stop.epoch = low.epoch;
    executor_ask_stop(bench.executor, &bench.turn, &bench.community->nodes[0].member.node, &stop,
                      &reply);
    cr_assert_eq(reply.refusal, REFUSAL_STALE);
    stop.epoch = high.epoch;
    executor_ask_stop(bench.executor, &bench.turn, &bench.community->nodes[0].member.node, &stop,
                      &reply);
    cr_assert_eq(reply.refusal, REFUSAL_NONE);
    cr_assert(executor_is_empty(bench.executor));
    cr_assert_eq(start(&bench, &again), REFUSAL_STALE, "5 has ended here already");
    fake_free(bench.community);
}

Test(executor, an_epoch_in_anothers_name_is_not_obeyed)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);
    struct node_id stranger = {{{1, 2, 3}}};
    minga_AskReply reply;

    executor_ask_start(bench.executor, &bench.turn, &stranger, &ask, &reply);
    cr_assert_eq(reply.refusal, REFUSAL_STALE);
    fake_free(bench.community);
}

Test(executor, a_version_record_that_is_not_the_owners_is_refused)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);

    ask.version_record.bytes[ask.version_record.size - 1] ^= 1;
    cr_assert_eq(start(&bench, &ask), REFUSAL_RECORD);
    ask = ask_start(&bench, 1, 1, 1);
    ask.service[0] ^= 1;
    cr_assert_eq(start(&bench, &ask), REFUSAL_RECORD);
    cr_assert_eq(executor_count(bench.executor), 0);
    fake_free(bench.community);
}

Test(executor, a_replica_beyond_what_is_free_is_refused_by_its_dimension)
{
    struct bench bench = bench_new("name: wiki\ncommand: [/bin/wiki]\n"
                                   "resources: {memory: 2G}\n");
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);

    cr_assert_eq(start(&bench, &ask), REFUSAL_TOO_LARGE);
    fake_free(bench.community);
}

Test(executor, a_replica_that_survived_mingad_is_adopted_with_its_restarts)
{
    struct bench bench = bench_running(wiki);
    struct sandbox_event listed = {.kind = SANDBOX_LISTED, .age_ms = 5000, .port_count = 1};
    struct overlay_blob blob = {.kind = BLOB_AGENT};
    uint8_t kept[4096];
    struct executor *next = executor_new(&bench.community->nodes[0].config);

    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_EXITED);
    for (uint32_t i = 0; i < bench.community->out.count; i++) {
        const struct outgoing *out = &bench.community->out.list[i];

        if (out->kind == OUT_STORE) {
            blob.key = out->blob_key;
            blob.number = out->blob_number;
            blob.bytes = (struct bytes){kept, out->payload.length_bytes};
            memcpy(kept, out->payload.data, out->payload.length_bytes);
        }
    }
    cr_assert_eq(executor_load(next, &blob), 0);
    cr_assert_neq(executor_load(next, &blob), 0, "the same twice is refused");
    bench_at(&bench, bench.community->now_ms + 3000);
    executor_start(next, &bench.turn);
    executor_sandbox_up(next, &bench.turn);
    listed.key = (struct replica_key){bench.community->service, 1, 1};
    listed.ports[0].host_port = 31007;
    executor_sandbox(next, &bench.turn, &listed);
    executor_sandbox_listed(next, &bench.turn);
    executor_free(bench.executor);
    bench.community->nodes[0].executor = next;
    bench.executor = next;
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_RUNNING);
    cr_assert_eq(first_replica(&bench).status.restart_count, 1);
    cr_assert_eq(first_replica(&bench).status.ports[0].host_port, 31007);
    cr_assert_eq(count_out(&bench, OUT_STOP), 0);
    fake_free(bench.community);
}

Test(executor, an_unknown_survivor_is_stopped)
{
    struct bench bench = bench_new(wiki);
    struct sandbox_event listed = {.kind = SANDBOX_LISTED};

    listed.key = (struct replica_key){bench.community->service, 1, 1};
    executor_sandbox_up(bench.executor, &bench.turn);
    executor_sandbox(bench.executor, &bench.turn, &listed);
    cr_assert_eq(count_out(&bench, OUT_STOP), 1);
    fake_free(bench.community);
}

Test(executor, an_isolated_node_ends_its_replicas_and_takes_no_more)
{
    struct bench bench = bench_running(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 2, 1);

    executor_set_isolated(bench.executor, &bench.turn, true);
    cr_assert_eq(count_out(&bench, OUT_STOP), 1);
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    cr_assert(executor_is_empty(bench.executor));
    cr_assert_eq(start(&bench, &ask), REFUSAL_ISOLATED);
    executor_set_isolated(bench.executor, &bench.turn, false);
    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    fake_free(bench.community);
}

Test(executor, after_a_sleep_replicas_are_frozen_until_their_manager_confirms)
{
    struct bench bench = bench_running(wiki);
    minga_ReportReply reply = {.verdicts_count = 1};
    minga_Verdict *verdict = &reply.verdicts[0];
    struct epoch epoch = {1, bench.community->nodes[0].member.node};

    bench_at(&bench, bench.community->now_ms + 5001);
    executor_tick(bench.executor, &bench.turn);
    cr_assert_eq(count_out(&bench, OUT_FREEZE), 1);
    cr_assert(first_replica(&bench).is_frozen);
    memcpy(verdict->service, bench.community->service.id.bytes, ID_BYTES);
    verdict->slot = 1;
    verdict->incarnation = 1;
    verdict->verdict = VERDICT_KEEP;
    verdict->has_epoch = true;
    verdict->epoch = epoch_to_wire(&epoch);
    executor_verdicts(bench.executor, &bench.turn, &epoch.node, &reply);
    cr_assert_eq(count_out(&bench, OUT_THAW), 1);
    cr_assert_not(first_replica(&bench).is_frozen);
    fake_free(bench.community);
}

Test(executor, a_port_in_use_by_others_is_replaced_by_another)
{
    struct bench bench = bench_new(wiki);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);
    struct replica_key key = {bench.community->service, 1, 1};
    uint16_t first;

    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    tree_there(&bench);
    first = first_replica(&bench).status.ports[0].host_port;
    executor_ports_refused(bench.executor, &bench.turn, &key, first);
    cr_assert_eq(count_out(&bench, OUT_START), 2);
    cr_assert_neq(first_replica(&bench).status.ports[0].host_port, first);
    fake_free(bench.community);
}

/* Its door is mingad's: when that is replaced, something else may take the port. */
Test(executor, what_loses_its_port_is_started_again_at_another)
{
    struct bench bench = bench_running(wiki);
    struct replica_key key = {bench.community->service, 1, 1};
    uint16_t first = first_replica(&bench).status.ports[0].host_port;

    executor_ports_refused(bench.executor, &bench.turn, &key, first);
    cr_assert_eq(count_out(&bench, OUT_STOP), 1);
    cr_assert_eq(first_replica(&bench).status.ports[0].host_port, first, "as long as it runs");
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    cr_assert_eq(count_out(&bench, OUT_START), 2, "again");
    cr_assert_neq(first_replica(&bench).status.ports[0].host_port, first);
    cr_assert_str_eq(first_replica(&bench).status.reason,
                     "its port was taken by something else; restarted once");
    fake_free(bench.community);
}

Test(executor, without_its_sandbox_for_30_s_nothing_of_it_is_left)
{
    struct bench bench = bench_running(wiki);

    executor_sandbox_down(bench.executor, &bench.turn, "gone");
    for (uint32_t i = 0; i < 29; i++) {
        bench_at(&bench, bench.community->now_ms + 1000);
        executor_tick(bench.executor, &bench.turn);
    }
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_RUNNING);
    bench_at(&bench, bench.community->now_ms + 1000);
    executor_tick(bench.executor, &bench.turn);
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_FAILED);
    fake_free(bench.community);
}

static const char sick[] = "name: wiki\ncommand: [/bin/wiki]\nrestart: on-failure\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n"
                           "ports:\n  - {name: http, container: 8080}\n"
                           "health: {port: http, interval: 5s, failures: 3}\n";

static void probed(struct bench *bench, bool healthy)
{
    struct sandbox_event event = {.kind = SANDBOX_HEALTH, .healthy = healthy};

    event.key = (struct replica_key){bench->community->service, 1, 1};
    executor_sandbox(bench->executor, &bench->turn, &event);
}

static void tick_after(struct bench *bench, uint64_t ms)
{
    bench_at(bench, bench->community->now_ms + ms);
    executor_tick(bench->executor, &bench->turn);
}

/* In steps: a machine that does nothing for so long has slept. */
static void ticks_for(struct bench *bench, uint64_t ms)
{
    for (; ms > 2000; ms -= 2000) {
        tick_after(bench, 2000);
    }
    tick_after(bench, ms);
}

Test(executor, what_fails_its_probe_for_ten_seconds_is_started_again)
{
    struct bench bench = bench_running(sick);

    probed(&bench, false);
    cr_assert_eq(first_replica(&bench).status.health, HEALTH_FAILING);
    ticks_for(&bench, 9999);
    cr_assert_eq(count_out(&bench, OUT_STOP), 0);
    tick_after(&bench, 1);
    cr_assert_eq(count_out(&bench, OUT_STOP), 1);
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    cr_assert_eq(count_out(&bench, OUT_START), 1);
    cr_assert_str_eq(first_replica(&bench).status.reason,
                     "its health probe failed; restarted once");
    sandbox(&bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
    ticks_for(&bench, 30000);
    cr_assert_eq(count_out(&bench, OUT_STOP), 0);
    fake_free(bench.community);
}

Test(executor, what_recovers_in_time_is_not_started_again)
{
    struct bench bench = bench_running(sick);

    probed(&bench, false);
    ticks_for(&bench, 8000);
    probed(&bench, true);
    ticks_for(&bench, 20000);
    cr_assert_eq(count_out(&bench, OUT_STOP), 0);
    fake_free(bench.community);
}

Test(executor, what_never_becomes_well_is_started_again_ever_later)
{
    struct bench bench = bench_running(sick);
    uint64_t waits_ms[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

    for (uint32_t i = 0; i < ARRAY_COUNT(waits_ms); i++) {
        ticks_for(&bench, 70000); /* also when it takes long to fail */
        probed(&bench, false);
        ticks_for(&bench, 10000);
        cr_assert_eq(count_out(&bench, OUT_STOP), 1, "end %u", i);
        sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
        if (waits_ms[i] > 0) {
            ticks_for(&bench, waits_ms[i] - 1);
            cr_assert_eq(count_out(&bench, OUT_START), 0, "too early after end %u", i);
            tick_after(&bench, 1);
        }
        cr_assert_eq(count_out(&bench, OUT_START), 1, "after end %u", i);
        sandbox(&bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
    }
    fake_free(bench.community);
}

Test(executor, what_is_paused_is_not_blamed_for_it)
{
    struct bench bench = bench_running(sick);

    probed(&bench, false);
    executor_pause(bench.executor, &bench.turn, &(struct core_request){.at_once = true});
    ticks_for(&bench, 60000);
    executor_resume(bench.executor, &bench.turn);
    ticks_for(&bench, 9000);
    cr_assert_eq(count_out(&bench, OUT_STOP), 0);
    ticks_for(&bench, 1001);
    cr_assert_eq(count_out(&bench, OUT_STOP), 1);
    fake_free(bench.community);
}

Test(executor, an_unhealthy_one_that_its_manager_ends_stays_ended)
{
    struct bench bench = bench_running(sick);

    probed(&bench, false);
    ticks_for(&bench, 10000);
    executor_set_isolated(bench.executor, &bench.turn, true);
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_STOPPED);
    cr_assert_eq(count_out(&bench, OUT_START), 0);
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_FAILED);
    fake_free(bench.community);
}

/* What was asked of a helper that then ended was asked in vain. */
Test(executor, another_helper_is_told_what_is_frozen_and_what_is_not)
{
    struct bench bench = bench_running(wiki);

    executor_pause(bench.executor, &bench.turn, &(struct core_request){.at_once = true});
    bench_at(&bench, bench.community->now_ms + 1000);
    executor_sandbox_down(bench.executor, &bench.turn, "gone");
    executor_sandbox_up(bench.executor, &bench.turn);
    sandbox(&bench, SANDBOX_LISTED, SANDBOX_END_EXITED);
    cr_assert_eq(count_out(&bench, OUT_FREEZE), 1);
    cr_assert_eq(count_out(&bench, OUT_THAW), 0);
    executor_sandbox_listed(bench.executor, &bench.turn);
    executor_sandbox_down(bench.executor, &bench.turn, "gone");
    executor_resume(bench.executor, &bench.turn);
    bench_at(&bench, bench.community->now_ms + 1000);
    executor_sandbox_up(bench.executor, &bench.turn);
    sandbox(&bench, SANDBOX_LISTED, SANDBOX_END_EXITED);
    cr_assert_eq(count_out(&bench, OUT_FREEZE), 0);
    cr_assert_eq(count_out(&bench, OUT_THAW), 1);
    fake_free(bench.community);
}

/* For its manager it has failed, so that another node is asked. */
Test(executor, what_its_own_node_ends_has_not_failed_in_the_history)
{
    struct bench bench = bench_running(wiki);
    struct core_ended ended;

    executor_drain(bench.executor, &bench.turn, 1000);
    bench_at(&bench, bench.community->now_ms + 2000);
    executor_tick(bench.executor, &bench.turn);
    cr_assert_eq(count_out(&bench, OUT_STOP), 1);
    sandbox(&bench, SANDBOX_ENDED, SANDBOX_END_EXITED);
    cr_assert_eq(executor_ended_count(bench.executor), 1);
    executor_ended(bench.executor, 0, &ended);
    cr_assert_str_eq(ended.reason, "drained");
    cr_assert(!ended.failed);
    fake_free(bench.community);
}
