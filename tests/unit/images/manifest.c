// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/manifest.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"

static int parse(const char *text, struct manifest *manifest_out, struct err *err)
{
    memset(err, 0, sizeof(*err));
    return manifest_parse(bytes_of_text(text), "service.yaml", manifest_out, err);
}

/* name and command on two lines, then `rest` on the third. */
static int parse_rest(const char *rest, struct manifest *manifest_out, struct err *err)
{
    char text[16384];

    snprintf(text, sizeof(text), "name: wiki\ncommand: [/bin/wiki]\n%s\n", rest);
    return parse(text, manifest_out, err);
}

static void assert_error(const char *text, const char *expected)
{
    struct manifest manifest;
    struct err err;

    cr_assert_eq(parse(text, &manifest, &err), -EINVAL, "accepted: %s", text);
    cr_assert_str_eq(err.text, expected);
}

static void assert_round_trip(const struct manifest *manifest)
{
    uint8_t first[MANIFEST_BYTES_MAX];
    uint8_t second[MANIFEST_BYTES_MAX];
    struct manifest decoded;
    int first_bytes = manifest_encode(manifest, first);

    cr_assert_gt(first_bytes, 0);
    cr_assert_eq(manifest_decode((struct bytes){first, (size_t)first_bytes}, &decoded), 0);
    cr_assert_eq(manifest_encode(&decoded, second), first_bytes);
    cr_assert_arr_eq(first, second, (size_t)first_bytes);
    cr_assert_eq(decoded.health_interval_ms, manifest->health_interval_ms);
}

Test(manifest, the_shortest_one_has_all_defaults)
{
    struct manifest manifest;
    struct err err;

    cr_assert_eq(parse_rest("", &manifest, &err), 0, "%s", err.text);
    cr_assert_str_eq(manifest.name, "wiki");
    cr_assert_eq(manifest.command.count, 1);
    cr_assert_str_eq(manifest_word(&manifest.command, 0), "/bin/wiki");
    cr_assert_str_eq(manifest.workdir, "/");
    cr_assert_eq(manifest.user, 65534);
    cr_assert_eq(manifest.environment.count, 0);
    cr_assert_eq(manifest.replica_count, 1);
    cr_assert_eq(manifest.spread, MANIFEST_SPREAD_ZONE);
    cr_assert_eq(manifest.restart, MANIFEST_RESTART_ALWAYS);
    cr_assert_eq(manifest.cpu_permille, 100);
    cr_assert_eq(manifest.memory_bytes, 64U << 20);
    cr_assert_eq(manifest.disk_bytes, 64U << 20);
    cr_assert_eq(manifest.pid_count, 64);
    cr_assert_eq(manifest.arch_count, 0);
    cr_assert_eq(manifest.port_count, 0);
    cr_assert(!manifest.has_health);
    cr_assert_eq(manifest.stop_signal, SIGTERM);
    cr_assert_eq(manifest.stop_grace_ms, 5000);
    cr_assert_eq(manifest.logs_bytes, 8U << 20);
    assert_round_trip(&manifest);
}

static const char everything[] =
    "name: wiki\n"
    "command: [/usr/bin/wiki, --listen, \"8080\"]\n"
    "workdir: /srv\n"
    "user: 0\n"
    "env: [WIKI_TITLE=Allotment, EMPTY=]\n"
    "replicas: 3\n"
    "spread: node\n"
    "instances: at-least\n"
    "restart: on-failure\n"
    "resources: {cpu: 0.5, memory: 128M, disk: 1G, pids: 7}\n"
    "requires: {arch: [amd64, arm64], labels: [ssd, room=lab3]}\n"
    "ports:\n"
    "  - {name: http, container: 8080, protocol: tcp}\n"
    "  - name: admin\n"
    "    container: 9000\n"
    "    visibility: public\n"
    "  - {name: dns, container: 9000, protocol: udp}\n"
    "  - {name: club, container: 9001, visibility: members}\n"
    "  - {name: voice, container: 9001, protocol: udp, visibility: members}\n"
    "egress: internet\n"
    "health: {port: admin, http: /healthz, command: [], interval: 1s,"
    " timeout: 500ms, failures: 2, grace: 0}\n"
    "stop: {signal: INT, grace: 2s}\n"
    "logs: 1M\n"
    "state: {mode: none}\n";

