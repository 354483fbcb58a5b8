// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A member that says anything: bytes become a sequence of agent messages (length, bytes) and of
 * answers to what this node asked. No CHECK may fail, whatever is said.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/executor/executor.h"
#include "agent/manager/manager.h"

struct target {
    struct manager *manager;
    struct executor *executor;
    struct overlay_member members[2]; /* this node, and the one that speaks */
    struct outbox *out;
    struct turn turn;
};

static uint32_t candidates(const void *self, const struct service_id *service, uint32_t count_max,
                           struct node_id *nodes_out)
{
    const struct target *target = self;

    (void)service;
    for (uint32_t i = 0; i < 2 && i < count_max; i++) {
        nodes_out[i] = target->members[i].node;
    }
    return count_max < 2 ? count_max : 2;
}

static uint32_t discover(const void *self, const struct service_id *service, uint64_t round,
                         uint32_t count_max, struct node_id *nodes_out)
{
    (void)round;
    return candidates(self, service, count_max, nodes_out);
}

static uint32_t others(const void *self, uint32_t count_max, struct node_id *nodes_out)
{
    const struct target *target = self;

    if (count_max > 0) {
        nodes_out[0] = target->members[1].node;
    }
    return count_max > 0 ? 1 : 0;
}

static bool knows_all(const void *self)
{
    (void)self;
    return true;
}

static const struct overlay_member *member(const void *self, const struct node_id *node)
{
    const struct target *target = self;

    for (uint32_t i = 0; i < 2; i++) {
        if (id_equal(&target->members[i].node.id, &node->id)) {
            return &target->members[i];
        }
    }
    return NULL;
}

static struct bytes no_record(const void *self, const struct service_id *service,
                              minga_RecordKind kind, uint64_t number)
{
    (void)self;
    (void)service;
    (void)kind;
    (void)number;
    return (struct bytes){NULL, 0};
}

static bool no_service(const void *self, uint32_t *cursor, struct service_id *service_out)
{
    (void)self;
    (void)cursor;
    (void)service_out;
    return false;
}

static void say(struct target *target, const minga_AgentMessage *in)
{
    struct turn *turn = &target->turn;
    const struct node_id *from = &target->members[1].node;
    static minga_AgentMessage out;

    switch (in->which_body) {
    case minga_AgentMessage_find_tag:
        (void)executor_find(target->executor, turn, &in->body.find, &out.body.offer);
        break;
    case minga_AgentMessage_ask_start_tag:
        executor_ask_start(target->executor, turn, from, &in->body.ask_start, &out.body.ask_reply);
        break;
    case minga_AgentMessage_ask_stop_tag:
        executor_ask_stop(target->executor, turn, from, &in->body.ask_stop, &out.body.ask_reply);
        break;
    case minga_AgentMessage_report_tag:
        manager_report(target->manager, turn, from, &in->body.report, &out.body.report_reply);
        break;
    case minga_AgentMessage_report_reply_tag:
        executor_verdicts(target->executor, turn, from, &in->body.report_reply);
        break;
    case minga_AgentMessage_save_manager_tag:
        (void)manager_save(target->manager, turn,
                           &(struct manager_saving){from, &in->body.save_manager, 1},
                           &out.body.save_reply);
        break;
    case minga_AgentMessage_fetch_manager_tag:
        manager_fetch(target->manager, &in->body.fetch_manager, &out.body.fetch_reply);
        break;
    case minga_AgentMessage_status_query_tag:
        manager_status(target->manager, turn, &in->body.status_query, &out.body.status_page);
        break;
    case minga_AgentMessage_services_query_tag:
        manager_services(target->manager, turn, &in->body.services_query, &out.body.services_page);
        break;
    default:
        break;
    }
}

/* Whatever was asked of the other node is answered with this message, fitting or not. */
static void answer_all(struct target *target, const minga_AgentMessage *reply)
{
    static struct ask asked[OUTBOX_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < target->out->count; i++) {
        if (target->out->list[i].kind == OUT_MESSAGE) {
            asked[count++] = target->out->list[i].ask;
        }
    }
    outbox_clear(target->out);
    for (uint32_t i = 0; i < count; i++) {
        manager_answered(target->manager, &target->turn, &asked[i], reply);
    }
}

static void target_make(struct target *target, struct surroundings *around)
{
    static struct core_config config;

    config = (struct core_config){.contribution = {1000, 1 << 30, 1 << 30, 100},
                                  .storage_bytes = 1 << 30,
                                  .port_first = 31000,
                                  .port_last = 31010,
                                  .runs = true,
                                  .manages = true};
    keys_from_seed((const uint8_t[KEY_SEED_BYTES]){1}, &config.overlay.node_key);
    memset(target, 0, sizeof(*target));
    target->members[0].node.id.bytes[0] = 1;
    target->members[0].is_self = true;
    target->members[1].node.id.bytes[0] = 2;
    *around = (struct surroundings){.self = target,
                                    .node = target->members[0].node,
                                    .candidates = candidates,
                                    .discover = discover,
                                    .others = others,
                                    .member = member,
                                    .knows_all = knows_all,
                                    .record = no_record,
                                    .service_next = no_service};
    target->manager = manager_new(&config, &placement_scored);
    target->executor = executor_new(&config);
    target->out = calloc(1, sizeof(*target->out));
    target->turn = (struct turn){1000, around, target->out, 1790000000};
    executor_start(target->executor, &target->turn);
    executor_sandbox_up(target->executor, &target->turn);
    executor_sandbox_listed(target->executor, &target->turn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target target;
    static struct surroundings around;
    static minga_AgentMessage message;
    static bool is_fresh;

    if (!is_fresh) { /* making one is dear: reused while nothing was understood */
        target_make(&target, &around);
        is_fresh = true;
    }
    for (uint32_t i = 0; i < 32 && size >= 3; i++) {
        size_t length = (size_t)data[1] << 8 | data[2];
        bool is_answer = (data[0] & 1) != 0;

        target.turn.now_ms += data[0];
        data += 3;
        size -= 3;
        length = length < size ? length : size;
        if (agent_message_decode((struct bytes){data, length}, &message) == 0) {
            is_fresh = false;
            if (is_answer) {
                answer_all(&target, &message);
            } else {
                say(&target, &message);
            }
        }
        executor_tick(target.executor, &target.turn);
        manager_tick(target.manager, &target.turn);
        executor_flush(target.executor, &target.turn);
        data += length;
        size -= length;
    }
    if (!is_fresh) {
        manager_free(target.manager);
        executor_free(target.executor);
        free(target.out);
    }
    return 0;
}
