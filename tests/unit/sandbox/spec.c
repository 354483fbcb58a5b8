// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/spec.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

static struct sandbox_spec sample(void)
{
    struct sandbox_spec spec;

    memset(&spec, 0, sizeof(spec));
    spec.key = (struct replica_key){.service = {{{1}}}, .slot = 2, .incarnation = 3};
    spec.tree.id.bytes[31] = 9;
    spec.argument_count = 3;
    memcpy(spec.arguments, "/bin/wiki\0--listen\0", sizeof("/bin/wiki\0--listen\0"));
    spec.environment_count = 2;
    memcpy(spec.environment, "A=1\0B=", sizeof("A=1\0B="));
    memcpy(spec.workdir, "/srv", sizeof("/srv"));
    spec.user = 65534;
    spec.limits = (struct sandbox_limits){100, 64 << 20, 64 << 20, 64};
    spec.port_count = 2;
    spec.ports[0] = (struct sandbox_port){8080, 31000, SANDBOX_TCP};
    spec.ports[1] = (struct sandbox_port){8081, 31001, SANDBOX_UDP};
    spec.connections_max = 77;
    spec.egress = true;
    spec.health = (struct sandbox_health){.container_port = 8080,
                                          .http_path = "/healthz",
                                          .interval_ms = 5000,
                                          .timeout_ms = 2000,
                                          .failures_max = 3,
                                          .grace_ms = 10000};
    spec.stop_signal = 15;
    spec.stop_grace_ms = 5000;
    spec.logs_bytes = 8 << 20;
    memcpy(spec.hostname, "wiki-2", sizeof("wiki-2"));
    return spec;
}

Test(spec, a_health_command_travels_and_must_be_an_absolute_path)
{
    struct sandbox_spec spec = sample();
    struct sandbox_spec decoded;
    uint8_t data[SPEC_BYTES_MAX];
    size_t length_bytes = 0;

    spec.health.container_port = 0;
    spec.health.http_path[0] = '\0';
    memset(spec.health.http_path, 0, sizeof(spec.health.http_path));
    spec.health.argument_count = 2;
    memcpy(spec.health.arguments, "/bin/check\0--deep", sizeof("/bin/check\0--deep"));
    cr_assert_eq(spec_encode(&spec, data, sizeof(data), &length_bytes), 0);
    cr_assert_eq(spec_decode((struct bytes){data, length_bytes}, &decoded), 0);
    cr_assert_eq(memcmp(&decoded.health, &spec.health, sizeof(spec.health)), 0);
    spec.health.arguments[0] = 'x';
    cr_assert_not_null(spec_problem(&spec));
}

Test(spec, what_is_encoded_is_decoded_again)
{
    struct sandbox_spec spec = sample();
    struct sandbox_spec decoded;
    uint8_t data[SPEC_BYTES_MAX];
    size_t length_bytes = 0;

    cr_assert_null(spec_problem(&spec));
    cr_assert_eq(spec_encode(&spec, data, sizeof(data), &length_bytes), 0);
    cr_assert_eq(spec_decode((struct bytes){data, length_bytes}, &decoded), 0);
    cr_assert_eq(decoded.argument_count, 3);
    cr_assert_arr_eq(decoded.arguments, spec.arguments, sizeof(spec.arguments));
    cr_assert_arr_eq(decoded.environment, spec.environment, sizeof(spec.environment));
    cr_assert_eq(decoded.ports[1].host_port, 31001);
    cr_assert_eq(decoded.ports[1].protocol, SANDBOX_UDP);
    cr_assert_eq(decoded.connections_max, 77);
    cr_assert(decoded.egress);
    cr_assert_str_eq(decoded.health.http_path, "/healthz");
    cr_assert_str_eq(decoded.hostname, "wiki-2");
    cr_assert_eq(decoded.limits.memory_bytes, 64 << 20);
}

Test(spec, every_truncation_and_every_addition_is_refused)
{
    struct sandbox_spec spec = sample();
    struct sandbox_spec decoded;
    uint8_t data[SPEC_BYTES_MAX] = {0};
    size_t length_bytes = 0;

    cr_assert_eq(spec_encode(&spec, data, sizeof(data), &length_bytes), 0);
    for (size_t cut = 0; cut < length_bytes; cut++) {
        cr_assert_lt(spec_decode((struct bytes){data, cut}, &decoded), 0, "cut at %zu", cut);
    }
    cr_assert_eq(spec_decode((struct bytes){data, length_bytes + 1}, &decoded), -EBADMSG);
}

Test(spec, too_little_room_is_an_error)
{
    struct sandbox_spec spec = sample();
    uint8_t data[SPEC_BYTES_MAX];
    size_t length_bytes = 0;

    cr_assert_eq(spec_encode(&spec, data, sizeof(data), &length_bytes), 0);
    cr_assert_eq(spec_encode(&spec, data, length_bytes - 1, &length_bytes), -ENOBUFS);
}

Test(spec, words_are_found_in_their_list)
{
    struct sandbox_spec spec = sample();
    char *words[ARGUMENTS_MAX + 1];

    spec_words(spec.arguments, spec.argument_count, words);
    cr_assert_str_eq(words[0], "/bin/wiki");
    cr_assert_str_eq(words[1], "--listen");
    cr_assert_str_eq(words[2], "");
    cr_assert_null(words[3]);
}

