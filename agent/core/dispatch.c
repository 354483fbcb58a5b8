// SPDX-License-Identifier: GPL-3.0-or-later
/* Between the modules: what one wants sent goes to the overlay, what comes goes to the right one. */
#include <string.h>

#include "agent/core/internal.h"
#include "agent/core/pass.h"
#include "base/check.h"
#include "overlay/signed.h"

void core_note_free(struct core *core, const struct node_id *node,
                    const struct sandbox_limits *free)
{
    struct member_free *place;

    for (uint32_t i = 0; i < MEMBERS_MAX && core->frees[i].known; i++) {
        if (id_equal(&core->frees[i].node.id, &node->id)) {
            core->frees[i].free = *free;
            return;
        }
    }
    /* Filled from the front; in a large community the oldest gives way. */
    place = &core->frees[core->free_next];
    core->free_next = (core->free_next + 1) % MEMBERS_MAX;
    *place = (struct member_free){true, *node, *free};
}

/* ------------------------------------------------------------------ messages of members */

static void on_report(struct core *core, const struct node_id *from,
                      const minga_AgentMessage *message, minga_AgentMessage *reply_out)
{
    struct sandbox_limits free =
        limits_of(message->body.report.has_free, &message->body.report.free);

    core_note_free(core, from, &free);
    reply_out->which_body = minga_AgentMessage_report_reply_tag;
    manager_report(core->manager, &core->turn, from, &message->body.report,
                   &reply_out->body.report_reply);
}

static void on_free(struct core *core, const struct node_id *from,
                    const minga_AgentMessage *message)
{
    struct sandbox_limits free = limits_of(message->body.free.has_free, &message->body.free.free);

    core_note_free(core, from, &free);
    manager_free_changed(core->manager, &core->turn);
}

static void on_ask_start(struct core *core, const struct node_id *from, const minga_AskStart *ask,
                         minga_AskReply *reply_out)
{
    struct service_id service;

    executor_ask_start(core->executor, &core->turn, from, ask, reply_out);
    if (reply_out->refusal == REFUSAL_MANAGER) {
        memcpy(service.id.bytes, ask->service, ID_BYTES);
        core_locate_doubted(core, from, &service);
    }
}

/* Executor's part. True: *reply_out is filled. */
static bool to_executor(struct core *core, const struct node_id *from,
                        const minga_AgentMessage *message, minga_AgentMessage *reply_out)
{
    switch (message->which_body) {
    case minga_AgentMessage_find_tag:
        reply_out->which_body = minga_AgentMessage_offer_tag;
        return executor_find(core->executor, &core->turn, &message->body.find,
                             &reply_out->body.offer);
    case minga_AgentMessage_ask_start_tag:
        reply_out->which_body = minga_AgentMessage_ask_reply_tag;
        on_ask_start(core, from, &message->body.ask_start, &reply_out->body.ask_reply);
        return true;
    case minga_AgentMessage_ask_stop_tag:
        reply_out->which_body = minga_AgentMessage_ask_reply_tag;
        executor_ask_stop(core->executor, &core->turn, from, &message->body.ask_stop,
                          &reply_out->body.ask_reply);
        return true;
    default:
        return false;
    }
}

static bool to_manager(struct core *core, const struct node_id *from,
                       const minga_AgentMessage *message, minga_AgentMessage *reply_out)
{
    switch (message->which_body) {
    case minga_AgentMessage_report_tag:
        on_report(core, from, message, reply_out);
        return true;
    case minga_AgentMessage_fetch_manager_tag:
        reply_out->which_body = minga_AgentMessage_fetch_reply_tag;
        manager_fetch(core->manager, &message->body.fetch_manager, &reply_out->body.fetch_reply);
        return true;
    case minga_AgentMessage_status_query_tag:
        reply_out->which_body = minga_AgentMessage_status_page_tag;
        manager_status(core->manager, &core->turn, &message->body.status_query,
                       &reply_out->body.status_page);
        return true;
    case minga_AgentMessage_services_query_tag:
        reply_out->which_body = minga_AgentMessage_services_page_tag;
        manager_services(core->manager, &core->turn, &message->body.services_query,
                         &reply_out->body.services_page);
        return true;
    default:
        return false;
    }
}

