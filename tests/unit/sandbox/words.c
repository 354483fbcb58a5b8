// SPDX-License-Identifier: GPL-3.0-or-later
/* What a program of another execution environment may say, and what it is told. */
#include "sandbox/foreign/words.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_line(const char *line, struct said *said_out)
{
    struct err err = {0};

    return words_read(line, strlen(line), said_out, &err);
}

Test(words, each_kind_is_understood)
{
    struct said said;

    cr_assert_eq(read_line("{\"say\":\"ready\",\"version\":3}", &said), 0);
    cr_assert_eq(said.kind, SAID_READY);
    cr_assert_eq(read_line("{\"say\":\"started\",\"replica\":\"a-1-2\"}", &said), 0);
    cr_assert_eq(said.kind, SAID_STARTED);
    cr_assert_str_eq(said.id, "a-1-2");
    cr_assert_eq(read_line("{\"say\":\"ended\",\"replica\":\"a\",\"status\":3}", &said), 0);
    cr_assert_eq(said.end, SANDBOX_END_EXITED);
    cr_assert_eq(said.status, 3);
    cr_assert_eq(read_line("{\"say\":\"ended\",\"replica\":\"a\",\"end\":\"refused\","
                           "\"reason\":\"b\\u001b[1mc\"}",
                           &said),
                 0);
    cr_assert_eq(said.end, SANDBOX_END_REFUSED);
    cr_assert_str_eq(said.reason, "b?[1mc");
    cr_assert_eq(read_line("{\"say\":\"ended\",\"replica\":\"a\",\"status\":-9}", &said), 0);
    cr_assert_eq(said.end, SANDBOX_END_SIGNALLED);
    cr_assert_eq(said.status, 9);
    cr_assert_eq(read_line("{\"say\":\"probed\",\"replica\":\"a\",\"healthy\":true}", &said), 0);
    cr_assert(said.healthy);
    cr_assert_eq(read_line("{\"say\":\"stats\",\"replica\":\"a\",\"cpu_permille\":1,"
                           "\"memory_bytes\":2,\"disk_bytes\":3,\"pids\":4}",
                           &said),
                 0);
    cr_assert_eq(said.used.pid_count, 4);
    cr_assert_eq(read_line("{\"say\":\"stats\",\"replica\":\"a\",\"memory_bytes\":7}", &said), 0);
    cr_assert_eq(said.used.memory_bytes, 7);
    cr_assert_eq(said.used.pid_count, 0, "what it does not say it does not know");
    cr_assert_eq(read_line("{\"say\":\"of a later version\"}", &said), 0);
    cr_assert_eq(said.kind, SAID_NOTHING);
}

Test(words, what_has_no_meaning_is_refused)
{
    static const char *const lines[] = {
        "",
        "7",
        "[]",
        "{}",
        "{\"say\":7}",
        "{\"say\":\"ready\",\"version\":2}",
        "{\"say\":\"started\"}",
        "{\"say\":\"started\",\"replica\":{}}",
        "{\"say\":\"ended\",\"replica\":\"a\",\"end\":\"well\"}",
        "{\"say\":\"ended\",\"replica\":\"a\",\"end\":7}",
        "{\"say\":\"ended\",\"replica\":\"a\",\"end\":\"exited\",\"status\":0}",
        "{\"say\":\"ended\",\"replica\":\"a\"}",
        "{\"say\":\"ended\",\"replica\":\"a\",\"status\":256}",
        "{\"say\":\"ended\",\"replica\":\"a\",\"status\":-65}",
        "{\"say\":\"ended\",\"replica\":\"a\",\"status\":1.5}",
        "{\"say\":\"probed\",\"replica\":\"a\",\"healthy\":1}",
        "{\"say\":\"stats\",\"replica\":\"a\",\"cpu_permille\":-1}",
        "{\"say\":\"stats\",\"replica\":\"a\",\"pids\":\"7\"}",
        "{\"say\":\"started\",\"replica\":\"a\",\"replica\":\"b\"}",
        "{\"say\":\"started\",\"replica\":\"a\"} and more",
    };
    struct said said;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        cr_assert_eq(read_line(lines[i], &said), -EBADMSG, "%s", lines[i]);
    }
}

