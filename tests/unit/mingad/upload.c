// SPDX-License-Identifier: GPL-3.0-or-later
/* When a chunk goes, as the limit changes. */
#include <criterion/criterion.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "agent/mingad/owner/keeper.h"
#include "transport_pair.h"

static const struct chunk_id chunk = {{{1}}};
static struct fixture *fixture;
static struct edge *edge;

/* As much of an edge as sends a chunk from memory: within a step, so that no core is asked. */
static void begin(uint64_t limit_bytes_per_s)
{
    static uint8_t data[CHUNK_BYTES_MAX];
    struct carry_new carried = {1, chunk, 0, {data, sizeof(data)}};
    struct err err = {0};

    fixture = set_up();
    edge = calloc(1, sizeof(*edge));
    cr_assert_eq(edge_open(edge, &err), 0, "%s", err.text);
    edge->is_stepping = true;
    edge->config.upload_bytes_per_s = limit_bytes_per_s;
    edge->transport = fixture->ends[0].transport;
    edge->relays = relays_new(&(struct relays_config){.loop = &edge->loop});
    edge->keeper = keeper_new(edge);
    edge->upload = upload_new(edge);
    cr_assert(carry_add(&edge->carry, &carried, clock_now_ms()));
    send_text(fixture, "hello"); /* chunks are for those who know each other */
    wait_for(fixture, &fixture->ends[1].received_count, 1);
}

static void end(void)
{
    upload_close(edge);
    keeper_close(edge->keeper);
    relays_close(edge->relays);
    uv_run(&edge->loop, UV_RUN_DEFAULT);
    tear_down(fixture); /* first: until then ZeroMQ counts down what it has sent */
    upload_free(edge->upload);
    keeper_free(edge->keeper);
    relays_free(edge->relays);
    carry_clear(&edge->carry);
    events_clear(edge);
    cr_assert_eq(uv_loop_close(&edge->loop), 0);
    free(edge);
}

static void ask(const char *message)
{
    struct overlay_effect effect = {.kind = OVERLAY_SEND,
                                    .peer = fixture->ends[1].peer,
                                    .message = bytes_of_text(message),
                                    .has_chunk = true,
                                    .chunk = chunk};

    upload_send(edge, &effect);
}

static void limit(uint64_t bytes_per_s)
{
    edge->config.upload_bytes_per_s = bytes_per_s;
    keeper_review(edge->keeper);
}

static uint64_t sent_count(void)
{
    return transport_counters(edge->transport).sent_messages - 1; /* but for the greeting */
}

Test(upload, what_went_without_a_limit_is_not_owed_when_one_begins)
{
    begin(0);
    for (uint64_t i = 1; i <= 4; i++) {
        ask("one");
        cr_assert_eq(sent_count(), i);
    }
    limit(100 << 10);
    ask("two");
    cr_assert_eq(sent_count(), 5, "a burst is saved up, as at the start");
    ask("three");
    cr_assert_eq(sent_count(), 5, "and used up: the next one waits");
    end();
}

Test(upload, what_waits_goes_when_the_limit_ends)
{
    begin(100 << 10);
    ask("one");
    ask("two");
    ask("three");
    cr_assert_eq(sent_count(), 1);
    limit(0);
    cr_assert_eq(sent_count(), 3);
    limit(100 << 10);
    ask("four");
    cr_assert_eq(sent_count(), 4);
    end();
}