Test(manifest, every_key_reaches_its_field)
{
    struct manifest manifest;
    struct err err;

    cr_assert_eq(parse(everything, &manifest, &err), 0, "%s", err.text);
    cr_assert_eq(manifest.command.count, 3);
    cr_assert_str_eq(manifest_word(&manifest.command, 2), "8080");
    cr_assert_str_eq(manifest.workdir, "/srv");
    cr_assert_eq(manifest.user, 0);
    cr_assert_str_eq(manifest_word(&manifest.environment, 1), "EMPTY=");
    cr_assert_eq(manifest.replica_count, 3);
    cr_assert_eq(manifest.spread, MANIFEST_SPREAD_NODE);
    cr_assert_eq(manifest.restart, MANIFEST_RESTART_ON_FAILURE);
    cr_assert_eq(manifest.cpu_permille, 500);
    cr_assert_eq(manifest.memory_bytes, 128U << 20);
    cr_assert_eq(manifest.disk_bytes, 1U << 30);
    cr_assert_eq(manifest.pid_count, 7);
    cr_assert_eq(manifest.arch_count, 2);
    cr_assert_eq(manifest.archs[1], MANIFEST_ARCH_ARM64);
    cr_assert_eq(manifest.label_count, 2);
    cr_assert_str_eq(manifest.labels[1], "room=lab3");
    cr_assert_eq(manifest.port_count, 5);
    cr_assert_str_eq(manifest.ports[1].name, "admin");
    cr_assert_eq(manifest.ports[1].container_port, 9000);
    cr_assert_eq(manifest.ports[1].protocol, MANIFEST_TCP);
    cr_assert_eq(manifest.ports[2].container_port, 9000);
    cr_assert_eq(manifest.ports[2].protocol, MANIFEST_UDP);
    cr_assert_eq(manifest.ports[2].visibility, MANIFEST_PUBLIC);
    cr_assert_eq(manifest.ports[3].protocol, MANIFEST_TCP);
    cr_assert_eq(manifest.ports[3].visibility, MANIFEST_MEMBERS);
    cr_assert_eq(manifest.ports[4].protocol, MANIFEST_UDP);
    cr_assert_eq(manifest.ports[4].visibility, MANIFEST_MEMBERS);
    cr_assert_eq(manifest.egress, MANIFEST_EGRESS_INTERNET);
    cr_assert(manifest.has_health);
    cr_assert_eq(manifest.health_port, 1);
    cr_assert_str_eq(manifest.health_http, "/healthz");
    cr_assert_eq(manifest.health_timeout_ms, 500);
    cr_assert_eq(manifest.health_failures_max, 2);
    cr_assert_eq(manifest.health_grace_ms, 0);
    cr_assert_eq(manifest.stop_signal, SIGINT);
    cr_assert_eq(manifest.stop_grace_ms, 2000);
    cr_assert_eq(manifest.logs_bytes, 1U << 20);
    assert_round_trip(&manifest);
}

static const struct bound {
    const char *text; /* %s is the value */
    const char *lowest;
    const char *below; /* NULL: nothing is */
    const char *highest;
    const char *above;
} bounds[] = {
    {"user: %s", "0", NULL, "65534", "65535"},
    {"replicas: %s", "1", "0", "32", "33"},
    {"resources: {cpu: %s}", "0.01", "0.009", "1024", "1024.001"},
    {"resources: {memory: %s}", "4M", "4194303", "1T", "2T"},
    {"resources: {disk: %s}", "1M", "1048575", "16T", "17T"},
    {"resources: {pids: %s}", "1", "0", "32768", "32769"},
    {"ports: [{name: a, container: %s}]", "1", "0", "65535", "65536"},
    {"ports: [{name: a, container: 1}]\nhealth: {port: a, timeout: 10ms, interval: %s}", "100ms",
     "99ms", "1h", "3600001ms"},
    {"ports: [{name: a, container: 1}]\nhealth: {port: a, interval: 1h, timeout: %s}", "10ms",
     "9ms", "1m", "60001ms"},
    {"ports: [{name: a, container: 1}]\nhealth: {port: a, failures: %s}", "1", "0", "100", "101"},
    {"ports: [{name: a, container: 1}]\nhealth: {port: a, grace: %s}", "0", NULL, "1h", "61m"},
    {"stop: {grace: %s}", "0", NULL, "10m", "601s"},
    {"logs: %s", "16K", "16383", "64M", "67108865"},
};

