// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/internal.h"
#include "tests/unit/agent/alone.h"

Test(core, without_a_community_owners_requests_are_refused_with_a_reason)
{
    struct edge *edge = edge_new();
    struct core_request status = {.kind = CORE_STATUS};
    struct node_status node;

    cr_assert_eq(outcome_of(edge, &status), OVERLAY_REFUSED);
    cr_assert_str_eq(edge->answer.reason, "this node belongs to no community");
    core_node_status(edge->core, &node);
    cr_assert_str_eq(node.state, "no community");
    edge_free(edge);
}

Test(core, a_pushed_and_started_service_runs_and_can_be_asked_about)
{
    struct edge *edge = edge_running();
    struct core_request services = {.kind = CORE_SERVICES};
    struct core_request logs = {.kind = CORE_LOGS, .slot = 1, .offset_bytes = 3};
    struct core_replica replica;

    cr_assert_eq(ask_status(edge), OVERLAY_OK);
    cr_assert_eq(edge->status.state, SERVICE_ACTIVE);
    cr_assert_eq(edge->status.running_count, 1);
    cr_assert_str_eq(edge->status.replicas[0].node_name, "oak");
    cr_assert_str_eq(edge->status.replicas[0].address, "10.77.0.1");
    cr_assert_str_eq(edge->status.replicas[0].ports[0].name, "http");
    cr_assert_eq(core_replica_count(edge->core), 1);
    core_replica(edge->core, 0, edge->now_ms, &replica);
    cr_assert_eq(replica.status.ports[0].host_port, edge->status.replicas[0].ports[0].host_port);
    services.node = overlay_self(core_overlay(edge->core));
    cr_assert_eq(outcome_of(edge, &services), OVERLAY_OK);
    cr_assert_eq(edge->services_in_answer, 1);
    logs.service = edge->service;
    cr_assert_eq(outcome_of(edge, &logs), OVERLAY_OK);
    cr_assert_str_eq(edge->logs, "hello");
    cr_assert_eq(edge->answer.data_offset_bytes, 3);
    edge_free(edge);
}

Test(core, a_stopped_service_ends_and_its_tombstone_is_not_found)
{
    struct edge *edge = edge_running();
    minga_Record tombstone = {
        .kind = minga_RecordKind_RECORD_SERVICE, .sequence = 3, .removed = true};

    cr_assert_eq(put_service(edge, 2, false, 1, 1), OVERLAY_OK);
    run(edge, 1000);
    cr_assert_eq(edge->stop_count, 1);
    cr_assert_eq(ask_status(edge), OVERLAY_OK);
    cr_assert_eq(edge->status.state, SERVICE_OFF);
    cr_assert_eq(ask_history(edge), OVERLAY_OK);
    cr_assert_eq(edge->status.replica_count, 1);
    cr_assert_eq(edge->status.replicas[0].state, REPLICA_ENDED);
    cr_assert_str_eq(edge->status.replicas[0].node_name, "oak");
    cr_assert_str_eq(edge->status.replicas[0].reason, "stopped by its manager");
    cr_assert_eq(put(edge, &tombstone), OVERLAY_OK);
    run(edge, 1000);
    cr_assert_eq(ask_status(edge), OVERLAY_NOT_FOUND);
    cr_assert_eq(core_manager_count(edge->core), 0);
    edge_free(edge);
}

Test(core, records_that_cannot_be_meant_are_refused)
{
    struct edge *edge = edge_new();
    minga_Record no_version = {.kind = minga_RecordKind_RECORD_VERSION, .number = 1};
    struct core_request noise = {.kind = CORE_PUT_RECORD};
    static const uint8_t bytes[] = {1, 2, 3};

    cr_assert_eq(create(edge), OVERLAY_OK);
    cr_assert_eq(put_service(edge, 1, true, 0, 1), OVERLAY_REFUSED);
    cr_assert_eq(put_service(edge, 1, true, REPLICAS_PER_SERVICE_MAX + 1, 1), OVERLAY_REFUSED);
    cr_assert_eq(put_service(edge, 1, true, 1, 0), OVERLAY_REFUSED);
    cr_assert_eq(put_service(edge, 1, true, 1, 7), OVERLAY_REFUSED);
    cr_assert_str_eq(edge->answer.reason, "the version of the service record is not known");
    cr_assert_eq(put(edge, &no_version), OVERLAY_REFUSED);
    noise.signed_bytes = (struct bytes){bytes, sizeof(bytes)};
    cr_assert_eq(outcome_of(edge, &noise), OVERLAY_REFUSED);
    edge_free(edge);
}