static bool on_message(struct core *core, const struct node_id *from,
                       const minga_AgentMessage *message, minga_AgentMessage *reply_out)
{
    if (message->which_body == minga_AgentMessage_pass_ask_tag) {
        reply_out->which_body = minga_AgentMessage_pass_answer_tag;
        core_pass_ask(core, from, &message->body.pass_ask, &reply_out->body.pass_answer);
        return true;
    }
    if (message->which_body == minga_AgentMessage_free_tag) {
        on_free(core, from, message);
        return false;
    }
    return to_executor(core, from, message, reply_out) ||
           to_manager(core, from, message, reply_out);
}

void core_reply(struct core *core, const struct overlay_ask *ask, const minga_AgentMessage *reply)
{
    uint8_t payload[PAYLOAD_BYTES_MAX];
    int length = signed_encode_body(minga_AgentMessage_fields, reply, payload, sizeof(payload));

    CHECK(length >= 0);
    overlay_answer(core->overlay, ask, (struct bytes){payload, (size_t)length}, &core->io);
}

uint64_t core_store_token(struct core *core)
{
    return CORE_TOKEN_BIT | ++core->last_store;
}

static size_t save_index(uint64_t token)
{
    CHECK((token & CORE_TOKEN_BIT) != 0);
    return (token & ~CORE_TOKEN_BIT) % SAVES_MAX;
}

/*
 * A placement is acknowledged once it is on this disk, not before: the manager then asks an
 * executor, and both this process and the manager's node may be gone a moment later. The oldest
 * of too many is forgotten: whoever asked asks again.
 */
static void take_save(struct core *core, const struct overlay_ask *ask,
                      const minga_SaveManager *message)
{
    uint64_t token = core_store_token(core);
    minga_AgentMessage reply = minga_AgentMessage_init_zero;

    reply.which_body = minga_AgentMessage_save_reply_tag;
    token =
        manager_save(core->manager, &core->turn,
                     &(struct manager_saving){&ask->from, message, token}, &reply.body.save_reply);
    if (token != 0) {
        core->saves[save_index(token)] = (struct save){token, *ask, reply.body.save_reply};
    } else if (ask->wants_answer) {
        core_reply(core, ask, &reply);
    }
}

void core_stored(struct core *core, uint64_t token, bool failed)
{
    struct save *save = &core->saves[save_index(token)];
    minga_AgentMessage reply = minga_AgentMessage_init_zero;

    manager_stored(core->manager, token, failed);
    core_request_stored(core, token, failed);
    if (save->token != token) {
        return;
    }
    save->token = 0;
    reply.which_body = minga_AgentMessage_save_reply_tag;
    reply.body.save_reply = save->reply;
    if (failed) { /* as when the table is full: nobody else leads, there is no room */
        reply.body.save_reply.saved = false;
        reply.body.save_reply.generation = 0;
    }
    if (save->ask.wants_answer) {
        core_reply(core, &save->ask, &reply);
    }
}

static void take_exec(struct core *core, const struct overlay_ask *ask,
                      const minga_ExecAsk *message)
{
    const struct exec_asker asker = {ask->from, ask, NULL};
    minga_AgentMessage reply = minga_AgentMessage_init_zero;

    reply.which_body = minga_AgentMessage_exec_answer_tag;
    if (ask->wants_answer && core_exec_ask(core, &asker, message, &reply.body.exec_answer)) {
        core_reply(core, ask, &reply);
    }
}

static void deliver(struct core *core, const struct overlay_effect *effect)
{
    const struct overlay_ask *ask = &effect->ask;
    minga_AgentMessage message;
    minga_AgentMessage reply = minga_AgentMessage_init_zero;

    /* Managers and executors only ever speak directly: the link proves who it is. */
    if (!ask->direct || agent_message_decode(effect->payload, &message) < 0) {
        return;
    }
    if (message.which_body == minga_AgentMessage_logs_query_tag) {
        if (!core_read_logs(core, &message.body.logs_query, ask, NULL)) {
            reply.which_body = minga_AgentMessage_logs_page_tag; /* found: false */
            core_reply(core, ask, &reply);
        }
        return;
    }
    if (message.which_body == minga_AgentMessage_exec_ask_tag) {
        take_exec(core, ask, &message.body.exec_ask);
        return;
    }
    if (message.which_body == minga_AgentMessage_save_manager_tag) {
        take_save(core, ask, &message.body.save_manager);
        return;
    }
    if (on_message(core, &ask->from, &message, &reply) && ask->wants_answer) {
        core_reply(core, ask, &reply);
    }
}

