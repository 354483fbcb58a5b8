// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The API over a real unix socket, with a made-up host. One thread turns client and server. For
 * the programs that test the server; each includes it once.
 */
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

enum { ASKED_MAX = 32768, STEPS_MAX = 20000, ANSWER_BYTES_MAX = 32 << 20, GROUP = 700 };

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
    bool is_freezing;
    enum overlay_outcome outcome;
    char reason[REASON_CHARS_MAX + 1]; /* with an outcome that is not OK */
    uint32_t slot_count;
    uint64_t now_ms;
    struct public_key key;
    /* Fills the answer instead of us, from a list of 8 that lasts. */
    void (*liar)(const struct core_request *request, struct core_answer *answer,
                 struct service_status *list);
    uint32_t asked_count;
    uint32_t answered_count;
    struct asked asked[ASKED_MAX];
};

/* Two have ended: slot 3 on "elm", and slot 2 that had no node any more. */
static inline void history_fill(struct service_status *status)
{
    status->replica_count = 2;
    status->replicas[0] = (struct replica_status){.slot = 3,
                                                  .incarnation = 4,
                                                  .placed = true,
                                                  .node = the_core.members[1].node,
                                                  .node_name = "elm",
                                                  .state = REPLICA_FAILED,
                                                  .reason = "its node is down",
                                                  .restart_count = 2};
    status->replicas[1] = (struct replica_status){.slot = 2, .incarnation = 1};
}

static inline struct service_status status_of(const struct core_request *request,
                                              const struct host *host)
{
    struct service_status status = {.service = request->service,
                                    .name = "wiki",
                                    .version = 1,
                                    .sequence = 4,
                                    .state = SERVICE_ACTIVE,
                                    .wanted_count = host->slot_count,
                                    .running_count = host->slot_count,
                                    .epoch_generation = 7,
                                    .manager = request->node,
                                    .slot_count = host->slot_count};
    uint32_t first = request->slot == 0 ? 1 : request->slot;

    if (request->kind == CORE_SERVICES) {
        status.service = keys_service_id(&status.owner_key, status.name);
    }
    if (request->history) {
        history_fill(&status);
        return status;
    }
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

static inline void answer_one(struct host *host, const struct asked *asked)
{
    struct core_answer answer = {.token = asked->request.token, .outcome = host->outcome};
    struct service_status status = status_of(&asked->request, host);

    host->answered_count++;
    (void)strcpy(answer.reason, host->reason);
    answer.status = &status;
    answer.status_count = 1;
    answer.is_new = true;
    answer.copies = host->answered_count % 3 == 0 ? 3 : 2;
    answer.record = bytes_of_text("signed");
    answer.data = bytes_of_text("hello\n");
    answer.data_offset_bytes = asked->request.offset_bytes;
    /* Of two managers of one service the higher epoch counts. */
    if (asked->request.kind == CORE_SERVICES &&
        id_equal(&asked->request.node.id, &the_core.members[1].node.id)) {
        status.epoch_generation = 9;
        status.state = SERVICE_DEGRADED;
    }
    if (host->liar != NULL) {
        static struct service_status list[SERVICES_PAGE_MAX];

        host->liar(&asked->request, &answer, list);
    }
    api_answer(host->api, &answer);
}

static inline void add(struct host *host, const struct asked *asked)
{
    cr_assert_lt(host->asked_count, ASKED_MAX);
    host->asked[host->asked_count++] = *asked;
    if (!host->later) {
        answer_one(host, asked);
    }
}

static inline void on_request(void *self, const struct core_request *request)
{
    cr_assert((request->token & API_TOKEN_BIT) != 0);
    add(self, &(struct asked){.request = *request});
}

static inline void on_chunk(void *self, const struct core_request *request, struct bytes bytes)
{
    cr_assert((request->token & API_TOKEN_BIT) != 0);
    cr_assert_eq(request->kind, CORE_PUT_CHUNK);
    add(self, &(struct asked){.request = *request,
                              .is_chunk = true,
                              .chunk_bytes = bytes.length_bytes,
                              .first_byte = bytes.data[0]});
}

static inline const struct core *get_core(void *self)
{
    (void)self;
    return &the_core;
}

static bool get_freezing(void *self)
{
    return ((struct host *)self)->is_freezing;
}

static uint64_t get_now(void *self)
{
    return ((struct host *)self)->now_ms;
}

static inline const struct public_key *get_key(void *self)
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

static inline struct signature sign(void *self, struct bytes request)
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

static inline void set_up(void)
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
    world.host.now_ms = 1000000;
    config.host = (struct api_host){.self = &world.host,
                                    .request = on_request,
                                    .push_chunk = on_chunk,
                                    .core = get_core,
                                    .now_ms = get_now,
                                    .node_key = get_key,
                                    .is_freezing = get_freezing,
                                    .contacts = get_contacts,
                                    .sign_admission = sign};
    cr_assert_eq(api_new(&config, &world.api, &err), 0);
    world.host.api = world.api;
}

static inline void tear_down(void)
{
    api_free(world.api);
    unlink(world.address.sun_path);
    rmdir(world.folder);
}

static inline int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&world.address, sizeof(world.address)), 0);
    return fd;
}

/* The loop of mingad, once. */
static inline void turn(void)
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

static inline void receive_some(int fd, bool *open)
{
    ssize_t count = recv(fd, answer.bytes + answer.length, ANSWER_BYTES_MAX - 1 - answer.length, 0);

    if (count > 0) {
        answer.length += (size_t)count;
    } else if (count == 0 || errno != EAGAIN) {
        *open = false;
    }
}

/* Sends all bytes and takes what comes back until the server closes. */
static inline void talk(int fd, const void *data, size_t length)
{
    bool open = true;
    size_t sent = 0;

    answer.length = 0;
    for (int i = 0; i < STEPS_MAX && open; i++) {
        ssize_t count =
            sent < length ? send(fd, (const char *)data + sent, length - sent, MSG_NOSIGNAL) : 0;

        sent += count > 0 ? (size_t)count : 0;
        turn();
        receive_some(fd, &open);
    }
    close(fd);
    cr_assert(!open, "the server did not end the connection");
    answer.bytes[answer.length] = '\0';
    answer.status = 0;
    sscanf(answer.bytes, "HTTP/1.1 %d", &answer.status);
    answer.body = strstr(answer.bytes, "\r\n\r\n");
    answer.body = answer.body != NULL ? answer.body + 4 : "";
    answer.json = json_loads(answer.body, 0, NULL);
}

static inline void request(const char *method, const char *path, const void *body, size_t length)
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

static inline void get(const char *path)
{
    request("GET", path, "", 0);
}

static inline const char *error_why(void)
{
    const char *why =
        json_string_value(json_object_get(json_object_get(answer.json, "error"), "why"));

    return why != NULL ? why : "";
}

static inline void done(void)
{
    json_decref(answer.json);
    answer.json = NULL;
}