Test(words, a_replica_s_name_has_a_longest_length)
{
    char line[256];
    char id[WORDS_ID_BYTES + 1];
    struct said said;

    memset(id, 'a', sizeof(id));
    id[WORDS_ID_BYTES - 1] = '\0';
    snprintf(line, sizeof(line), "{\"say\":\"started\",\"replica\":\"%s\"}", id);
    cr_assert_eq(read_line(line, &said), 0);
    id[WORDS_ID_BYTES - 1] = 'a';
    id[WORDS_ID_BYTES] = '\0';
    snprintf(line, sizeof(line), "{\"say\":\"started\",\"replica\":\"%s\"}", id);
    cr_assert_eq(read_line(line, &said), -EBADMSG);
}

Test(words, a_start_says_all_that_is_asked)
{
    struct sandbox_spec spec = {.key = {.slot = 2, .incarnation = 3},
                                .argument_count = 2,
                                .arguments = "/bin/wiki\0--fast",
                                .environment_count = 3,
                                .environment = "A=b c\0EMPTY=\0TWO=x=y",
                                .workdir = "/",
                                .user = 65534,
                                .limits = {500, 1 << 20, 2 << 20, 32},
                                .port_count = 1,
                                .ports = {{.container_port = 8080, .host_port = 31007}},
                                .hostname = "wiki-2"};
    char *line = words_start(&spec, "/trees/x", "/run/x.out");

    cr_assert_not_null(line);
    cr_assert_not_null(strstr(line, "\"command\":[\"/bin/wiki\",\"--fast\"]"));
    cr_assert_not_null(strstr(line, "\"env\":{\"A\":\"b c\",\"EMPTY\":\"\",\"TWO\":\"x=y\"}"));
    cr_assert_not_null(strstr(line, "\"tree\":\"/trees/x\",\"output\":\"/run/x.out\""));
    cr_assert_not_null(
        strstr(line, "\"ports\":[{\"container\":8080,\"protocol\":\"tcp\",\"host\":31007}]"));
    cr_assert_not_null(strstr(line, "\"memory_bytes\":1048576"));
    cr_assert_not_null(strstr(line, "-2-3\""));
    free(line);
}

/* None is left out, which would start something else than what was signed. */
Test(words, a_start_with_a_word_that_is_no_text_is_not_said)
{
    const struct sandbox_spec fine = {.argument_count = 2,
                                      .arguments = "/bin/wiki\0--fast",
                                      .environment_count = 1,
                                      .environment = "A=b",
                                      .workdir = "/w",
                                      .health = {.argument_count = 1, .arguments = "/bin/ask"},
                                      .hostname = "wiki-2"};
    char *line = words_start(&fine, "/trees/x", "/run/x.out");

    cr_assert_not_null(line);
    free(line);
#define UNSAID(place)                                                         \
    do {                                                                      \
        struct sandbox_spec spec = fine;                                      \
        place = '\xff';                                                       \
        cr_expect_null(words_start(&spec, "/trees/x", "/run/x.out"), #place); \
    } while (0)
    UNSAID(spec.arguments[12]);
    UNSAID(spec.environment[0]);
    UNSAID(spec.environment[2]);
    UNSAID(spec.workdir[1]);
    UNSAID(spec.health.arguments[1]);
}

Test(words, a_signal_and_a_probe_name_the_replica_and_what_is_asked)
{
    const struct replica_key key = {.slot = 2, .incarnation = 3};
    const struct sandbox_health by_command = {
        .argument_count = 2, .arguments = "/bin/ask\0--twice", .timeout_ms = 1500};
    const struct sandbox_health by_port = {.container_port = 8080, .http_path = "/well"};
    char *line = words_signal(&key, 15);

    cr_assert_not_null(line);
    cr_assert_not_null(strstr(line, "{\"do\":\"signal\",\"replica\""));
    cr_assert_not_null(strstr(line, "-2-3\",\"signal\":15"));
    free(line);
    line = words_probe(&key, &by_command);
    cr_assert_not_null(line);
    cr_assert_not_null(strstr(line, "\"command\":[\"/bin/ask\",\"--twice\"]"));
    cr_assert_not_null(strstr(line, "\"timeout_ms\":1500"));
    free(line);
    line = words_probe(&key, &by_port);
    cr_assert_not_null(line);
    cr_assert_not_null(strstr(line, "\"command\":[],\"container\":8080,\"http\":\"/well\""));
    free(line);
}