static int parse_bound(const char *format, const char *value, struct manifest *manifest_out,
                       struct err *err)
{
    const char *place = strstr(format, "%s");
    char text[256];

    snprintf(text, sizeof(text), "%.*s%s%s", (int)(place - format), format, value, place + 2);
    return parse_rest(text, manifest_out, err);
}

Test(manifest, numbers_are_taken_up_to_their_bounds_and_not_beyond)
{
    struct manifest manifest;
    struct err err;

    for (size_t i = 0; i < ARRAY_COUNT(bounds); i++) {
        const struct bound *bound = &bounds[i];

        cr_assert_eq(parse_bound(bound->text, bound->lowest, &manifest, &err), 0, "%s", err.text);
        assert_round_trip(&manifest);
        cr_assert_eq(parse_bound(bound->text, bound->highest, &manifest, &err), 0, "%s", err.text);
        assert_round_trip(&manifest);
        cr_assert_eq(parse_bound(bound->text, bound->above, &manifest, &err), -EINVAL, "%s: %s",
                     bound->text, bound->above);
        cr_assert_neq(strstr(err.text, "expected at most"), NULL, "%s", err.text);
        if (bound->below != NULL) {
            cr_assert_eq(parse_bound(bound->text, bound->below, &manifest, &err), -EINVAL);
            cr_assert_neq(strstr(err.text, "expected at least"), NULL, "%s", err.text);
        }
    }
}

