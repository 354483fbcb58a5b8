// SPDX-License-Identifier: GPL-3.0-or-later
/* The API over a real unix socket, with a made-up host. One thread turns client and server. */
#include <criterion/criterion.h>
#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/api/api.h"
#include "agent/api/limits.h"
#include "tests/unit/api/fake_core.h"

enum { ASKED_MAX = 4096, STEPS_MAX = 20000, ANSWER_BYTES_MAX = 1 << 20, GROUP = 700 };

#define ID64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* ------------------------------------------------------------------ the made-up host */

struct asked {
    struct core_request request;
    bool is_chunk;
    size_t chunk_bytes;
    uint8_t first_byte;
};

struct host {
    struct api *api;
    bool later; /* answers are kept until the loop turns */
    enum overlay_outcome outcome;
    int store_error; /* 0: chunks are stored */
    uint32_t slot_count;
    struct public_key key;
    uint32_t asked_count;
    uint32_t answered_count;
    struct asked asked[ASKED_MAX];
};

static struct service_status status_of(const struct core_request *request, const struct host *host)
{
    struct service_status status = {.service = request->service,
                                    .name = "wiki",
                                    .version = 1,
                                    .sequence = 4,
                                    .state = SERVICE_ACTIVE,
                                    .wanted_count = host->slot_count,
                                    .running_count = host->slot_count,
                                    .epoch_generation = 7,
                                    .slot_count = host->slot_count};
    uint32_t first = request->slot == 0 ? 1 : request->slot;

    for (uint32_t slot = first;
         slot <= host->slot_count && status.replica_count < STATUS_PAGE_REPLICAS_MAX; slot++) {
        struct replica_status *replica = &status.replicas[status.replica_count++];

        replica->slot = slot;
        replica->placed = true;
        strcpy(replica->node_name, "oak");
        strcpy(replica->address, "10.77.0.3");
        replica->port_count = 1;
        strcpy(replica->ports[0].name, "http");
        replica->ports[0].host_port = (uint16_t)(31000 + slot);
        replica->state = REPLICA_RUNNING;
        replica->health = slot == 2 ? HEALTH_FAILING : HEALTH_OK;
    }
    return status;
}

static void answer_one(struct host *host, const struct asked *asked)
{
    struct core_answer answer = {.token = asked->request.token, .outcome = host->outcome};
    struct service_status status = status_of(&asked->request, host);
    struct chunk_id chunk = {{{asked->first_byte}}};
    struct err err;

    host->answered_count++;
    if (asked->is_chunk && host->store_error != 0) {
        errno = host->store_error;
        err_set(&err, -host->store_error, "chunk: %m");
        api_chunk_stored(host->api, asked->request.token, NULL, &err);
        return;
    }
    if (asked->is_chunk) {
        api_chunk_stored(host->api, asked->request.token, &chunk, NULL);
        return;
    }
    answer.status = &status;
    answer.status_count = 1;
    answer.is_new = true;
    answer.record = bytes_of_text("signed");
    answer.logs = bytes_of_text("hello\n");
    answer.logs_offset_bytes = asked->request.offset_bytes;
    /* Of two managers of one service the higher epoch counts. */
    if (asked->request.kind == CORE_SERVICES &&
        id_equal(&asked->request.node.id, &the_core.members[1].node.id)) {
        status.epoch_generation = 9;
        status.state = SERVICE_DEGRADED;
    }
    api_answer(host->api, &answer);
}

static void add(struct host *host, const struct asked *asked)
{
    cr_assert_lt(host->asked_count, ASKED_MAX);
    host->asked[host->asked_count++] = *asked;
    if (!host->later) {
        answer_one(host, asked);
    }
}

static void on_request(void *self, const struct core_request *request)
{
    cr_assert((request->token & API_TOKEN_BIT) != 0);
    add(self, &(struct asked){.request = *request});
}

static void on_chunk(void *self, uint64_t token, struct bytes bytes)
{
    add(self, &(struct asked){.request = {.token = token},
                              .is_chunk = true,
                              .chunk_bytes = bytes.length_bytes,
                              .first_byte = bytes.data[0]});
}

