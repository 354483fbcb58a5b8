// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What happens in the fake community (fakes.h): the queue, records, life, and what tests ask. */
#include "tests/unit/agent/fakes.h"
#include "tests/unit/agent/volunteer.h"

/* ------------------------------------------------------------------ the queue */

static inline void fake_payload(struct item *item, const minga_AgentMessage *message)
{
    int length =
        signed_encode_body(minga_AgentMessage_fields, message, item->payload, PAYLOAD_BYTES_MAX);

    cr_assert_gt(length, 0);
    item->length_bytes = (size_t)length;
}

static inline struct fake_sandbox *fake_running(struct fake_node *node,
                                                const struct replica_key *key)
{
    for (uint32_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct fake_sandbox *sandbox = &node->running[i];

        if (sandbox->used && sandbox->key.slot == key->slot &&
            sandbox->key.incarnation == key->incarnation &&
            id_equal(&sandbox->key.service.id, &key->service.id)) {
            return sandbox;
        }
    }
    return NULL;
}

static inline void fake_start(struct community *community, uint32_t index,
                              const struct sandbox_spec *spec)
{
    struct fake_node *node = &community->nodes[index];
    struct item *item = fake_add(community, ITEM_STARTED, 5);

    node->start_count++;
    item->to = index;
    item->key = spec->key;
    if (node->refuse_starts > 0) {
        node->refuse_starts--;
        item->kind = ITEM_ENDED;
        item->end = SANDBOX_END_REFUSED;
        return;
    }
    for (uint32_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (!node->running[i].used) {
            node->running[i] =
                (struct fake_sandbox){true, spec->key, spec->limits, spec->tree, false};
            break;
        }
    }
    if (node->live_ms > 0) {
        fake_end_later(community, index, &spec->key);
    }
}

static inline void fake_stop(struct community *community, uint32_t index,
                             const struct replica_key *key)
{
    struct fake_sandbox *sandbox = fake_running(&community->nodes[index], key);
    struct item *item = fake_add(community, ITEM_ENDED, 5 + community->stop_ms);

    item->to = index;
    item->key = *key;
    item->end = SANDBOX_END_STOPPED;
    if (sandbox != NULL) {
        sandbox->used = false;
    }
}

static inline void fake_perform(struct community *community, uint32_t index,
                                const struct outgoing *outgoing)
{
    struct fake_sandbox *sandbox = fake_running(&community->nodes[index], &outgoing->replica);
    struct item *item;
    int to;

    switch (outgoing->kind) {
    case OUT_MESSAGE:
        to = fake_index(community, &outgoing->ask.to);
        cr_assert_geq(to, 0);
        item = fake_add(community, ITEM_MESSAGE, (uint32_t)to == index ? 0 : 1);
        item->from = index;
        item->to = (uint32_t)to;
        item->ask = outgoing->ask;
        item->length_bytes = outgoing->payload.length_bytes;
        memcpy(item->payload, outgoing->payload.data, outgoing->payload.length_bytes);
        break;
    case OUT_SCAN_TREE:
    case OUT_BUILD_TREE:
        item = fake_add(community, outgoing->kind == OUT_SCAN_TREE ? ITEM_SCANNED : ITEM_BUILT,
                        outgoing->kind == OUT_SCAN_TREE ? 3 + community->nodes[index].scan_ms : 3);
        item->to = index;
        item->tree = outgoing->tree;
        break;
    case OUT_START:
        fake_start(community, index, outgoing->spec);
        break;
    case OUT_STOP:
        fake_stop(community, index, &outgoing->replica);
        break;
    case OUT_FREEZE:
    case OUT_THAW:
        if (sandbox != NULL) {
            sandbox->frozen = outgoing->kind == OUT_FREEZE;
        }
        break;
    case OUT_ALLOW:
        community->nodes[index].allowed = outgoing->allowed;
        break;
    case OUT_RECORD:
    case OUT_CHUNK:
    case OUT_STORE:
    case OUT_TRACE:
    case OUT_UNREADY:
    case OUT_DROP_TREE:
    case OUT_RENEW:
    case OUT_STATS:
        break;
    }
}

