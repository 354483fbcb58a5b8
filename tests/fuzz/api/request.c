// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Whatever comes over the control socket. The bytes are one connection's; a host that answers at
 * once stands behind the API. The first byte says what it answers.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/api/api.h"
#include "tests/unit/api/fake_core.h"

enum { TURNS_MAX = 8 };

static struct api *api;
static enum overlay_outcome outcome;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_bytes;

static void on_request(void *self, const struct core_request *request)
{
    struct service_status status = {.service = request->service, .name = "wiki"};
    struct core_answer answer = {.token = request->token, .outcome = outcome};

    (void)self;
    answer.status = &status;
    answer.status_count = 1;
    answer.record = request->signed_bytes;
    api_answer(api, &answer);
}

static void on_chunk(void *self, const struct core_request *request, struct bytes bytes)
{
    struct core_answer answer = {.token = request->token, .outcome = outcome};

    (void)self;
    answer.is_new = bytes.data[bytes.length_bytes - 1] % 2 == 1;
    api_answer(api, &answer);
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
    (void)self;
    return &the_core.members[0].key;
}

static uint32_t get_contacts(void *self, struct overlay_peer *peers_out, uint32_t count_max)
{
    (void)self;
    (void)peers_out;
    (void)count_max;
    return 0;
}

static struct signature sign(void *self, struct bytes request)
{
    struct secret_key secret;
    uint8_t seed[KEY_SEED_BYTES] = {1};

    (void)self;
    keys_from_seed(seed, &secret);
    return keys_sign(&secret, "minga fuzz", request);
}

static void set_up(void)
{
    struct api_config config = {
        .group = (gid_t)-1,
        .host = {NULL, on_request, on_chunk, get_core, get_now, get_key, get_contacts, sign, NULL}};
    struct err err;

    fake_core_init();
    config.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* An abstract name: nothing stays behind. */
    address_bytes =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                    (size_t)snprintf(address.sun_path + 1, 64, "minga-fuzz-%d", (int)getpid()));
    if (bind(config.listen_fd, (struct sockaddr *)&address, address_bytes) < 0 ||
        listen(config.listen_fd, 8) < 0 || api_new(&config, &api, &err) < 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char ignored[4096];
    int fd;

    if (api == NULL) {
        set_up();
    }
    if (length < 1) {
        return 0;
    }
    outcome = (enum overlay_outcome)(data[0] % (OVERLAY_FAILED + 1));
    the_core.belongs = (data[0] & 0x40) == 0;
    the_core.has_chunks = (data[0] & 0x80) != 0;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&address, address_bytes) == 0) {
        (void)!send(fd, data + 1, length - 1, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        for (int i = 0; i < TURNS_MAX; i++) {
            api_run(api);
            (void)!recv(fd, ignored, sizeof(ignored), 0);
        }
    }
    close(fd);
    api_run(api);
    return 0;
}