static const struct core *get_core(void *self)
{
    (void)self;
    return &the_core;
}

static uint64_t get_now(void *self)
{
    (void)self;
    return 1000000;
}

static const struct public_key *get_key(void *self)
{
    return &((struct host *)self)->key;
}

static uint32_t get_contacts(void *self, struct overlay_peer *peers_out, uint32_t count_max)
{
    (void)self;
    cr_assert_eq(count_max, TOKEN_MEMBERS_MAX);
    memset(&peers_out[0], 0, sizeof(peers_out[0]));
    peers_out[0].address_count = 1;
    strcpy(peers_out[0].addresses[0], "10.77.0.3:7400");
    return 1;
}

static struct signature sign(void *self, struct bytes request)
{
    (void)self;
    (void)request;
    return (struct signature){{1}};
}

/* ------------------------------------------------------------------ the world around it */

struct world {
    struct host host;
    struct api *api;
    char folder[64];
    struct sockaddr_un address;
};

static struct world world;

static void set_up(void)
{
    struct api_config config = {.group = GROUP};
    struct err err;

    memset(&world, 0, sizeof(world));
    fake_core_init();
    strcpy(world.folder, "/tmp/minga-api-XXXXXX");
    cr_assert_not_null(mkdtemp(world.folder));
    cr_assert_eq(chmod(world.folder, 0755), 0);
    world.address.sun_family = AF_UNIX;
    snprintf(world.address.sun_path, sizeof(world.address.sun_path), "%s/sock", world.folder);
    config.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(config.listen_fd, (struct sockaddr *)&world.address, sizeof(world.address)),
                 0);
    cr_assert_eq(chmod(world.address.sun_path, 0666), 0);
    cr_assert_eq(listen(config.listen_fd, 64), 0);
    world.host.key = the_core.members[0].key;
    world.host.slot_count = 3;
    config.host = (struct api_host){.self = &world.host,
                                    .request = on_request,
                                    .store_chunk = on_chunk,
                                    .core = get_core,
                                    .now_ms = get_now,
                                    .node_key = get_key,
                                    .contacts = get_contacts,
                                    .sign_admission = sign};
    cr_assert_eq(api_new(&config, &world.api, &err), 0);
    world.host.api = world.api;
}

static void tear_down(void)
{
    api_free(world.api);
    unlink(world.address.sun_path);
    rmdir(world.folder);
}

TestSuite(server, .init = set_up, .fini = tear_down, .timeout = 60);

static int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&world.address, sizeof(world.address)), 0);
    return fd;
}

/* The loop of mingad, once. */
static void turn(void)
{
    struct pollfd poll_fd = {.fd = api_fd(world.api), .events = POLLIN};

    /* As mingad: only when there is something to do, or it is time. */
    if (poll(&poll_fd, 1, 1) > 0 || api_timeout_ms(world.api) == 0) {
        api_run(world.api);
    }
    while (world.host.later && world.host.answered_count < world.host.asked_count) {
        struct asked asked = world.host.asked[world.host.answered_count];

        answer_one(&world.host, &asked);
    }
}

struct answer {
    int status; /* 0: the connection was closed without one */
    const char *body;
    json_t *json;
    size_t length;
    char bytes[ANSWER_BYTES_MAX];
};

static struct answer answer;

static void receive_some(int fd, bool *open)
{
    ssize_t count = recv(fd, answer.bytes + answer.length, ANSWER_BYTES_MAX - 1 - answer.length, 0);

    if (count > 0) {
        answer.length += (size_t)count;
    } else if (count == 0 || errno != EAGAIN) {
        *open = false;
    }
}