static inline uint64_t fake_wall_s(const struct community *community)
{
    uint64_t speed = community->wall_speed == 0 ? 1 : community->wall_speed;

    return (community->wall_begin_s == 0 ? 1790000000 : community->wall_begin_s) +
           community->now_ms * speed / 1000;
}

static inline struct turn fake_turn(struct community *community, uint32_t index)
{
    outbox_clear(&community->out);
    return (struct turn){community->now_ms, &community->nodes[index].around, &community->out,
                         fake_wall_s(community)};
}

static inline void fake_flush(struct community *community, uint32_t index, struct turn *turn)
{
    executor_flush(community->nodes[index].executor, turn);
    for (uint32_t i = 0; i < community->out.count; i++) {
        fake_perform(community, index, &community->out.list[i]);
    }
    outbox_clear(&community->out);
}

static inline bool fake_answer(struct fake_node *node, struct turn *turn,
                               const struct node_id *from, const minga_AgentMessage *in,
                               minga_AgentMessage *out)
{
    switch (in->which_body) {
    case minga_AgentMessage_find_tag:
        out->which_body = minga_AgentMessage_offer_tag;
        return executor_find(node->executor, turn, &in->body.find, &out->body.offer);
    case minga_AgentMessage_ask_start_tag:
        out->which_body = minga_AgentMessage_ask_reply_tag;
        executor_ask_start(node->executor, turn, from, &in->body.ask_start, &out->body.ask_reply);
        return true;
    case minga_AgentMessage_ask_stop_tag:
        out->which_body = minga_AgentMessage_ask_reply_tag;
        executor_ask_stop(node->executor, turn, from, &in->body.ask_stop, &out->body.ask_reply);
        return true;
    case minga_AgentMessage_report_tag:
        out->which_body = minga_AgentMessage_report_reply_tag;
        manager_report(node->manager, turn, from, &in->body.report, &out->body.report_reply);
        return true;
    case minga_AgentMessage_fetch_manager_tag:
        out->which_body = minga_AgentMessage_fetch_reply_tag;
        manager_fetch(node->manager, &in->body.fetch_manager, &out->body.fetch_reply);
        return true;
    default:
        return false;
    }
}

/* Returns the token of the write that the reply waits for; 0: it is ready. */
static inline uint64_t fake_save(struct community *community, const struct item *item,
                                 struct turn *turn, const minga_AgentMessage *in,
                                 minga_AgentMessage *out)
{
    struct manager_saving saving = {&community->nodes[item->from].member.node,
                                    &in->body.save_manager, ++community->last_token};
    uint64_t token;

    out->which_body = minga_AgentMessage_save_reply_tag;
    token = manager_save(community->nodes[item->to].manager, turn, &saving, &out->body.save_reply);
    if (token != 0 && community->disks_full) {
        out->body.save_reply.saved = false;
        out->body.save_reply.generation = 0;
    }
    return token;
}

static inline void fake_message(struct community *community, struct item *item)
{
    minga_AgentMessage in;
    minga_AgentMessage out = minga_AgentMessage_init_zero;
    struct turn turn = fake_turn(community, item->to);
    bool heard = fake_hears(community, item->from, item->to);
    bool answered = false;
    uint64_t token = 0;
    struct item *reply;

    cr_assert_eq(agent_message_decode((struct bytes){item->payload, item->length_bytes}, &in), 0);
    if (community->loses_saves && in.which_body == minga_AgentMessage_save_manager_tag) {
        heard = false;
    }
    if (heard && in.which_body == minga_AgentMessage_save_manager_tag) {
        token = fake_save(community, item, &turn, &in, &out);
        answered = true;
        fake_flush(community, item->to, &turn);
    } else if (heard) {
        answered = fake_answer(&community->nodes[item->to], &turn,
                               &community->nodes[item->from].member.node, &in, &out);
        fake_flush(community, item->to, &turn);
    }
    reply =
        fake_add(community, ITEM_REPLY, heard ? 1 + (token != 0 ? community->disk_ms : 0) : 300);
    reply->store_token = token;
    reply->life = community->nodes[item->to].life;
    reply->from = item->to;
    reply->to = item->from;
    reply->ask = item->ask;
    reply->failed = !answered;
    if (answered) {
        fake_payload(reply, &out);
    }
}

