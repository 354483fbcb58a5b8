// SPDX-License-Identifier: GPL-3.0-or-later
/* What the API answers. */
#include "tests/unit/api/server_fixture.h"

TestSuite(server, .init = set_up, .fini = tear_down, .timeout = 60);

/* ------------------------------------------------------------------ looking */

/* Names that are promised, separated by spaces. */
static void expect_names(const json_t *object, const char *names)
{
    char copy[512];
    char *rest = copy;
    const char *name;

    snprintf(copy, sizeof(copy), "%s", names);
    while ((name = strsep(&rest, " ")) != NULL) {
        cr_expect_not_null(json_object_get(object, name), "%s", name);
    }
}

Test(server, the_node_document_has_all_its_names)
{
    const json_t *gives;

    get("/v1/node");
    cr_assert_eq(answer.status, 200);
    expect_names(answer.json, "node node_name community state rule reachable contribution used "
                              "replicas you_may");
    cr_assert_str_eq(json_string_value(json_object_get(answer.json, "you_may")), "govern");
    gives = json_object_get(answer.json, "contribution");
    expect_names(gives, "cpu_cores memory_bytes disk_bytes storage_bytes pids");
    expect_names(json_object_get(answer.json, "used"),
                 "cpu_cores memory_bytes disk_bytes storage_bytes pids");
    cr_assert_eq(json_integer_value(json_object_get(gives, "memory_bytes")), 1 << 30);
    cr_assert_float_eq(json_real_value(json_object_get(gives, "cpu_cores")), 1.5, 0.0001);
    done();
}

static void expect_state(const char *state, const char *reason)
{
    get("/v1/node");
    cr_expect_str_eq(json_string_value(json_object_get(answer.json, "state")), state);
    cr_expect_str_eq(json_string_value(json_object_get(answer.json, "reason")), reason);
    done();
}

Test(server, a_node_is_paused_when_what_runs_there_is_frozen)
{
    the_core.paused = true;
    expect_state("paused", "");
    world.host.is_freezing = true;
    expect_state("pausing", "what runs here is not frozen yet");
    the_core.paused = false;
    expect_state("ready", "");
}

Test(server, status_ring_members_and_lookup_have_all_their_names)
{
    const json_t *service;

    get("/v1/status");
    expect_names(answer.json, "community services");
    service = json_array_get(json_object_get(answer.json, "services"), 0);
    expect_names(service, "name id owner version state reason wanted running manager epoch "
                          "replicas history");
    expect_names(json_array_get(json_object_get(service, "history"), 0),
                 "id incarnation node node_name state reason since restarts");
    expect_names(
        json_array_get(json_object_get(service, "replicas"), 0),
        "id incarnation version node node_name address ports state health reason since restarts "
        "cpu_cores cpu_limit_cores memory_bytes memory_limit_bytes disk_bytes "
        "disk_limit_bytes pids pids_limit");
    done();
    get("/v1/nodes");
    expect_names(json_array_get(json_object_get(answer.json, "nodes"), 0),
                 "node node_name address owner state reachable arch version free since");
    done();
    get("/v1/members");
    expect_names(json_array_get(json_object_get(answer.json, "members"), 0),
                 "owner name rights nodes services since");
    done();
    get("/v1/storage");
    expect_names(answer.json, "node share stored repair garbage");
    expect_names(
        json_object_get(answer.json, "share"),
        "limit_bytes used_bytes chunks spare_chunks spare_bytes nameless_chunks "
        "nameless_bytes bad_chunks bad_bytes home_bytes positions part_permille free_bytes refuses");
    expect_names(json_array_get(json_object_get(answer.json, "stored"), 0),
                 "service name owner tree version state chunks bytes copies_least copies_most "
                 "scarce");
    expect_names(json_object_get(answer.json, "repair"),
                 "under_way wait_ms comparing moved_chunks moved_bytes rotten_chunks absent");
    expect_names(
        json_array_get(json_object_get(json_object_get(answer.json, "repair"), "under_way"), 0),
        "chunk to to_name why since");
    expect_names(
        json_array_get(json_object_get(json_object_get(answer.json, "repair"), "absent"), 0),
        "node node_name away_s patience_s state");
    expect_names(json_object_get(answer.json, "garbage"),
                 "collecting collected_chunks collected_bytes");
    done();
    get("/v1/ring");
    expect_names(answer.json,
                 "node positions predecessors successors nodes epoch share neighbours");
    done();
    get("/v1/lookup/" ID64);
    expect_names(answer.json, "key responsible holders hops path believed took_us trace");
    done();
    get("/v1/services/" ID64 "/locations");
    expect_names(json_array_get(json_object_get(answer.json, "locations"), 0),
                 "replica node address port health age_ms");
    done();
}

