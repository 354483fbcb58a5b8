// SPDX-License-Identifier: GPL-3.0-or-later
/* What may travel between agents: bounds on both sides. */
#include "agent/core/message.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/random.h"
#include "overlay/signed.h"

static int round_trip(const minga_AgentMessage *message, minga_AgentMessage *back)
{
    uint8_t bytes[PAYLOAD_BYTES_MAX];
    int length = signed_encode_body(minga_AgentMessage_fields, message, bytes, sizeof(bytes));

    cr_assert_geq(length, 0);
    return agent_message_decode((struct bytes){bytes, (size_t)length}, back);
}

Test(message, the_fullest_status_page_fits_one_payload)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_AgentMessage back;
    minga_StatusPage *page = &message.body.status_page;

    message.which_body = minga_AgentMessage_status_page_tag;
    page->found = true;
    page->has_head = true;
    memset(&page->head, 0x7f, sizeof(page->head));
    page->head.name[NAME_CHARS_MAX] = '\0';
    page->head.reason[REASON_CHARS_MAX] = '\0';
    page->head.state = SERVICE_DEGRADED;
    page->head.slot_count = REPLICAS_PER_SERVICE_MAX;
    page->slots_count = STATUS_PAGE_REPLICAS_MAX;
    for (uint32_t i = 0; i < STATUS_PAGE_REPLICAS_MAX; i++) {
        minga_SlotStatus *slot = &page->slots[i];

        memset(slot, 0x7f, sizeof(*slot));
        slot->node.size = ID_BYTES;
        slot->reason[REASON_CHARS_MAX] = '\0';
        slot->slot = (uint8_t)(REPLICAS_PER_SERVICE_MAX - STATUS_PAGE_REPLICAS_MAX + 1 + i);
        slot->host_ports_count = PORTS_PER_SERVICE_MAX;
        slot->has_used = true;
        slot->state = REPLICA_RUNNING;
        slot->health = HEALTH_OK;
        slot->next_try_s = RESTART_MS_MAX / 1000;
    }
    page->port_names_count = PORTS_PER_SERVICE_MAX;
    for (uint32_t i = 0; i < PORTS_PER_SERVICE_MAX; i++) {
        memset(page->port_names[i], 'p', NAME_CHARS_MAX);
    }
    cr_assert_eq(round_trip(&message, &back), 0);
    cr_assert_eq(back.body.status_page.slots_count, STATUS_PAGE_REPLICAS_MAX);
    cr_assert_eq(back.body.status_page.slots[7].host_ports[7], page->slots[7].host_ports[7]);
}

Test(message, a_status_pages_slots_are_those_that_a_service_can_have_and_in_order)
{
    static const struct {
        uint32_t slot_count;
        uint8_t slots[3];
        bool good;
    } rows[] = {
        {3, {1, 2, 3}, true},
        {REPLICAS_PER_SERVICE_MAX, {1, 7, REPLICAS_PER_SERVICE_MAX}, true},
        {REPLICAS_PER_SERVICE_MAX + 1, {1, 2, 3}, false},
        {UINT32_MAX, {1, 2, 3}, false},
        {3, {0, 1, 2}, false},
        {REPLICAS_PER_SERVICE_MAX, {1, 2, REPLICAS_PER_SERVICE_MAX + 1}, false},
        {3, {1, 1, 2}, false},
        {3, {1, 3, 2}, false},
        /* A history has no count, and the newest first. */
        {0, {3, 1, 3}, true},
        {0, {3, 1, 0}, false},
        {0, {3, 1, REPLICAS_PER_SERVICE_MAX + 1}, false},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        minga_AgentMessage message = {.which_body = minga_AgentMessage_status_page_tag};
        minga_StatusPage *page = &message.body.status_page;
        minga_AgentMessage back;

        page->found = true;
        page->has_head = true;
        page->head.slot_count = rows[i].slot_count;
        page->slots_count = 3;
        for (uint32_t j = 0; j < 3; j++) {
            page->slots[j].slot = rows[i].slots[j];
        }
        cr_assert_eq(round_trip(&message, &back) == 0, rows[i].good, "row %zu", i);
    }
}