static const struct {
    const char *rest;
    const char *expected;
} wrong[] = {
    {"resources:\n  memory: 12 bananas",
     "service.yaml:4:11: resources.memory: expected a size like 128M, got \"12 bananas\""},
    {"replica: 3", "service.yaml:3:1: unknown key \"replica\"; did you mean \"replicas\"?"},
    {"memory: 3", "service.yaml:3:1: unknown key \"memory\"; did you mean \"resources.memory\"?"},
    {"colour: red", "service.yaml:3:1: unknown key \"colour\""},
    {"user: 1\nuser: 2", "service.yaml:4:1: user: key is repeated"},
    {"resources: {cpu: 1, cpu: 2}", "service.yaml:3:21: resources.cpu: key is repeated"},
    {"user: -1", "service.yaml:3:7: user: expected a whole number, got \"-1\""},
    {"user: [1]", "service.yaml:3:7: user: expected a single value"},
    {"resources: 5", "service.yaml:3:12: resources: expected a mapping (key: value)"},
    {"env: A=1", "service.yaml:3:6: env: expected a list ([a, b])"},
    {"env: [{A: 1}]", "service.yaml:3:7: env: expected a single value"},
    {"ports: [http]", "service.yaml:3:9: ports: expected a mapping in each item"},
    {"env: [1A=2]",
     "service.yaml:3:7: env: expected NAME=value with letters, digits and _ in the name, got "
     "\"1A=2\""},
    {"env: [A=2, B=1, A=3]", "service.yaml:3:1: env: A is repeated"},
    {"spread: rack", "service.yaml:3:9: spread: expected zone or node, got \"rack\""},
    {"restart: no", "service.yaml:3:10: restart: expected always, on-failure or never, got \"no\""},
    {"user: 99999999999999999999999",
     "service.yaml:3:7: user: 99999999999999999999999 is too large"},
    {"stop: {grace: 5}", "service.yaml:3:15: stop.grace: expected a duration like 10s, got \"5\""},
    {"stop: {signal: TERMINATE}",
     "service.yaml:3:16: stop.signal: expected one of TERM, INT, HUP, QUIT, KILL, USR1, USR2, "
     "WINCH, got \"TERMINATE\""},
    {"workdir: srv", "service.yaml:3:10: workdir: expected an absolute path, got \"srv\""},
    {"workdir: /a/../b",
     "service.yaml:3:10: workdir: expected a path without \"..\", got \"/a/../b\""},
    {"workdir: \"\"", "service.yaml:3:10: workdir: must not be empty"},
    {"ports: [{name: a}]", "service.yaml:3:9: ports[].container: missing, and needed"},
    {"ports: [{name: a, container: 1}, {name: a, container: 2}]",
     "service.yaml:3:41: ports[].name: port a is repeated"},
    {"ports: [{name: a, container: 1}, {name: b, container: 1}]",
     "service.yaml:3:1: ports: port 1 is repeated"},
    {"ports: [{name: a, container: 1, protocol: udp}, {name: b, container: 1, protocol: udp}]",
     "service.yaml:3:1: ports: port 1 is repeated"},
    {"ports: [{name: a, container: 1, protocol: sctp}]",
     "service.yaml:3:43: ports[].protocol: expected tcp or udp, got \"sctp\""},
    {"egress: lan", "service.yaml:3:9: egress: expected none or internet, got \"lan\""},
    {"ports: [{name: a, container: 1, protocol: udp}]\nhealth: {port: a}",
     "service.yaml:4:16: health.port: a udp port cannot be asked: name a tcp port or a command"},
    {"health: {interval: 1s}", "service.yaml:3:1: health: needs \"port\" or \"command\""},
    {"ports: [{name: a, container: 1}]\nhealth: {port: a, command: [/bin/true]}",
     "service.yaml:4:19: health.command: either a port or a command, not both"},
    {"health: {command: [true]}", "service.yaml:3:10: health.command: expected an absolute path as "
                                  "its first word"},
    {"health: {command: [/bin/true], http: /x}",
     "service.yaml:3:10: health.command: too long, or beside a port or a path"},
    {"health: {command: [/bin/true], interval: 1s}",
     "service.yaml:3:42: health.interval: interval must not be shorter than timeout"},
    {"health: {command: [/bin/a, b, c, d, e, f, g, h, i]}",
     "service.yaml:3:49: health.command: at most 8 items"},
    {"health: {port: http}", "service.yaml:3:16: health.port: \"http\" names no port of \"ports\""},
    {"ports: [{name: a, container: 1}]\nhealth: {port: a, interval: 1s}",
     "service.yaml:4:29: health.interval: interval must not be shorter than timeout"},
    {"requires: {arch: [amd64, amd64]}", "service.yaml:3:12: requires.arch: amd64 is repeated"},
    {"requires: {arch: [any, amd64]}", "service.yaml:3:12: requires.arch: \"any\" stands alone"},
    {"requires: {labels: [a b]}", "service.yaml:3:21: requires.labels: expected a label of 1 to 31 "
                                  "letters, digits and . _ = -, got \"a b\""},
    {"resources: {disk: 4K}", "service.yaml:3:19: resources.disk: expected at least 1M, the "
                              "smallest ext4 file system"},
    {"env: &a [A=1]", "service.yaml:3:6: YAML anchors, aliases and tags are refused; quote a text "
                      "that begins with & * or !"},
    {"user: !!int 5", "service.yaml:3:7: YAML anchors, aliases and tags are refused; quote a text "
                      "that begins with & * or !"},
    {"user: *a", "service.yaml:3:7: YAML anchors, aliases and tags are refused; quote a text that "
                 "begins with & * or !"},
    {"---\nname: b", "service.yaml:3:1: a second document; one is expected"},
    {"? {a: b}\n: c", "service.yaml:3:3: expected a key, got a mapping"},
    {"env: [A=1", "service.yaml:4:1: did not find expected ',' or ']' while parsing a flow "
                  "sequence"},
};