Test(server, nodes_say_what_is_free_here_and_null_where_nothing_is_known)
{
    json_t *nodes;

    get("/v1/nodes");
    nodes = json_object_get(answer.json, "nodes");
    cr_assert_eq(json_array_size(nodes), 2);
    cr_assert_eq(json_integer_value(json_object_get(
                     json_object_get(json_array_get(nodes, 0), "free"), "memory_bytes")),
                 1 << 29);
    cr_assert(json_is_null(json_object_get(json_array_get(nodes, 1), "free")));
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(nodes, 1), "state")), "up");
    done();
}

Test(server, the_ring_counts_the_nodes_that_are_up)
{
    the_core.members[1].state = MEMBER_DOWN;
    get("/v1/ring");
    cr_assert_eq(json_integer_value(json_object_get(answer.json, "nodes")), 1);
    cr_assert_eq(json_array_size(json_object_get(answer.json, "successors")), 1);
    done();
}

Test(server, without_a_community_most_things_are_refused_with_what_to_do)
{
    the_core.belongs = false;
    get("/v1/nodes");
    cr_assert_eq(answer.status, 409);
    cr_assert_str_eq(error_why(), "this node belongs to none");
    done();
    get("/v1/node");
    cr_assert_eq(answer.status, 200);
    cr_assert(json_is_null(json_object_get(answer.json, "community")));
    done();
}

static void expect_whole_status(void)
{
    json_t *service;
    json_t *replicas;

    world.host.slot_count = 2 * STATUS_PAGE_REPLICAS_MAX + 1;
    get("/v1/services/" ID64);
    cr_assert_eq(answer.status, 200);
    service = json_array_get(json_object_get(answer.json, "services"), 0);
    replicas = json_object_get(service, "replicas");
    cr_assert_eq(json_array_size(replicas), 2 * STATUS_PAGE_REPLICAS_MAX + 1);
    cr_assert_eq(world.host.asked_count, 4, "three pages and the history");
    for (size_t i = 0; i < json_array_size(replicas); i++) {
        char id[32];

        snprintf(id, sizeof(id), "wiki/%zu", i + 1);
        cr_assert_str_eq(json_string_value(json_object_get(json_array_get(replicas, i), "id")), id);
    }
    cr_assert_str_eq(json_string_value(json_object_get(service, "state")), "active");
    done();
}

Test(server, a_status_is_put_together_from_its_pages)
{
    expect_whole_status();
}

Test(server, the_history_of_a_service_is_beside_its_replicas)
{
    json_t *service;
    json_t *history;
    json_t *first;

    get("/v1/services/" ID64);
    service = json_array_get(json_object_get(answer.json, "services"), 0);
    history = json_object_get(service, "history");
    cr_assert_eq(json_array_size(json_object_get(service, "replicas")), 3);
    cr_assert_eq(json_array_size(history), 2);
    first = json_array_get(history, 0);
    cr_assert_str_eq(json_string_value(json_object_get(first, "id")), "wiki/3");
    cr_assert_eq(json_integer_value(json_object_get(first, "incarnation")), 4);
    cr_assert_str_eq(json_string_value(json_object_get(first, "node_name")), "elm");
    cr_assert_str_eq(json_string_value(json_object_get(first, "reason")), "its node is down");
    cr_assert_eq(json_integer_value(json_object_get(first, "restarts")), 2);
    cr_assert(json_is_null(json_object_get(json_array_get(history, 1), "node")));
    done();
}

Test(server, locations_need_no_history)
{
    get("/v1/services/" ID64 "/locations");
    cr_assert_eq(json_array_size(json_object_get(answer.json, "locations")), 2);
    cr_assert_eq(world.host.asked_count, 1);
    done();
}

Test(server, answers_may_come_later)
{
    world.host.later = true;
    expect_whole_status();
}

Test(server, a_service_with_two_managers_is_shown_as_the_higher_epoch_has_it)
{
    json_t *services;

    world.host.later = true;
    get("/v1/services");
    services = json_object_get(answer.json, "services");
    cr_assert_eq(json_array_size(services), 1);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(services, 0), "epoch")), 9);
    cr_assert_eq(world.host.asked_count, 2);
    done();
}

Test(server, members_that_do_not_answer_make_a_listing_incomplete_not_wrong)
{
    world.host.outcome = OVERLAY_TIMED_OUT;
    get("/v1/services");
    cr_assert_eq(answer.status, 200);
    cr_assert(json_is_true(json_object_get(answer.json, "incomplete")));
    done();
}