static inline void fake_reply(struct community *community, struct item *item)
{
    struct fake_node *node = &community->nodes[item->to];
    struct turn turn = fake_turn(community, item->to);
    minga_AgentMessage message;
    bool failed = item->failed || !fake_hears(community, item->from, item->to);

    if (item->store_token != 0 && community->nodes[item->from].life != item->life) {
        failed = true;
    } else if (item->store_token != 0 && community->nodes[item->from].alive) {
        manager_stored(community->nodes[item->from].manager, item->store_token,
                       community->disks_full);
    }
    if (!node->alive) {
        return;
    }
    if (!failed) {
        cr_assert_eq(
            agent_message_decode((struct bytes){item->payload, item->length_bytes}, &message), 0);
    }
    if (item->ask.kind != ASK_REPORT) {
        manager_answered(node->manager, &turn, &item->ask, failed ? NULL : &message);
    } else if (!failed) {
        executor_verdicts(node->executor, &turn, &item->ask.to, &message.body.report_reply);
    }
    fake_flush(community, item->to, &turn);
}

static inline void fake_edge(struct community *community, struct item *item)
{
    struct fake_node *node = &community->nodes[item->to];
    struct turn turn = fake_turn(community, item->to);
    struct core_event event = {.tree = item->tree};
    struct sandbox_event sandbox = {.key = item->key, .end = item->end, .kind = SANDBOX_ENDED};

    if (!node->alive) {
        return;
    }
    if (item->kind == ITEM_SCANNED) {
        executor_scanned(node->executor, &turn, &event);
    } else if (item->kind == ITEM_BUILT) {
        executor_built(node->executor, &turn, &event);
    } else {
        struct fake_sandbox *ended = fake_running(node, &item->key);

        sandbox.kind = item->kind == ITEM_STARTED ? SANDBOX_STARTED : SANDBOX_ENDED;
        if (item->kind == ITEM_ENDED && ended != NULL) {
            ended->used = false;
        }
        executor_sandbox(node->executor, &turn, &sandbox);
    }
    fake_flush(community, item->to, &turn);
}

static inline void fake_run_item(struct community *community, struct item *item)
{
    if (item->kind == ITEM_MESSAGE) {
        fake_message(community, item);
    } else if (item->kind == ITEM_REPLY) {
        fake_reply(community, item);
    } else {
        fake_edge(community, item);
    }
}

static inline void fake_check(struct community *community);

static inline void fake_look_around(struct community *community)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        struct turn turn = fake_turn(community, i);

        if (community->nodes[i].alive) {
            manager_look_around(community->nodes[i].manager, &turn);
            executor_look_around(community->nodes[i].executor, &turn);
            fake_flush(community, i, &turn);
        }
    }
}

/* All that is due by now, in the order of arrival. */
static inline void fake_take_items(struct community *community)
{
    static struct item item;

    for (uint32_t i = 0; i < community->item_count; i++) {
        if (community->items[i].due_ms <= community->now_ms) {
            item = community->items[i];
            memmove(&community->items[i], &community->items[i + 1],
                    (--community->item_count - i) * sizeof(item));
            fake_run_item(community, &item);
            fake_check(community);
            i = UINT32_MAX; /* from the front again */
        }
    }
}

/* Runs for so long, ticking each node every 50 ms. */
static inline void fake_run(struct community *community, uint64_t duration_ms)
{
    uint64_t end_ms = community->now_ms + duration_ms;

    for (; community->now_ms < end_ms; community->now_ms++) {
        fake_take_items(community);
        for (uint32_t i = 0; community->now_ms % 50 == 0 && i < community->node_count; i++) {
            struct turn turn = fake_turn(community, i);

            if (community->nodes[i].alive) {
                executor_tick(community->nodes[i].executor, &turn);
                manager_tick(community->nodes[i].manager, &turn);
                fake_flush(community, i, &turn);
            }
        }
    }
}

/* ------------------------------------------------------------------ records */

