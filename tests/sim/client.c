// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/records/records.h"
#include "tests/sim/askers.h"
#include "tests/sim/carried.h"
#include "tests/sim/check_durable.h"
#include "tests/sim/converge.h"
#include "tests/sim/curious.h"
#include "tests/sim/fault.h"
#include "tests/sim/papers.h"
#include "tests/sim/world.h"

enum {
    AGAIN_MS = 500,           /* after a failure */
    ANSWER_MARGIN_MS = 2000,  /* over the bound that the agent promises */
    CHUNK_ANSWER_MS = 120000, /* a holder that falls silent is waited for, then another is asked */
    JOIN_ANSWER_MS = 31000,   /* several contacts may be tried */
    DRAIN_ANSWER_MS = 120000, /* as long as others have no room */
};

/* ------------------------------------------------------------------ asking */

void client_make_key(const struct world *world, const char *purpose, uint32_t number,
                     struct secret_key *secret_out)
{
    uint8_t seed[KEY_SEED_BYTES];

    for (uint32_t i = 0; i < KEY_SEED_BYTES; i++) {
        seed[i] = (uint8_t)world_draw(world, purpose, number, i);
    }
    keys_from_seed(seed, secret_out);
}

static struct pending *find_pending(struct client *client, uint64_t token)
{
    for (uint32_t i = 0; i < CLIENT_PENDING_MAX; i++) {
        if (client->pending[i].token == token) {
            return &client->pending[i];
        }
    }
    return NULL;
}

bool client_request(struct world *world, uint32_t node, struct core_request *request,
                    uint32_t service)
{
    struct client *client = &world->client;
    struct core_event *event = world->core_event;
    struct sim_node *asked = &world->nodes[node];
    struct pending *pending = find_pending(client, 0);

    if (asked->core == NULL || world->now_ms < asked->stalled_until_ms || pending == NULL) {
        return false;
    }
    request->token = ++client->next_token;
    client->request_count++;
    *pending = (struct pending){.token = request->token,
                                .node = node,
                                .life = asked->life,
                                .kind = request->kind,
                                .asked_ms = world->now_ms,
                                .service = service};
    *event = (struct core_event){.kind = CORE_REQUEST, .request = request};
    world_step(world, node, event);
    return true;
}

void client_ask(struct world *world, uint32_t node, enum core_request_kind kind)
{
    struct core_request request = {.kind = kind, .within_ms = kind == CORE_STEP_ASIDE ? 4600 : 0};

    if (client_is_member(world, node)) {
        client_request(world, node, &request, SIM_SERVICES_MAX);
    }
}

static uint64_t answer_ms_max(enum core_request_kind kind)
{
    if (kind == CORE_JOIN) {
        return JOIN_ANSWER_MS;
    }
    if (kind == CORE_PUT_CHUNK) {
        return CHUNK_ANSWER_MS;
    }
    if (kind == CORE_DRAIN || kind == CORE_LEAVE) {
        return DRAIN_ANSWER_MS;
    }
    static_assert((int)SHUTDOWN_MS == (int)OWNER_REQUEST_MS, "otherwise tell them apart here");
    return OWNER_REQUEST_MS + ANSWER_MARGIN_MS;
}

/* ------------------------------------------------------------------ members */