Test(manifest, health_may_be_a_command_that_is_signed_with_the_rest)
{
    struct manifest manifest;
    struct manifest decoded;
    uint8_t canonical[MANIFEST_BYTES_MAX];
    struct err err;

    cr_assert_eq(parse_rest("health: {command: [/bin/check, --deep], grace: 1s}", &manifest, &err),
                 0, "%s", err.text);
    cr_assert(manifest.has_health);
    cr_assert_eq(manifest.health_command.count, 2);
    int length = manifest_encode(&manifest, canonical);
    cr_assert_gt(length, 0);
    cr_assert_eq(manifest_decode((struct bytes){canonical, (size_t)length}, &decoded), 0);
    cr_assert_eq(decoded.health_command.count, 2);
    cr_assert_str_eq(manifest_word(&decoded.health_command, 1), "--deep");
    cr_assert_eq(decoded.health_grace_ms, 1000);
}

Test(manifest, everything_wrong_is_told_with_line_and_column)
{
    struct manifest manifest;
    struct err err;

    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        cr_assert_eq(parse_rest(wrong[i].rest, &manifest, &err), -EINVAL, "%s", wrong[i].rest);
        cr_expect_str_eq(err.text, wrong[i].expected);
    }
}

static const struct {
    const char *rest;
    const char *expected;
} later[] = {
    {"availability: 99.9%", "service.yaml:3:15: availability is not available in 0.1"},
    {"schedule: [a]", "service.yaml:3:12: schedule is not available in 0.1"},
    {"instances: at-most", "service.yaml:3:12: instances: at-most is not available in 0.1"},
    {"state: {mode: snapshot}", "service.yaml:3:15: state.mode: snapshot is not available in 0.1"},
    {"ports: [{name: a, container: 1, protocol: udp, visibility: members}, {name: b, container: 1,"
     " protocol: udp}]",
     "service.yaml:3:1: ports: port 1 is repeated"},
};

Test(manifest, keys_of_later_versions_are_refused_by_name)
{
    struct manifest manifest;
    struct err err;

    for (size_t i = 0; i < ARRAY_COUNT(later); i++) {
        cr_assert_eq(parse_rest(later[i].rest, &manifest, &err), -EINVAL, "%s", later[i].rest);
        cr_expect_str_eq(err.text, later[i].expected);
    }
}

Test(manifest, files_that_are_no_manifest_are_refused)
{
    assert_error("", "service.yaml:1:1: the file is empty");
    assert_error("# nothing\n", "service.yaml:1:1: the file is empty");
    assert_error("---\n",
                 "service.yaml:2:1: expected keys and values (name: ...), got a single text");
    assert_error("[a]", "service.yaml:1:1: expected keys and values (name: ...), got a list");
    assert_error("name: wiki\n", "service.yaml:1:1: command: missing, and needed");
    assert_error("command: [/a]\n", "service.yaml:1:1: name: missing, and needed");
    assert_error("{}", "service.yaml:1:1: name: missing, and needed");
    assert_error("name: wiki\ncommand: []\n", "service.yaml:2:10: command: must not be empty");
    assert_error("name: wiki\ncommand: [wiki]\n",
                 "service.yaml:2:11: command: expected an absolute path, got \"wiki\"");
    assert_error("name: \"a\\0b\"\ncommand: [/a]\n",
                 "service.yaml:1:7: a text with a NUL or of more than 4096 bytes");
}

Test(manifest, names_have_1_to_32_small_letters_digits_and_inner_dashes)
{
    static const char *const fine[] = {"a", "0", "a-b", "a-", "abcdefghijabcdefghijabcdefghij12"};
    static const char *const faulty[] = {
        "-a", "A", "a_b", "a b", "\xc3\xa4", "\"\"", "abcdefghijabcdefghijabcdefghij123"};
    struct manifest manifest;
    struct err err;
    char text[128];

    for (size_t i = 0; i < ARRAY_COUNT(fine); i++) {
        snprintf(text, sizeof(text), "name: %s\ncommand: [/a]", fine[i]);
        cr_assert_eq(parse(text, &manifest, &err), 0, "%s", err.text);
    }
    for (size_t i = 0; i < ARRAY_COUNT(faulty); i++) {
        snprintf(text, sizeof(text), "name: %s\ncommand: [/a]", faulty[i]);
        cr_assert_eq(parse(text, &manifest, &err), -EINVAL, "%s", faulty[i]);
        cr_assert_eq(strncmp(err.text, "service.yaml:1:7: name: ", 24), 0, "%s", err.text);
    }
}