Test(core, an_unknown_service_is_not_found)
{
    struct edge *edge = edge_new();

    cr_assert_eq(create(edge), OVERLAY_OK);
    memset(&edge->service, 4, sizeof(edge->service));
    cr_assert_eq(ask_status(edge), OVERLAY_NOT_FOUND);
    edge_free(edge);
}

Test(core, shutting_down_ends_the_replicas_and_is_answered_in_time)
{
    struct edge *edge = edge_running();
    struct core_request shut_down = {.kind = CORE_SHUT_DOWN};
    uint64_t started_ms;

    started_ms = edge->now_ms;
    cr_assert_eq(outcome_of(edge, &shut_down), OVERLAY_OK);
    cr_assert_eq(edge->stop_count, 1);
    cr_assert_leq(edge->now_ms - started_ms, SHUTDOWN_MS);
    edge_free(edge);
}

Test(core, a_machine_with_nobody_to_hand_over_to_sleeps_at_once)
{
    struct edge *edge = edge_running();
    struct core_request aside = {.kind = CORE_STEP_ASIDE, .within_ms = 4600};
    struct core_request back = {.kind = CORE_COME_BACK};
    uint64_t started_ms;

    started_ms = edge->now_ms;
    cr_assert_eq(outcome_of(edge, &aside), OVERLAY_OK);
    cr_assert_leq(edge->now_ms - started_ms, 100);
    run(edge, 6000);
    cr_assert_eq(edge->stop_count, 0, "it sleeps with the machine");
    cr_assert_eq(outcome_of(edge, &back), OVERLAY_OK);
    edge_free(edge);
}

Test(core, a_request_too_large_for_any_node_says_so)
{
    struct edge *edge = edge_new();

    edge->config.contribution.memory_bytes = (uint64_t)32 << 20;
    core_free(edge->core);
    edge->core = core_new(&edge->config);
    core_start(edge->core, edge->now_ms, wall_unix_s, edge->effects);
    step(edge, &(struct core_event){.kind = CORE_SANDBOX_UP});
    step(edge, &(struct core_event){.kind = CORE_SANDBOX_LISTED});
    cr_assert_eq(create(edge), OVERLAY_OK);
    cr_assert_eq(put_version(edge), OVERLAY_OK);
    cr_assert_eq(put_service(edge, 1, true, 1, 1), OVERLAY_OK);
    run(edge, 1000);
    cr_assert_eq(ask_status(edge), OVERLAY_OK);
    cr_assert_eq(edge->status.state, SERVICE_DEGRADED);
    cr_assert_str_eq(
        edge->status.reason,
        "0/1: request is larger than any node: needs 64M memory, the most given is 32M");
    edge_free(edge);
}

static bool is_draining(struct edge *edge)
{
    struct node_status node;

    core_node_status(edge->core, &node);
    return strcmp(node.state, "draining") == 0;
}

Test(core, an_order_is_obeyed_at_once_and_answered_when_it_is_on_disk)
{
    struct edge *edge = edge_new();
    struct core_request drain = {.kind = CORE_DRAIN};
    struct core_request resume = {.kind = CORE_RESUME};

    cr_assert_eq(create(edge), OVERLAY_OK);
    edge->disk_is_slow = true;
    (void)request(edge, &drain);
    cr_assert(is_draining(edge));
    run(edge, 100);
    cr_assert_eq(edge->answer_count[drain.token], 0);
    stored(edge, edge->store_token);
    settle(edge);
    cr_assert_eq(edge->answer_count[drain.token], 1);
    cr_assert_eq(edge->answer.outcome, OVERLAY_OK);
    (void)request(edge, &resume);
    cr_assert_not(is_draining(edge));
    cr_assert_eq(edge->answer_count[resume.token], 0);
    stored(edge, edge->store_token);
    settle(edge);
    cr_assert_eq(edge->answer_count[resume.token], 1);
    edge_free(edge);
}