void client_init(struct world *world)
{
    struct client *client = &world->client;

    client_make_key(world, "community key", 0, &client->community);
    client_make_key(world, "invitation key", 0, &client->invitation);
    for (uint32_t i = 0; i < CLIENT_OWNERS; i++) {
        client_make_key(world, "owner key", i, &client->owners[i]);
    }
    papers_community(world);
    invited_init(world);
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (i < world->schedule.members) {
            client->members[i].membership = MEMBER_WANTED;
            client->members[i].again_ms = 100 + 2 * i + world_draw(world, "join", i, 0) % 2000;
        }
    }
    client->members[0].again_ms = 50;
    client->service_count = world->schedule.service_count;
    client->tree_count = client->service_count;
    for (uint32_t i = 0; i < client->service_count; i++) {
        struct client_service *service = &client->services[i];
        struct public_key owner;

        snprintf(service->name, sizeof(service->name), "s%u", i);
        service->owner = i % CLIENT_OWNERS % world->schedule.members; /* others may never join */
        owner = keys_public(&client->owners[service->owner]);
        service->id = keys_service_id(&owner, service->name);
        service->wish.active = world->schedule.services[i].started;
        service->wish.replicas = world->schedule.services[i].replicas;
        service->wish.version = 1;
        service->version = 1;
        service->tree = i;
        service->again_ms = schedule_push_ms(&world->schedule, i);
        tree_make(world, i, &client->trees[i]);
    }
}

bool client_is_member(const struct world *world, uint32_t node)
{
    return world->client.members[node].membership == MEMBER_JOINED;
}

uint32_t client_choose(struct world *world, uint64_t who, uint64_t attempt)
{
    uint64_t first;

    CHECK(world->node_count > 0);
    first = world_draw(world, "choice", who, attempt) % world->node_count;
    for (uint32_t i = 0; i < world->node_count; i++) {
        uint32_t node = (uint32_t)((first + i) % world->node_count);
        const struct sim_node *candidate = &world->nodes[node];

        if (client_is_member(world, node) && candidate->core != NULL &&
            world->now_ms >= candidate->stalled_until_ms) {
            return node;
        }
    }
    return world->node_count;
}

static void create(struct world *world)
{
    struct papers papers;
    struct core_request request = {.kind = CORE_CREATE_COMMUNITY};

    papers_founder(world, 0, &papers);
    request.community =
        (struct bytes){world->client.community_record, world->client.community_record_bytes};
    request.admission = (struct bytes){papers.signed_bytes, papers.signed_length_bytes};
    world->client.members[0].waiting = true; /* the answer may come within the step */
    if (!client_request(world, 0, &request, SIM_SERVICES_MAX)) {
        world->client.members[0].waiting = false;
        world->client.members[0].attempts = 0;
    }
}

static void join(struct world *world, uint32_t node)
{
    struct client_member *member = &world->client.members[node];
    struct papers papers;
    struct core_request request = {.kind = CORE_JOIN, .join = &papers.join};
    uint32_t contact = client_choose(world, 1000 + node, ++member->attempts);

    member->again_ms = world->now_ms + AGAIN_MS;
    if (contact < world->node_count && world->nodes[node].core != NULL) {
        papers_join(world, node, contact, &papers);
        member->waiting = true; /* the answer may come within the step */
        member->waiting =
            client_request(world, node, &request, SIM_SERVICES_MAX) && member->waiting;
    }
}

static void tick_member(struct world *world, uint32_t node)
{
    struct client_member *member = &world->client.members[node];

    if (member->resume_wanted && !member->waiting && member->membership == MEMBER_JOINED) {
        struct core_request request = {.kind = CORE_RESUME};

        member->waiting = true;
        member->waiting =
            client_request(world, node, &request, SIM_SERVICES_MAX) && member->waiting;
        return;
    }
    if (member->membership != MEMBER_WANTED || member->waiting ||
        world->now_ms < member->again_ms) {
        return;
    }
    if (node == 0 && member->attempts == 0) {
        member->attempts = 1;
        create(world);
    } else {
        join(world, node);
    }
}

void client_resume(struct world *world, uint32_t node)
{
    world->client.members[node].resume_wanted = true;
}

void client_join(struct world *world, uint32_t node)
{
    struct client_member *member = &world->client.members[node];

    if (member->membership == MEMBER_OUTSIDE) {
        member->membership = MEMBER_WANTED;
        member->again_ms = world->now_ms;
    }
}

void client_leave(struct world *world, uint32_t node)
{
    struct core_request request = {.kind = CORE_LEAVE};

    if (client_is_member(world, node)) {
        client_request(world, node, &request, SIM_SERVICES_MAX);
    }
}