/* Sends all bytes and takes what comes back until the server closes. */
static void talk(int fd, const void *data, size_t length)
{
    bool open = true;
    size_t sent = 0;

    memset(&answer, 0, sizeof(answer));
    for (int i = 0; i < STEPS_MAX && open; i++) {
        ssize_t count =
            sent < length ? send(fd, (const char *)data + sent, length - sent, MSG_NOSIGNAL) : 0;

        sent += count > 0 ? (size_t)count : 0;
        turn();
        receive_some(fd, &open);
    }
    close(fd);
    cr_assert(!open, "the server did not end the connection");
    sscanf(answer.bytes, "HTTP/1.1 %d", &answer.status);
    answer.body = strstr(answer.bytes, "\r\n\r\n");
    answer.body = answer.body != NULL ? answer.body + 4 : "";
    answer.json = json_loads(answer.body, 0, NULL);
}

static void request(const char *method, const char *path, const void *body, size_t length)
{
    char *text = malloc(length + 512);
    int head = snprintf(text, 512,
                        "%s %s HTTP/1.1\r\nHost: minga\r\nConnection: close\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        method, path, length);

    memcpy(text + head, body, length);
    talk(dial(), text, (size_t)head + length);
    free(text);
}

static void get(const char *path)
{
    request("GET", path, "", 0);
}

static const char *error_why(void)
{
    const char *why =
        json_string_value(json_object_get(json_object_get(answer.json, "error"), "why"));

    return why != NULL ? why : "";
}

static void done(void)
{
    json_decref(answer.json);
    answer.json = NULL;
}

/* ------------------------------------------------------------------ looking */

Test(server, the_node_document_has_all_its_names)
{
    static const char *const names[] = {"node", "node_name", "community",    "state",   "rule",
                                        "used", "reachable", "contribution", "replicas"};

    get("/v1/node");
    cr_assert_eq(answer.status, 200);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_not_null(json_object_get(answer.json, names[i]), "%s", names[i]);
    }
    cr_assert_eq(json_integer_value(
                     json_object_get(json_object_get(answer.json, "contribution"), "memory_bytes")),
                 1 << 30);
    cr_assert_float_eq(
        json_real_value(json_object_get(json_object_get(answer.json, "contribution"), "cpu_cores")),
        1.5, 0.0001);
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
    cr_assert_eq(world.host.asked_count, 3);
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
    cr_assert_eq(world.host.asked_count, 2 * count); /* stored, then spread */
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

Test(server, a_full_disk_is_said_as_such)
{
    uint8_t batch[64];
    size_t length = make_batch(batch, 2, 16);

    world.host.store_error = ENOSPC;
    world.host.later = true;
    request("POST", "/v1/chunks", batch, length);
    cr_assert_eq(answer.status, 507);
    cr_assert_not_null(strstr(error_why(), "No space left"));
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
    request("POST", "/v1/node/pause", "{\"duration_ms\":5000}", 20);
    cr_assert_eq(answer.status, 200);
    cr_assert_eq(world.host.asked[0].request.kind, CORE_PAUSE);
    cr_assert_eq(world.host.asked[0].request.duration_ms, 5000);
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

/* ------------------------------------------------------------------ who asks */

static int ask_as(uid_t uid, gid_t group, const char *text)
{
    int fd;

    cr_assert_eq(setgroups(1, &group), 0);
    cr_assert_eq(setegid(65534), 0);
    cr_assert_eq(seteuid(uid), 0);
    fd = dial(); /* the kernel notes who connects */
    cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(setegid(0), 0);
    talk(fd, text, strlen(text));
    done();
    return answer.status;
}

Test(server, group_minga_acts_and_does_not_govern_and_strangers_only_look)
{
    static const char look[] = "GET /v1/node HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    static const char act[] =
        "POST /v1/node/drain HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    static const char govern[] =
        "POST /v1/leave HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    if (geteuid() != 0) {
        cr_skip_test("needs root to be someone else");
    }
    cr_expect_eq(ask_as(65534, 65534, look), 200);
    cr_expect_eq(ask_as(65534, 65534, act), 403);
    cr_expect_eq(ask_as(65534, 65534, govern), 403);
    cr_expect_eq(ask_as(65534, GROUP, look), 200);
    cr_expect_eq(ask_as(65534, GROUP, act), 200);
    cr_expect_eq(ask_as(65534, GROUP, govern), 403);
    cr_expect_eq(ask_as(0, 65534, govern), 200);
}

Test(server, a_stranger_cannot_take_all_connections)
{
    int fds[API_CONNECTIONS_PER_USER_MAX + 40];

    if (geteuid() != 0) {
        cr_skip_test("needs root to be someone else");
    }
    cr_assert_eq(seteuid(65534), 0);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        fds[i] = dial();
        cr_assert_eq(seteuid(0), 0);
        turn();
        cr_assert_eq(seteuid(65534), 0);
    }
    cr_assert_eq(seteuid(0), 0);
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        close(fds[i]);
    }
}