/* ------------------------------------------------------------------ answers of members */

void core_answered(struct core *core, const struct ask *ask, const minga_AgentMessage *reply)
{
    switch (ask->kind) {
    case ASK_FIND:
    case ASK_START:
    case ASK_STOP:
    case ASK_SAVE:
    case ASK_FETCH:
        manager_answered(core->manager, &core->turn, ask, reply);
        break;
    case ASK_REPORT:
        if (reply != NULL && reply->which_body == minga_AgentMessage_report_reply_tag) {
            executor_verdicts(core->executor, &core->turn, &ask->to, &reply->body.report_reply);
        }
        break;
    case ASK_STATUS:
    case ASK_SERVICES:
    case ASK_LOGS:
    case ASK_EXEC:
    case ASK_PASS:
    case ASK_OFFER:
        core_request_message(core, ask, reply);
        break;
    case ASK_NOTHING:
    case ASK_RECORD:
    case ASK_CHUNK:
    case ASK_REQUEST:
        break;
    }
}

static void done(struct core *core, const struct overlay_effect *effect)
{
    struct pending *pending = &core->pending[effect->token % PENDING_MAX];
    minga_AgentMessage reply;
    struct ask ask;
    bool answered;

    if (!pending->used || pending->token != effect->token) {
        return;
    }
    pending->used = false;
    ask = pending->ask;
    switch (ask.kind) {
    case ASK_RECORD:
        if (effect->outcome == OVERLAY_OK) {
            manager_record_got(core->manager, &core->turn, &ask, effect->record);
        }
        return;
    case ASK_CHUNK:
        executor_chunk(core->executor, &core->turn, &ask, effect->outcome, effect->reason);
        return;
    case ASK_REQUEST:
        core_request_done(core, &ask, effect);
        return;
    case ASK_NOTHING:
    case ASK_FIND:
    case ASK_START:
    case ASK_STOP:
    case ASK_REPORT:
    case ASK_SAVE:
    case ASK_FETCH:
    case ASK_STATUS:
    case ASK_SERVICES:
    case ASK_LOGS:
    case ASK_EXEC:
    case ASK_PASS:
    case ASK_OFFER:
        break;
    }
    answered = effect->outcome == OVERLAY_OK && agent_message_decode(effect->payload, &reply) == 0;
    core_answered(core, &ask, answered ? &reply : NULL);
}

void core_upcall(struct core *core, const struct overlay_effect *effect)
{
    if (effect->kind == OVERLAY_DELIVER) {
        deliver(core, effect);
    } else if (effect->kind == OVERLAY_DONE) {
        done(core, effect);
    } else if (effect->kind == OVERLAY_RECORD) {
        manager_record(core->manager, &core->turn, &effect->service);
    } else {
        core->looks_around = true;
        if (effect->kind == OVERLAY_MEMBER && effect->state == MEMBER_UP) {
            executor_member_up(core->executor, &core->turn, &effect->node);
        }
    }
}

/* ------------------------------------------------------------------ what modules want */

static void to_self(struct core *core, const struct outgoing *outgoing)
{
    minga_AgentMessage message;
    minga_AgentMessage reply = minga_AgentMessage_init_zero;
    bool replied;

    CHECK(agent_message_decode(outgoing->payload, &message) == 0);
    if (message.which_body == minga_AgentMessage_logs_query_tag) {
        if (!core_read_logs(core, &message.body.logs_query, NULL, &outgoing->ask)) {
            core_answered(core, &outgoing->ask, NULL);
        }
        return;
    }
    if (message.which_body == minga_AgentMessage_exec_ask_tag) {
        const struct exec_asker asker = {core->around.node, NULL, &outgoing->ask};

        reply.which_body = minga_AgentMessage_exec_answer_tag;
        if (core_exec_ask(core, &asker, &message.body.exec_ask, &reply.body.exec_answer)) {
            core_answered(core, &outgoing->ask, &reply);
        }
        return;
    }
    replied = on_message(core, &core->around.node, &message, &reply);
    if (outgoing->ask.kind != ASK_NOTHING) {
        core_answered(core, &outgoing->ask, replied ? &reply : NULL);
    }
}