/* [/a, x, x, ...] */
static void list_text(char *text, size_t capacity_bytes, const char *word, uint32_t count)
{
    int used_bytes = snprintf(text, capacity_bytes, "name: a\ncommand: [/a");

    for (uint32_t i = 1; i < count; i++) {
        used_bytes +=
            snprintf(text + used_bytes, capacity_bytes - (size_t)used_bytes, ", %s", word);
    }
    snprintf(text + used_bytes, capacity_bytes - (size_t)used_bytes, "]\n");
}

Test(manifest, a_command_has_32_words_and_not_33)
{
    struct manifest manifest;
    struct err err;
    char text[4096];

    list_text(text, sizeof(text), "x", ARGUMENTS_MAX);
    cr_assert_eq(parse(text, &manifest, &err), 0, "%s", err.text);
    assert_round_trip(&manifest);
    list_text(text, sizeof(text), "x", ARGUMENTS_MAX + 1);
    cr_assert_eq(parse(text, &manifest, &err), -EINVAL);
}

Test(manifest, a_command_fills_1024_bytes_and_not_more)
{
    struct manifest manifest;
    struct err err;
    char word[2048] = {0};
    char text[4096];

    memset(word, 'x', COMMAND_BYTES_MAX - 3 - 1);
    list_text(text, sizeof(text), word, 2);
    cr_assert_eq(parse(text, &manifest, &err), 0, "%s", err.text);
    cr_assert_eq(manifest.command.used_bytes, COMMAND_BYTES_MAX);
    assert_round_trip(&manifest);
    word[COMMAND_BYTES_MAX - 3 - 1] = 'x';
    list_text(text, sizeof(text), word, 2);
    cr_assert_eq(parse(text, &manifest, &err), -EINVAL);
}

Test(manifest, one_that_fits_each_bound_but_not_the_record_is_refused_clearly)
{
    struct manifest manifest;
    struct err err;
    char big[1000] = {0};
    char text[8192];

    memset(big, 'x', sizeof(big) - 1);
    snprintf(text, sizeof(text), "name: a\ncommand: [/a, %s]\nenv: [A=%s]\nworkdir: /%s\n", big,
             big, big);
    cr_assert_eq(parse(text, &manifest, &err), -EINVAL);
    cr_assert_neq(strstr(err.text, "2560 bytes"), NULL, "%s", err.text);
}

Test(manifest, a_file_too_large_or_nested_too_deep_is_refused)
{
    static char text[MANIFEST_FILE_BYTES_MAX + 2];
    struct manifest manifest;
    struct err err;

    memset(text, '#', MANIFEST_FILE_BYTES_MAX + 1);
    cr_assert_eq(parse(text, &manifest, &err), -EINVAL);
    memset(text, '[', 20000);
    text[20000] = '\0';
    cr_assert_eq(parse(text, &manifest, &err), -EINVAL);
}

Test(manifest, canonical_bytes_cut_anywhere_or_too_long_are_refused)
{
    struct manifest manifest;
    struct err err;
    uint8_t canonical[MANIFEST_BYTES_MAX + 1];

    cr_assert_eq(parse(everything, &manifest, &err), 0);
    int length_bytes = manifest_encode(&manifest, canonical);
    for (int i = 0; i < length_bytes; i++) {
        cr_assert_eq(manifest_decode((struct bytes){canonical, (size_t)i}, &manifest), -EBADMSG);
    }
    canonical[length_bytes] = 0;
    cr_assert_eq(manifest_decode((struct bytes){canonical, (size_t)length_bytes + 1}, &manifest),
                 -EBADMSG);
}

Test(manifest, a_health_command_is_text)
{
    struct manifest manifest;
    struct err err;

    cr_assert_eq(
        parse("name: wiki\ncommand: [/bin/wiki]\nhealth: {command: [/bin/true]}", &manifest, &err),
        0);
    assert_round_trip(&manifest);
    manifest.health_command.text[1] = '\xff';

    uint8_t bytes[MANIFEST_BYTES_MAX];
    int length = manifest_encode(&manifest, bytes);

    cr_assert_gt(length, 0);
    cr_assert_eq(manifest_decode((struct bytes){bytes, (size_t)length}, &manifest), -EBADMSG);
}