void client_expel(struct world *world, uint32_t node)
{
    struct papers papers;
    struct core_request request = {.kind = CORE_EXPEL};
    uint32_t helper = client_choose(world, 2000 + node, world->now_ms);

    if (client_is_member(world, node) && helper < world->node_count && helper != node &&
        client_may_expel(world, node)) {
        papers_expulsion(world, node, &papers);
        request.signed_bytes = (struct bytes){papers.signed_bytes, papers.signed_length_bytes};
        if (client_request(world, helper, &request, SIM_SERVICES_MAX)) {
            world->client.members[node].membership = MEMBER_GONE;
            world->client.members[node].expelled_ms = world->now_ms;
        }
    }
}

void client_forget_membership(struct world *world, uint32_t node)
{
    struct client_member *member = &world->client.members[node];

    if (member->membership == MEMBER_JOINED) {
        member->membership = MEMBER_WANTED;
        member->again_ms = world->now_ms;
    }
}

/* mingad exits. */
static void run_exit(struct world *world, struct event *event)
{
    world_kill(world, event->node);
    world->nodes[event->node].died_ms = 0;
}

/* The edge wipes what is stored and begins anew, outside. */
static void run_left(struct world *world, struct event *event)
{
    world_kill(world, event->node);
    world->nodes[event->node].died_ms = 0;
    disk_wipe(&world->nodes[event->node].disk);
    world->disk_lost_ms = world->now_ms;
    world_start(world, event->node);
}

static void member_answered(struct world *world, uint32_t node, const struct pending *pending,
                            const struct core_answer *answer)
{
    struct client_member *member = &world->client.members[node];

    if (pending->kind == CORE_LEAVE && answer->outcome == OVERLAY_OK) {
        member->membership = MEMBER_GONE;
        member->left_ms = world->now_ms;
        world_after_process(world, 0, (struct event){.run = run_left, .node = node});
    }
    if (pending->kind == CORE_RESUME) {
        member->waiting = false;
        member->resume_wanted = member->resume_wanted && answer->outcome != OVERLAY_OK;
    }
    if (pending->kind == CORE_JOIN || pending->kind == CORE_CREATE_COMMUNITY) {
        member->waiting = false;
        member->again_ms = world->now_ms + AGAIN_MS;
        /* It may have been admitted before it was answered, or its disk did not take it. */
        if (answer->outcome == OVERLAY_OK ||
            overlay_belongs(core_overlay(world->nodes[node].core))) {
            member->membership = MEMBER_JOINED;
            member->joined_ms = world->now_ms;
        } else {
            invited_refused(world, node, answer);
        }
    }
    if ((pending->kind == CORE_SHUT_DOWN || pending->kind == CORE_BACK_SOON) &&
        answer->outcome == OVERLAY_OK) {
        /* Not within the step that answers. */
        world_after_process(world, 0, (struct event){.run = run_exit, .node = node});
    }
    checker_changed(world);
}

/* ------------------------------------------------------------------ owners */

static bool put_chunk(struct world *world, uint32_t node, uint32_t number)
{
    struct client_service *service = &world->client.services[number];
    struct core_request request = {
        .kind = CORE_PUT_CHUNK, .service = service->id, .tree = client_tree(world, number)->id};

    carried_begin(world, node, number, &request);
    return client_request(world, node, &request, number);
}

static bool put_record(struct world *world, uint32_t node, uint32_t number)
{
    struct client_service *service = &world->client.services[number];
    struct core_request request = {.kind = CORE_PUT_RECORD, .service = service->id};
    struct papers papers;

    if (service->step == PUT_VERSION) {
        papers_version(world, number, &papers);
    } else {
        papers_service(world, number, &papers);
    }
    request.signed_bytes = (struct bytes){papers.signed_bytes, papers.signed_length_bytes};
    return client_request(world, node, &request, number);
}