Test(server, every_outcome_has_its_status)
{
    static const struct {
        enum overlay_outcome outcome;
        int status;
    } rows[] = {{OVERLAY_REFUSED, 422},  {OVERLAY_TIMED_OUT, 504}, {OVERLAY_NOT_FOUND, 404},
                {OVERLAY_CONFLICT, 409}, {OVERLAY_FULL, 507},      {OVERLAY_FAILED, 500}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world.host.outcome = rows[i].outcome;
        get("/v1/services/" ID64);
        cr_expect_eq(answer.status, rows[i].status);
        cr_expect_neq(strlen(error_why()), 0);
        done();
    }
}

Test(server, locations_are_of_healthy_replicas_and_of_the_port_asked_for)
{
    get("/v1/services/" ID64 "/locations?port=http");
    cr_assert_eq(json_array_size(json_object_get(answer.json, "locations")), 2);
    done();
    get("/v1/services/" ID64 "/locations?port=other");
    cr_assert_eq(json_array_size(json_object_get(answer.json, "locations")), 0);
    done();
}

Test(server, logs_are_bytes_with_their_place)
{
    get("/v1/services/" ID64 "/logs?slot=2&offset=12");
    cr_assert_eq(answer.status, 200);
    cr_assert_str_eq(answer.body, "hello\n");
    cr_assert_not_null(strstr(answer.bytes, "Minga-Offset: 12\r\n"));
    cr_assert_eq(world.host.asked[0].request.slot, 2);
    done();
}

Test(server, wrong_requests_are_refused_before_the_core_hears_of_them)
{
    static const struct {
        const char *method;
        const char *path;
        const char *body;
        int status;
    } rows[] = {
        {"GET", "/v1/services/12", "", 400},
        {"GET", "/v1/services/" ID64 "/logs?slot=0", "", 400},
        {"GET", "/v1/services/" ID64 "/logs?slot=x", "", 400},
        {"GET", "/v1/services/" ID64 "/versions/0", "", 400},
        {"GET", "/v1/lookup/zz", "", 400},
        {"GET", "/v1/nothing", "", 404},
        {"DELETE", "/v1/node", "", 405},
        {"POST", "/v1/records", "{", 400},
        {"POST", "/v1/records", "[]", 400},
        {"POST", "/v1/records", "{}", 400},
        {"POST", "/v1/records", "{\"record\":\"***\"}", 400},
        {"POST", "/v1/records", "[[[[[[[[[[[[[[[[", 400},
        {"POST", "/v1/join", "{\"community\":\"aa\"}", 400},
        {"POST", "/v1/node/pause", "{\"duration_ms\":-1}", 400},
        {"POST", "/v1/chunks", "\x00\x00\x00\x09short", 400},
        {"POST", "/v1/chunks/check", "no id", 400},
        {"GET", "/v1/node", "a body", 413},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t length = i == 14 ? 9 : strlen(rows[i].body);

        request(rows[i].method, rows[i].path, rows[i].body, length);
        cr_expect_eq(answer.status, rows[i].status, "row %zu: %d", i, answer.status);
        done();
    }
    cr_assert_eq(world.host.asked_count, 0);
}

/* ------------------------------------------------------------------ acting */

static size_t make_batch(uint8_t *batch, uint32_t count, uint32_t chunk_bytes)
{
    size_t used = 0;

    for (uint32_t i = 0; i < count; i++) {
        batch[used++] = (uint8_t)(chunk_bytes >> 24);
        batch[used++] = (uint8_t)(chunk_bytes >> 16);
        batch[used++] = (uint8_t)(chunk_bytes >> 8);
        batch[used++] = (uint8_t)chunk_bytes;
        memset(batch + used, (int)(i & 0xff), chunk_bytes);
        used += chunk_bytes;
    }
    return used;
}

static void expect_batch(uint32_t count, uint32_t chunk_bytes)
{
    uint8_t *batch = malloc((size_t)count * (chunk_bytes + 4));
    size_t length = make_batch(batch, count, chunk_bytes);

    request("POST", "/v1/chunks", batch, length);
    cr_assert_eq(answer.status, 200);
    cr_assert_eq(json_integer_value(json_object_get(answer.json, "chunks")), count);
    cr_assert_eq(json_integer_value(json_object_get(answer.json, "new_bytes")),
                 (json_int_t)count * chunk_bytes);
    cr_assert_eq(json_integer_value(json_object_get(answer.json, "copies")), 2, "the least");
    cr_assert_eq(world.host.asked_count, count);
    free(batch);
    done();
}

Test(server, a_batch_of_small_chunks_is_stored_and_spread_in_one_request)
{
    expect_batch(1000, 100);
}

Test(server, a_batch_waits_for_the_store)
{
    world.host.later = true;
    expect_batch(200, 10);
}