Test(spec, the_largest_spec_fits)
{
    struct sandbox_spec spec = sample();
    uint8_t data[SPEC_BYTES_MAX];
    size_t length_bytes = 0;

    memset(spec.arguments, 'a', sizeof(spec.arguments) - 1);
    spec.argument_count = 1;
    memset(spec.environment, 'e', sizeof(spec.environment) - 1);
    spec.environment[1] = '=';
    spec.environment_count = 1;
    memset(spec.workdir, '/', sizeof(spec.workdir) - 1);
    memset(spec.hostname, 'h', sizeof(spec.hostname) - 1);
    memset(spec.health.http_path, '/', sizeof(spec.health.http_path) - 1);
    cr_assert_eq(spec_encode(&spec, data, sizeof(data), &length_bytes), 0);
}

Test(spec, what_was_started_with_larger_logs_is_read)
{
    struct sandbox_spec spec = sample();
    struct sandbox_spec out;
    uint8_t data[SPEC_BYTES_MAX];
    size_t length_bytes;

    spec.logs_bytes = 0x123456;
    uint64_t on_wire = htobe64(spec.logs_bytes);
    cr_assert_eq(spec_encode(&spec, data, sizeof(data), &length_bytes), 0);
    uint8_t *logs_bytes = memmem(data, length_bytes, &on_wire, sizeof(on_wire));
    cr_assert_not_null(logs_bytes);
    memset(logs_bytes, 0x7f, sizeof(on_wire));
    cr_assert_eq(spec_decode((struct bytes){data, length_bytes}, &out), 0);
    cr_assert_eq(out.logs_bytes, SPEC_LOGS_BYTES_MAX);
}

#define REFUSES(change)                                         \
    do {                                                        \
        struct sandbox_spec spec = sample();                    \
        change;                                                 \
        cr_expect_not_null(spec_problem(&spec), "%s", #change); \
    } while (0)

Test(spec, each_bound_is_held)
{
    REFUSES(spec.key.slot = 0);
    REFUSES(spec.key.incarnation = 0);
    REFUSES(spec.argument_count = 0);
    REFUSES(spec.argument_count = ARGUMENTS_MAX + 1);
    REFUSES(spec.argument_count = 2; spec.arguments[20] = 'x');
    REFUSES(spec.arguments[0] = '\0');
    REFUSES(memset(spec.arguments, 'a', sizeof(spec.arguments)));
    REFUSES(spec.environment_count = 1);
    REFUSES(spec.environment[0] = '=');
    REFUSES(spec.environment[1] = 'x');
    REFUSES(spec.environment[4] = 'A');
    REFUSES(memset(spec.environment, 'a', sizeof(spec.environment)));
    REFUSES(spec.workdir[0] = 's');
    REFUSES(memset(spec.workdir, '/', sizeof(spec.workdir)));
    REFUSES(spec.user = 65535);
    REFUSES(spec.limits.cpu_permille = 0);
    REFUSES(spec.limits.memory_bytes = UINT64_MAX);
    REFUSES(spec.limits.disk_bytes = 0);
    REFUSES(spec.limits.pid_count = 0);
    REFUSES(spec.port_count = PORTS_PER_SERVICE_MAX + 1);
    REFUSES(spec.ports[0].host_port = 0);
    REFUSES(spec.ports[0].protocol = (enum sandbox_protocol)(SANDBOX_MEMBERS_UDP + 1));
    REFUSES(spec.ports[1].protocol = SANDBOX_TCP; spec.ports[1].container_port = 8080);
    REFUSES(spec.ports[1].protocol = SANDBOX_TCP; spec.ports[1].host_port = 31000);
    REFUSES(spec.ports[1].protocol = SANDBOX_MEMBERS_UDP; spec.ports[1].host_port = 31000);
    REFUSES(spec.ports[0].protocol = SANDBOX_MEMBERS_UDP;
            spec.ports[1].container_port = spec.ports[0].container_port);
    REFUSES(spec.connections_max = CONNECTIONS_PER_PORT_MAX + 1);
    REFUSES(spec.health.http_path[0] = 'x');
    REFUSES(spec.health.http_path[3] = '\n');
    REFUSES(spec.health.http_path[3] = ' ');
    REFUSES(spec.health.argument_count = 1);
    REFUSES(memcpy(spec.health.arguments, "/bin/a", 7));
    REFUSES(spec.health.argument_count = 1; memcpy(spec.health.arguments, "/bin/a", 7));
    REFUSES(spec.health.interval_ms = 0);
    REFUSES(spec.health.failures_max = 0);
    REFUSES(spec.health.grace_ms = SPEC_HEALTH_MS_MAX + 1);
    REFUSES(spec.stop_signal = 0);
    REFUSES(spec.stop_signal = 32);
    REFUSES(spec.stop_grace_ms = SPEC_STOP_GRACE_MS_MAX + 1);
    REFUSES(spec.logs_bytes = SPEC_LOGS_BYTES_MIN - 1);
    REFUSES(spec.logs_bytes = SPEC_LOGS_BYTES_MAX + 1);
    REFUSES(spec.hostname[0] = '\0');
    REFUSES(spec.hostname[0] = '-');
    REFUSES(spec.hostname[1] = '.');
}