/* Was a write that seemed to fail, or to conflict, ours and in force already? */
static bool get_record(struct world *world, uint32_t node, uint32_t number)
{
    struct client_service *service = &world->client.services[number];
    struct core_request request = {.kind = CORE_GET_RECORD, .service = service->id};

    request.record_kind = service->step == PUT_VERSION ? minga_RecordKind_RECORD_VERSION
                                                       : minga_RecordKind_RECORD_SERVICE;
    request.number = client_record_number(service, request.record_kind);
    return client_request(world, node, &request, number);
}

static void tick_service(struct world *world, uint32_t number)
{
    struct client_service *service = &world->client.services[number];
    uint32_t node;
    bool asked;

    if (service->step == STEPS_DONE && !client_same_wish(&service->known, &service->wish)) {
        client_plan(world, number);
    }
    if (service->waiting || world->now_ms < service->again_ms || service->step == STEPS_DONE) {
        return;
    }
    node = client_choose(world, number, ++service->attempts);
    service->again_ms = world->now_ms + AGAIN_MS;
    if (node == world->node_count) {
        return;
    }
    service->waiting = true; /* the answer may come within the step */
    if (service->asks) {
        asked = get_record(world, node, number);
    } else if (service->step == PUT_CHUNKS) {
        asked = put_chunk(world, node, number);
    } else {
        asked = put_record(world, node, number);
    }
    if (!asked) {
        service->waiting = false;
    }
}

/* The step is done: on to the next. */
static void advance(struct world *world, uint32_t number)
{
    struct client_service *service = &world->client.services[number];

    service->again_ms = world->now_ms;
    service->asks = false;
    if (service->step == PUT_CHUNKS) {
        service->chunk++;
        if (service->chunk == client_tree(world, number)->chunk_count) {
            service->step = PUT_VERSION;
        }
    } else if (service->step == PUT_VERSION) {
        service->version_sequence = 1;
        service->step = PUT_SERVICE;
        service->sending = service->wish;
        service->sending.version = service->version;
        /* What is pushed to a service that there is already changes its record, and starts nothing. */
        service->sending.active = service->wish.active && service->known_sequence == 0;
    } else {
        service->known_sequence++;
        service->known = service->sending;
        service->step = STEPS_DONE;
        checker_changed(world);
    }
}

static uint64_t sequence_of(struct bytes encoded)
{
    struct record record;

    return record_open(encoded, &record) == 0 ? record.sequence : 0;
}

static void record_came(struct world *world, uint32_t number, const struct core_answer *answer)
{
    struct client_service *service = &world->client.services[number];
    uint64_t awaited =
        1 + (service->step == PUT_VERSION ? service->version_sequence : service->known_sequence);

    service->asks = false;
    if (answer->outcome != OVERLAY_OK) {
        return;
    }
    if (sequence_of(answer->record) == awaited) {
        advance(world, number);
    } else if (sequence_of(answer->record) > awaited) {
        world_fail(world, "service %s has a record that its owner never wrote", service->name);
    }
}

static void run_wipe_writer(struct world *world, struct event *event)
{
    struct client_service *service = &world->client.services[event->number];

    fault_wipe_writer(world, &service->id, service->wipe_writer_for_ms);
    service->wipe_writer_for_ms = 0;
}