static void send_message(struct core *core, const struct outgoing *outgoing)
{
    uint64_t token = 0;

    if (id_equal(&outgoing->ask.to.id, &core->around.node.id)) {
        to_self(core, outgoing);
        return;
    }
    if (outgoing->ask.kind != ASK_NOTHING) {
        token = core_pend(core, &outgoing->ask);
        if (token == 0) {
            core_answered(core, &outgoing->ask, NULL);
            return;
        }
    }
    if (!id_is_zero(&outgoing->ask.via.id)) {
        overlay_named(core->overlay, &core->now, &outgoing->ask.to, &outgoing->ask.via, &core->io);
    }
    overlay_ask(core->overlay, &core->now, &outgoing->ask.to,
                (struct overlay_question){token, outgoing->payload}, &core->io);
}

static void send_chunk_get(struct core *core, const struct outgoing *outgoing)
{
    uint64_t token = core_pend(core, &outgoing->ask);

    if (token == 0) {
        executor_chunk(core->executor, &core->turn, &outgoing->ask, OVERLAY_FULL, "");
        return;
    }
    struct overlay_wanted wanted = {outgoing->ask.chunk,
                                    outgoing->others,
                                    outgoing->other_count,
                                    {outgoing->ask.service, outgoing->ask.tree}};

    overlay_chunk_get(core->overlay, &core->now, token, &wanted, &core->io);
}

static void send_record_get(struct core *core, const struct outgoing *outgoing)
{
    uint64_t token = core_pend(core, &outgoing->ask);

    if (token != 0) { /* else it is asked again by time */
        struct record_key key =
            record_key(&outgoing->ask.service, outgoing->ask.record_kind, outgoing->ask.number);

        overlay_record_get(core->overlay, &core->now, token, &key, &core->io);
    }
}