/* What a hostile owner may sign: each field just out of its bounds. */
Test(manifest, decoding_refuses_what_parsing_refuses)
{
    struct manifest fine;
    struct err err;

    cr_assert_eq(parse(everything, &fine, &err), 0);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct manifest bad = fine;                                                                \
        struct manifest out;                                                                       \
        uint8_t bytes[MANIFEST_BYTES_MAX];                                                         \
        change;                                                                                    \
        int length = manifest_encode(&bad, bytes);                                                 \
        cr_assert_gt(length, 0);                                                                   \
        cr_assert_eq(manifest_decode((struct bytes){bytes, (size_t)length}, &out), -EBADMSG, "%s", \
                     #change);                                                                     \
    } while (0)
    REFUSED(bad.name[0] = 'W');
    REFUSED(bad.name[0] = '\0');
    REFUSED(bad.command.text[0] = 'x');
    REFUSED(bad.command.count = 2);
    REFUSED(bad.command.count = 0);
    REFUSED(bad.environment.text[0] = '=');
    REFUSED(bad.workdir[0] = 'x');
    REFUSED(bad.workdir[1] = '\xff');
    REFUSED(bad.command.text[1] = '\xff');
    REFUSED(bad.environment.text[bad.environment.used_bytes - 2] = '\xff');
    REFUSED(bad.user = 65535);
    REFUSED(bad.replica_count = 0);
    REFUSED(bad.replica_count = 33);
    REFUSED(bad.cpu_permille = 9);
    REFUSED(bad.memory_bytes = (4U << 20) - 1);
    REFUSED(bad.disk_bytes = (1U << 20) - 1);
    REFUSED(bad.pid_count = 0);
    REFUSED(bad.archs[1] = bad.archs[0]);
    REFUSED(bad.labels[0][0] = ' ');
    REFUSED(bad.ports[0].container_port = 0);
    REFUSED(bad.ports[0].container_port = 9000);
    REFUSED(memcpy(bad.ports[0].name, "admin", 6));
    REFUSED(bad.ports[1].name[0] = '\0');
    REFUSED(bad.health_port = 2);
    REFUSED(bad.health_http[0] = 'x');
    REFUSED(bad.health_interval_ms = 99);
    REFUSED(bad.health_timeout_ms = 5000);
    REFUSED(bad.stop_signal = SIGSEGV);
    REFUSED(bad.stop_grace_ms = 600001);
    REFUSED(bad.logs_bytes = 1);
    REFUSED(bad.logs_bytes = (1U << 30) + 1);
    REFUSED(bad.spread = (enum manifest_spread)2);
    REFUSED(bad.restart = (enum manifest_restart)3);
}

/* Both were signed in this world: they go on, with what is kept of them now. */
Test(manifest, versions_of_before_keep_as_much_of_their_logs_as_is_kept_now)
{
    static const uint64_t bytes_of[][2] = {{4 << 10, MANIFEST_LOGS_BYTES_MIN},
                                           {MANIFEST_LOGS_BYTES_MIN, MANIFEST_LOGS_BYTES_MIN},
                                           {MANIFEST_LOGS_BYTES_MAX, MANIFEST_LOGS_BYTES_MAX},
                                           {1U << 30, MANIFEST_LOGS_BYTES_MAX}};

    for (size_t i = 0; i < sizeof(bytes_of) / sizeof(bytes_of[0]); i++) {
        uint8_t bytes[MANIFEST_BYTES_MAX];
        struct manifest manifest;
        struct manifest out;
        struct err err;

        cr_assert_eq(parse(everything, &manifest, &err), 0);
        manifest.logs_bytes = bytes_of[i][0];
        int length = manifest_encode(&manifest, bytes);
        cr_assert_gt(length, 0);
        cr_assert_eq(manifest_decode((struct bytes){bytes, (size_t)length}, &out), 0);
        cr_assert_eq(out.logs_bytes, bytes_of[i][1]);
    }
}