static inline void fake_put(struct community *community, minga_Record *record)
{
    minga_Signed signed_thing;
    struct fake_record *place = &community->records[community->record_count];
    struct public_key owner = keys_public(&community->owner);
    int length;

    memcpy(record->owner_key, owner.bytes, PUBLIC_KEY_BYTES);
    memcpy(record->name, community->manifest.name, sizeof(record->name));
    for (uint32_t i = 0; i < community->record_count; i++) {
        if (community->records[i].kind == record->kind &&
            community->records[i].number == record->number) {
            place = &community->records[i];
        }
    }
    community->record_count += place == &community->records[community->record_count] ? 1 : 0;
    cr_assert_eq(
        signed_make(minga_Record_fields, record, PURPOSE_RECORD, &community->owner, &signed_thing),
        0);
    length = signed_encode(&signed_thing, place->bytes, sizeof(place->bytes));
    cr_assert_gt(length, 0);
    place->service = community->service;
    place->kind = record->kind;
    place->number = record->number;
    place->length_bytes = (size_t)length;
}

static inline void fake_put_version(struct community *community)
{
    minga_Record record = minga_Record_init_zero;
    minga_Version version = minga_Version_init_zero;
    int length = manifest_encode(&community->manifest, version.manifest.bytes);

    cr_assert_gt(length, 0);
    version.manifest.size = (pb_size_t)length;
    memset(version.tree, 6 + (int)fake_version(community), sizeof(version.tree));
    record.kind = minga_RecordKind_RECORD_VERSION;
    record.number = fake_version(community);
    record.sequence = 1;
    length = signed_encode_body(minga_Version_fields, &version, record.content.bytes,
                                sizeof(record.content.bytes));
    cr_assert_gt(length, 0);
    record.content.size = (pb_size_t)length;
    fake_put(community, &record);
}

static inline void fake_want(struct community *community, bool active, uint32_t replicas,
                             bool removed)
{
    minga_Record record = minga_Record_init_zero;
    minga_Service service = {
        .active = active, .replicas = replicas, .version = fake_version(community)};
    int length;

    record.kind = minga_RecordKind_RECORD_SERVICE;
    record.sequence = ++community->sequence;
    record.removed = removed;
    length = signed_encode_body(minga_Service_fields, &service, record.content.bytes,
                                sizeof(record.content.bytes));
    cr_assert_geq(length, 0);
    record.content.size = (pb_size_t)length;
    fake_put(community, &record);
    for (uint32_t i = 0; i < community->node_count; i++) {
        struct turn turn = fake_turn(community, i);

        if (community->nodes[i].alive) {
            manager_record(community->nodes[i].manager, &turn, &community->service);
            fake_flush(community, i, &turn);
        }
    }
}

/* ------------------------------------------------------------------ life */

static inline void fake_node_boot(struct community *community, uint32_t index)
{
    struct fake_node *node = &community->nodes[index];
    struct turn turn = fake_turn(community, index);

    node->alive = true;
    node->life++;
    node->manager = manager_new(&node->config, &placement_scored);
    node->executor = executor_new(&node->config);
    executor_start(node->executor, &turn);
    executor_sandbox_up(node->executor, &turn);
    executor_sandbox_listed(node->executor, &turn);
    fake_flush(community, index, &turn);
}

static inline void fake_node_make(struct community *community, uint32_t index)
{
    struct fake_node *node = &community->nodes[index];
    uint8_t seed[KEY_SEED_BYTES] = {(uint8_t)(index + 1), 3};
    struct public_key key;

    keys_from_seed(seed, &node->secret);
    key = keys_public(&node->secret);
    node->member.node = keys_node_id(&key);
    node->member.key = key;
    node->member.record.manages = true;
    node->member.record.runs = true;
    (void)snprintf(node->member.record.zone, sizeof(node->member.record.zone), "z%u", index);
    volunteer(&node->config);
    node->config.overlay.node_key = node->secret;
    node->config.overlay.seed = index + 1;
    node->seat.community = community;
    node->seat.index = index;
    node->around = (struct surroundings){
        .self = &node->seat,
        .node = node->member.node,
        .candidates = fake_candidates,
        .discover = fake_discover,
        .others = fake_others,
        .member = fake_member,
        .knows_all = fake_knows_all,
        .record = fake_record,
        .service_next = fake_service_next,
    };
    fake_node_boot(community, index);
}