static void service_answered(struct world *world, uint32_t number, const struct pending *pending,
                             const struct core_answer *answer)
{
    struct client_service *service = &world->client.services[number];

    service->waiting = false;
    service->again_ms = world->now_ms + AGAIN_MS;
    check_durable_answered(world, pending, answer);
    if (answer->outcome == OVERLAY_OK && pending->kind == CORE_PUT_RECORD &&
        service->step == PUT_SERVICE) {
        service->lone_node = answer->copies == 1 ? pending->node + 1 : 0;
        service->lone_sequence = service->known_sequence + 1;
    }
    if (pending->kind == CORE_GET_RECORD) {
        record_came(world, number, answer);
    } else if (answer->outcome == OVERLAY_OK && pending->kind == CORE_PUT_RECORD &&
               world_is_deceived(world)) {
        service->asks = true; /* believed when it can be read */
    } else if (answer->outcome == OVERLAY_OK) {
        if (service->step == PUT_CHUNKS && !carried_check(world, pending->node, number, answer)) {
            return; /* pushed again */
        }
        if (service->step == PUT_SERVICE) {
            service->acknowledged_sequence = service->known_sequence + 1;
            if (service->wipe_writer_for_ms != 0) {
                world_after(world, 0, (struct event){.run = run_wipe_writer, .number = number});
            }
        }
        advance(world, number);
    } else if (pending->kind == CORE_PUT_RECORD) {
        service->asks = true;
    }
}

/* ------------------------------------------------------------------ answers */

void client_answered(struct world *world, uint32_t node, const struct core_answer *answer)
{
    struct pending *found = answer->token == 0 ? NULL : find_pending(&world->client, answer->token);
    struct pending pending;

    if (found == NULL || found->node != node || found->life != world->nodes[node].life) {
        world_fail(world, "%s answers token %" PRIu64 ", which nobody waits for",
                   world->nodes[node].name, answer->token);
        return;
    }
    pending = *found;
    found->token = 0;
    world->client.refused_count += answer->outcome == OVERLAY_OK ? 0 : 1;
    world_trace(world, "%s answers request %d: %d %s", world->nodes[node].name, (int)pending.kind,
                (int)answer->outcome, answer->reason);
    if (askers_answered(world, &pending, answer)) {
        /* it was not one of the people */
    } else if (curious_asks(pending.kind)) {
        curious_answered(world, &pending, answer);
    } else if (pending.service < SIM_SERVICES_MAX) {
        service_answered(world, pending.service, &pending, answer);
    } else {
        member_answered(world, node, &pending, answer);
    }
}

/* The agent that was asked is gone: the command sees its connection break. */
static void drop_pending(struct world *world, struct pending *pending)
{
    if (pending->service < SIM_SERVICES_MAX) {
        world->client.services[pending->service].waiting = false;
        world->client.services[pending->service].asks = true;
        if (pending->kind == CORE_PUT_CHUNK) {
            world->client.services[pending->service].asks = false;
        }
    }
    if (!askers_dropped(world, pending)) {
        world->client.members[pending->node].waiting = false;
    }
    pending->token = 0;
}

void client_check_pending(struct world *world)
{
    for (uint32_t i = 0; i < CLIENT_PENDING_MAX; i++) {
        struct pending *pending = &world->client.pending[i];
        const struct sim_node *node = &world->nodes[pending->node];

        if (pending->token == 0) {
            /* a free place */
        } else if (node->core == NULL || node->life != pending->life) {
            drop_pending(world, pending);
        } else if (world->now_ms < node->stalled_until_ms ||
                   pending->asked_ms < world->asleep_until_ms) {
            pending->asked_ms = world->now_ms; /* its time begins anew */
        } else if (world->now_ms - pending->asked_ms > answer_ms_max(pending->kind)) {
            world_fail(world, "%s owes an answer to request %d since %" PRIu64 " ms", node->name,
                       (int)pending->kind, world->now_ms - pending->asked_ms);
            return;
        }
    }
}

void client_tick(struct world *world)
{
    client_check_pending(world);
    curious_tick(world);
    askers_tick(world);
    invited_tick(world);
    for (uint32_t node = 0; node < world->node_count; node++) {
        tick_member(world, node);
    }
    for (uint32_t number = 0; number < world->client.service_count; number++) {
        tick_service(world, number);
    }
}

bool client_is_content(const struct world *world)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        if (world->client.members[node].membership == MEMBER_WANTED &&
            !world->nodes[node].off_for_good) {
            return false;
        }
    }
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        if (!client_is_served(&world->client.services[i])) {
            return false;
        }
    }
    return true;
}