static minga_AgentMessage report_of(uint32_t slot, uint64_t incarnation, uint32_t state)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_ReplicaReport *replica = &message.body.report.replicas[0];

    message.which_body = minga_AgentMessage_report_tag;
    message.body.report.replicas_count = 1;
    replica->slot = slot;
    replica->incarnation = incarnation;
    replica->state = state;
    return message;
}

Test(message, slots_incarnations_and_states_outside_their_bounds_are_refused)
{
    static const struct {
        uint32_t slot;
        uint64_t incarnation;
        uint32_t state;
        bool good;
    } rows[] = {
        {1, 1, REPLICA_RUNNING, true},
        {REPLICAS_PER_SERVICE_MAX, COUNTER_END - 1, REPLICA_FAILED, true},
        {0, 1, REPLICA_RUNNING, false},
        {REPLICAS_PER_SERVICE_MAX + 1, 1, REPLICA_RUNNING, false},
        {1, 0, REPLICA_RUNNING, false},
        {1, COUNTER_END, REPLICA_RUNNING, false},
        {1, 1, REPLICA_FAILED + 1, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        minga_AgentMessage message = report_of(rows[i].slot, rows[i].incarnation, rows[i].state);
        minga_AgentMessage back;

        cr_assert_eq(round_trip(&message, &back), 0);
        cr_assert_eq(back.body.report.replicas_count, rows[i].good ? 1 : 0, "row %zu", i);
    }
}

Test(message, one_replica_out_of_order_does_not_silence_its_batch)
{
    minga_AgentMessage message = report_of(1, 5, REPLICA_RUNNING);
    minga_AgentMessage back;
    minga_Report *report = &message.body.report;

    report->replicas_count = 3;
    report->replicas[2] = report->replicas[0];
    report->replicas[2].slot = 3;
    report->replicas[1] = report->replicas[0];
    report->replicas[1].has_epoch = true;
    report->replicas[1].epoch.generation = COUNTER_END;
    cr_assert_eq(round_trip(&message, &back), 0);
    cr_assert_eq(back.body.report.replicas_count, 2);
    cr_assert_eq(back.body.report.replicas[0].slot, 1);
    cr_assert_eq(back.body.report.replicas[1].slot, 3);
    report->mood = MOOD_COUNT;
    cr_assert_eq(round_trip(&message, &back), -EBADMSG);
}

Test(message, no_epoch_is_beyond_what_others_read)
{
    minga_AgentMessage start = {.which_body = minga_AgentMessage_ask_start_tag};
    minga_AgentMessage stop = {.which_body = minga_AgentMessage_ask_stop_tag};
    minga_AgentMessage reply = {.which_body = minga_AgentMessage_report_reply_tag};
    minga_AgentMessage saved = {.which_body = minga_AgentMessage_save_reply_tag};
    struct {
        minga_AgentMessage *message;
        uint64_t *generation;
    } rows[] = {{&start, &start.body.ask_start.epoch.generation},
                {&stop, &stop.body.ask_stop.epoch.generation},
                {&reply, &reply.body.report_reply.verdicts[0].epoch.generation},
                {&saved, &saved.body.save_reply.generation}};

    start.body.ask_start.slot = 1;
    start.body.ask_start.incarnation = 1;
    start.body.ask_start.has_epoch = true;
    stop.body.ask_stop.slot = 1;
    stop.body.ask_stop.incarnation = 1;
    stop.body.ask_stop.has_epoch = true;
    reply.body.report_reply.verdicts_count = 1;
    reply.body.report_reply.verdicts[0].has_epoch = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        minga_AgentMessage back;

        *rows[i].generation = COUNTER_END - 1;
        cr_assert_eq(round_trip(rows[i].message, &back), 0, "row %zu", i);
        *rows[i].generation = COUNTER_END;
        cr_assert_eq(round_trip(rows[i].message, &back), -EBADMSG, "row %zu", i);
    }
}

Test(message, a_counter_is_believed_below_2_32_and_then_by_steps)
{
    cr_assert(counter_is_near(COUNTER_FREE - 1, 0));
    cr_assert_not(counter_is_near(COUNTER_FREE, 0));
    cr_assert(counter_is_near(COUNTER_FREE, COUNTER_FREE + 7));
    cr_assert(counter_is_near(COUNTER_FREE + COUNTER_STEP_MAX, COUNTER_FREE));
    cr_assert_not(counter_is_near(COUNTER_FREE + COUNTER_STEP_MAX + 1, COUNTER_FREE));
    cr_assert(counter_is_near(COUNTER_END - 1, COUNTER_END - 1));
    cr_assert_not(counter_is_near(COUNTER_END, COUNTER_END - 1));
}