Test(core, an_order_that_cannot_be_written_is_in_force_and_says_so)
{
    struct edge *edge = edge_new();
    struct core_request drain = {.kind = CORE_DRAIN};

    cr_assert_eq(create(edge), OVERLAY_OK);
    edge->disk_is_full = true;
    cr_assert_eq(outcome_of(edge, &drain), OVERLAY_FAILED);
    cr_assert_str_eq(edge->answer.reason,
                     "it is in force, but not on disk: this agent forgets it when it restarts");
    cr_assert(is_draining(edge));
    edge_free(edge);
}

static size_t sign_expulsion(const struct edge *edge, uint8_t encoded_out[512])
{
    minga_Expulsion body = minga_Expulsion_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key community = keys_public(&edge->community);
    struct secret_key whose = key_of(9);
    struct public_key whom = keys_public(&whose);
    int length;

    memcpy(body.community, community.bytes, PUBLIC_KEY_BYTES);
    memcpy(body.node_key, whom.bytes, PUBLIC_KEY_BYTES);
    body.expelled_unix_s = wall_unix_s;
    cr_assert_eq(
        signed_make(minga_Expulsion_fields, &body, PURPOSE_EXPULSION, &edge->community, &envelope),
        0);
    length = signed_encode(&envelope, encoded_out, 512);
    cr_assert_gt(length, 0);
    return (size_t)length;
}

/* Or it would be gone with this machine, before anybody else has heard of it. */
Test(core, an_expulsion_is_answered_when_it_is_on_disk)
{
    struct edge *edge = edge_new();
    struct core_request expel = {.kind = CORE_EXPEL};
    uint8_t encoded[512];

    cr_assert_eq(create(edge), OVERLAY_OK);
    expel.signed_bytes = (struct bytes){encoded, sign_expulsion(edge, encoded)};
    edge->disk_is_slow = true;
    (void)request(edge, &expel);
    run(edge, 100);
    cr_assert_eq(edge->answer_count[expel.token], 0);
    stored(edge, edge->store_token);
    settle(edge);
    cr_assert_eq(edge->answer_count[expel.token], 1);
    cr_assert_eq(edge->answer.outcome, OVERLAY_OK);
    edge->disk_is_slow = false;
    edge->disk_is_full = true;
    cr_assert_eq(outcome_of(edge, &expel), OVERLAY_FAILED, "said again, it is written again");
    cr_assert_not_null(strstr(edge->answer.reason, "not on this disk"));
    encoded[20] ^= 1;
    cr_assert_eq(outcome_of(edge, &expel), OVERLAY_REFUSED);
    edge_free(edge);
}

/* Of what is outstanding no place is free when it would say goodbye. */
Test(core, who_cannot_leave_goes_on)
{
    struct edge *edge = edge_new();
    struct core_request leave = {.kind = CORE_LEAVE};

    cr_assert_eq(create(edge), OVERLAY_OK);
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        cr_assert_not(edge->core->pending[i].used);
        edge->core->pending[i] = (struct pending){.used = true, .token = UINT64_MAX};
    }
    cr_assert_eq(outcome_of(edge, &leave), OVERLAY_FULL);
    cr_assert_not(is_draining(edge), "%s", edge->answer.reason);
    memset(edge->core->pending, 0, sizeof(edge->core->pending));
    cr_assert_eq(put_version(edge), OVERLAY_OK);
    cr_assert_eq(put_service(edge, 1, true, 1, 1), OVERLAY_OK);
    run(edge, 200);
    cr_assert_eq(edge->start_count, 1);
    cr_assert_eq(outcome_of(edge, &leave), OVERLAY_OK);
    edge_free(edge);
}