static void send_store(struct core *core, const struct outgoing *outgoing)
{
    struct overlay_effect *effect;

    if (core->io.count >= OVERLAY_EFFECTS_MAX) {
        core->io.dropped_count++;
        if (outgoing->store_token != 0) {
            core_stored(core, outgoing->store_token, true);
        }
        return;
    }
    effect = &core->io.list[core->io.count++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = OVERLAY_STORE;
    effect->token = outgoing->store_token;
    effect->blob = (struct overlay_blob){outgoing->blob_kind, outgoing->blob_key,
                                         outgoing->blob_number, outgoing->payload};
}

static void send_text(struct core *core, const struct outgoing *outgoing)
{
    struct core_effect *effect =
        core_emit(core, outgoing->kind == OUT_TRACE ? CORE_TRACE : CORE_UNREADY);

    effect->replica = outgoing->replica;

    CHECK(outgoing->payload.length_bytes < sizeof(effect->text));
    memcpy(effect->text, outgoing->payload.data, outgoing->payload.length_bytes);
}

/* What is configured (0: no limit), or less where a rule of the owner, or the line, says so. */
static uint64_t rate_of(uint64_t configured_bytes_per_s, uint64_t allowed_bytes_per_s,
                        uint64_t line_bytes_per_s)
{
    static const uint64_t rate_max = (uint64_t)1 << 50; /* as good as none */
    uint64_t rate = configured_bytes_per_s == 0 ? OWNER_NO_LIMIT : configured_bytes_per_s;

    rate = allowed_bytes_per_s < rate ? allowed_bytes_per_s : rate;
    rate = line_bytes_per_s != 0 && line_bytes_per_s < rate ? line_bytes_per_s : rate;
    return rate > rate_max ? 0 : rate;
}

void core_set_rates(struct core *core)
{
    const struct overlay_config *config = &core->config.overlay;
    const struct core_allowed *allowed = &core->allowed;

    overlay_set_rates(
        core->overlay, &core->now,
        (struct overlay_rates){rate_of(config->upload_bytes_per_s, allowed->upload_bytes_per_s,
                                       core->line.upload_bytes_per_s),
                               rate_of(config->download_bytes_per_s, allowed->download_bytes_per_s,
                                       core->line.download_bytes_per_s)});
}

static void send_local(struct core *core, const struct outgoing *outgoing)
{
    static const enum core_effect_kind kinds[] = {
        [OUT_SCAN_TREE] = CORE_SCAN_TREE, [OUT_BUILD_TREE] = CORE_BUILD_TREE,
        [OUT_DROP_TREE] = CORE_DROP_TREE, [OUT_START] = CORE_START,
        [OUT_STOP] = CORE_STOP,           [OUT_FREEZE] = CORE_FREEZE,
        [OUT_THAW] = CORE_THAW,           [OUT_RENEW] = CORE_RENEW,
        [OUT_STATS] = CORE_STATS,         [OUT_ALLOW] = CORE_ALLOW,
    };
    struct core_effect *effect = core_emit(core, kinds[outgoing->kind]);

    effect->tree = outgoing->tree;
    effect->replica = outgoing->replica;
    effect->spec = outgoing->spec;
    effect->allowed = outgoing->allowed;
    if (outgoing->kind == OUT_ALLOW) {
        core->allowed = outgoing->allowed;
        core_set_rates(core);
    }
}

void core_send(struct core *core, const struct outgoing *outgoing)
{
    if (outgoing->kind == OUT_MESSAGE) {
        send_message(core, outgoing);
    } else if (outgoing->kind == OUT_RECORD) {
        send_record_get(core, outgoing);
    } else if (outgoing->kind == OUT_CHUNK) {
        send_chunk_get(core, outgoing);
    } else if (outgoing->kind == OUT_STORE) {
        send_store(core, outgoing);
    } else if (outgoing->kind == OUT_TRACE || outgoing->kind == OUT_UNREADY) {
        send_text(core, outgoing);
    } else {
        send_local(core, outgoing);
    }
}

/* ------------------------------------------------------------------ logs */

bool core_read_logs(struct core *core, const minga_LogsQuery *query,
                    const struct overlay_ask *ask_or_null, const struct ask *local)
{
    struct service_id service;
    struct replica_key key;
    struct core_effect *effect;

    CHECK((ask_or_null == NULL) != (local == NULL));
    memcpy(service.id.bytes, query->service, ID_BYTES);
    if (!executor_find_slot(core->executor, &service, query->slot, &key)) {
        return false;
    }
    for (uint32_t i = 0; i < LOGS_ASKS_MAX; i++) {
        struct logs_ask *place = &core->logs[i];

        if (place->used) {
            continue;
        }
        *place = (struct logs_ask){.used = true, .is_local = local != NULL};
        if (local != NULL) {
            place->local = *local;
        } else {
            place->ask = *ask_or_null;
        }
        effect = core_emit(core, CORE_READ_LOGS);
        effect->replica = key;
        effect->offset_bytes = query->offset_bytes;
        effect->token = i + 1;
        return true;
    }
    return false;
}

void core_logs_read(struct core *core, const struct core_event *event)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_LogsPage *page = &message.body.logs_page;
    struct logs_ask *place;
    size_t length = event->logs.length_bytes;

    if (event->token == 0 || event->token > LOGS_ASKS_MAX || !core->logs[event->token - 1].used) {
        return;
    }
    place = &core->logs[event->token - 1];
    place->used = false;
    message.which_body = minga_AgentMessage_logs_page_tag;
    page->found = true;
    page->offset_bytes = event->logs_offset_bytes;
    page->ended = event->logs_ended;
    length = length < LOGS_WINDOW_BYTES_MAX ? length : LOGS_WINDOW_BYTES_MAX;
    page->data.size = (pb_size_t)length;
    if (length > 0) {
        memcpy(page->data.bytes, event->logs.data, length);
    }
    if (place->is_local) {
        core_answered(core, &place->local, &message);
    } else {
        core_reply(core, &place->ask, &message);
    }
}