/* ------------------------------------------------------------------ bad clients */

Test(server, a_body_over_the_limit_is_refused_before_it_is_read)
{
    static const char text[] = "POST /v1/chunks HTTP/1.1\r\nHost: m\r\nConnection: close\r\n"
                               "Content-Length: 99999999\r\n\r\n";

    talk(dial(), text, strlen(text));
    cr_assert_eq(answer.status, 413);
    done();
}

Test(server, a_body_of_unknown_length_is_cut_off_at_the_limit)
{
    static const char head[] = "POST /v1/node/drain HTTP/1.1\r\nHost: m\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    size_t length = strlen(head) + 100000 + 8;
    char *text = malloc(length);

    memcpy(text, head, strlen(head));
    memcpy(text + strlen(head), "186a0\r\n", 7); /* 100,000 */
    memset(text + strlen(head) + 7, ' ', length - strlen(head) - 7);
    talk(dial(), text, length);
    cr_assert_neq(answer.status, 200);
    cr_assert_eq(world.host.asked_count, 0);
    free(text);
    done();
}

Test(server, garbage_and_half_requests_hinder_nobody)
{
    int half = dial();
    int silent = dial();

    cr_assert_gt(send(half, "GET /v1/no", 10, MSG_NOSIGNAL), 0);
    talk(dial(), "\x16\x03\x01 no HTTP at all\r\n\r\n", 22);
    done();
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
    close(half);
    close(silent);
    turn();
}

Test(server, a_client_that_is_gone_when_the_answer_comes_is_forgotten)
{
    static const char text[] = "GET /v1/services/" ID64 " HTTP/1.1\r\nHost: m\r\n\r\n";
    int fd = dial();

    world.host.later = true;
    cr_assert_gt(send(fd, text, strlen(text), MSG_NOSIGNAL), 0);
    for (int i = 0; i < 100 && world.host.asked_count == 0; i++) {
        struct pollfd poll_fd = {.fd = api_fd(world.api), .events = POLLIN};

        poll(&poll_fd, 1, 1);
        api_run(world.api);
    }
    cr_assert_eq(world.host.asked_count, 1);
    close(fd);
    for (int i = 0; i < 20; i++) {
        turn();
    }
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
}

Test(server, answers_that_nobody_waits_for_are_ignored)
{
    struct core_answer stray = {.token = API_TOKEN_BIT | 5};

    api_answer(world.api, &stray);
    stray.token = 5;
    api_answer(world.api, &stray);
    api_chunk_stored(world.api, 0, NULL, NULL);
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
}

Test(server, ending_with_requests_under_way_leaks_nothing)
{
    static const char text[] = "GET /v1/status HTTP/1.1\r\nHost: m\r\n\r\n";
    int fd = dial();

    world.host.later = true;
    cr_assert_gt(send(fd, text, strlen(text), MSG_NOSIGNAL), 0);
    for (int i = 0; i < 100 && world.host.asked_count == 0; i++) {
        struct pollfd poll_fd = {.fd = api_fd(world.api), .events = POLLIN};

        poll(&poll_fd, 1, 1);
        api_run(world.api);
    }
    cr_assert_gt(world.host.asked_count, 0);
    close(fd); /* tear_down ends the API with them */
}