static inline void fake_kill(struct community *community, uint32_t index)
{
    struct fake_node *node = &community->nodes[index];

    node->alive = false;
    memset(node->running, 0, sizeof(node->running));
    manager_free(node->manager);
    executor_free(node->executor);
    node->manager = NULL;
    node->executor = NULL;
}

static inline struct community *fake_new(uint32_t node_count, const char *yaml)
{
    struct community *community = calloc(1, sizeof(*community));
    struct err err = {0};
    uint8_t seed[KEY_SEED_BYTES] = {99};
    struct public_key owner;

    community->items = calloc(QUEUE_MAX + 1, sizeof(*community->items));
    community->now_ms = 1000;
    keys_from_seed(seed, &community->owner);
    owner = keys_public(&community->owner);
    cr_assert_eq(manifest_parse(bytes_of_text(yaml), "service.yaml", &community->manifest, &err), 0,
                 "%s", err.text);
    community->service = keys_service_id(&owner, community->manifest.name);
    community->node_count = node_count;
    for (uint32_t i = 0; i < node_count; i++) {
        fake_node_make(community, i);
    }
    fake_put_version(community);
    return community;
}

static inline void fake_free(struct community *community)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        manager_free(community->nodes[i].manager);
        executor_free(community->nodes[i].executor);
    }
    free(community->items);
    free(community);
}

/* ------------------------------------------------------------------ what tests ask */

static inline uint32_t fake_running_count(const struct community *community)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < community->node_count; i++) {
        for (uint32_t j = 0; j < REPLICAS_PER_NODE_MAX; j++) {
            count += community->nodes[i].running[j].used ? 1 : 0;
        }
    }
    return count;
}

/* The kernel's view: never more than the contribution, never two of one service on a node. */
static inline void fake_check(struct community *community)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        struct fake_node *node = &community->nodes[i];
        struct sandbox_limits sum = {0};
        uint32_t count = 0;
        enum refusal lacking;

        for (uint32_t j = 0; j < REPLICAS_PER_NODE_MAX; j++) {
            if (node->running[j].used) {
                limits_add(&sum, &node->running[j].limits);
                count++;
            }
        }
        cr_assert(limits_fit(&sum, &node->config.contribution, &lacking));
        cr_assert_leq(count, 1, "two replicas of the service on node %u", i);
    }
}

static inline uint32_t fake_leader(struct community *community, uint32_t seen_from)
{
    struct node_id leader;

    cr_assert_eq(
        fake_candidates(&community->nodes[seen_from].seat, &community->service, 1, &leader), 1);
    return (uint32_t)fake_index(community, &leader);
}

static inline minga_StatusPage fake_ask_status(struct community *community, uint32_t index,
                                               bool history)
{
    struct turn turn = fake_turn(community, index);
    minga_StatusQuery query = {.slot = 1, .history = history};
    minga_StatusPage page;

    memcpy(query.service, community->service.id.bytes, ID_BYTES);
    manager_status(community->nodes[index].manager, &turn, &query, &page);
    return page;
}

static inline minga_StatusPage fake_status(struct community *community, uint32_t index)
{
    return fake_ask_status(community, index, false);
}

/* Runs until the leader (seen from `from`) says so many run; returns how long it took. */
static inline uint64_t fake_until_running(struct community *community, uint32_t from,
                                          uint32_t count, uint64_t within_ms)
{
    uint64_t start_ms = community->now_ms;

    while (community->now_ms < start_ms + within_ms) {
        minga_StatusPage page = fake_status(community, fake_leader(community, from));

        if (page.head.running_count == count && fake_running_count(community) == count &&
            page.head.state == SERVICE_ACTIVE) {
            return community->now_ms - start_ms;
        }
        fake_run(community, 10);
    }
    cr_assert_fail("%u of %u run after %llu ms", fake_running_count(community), count,
                   (unsigned long long)within_ms);
    return within_ms;
}