Test(server, a_batch_of_the_largest_size_fits)
{
    expect_batch(3, CHUNK_BYTES_MAX);
}

Test(server, a_disk_that_takes_no_chunk_is_said_as_such)
{
    uint8_t batch[64];
    size_t length = make_batch(batch, 2, 16);

    world.host.outcome = OVERLAY_FAILED;
    strcpy(world.host.reason, "No space left");
    world.host.later = true;
    request("POST", "/v1/chunks", batch, length);
    cr_assert_eq(answer.status, 507);
    cr_assert_not_null(strstr(error_why(), "No space left"));
    cr_assert_not_null(strstr(answer.body, "contribute.storage: 0"));
    done();
}

Test(server, chunks_that_the_disk_does_not_give_any_more_are_asked_for)
{
    uint8_t ids[3 * ID_BYTES] = {0};

    the_core.has_chunks = true;
    world.host.outcome = OVERLAY_FAILED;
    request("POST", "/v1/chunks/check", ids, sizeof(ids));
    cr_assert_eq(answer.status, 200);
    cr_assert_eq(json_array_size(json_object_get(answer.json, "missing")), 3);
    done();
}

Test(server, chunks_that_are_here_are_spread_again_and_not_asked_for)
{
    uint8_t ids[3 * ID_BYTES] = {0};

    request("POST", "/v1/chunks/check", ids, sizeof(ids));
    cr_assert_eq(json_array_size(json_object_get(answer.json, "missing")), 3);
    done();
    the_core.has_chunks = true;
    request("POST", "/v1/chunks/check", ids, sizeof(ids));
    cr_assert_eq(json_array_size(json_object_get(answer.json, "missing")), 0);
    cr_assert_eq(world.host.asked_count, 3);
    cr_assert_eq(world.host.asked[2].request.kind, CORE_PUT_CHUNK);
    done();
}

Test(server, a_pause_reaches_the_core_with_its_time)
{
    static const char now[] = "{\"duration_ms\":5000,\"within_ms\":70,\"now\":true}";

    request("POST", "/v1/node/pause", "{\"duration_ms\":5000}", 20);
    cr_assert_eq(answer.status, 200);
    cr_assert_eq(world.host.asked[0].request.kind, CORE_PAUSE);
    cr_assert_eq(world.host.asked[0].request.duration_ms, 5000);
    cr_assert_eq(world.host.asked[0].request.within_ms, 0);
    cr_assert(!world.host.asked[0].request.at_once);
    done();
    request("POST", "/v1/node/pause", now, sizeof(now) - 1);
    cr_assert_eq(world.host.asked[1].request.within_ms, 70);
    cr_assert(world.host.asked[1].request.at_once);
    done();
}

Test(server, a_time_of_more_than_a_year_or_before_now_is_refused)
{
    request("POST", "/v1/node/pause", "{\"duration_ms\":-1}", 18);
    cr_assert_eq(answer.status, 400);
    done();
    request("POST", "/v1/node/drain", "{\"within_ms\":99999999999}", 25);
    cr_assert_eq(answer.status, 400);
    cr_assert_eq(world.host.asked_count, 0);
    done();
}

Test(server, a_node_says_which_rule_acts_and_what_it_leaves)
{
    const json_t *allowed;

    request("GET", "/v1/node", "", 0);
    cr_assert_str_eq(json_string_value(json_object_get(answer.json, "rule")), "office");
    cr_assert_str_eq(json_string_value(json_object_get(answer.json, "rule_mode")), "keep");
    cr_assert_not_null(json_string_value(json_object_get(answer.json, "rule_until")));
    allowed = json_object_get(answer.json, "allowed");
    cr_assert_eq(json_integer_value(json_object_get(allowed, "upload_bytes_per_s")), 1000);
    cr_assert(json_is_null(json_object_get(allowed, "download_bytes_per_s")));
    done();
}

Test(server, a_nodes_history_is_what_ran_there)
{
    const json_t *entry;

    request("GET", "/v1/node/history", "", 0);
    entry = json_array_get(json_object_get(answer.json, "history"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(entry, "id")), "wiki/2");
    cr_assert_str_eq(json_string_value(json_object_get(entry, "ended")), "2026-09-21T14:14:20Z");
    done();
}

Test(server, a_node_with_a_community_signs_no_admission)
{
    request("POST", "/v1/community/sign", "{\"request\":\"AAAA\"}", 18);
    cr_assert_eq(answer.status, 409);
    done();
    the_core.belongs = false;
    request("POST", "/v1/community/sign", "{\"request\":\"AAAA\"}", 18);
    cr_assert_eq(answer.status, 400);
    done();
}
