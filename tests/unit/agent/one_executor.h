// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* For tests: one executor by itself, a service for it, and what it is told. */
#include "tests/unit/agent/community.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nrestart: always\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n"
                           "ports:\n  - {name: http, container: 8080}\n";

struct bench { /* node 0 is the executor under test; its manager is never asked */
    struct community *community;
    struct executor *executor;
    struct turn turn;
};

static inline struct bench bench_new(const char *yaml)
{
    struct bench bench = {.community = fake_new(1, yaml)};

    bench.executor = bench.community->nodes[0].executor;
    bench.turn = fake_turn(bench.community, 0);
    return bench;
}

static inline void bench_at(struct bench *bench, uint64_t now_ms)
{
    bench->community->now_ms = now_ms;
    bench->turn = fake_turn(bench->community, 0);
}

static inline minga_AskStart ask_start(const struct bench *bench, uint32_t slot,
                                       uint64_t incarnation, uint64_t generation)
{
    const struct fake_record *record = &bench->community->records[0];
    minga_AskStart ask = minga_AskStart_init_zero;
    struct epoch epoch = {generation, bench->community->nodes[0].member.node};

    memcpy(ask.service, bench->community->service.id.bytes, ID_BYTES);
    ask.slot = slot;
    ask.incarnation = incarnation;
    ask.has_epoch = true;
    ask.epoch = epoch_to_wire(&epoch);
    ask.version_record.size = (pb_size_t)record->length_bytes;
    memcpy(ask.version_record.bytes, record->bytes, record->length_bytes);
    return ask;
}

static inline enum refusal start(struct bench *bench, const minga_AskStart *ask)
{
    minga_AskReply reply;

    executor_ask_start(bench->executor, &bench->turn, &bench->community->nodes[0].member.node, ask,
                       &reply);
    return (enum refusal)reply.refusal;
}

static inline uint32_t count_out(const struct bench *bench, enum out_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < bench->community->out.count; i++) {
        count += bench->community->out.list[i].kind == kind ? 1 : 0;
    }
    return count;
}

/* From *place on in what was sent: a report to a manager; false: there is no other one. */
static inline bool next_report(const struct bench *bench, uint32_t *place, minga_Report *report_out)
{
    const struct outbox *out = &bench->community->out;
    minga_AgentMessage message;

    for (; *place < out->count; ++*place) {
        if (out->list[*place].kind == OUT_MESSAGE && out->list[*place].ask.kind == ASK_REPORT) {
            cr_assert_eq(agent_message_decode(out->list[*place].payload, &message), 0);
            *report_out = message.body.report;
            ++*place;
            return true;
        }
    }
    return false;
}

static inline void tree_there(struct bench *bench)
{
    struct core_event event = {0};

    memset(event.tree.id.bytes, 7, ID_BYTES);
    executor_scanned(bench->executor, &bench->turn, &event);
    executor_built(bench->executor, &bench->turn, &event);
}

static inline void sandbox(struct bench *bench, enum sandbox_event_kind kind, enum sandbox_end end)
{
    struct sandbox_event event = {.kind = kind, .end = end, .status = 1};

    event.key = (struct replica_key){bench->community->service, 1, 1};
    executor_sandbox(bench->executor, &bench->turn, &event);
}

static inline struct core_replica first_replica(const struct bench *bench)
{
    struct core_replica replica;

    executor_replica(bench->executor, 0, bench->community->now_ms, &replica);
    return replica;
}

static inline struct bench bench_running(const char *yaml)
{
    struct bench bench = bench_new(yaml);
    minga_AskStart ask = ask_start(&bench, 1, 1, 1);

    cr_assert_eq(start(&bench, &ask), REFUSAL_NONE);
    tree_there(&bench);
    cr_assert_eq(count_out(&bench, OUT_START), 1);
    sandbox(&bench, SANDBOX_STARTED, SANDBOX_END_EXITED);
    cr_assert_eq(first_replica(&bench).status.state, REPLICA_RUNNING);
    return bench;
}