Test(message, anybody_raises_a_counter_to_the_middle_of_what_is_believed_and_then_by_a_step)
{
    static const struct {
        uint64_t named;
        uint64_t known;
        uint64_t told;
    } rows[] = {
        {7, 9, 9},
        {9, 9, 9},
        {COUNTER_TOLD, 0, COUNTER_TOLD},
        {COUNTER_TOLD + 1, 0, COUNTER_TOLD},
        {COUNTER_FREE - 1, COUNTER_TOLD - 1, COUNTER_TOLD},
        {COUNTER_TOLD + 1, COUNTER_TOLD, COUNTER_TOLD + 1},
        {COUNTER_TOLD + COUNTER_STEP_MAX, COUNTER_TOLD, COUNTER_TOLD + COUNTER_STEP_MAX},
        {COUNTER_FREE - 1, COUNTER_TOLD, COUNTER_TOLD + COUNTER_STEP_MAX},
        {COUNTER_FREE, 0, 0},
        {COUNTER_FREE + 1, COUNTER_FREE, COUNTER_FREE + 1},
        {COUNTER_FREE + 1 + COUNTER_STEP_MAX, COUNTER_FREE, COUNTER_FREE},
        {COUNTER_END, COUNTER_END - 1, COUNTER_END - 1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(counter_told(rows[i].named, rows[i].known), rows[i].told, "row %zu", i);
    }
}

Test(message, a_start_or_stop_without_an_epoch_is_refused)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_AgentMessage back;

    message.which_body = minga_AgentMessage_ask_stop_tag;
    message.body.ask_stop.slot = 1;
    message.body.ask_stop.incarnation = 1;
    cr_assert_neq(round_trip(&message, &back), 0);
    message.body.ask_stop.has_epoch = true;
    cr_assert_eq(round_trip(&message, &back), 0);
}

Test(message, noise_and_empty_payloads_are_refused_or_harmless)
{
    struct random random;
    minga_AgentMessage message;
    uint8_t bytes[256];

    random_init(&random, 3, "noise");
    cr_assert_neq(agent_message_decode((struct bytes){bytes, 0}, &message), 0);
    for (uint32_t round = 0; round < 20000; round++) {
        size_t length = (size_t)random_below(&random, sizeof(bytes)) + 1;

        for (size_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)random_u64(&random);
        }
        if (agent_message_decode((struct bytes){bytes, length}, &message) == 0) {
            cr_assert_neq(message.which_body, 0);
        }
    }
}

Test(message, nobody_waits_for_longer_than_a_minute_before_the_next_try)
{
    minga_AgentMessage report = report_of(1, 1, REPLICA_WAITING);
    minga_AgentMessage page = minga_AgentMessage_init_zero;
    minga_AgentMessage back;

    page.which_body = minga_AgentMessage_status_page_tag;
    page.body.status_page.slots_count = 1;
    page.body.status_page.slots[0].slot = 1;
    report.body.report.replicas[0].next_try_s = RESTART_MS_MAX / 1000;
    page.body.status_page.slots[0].next_try_s = RESTART_MS_MAX / 1000;
    cr_assert_eq(round_trip(&report, &back), 0);
    cr_assert_eq(round_trip(&page, &back), 0);
    report.body.report.replicas[0].next_try_s++;
    page.body.status_page.slots[0].next_try_s++;
    cr_assert_eq(round_trip(&report, &back), 0);
    cr_assert_eq(back.body.report.replicas_count, 0);
    cr_assert_eq(round_trip(&page, &back), -EBADMSG);
}

Test(message, epochs_are_ordered_by_generation_then_node)
{
    struct epoch low = {1, {{{9}}}};
    struct epoch high = {2, {{{1}}}};
    struct epoch same = {2, {{{2}}}};

    cr_assert_lt(epoch_compare(&low, &high), 0);
    cr_assert_gt(epoch_compare(&same, &high), 0);
    cr_assert_eq(epoch_compare(&same, &same), 0);
}
