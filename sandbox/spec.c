// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/spec.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"

enum { STOP_SIGNAL_MAX = 31, FAILURES_MAX = 1000 };

/* The list holds exactly word_count words, each with its NUL; behind them only zeros. */
static bool list_is_sound(const char *list, size_t capacity_bytes, uint32_t word_count,
                          size_t *used_bytes_out)
{
    size_t position = 0;

    for (uint32_t i = 0; i < word_count; i++) {
        const char *end = memchr(list + position, '\0', capacity_bytes - position);

        if (end == NULL) {
            return false;
        }
        position = (size_t)(end - list) + 1;
    }
    *used_bytes_out = position;
    for (; position < capacity_bytes; position++) {
        if (list[position] != '\0') {
            return false;
        }
    }
    return true;
}

void spec_words(char *list, uint32_t word_count, char **words_out)
{
    for (uint32_t i = 0; i < word_count; i++) {
        words_out[i] = list;
        list += strlen(list) + 1;
    }
    words_out[word_count] = NULL;
}

static size_t name_length(const char *entry)
{
    return strcspn(entry, "=");
}

/* Every entry is NAME=value, and no name comes twice: getenv would show the first, shells not. */
static bool environment_is_sound(const char *list, uint32_t entry_count)
{
    const char *entry = list;

    for (uint32_t i = 0; i < entry_count; i++, entry += strlen(entry) + 1) {
        size_t length = name_length(entry);
        const char *other = list;

        if (length == 0 || entry[length] != '=') {
            return false;
        }
        for (uint32_t j = 0; j < i; j++, other += strlen(other) + 1) {
            if (name_length(other) == length && memcmp(other, entry, length) == 0) {
                return false;
            }
        }
    }
    return true;
}

static const char *words_problem(const struct sandbox_spec *spec)
{
    size_t used_bytes;

    if (spec->argument_count == 0 || spec->argument_count > ARGUMENTS_MAX) {
        return "command: no words, or too many";
    }
    if (!list_is_sound(spec->arguments, sizeof(spec->arguments), spec->argument_count,
                       &used_bytes) ||
        spec->arguments[0] == '\0') {
        return "command: its words do not match their count";
    }
    if (spec->environment_count > ENVIRONMENT_MAX ||
        !list_is_sound(spec->environment, sizeof(spec->environment), spec->environment_count,
                       &used_bytes)) {
        return "environment: its entries do not match their count";
    }
    if (!environment_is_sound(spec->environment, spec->environment_count)) {
        return "environment: an entry is not NAME=value, or a name comes twice";
    }
    return NULL;
}

/* Is there a NUL within the array, and nothing but zeros behind it? */
static bool text_is_sound(const char *text, size_t capacity_bytes)
{
    size_t length = strnlen(text, capacity_bytes);

    for (size_t i = length; i < capacity_bytes; i++) {
        if (text[i] != '\0') {
            return false;
        }
    }
    return length < capacity_bytes;
}

static bool is_same_inside(const struct sandbox_port *a, const struct sandbox_port *b)
{
    return a->container_port == b->container_port &&
           sandbox_is_udp(a->protocol) == sandbox_is_udp(b->protocol);
}

/* At the host what is for members is TCP. */
static bool is_same_outside(const struct sandbox_port *a, const struct sandbox_port *b)
{
    return a->host_port == b->host_port &&
           (a->protocol == SANDBOX_UDP) == (b->protocol == SANDBOX_UDP);
}

static const char *ports_problem(const struct sandbox_spec *spec)
{
    if (spec->port_count > PORTS_PER_SERVICE_MAX) {
        return "ports: too many";
    }
    for (uint32_t i = 0; i < spec->port_count; i++) {
        const struct sandbox_port *port = &spec->ports[i];

        if (port->container_port == 0 || port->host_port == 0) {
            return "ports: 0 is not a port";
        }
        if (port->protocol > SANDBOX_MEMBERS_UDP) {
            return "ports: neither TCP nor UDP";
        }
        for (uint32_t j = 0; j < i; j++) {
            if (is_same_inside(port, &spec->ports[j]) || is_same_outside(port, &spec->ports[j])) {
                return "ports: one comes twice";
            }
        }
    }
    return NULL;
}

static const char *health_problem(const struct sandbox_health *health)
{
    size_t used_bytes;

    if (!text_is_sound(health->http_path, sizeof(health->http_path))) {
        return "health: path too long";
    }
    if (health->http_path[0] != '\0' && health->http_path[0] != '/') {
        return "health: the path does not begin with /";
    }
    /* Anything below would end the request line and begin a request of the owner's making. */
    for (const char *c = health->http_path; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f) {
            return "health: the path has characters that HTTP does not allow";
        }
    }
    if (health->argument_count > HEALTH_ARGUMENTS_MAX ||
        !list_is_sound(health->arguments, sizeof(health->arguments), health->argument_count,
                       &used_bytes)) {
        return "health: the command's words do not match their count";
    }
    if (health->argument_count > 0 &&
        (health->arguments[0] != '/' || health->container_port != 0)) {
        return "health: the command is no absolute path, or beside a port";
    }
    if (health->argument_count == 0 && health->container_port == 0) {
        return NULL;
    }
    if (health->interval_ms == 0 || health->timeout_ms == 0 || health->failures_max == 0) {
        return "health: interval, timeout and failures must be above 0";
    }
    if (health->interval_ms > SPEC_HEALTH_MS_MAX || health->timeout_ms > SPEC_HEALTH_MS_MAX ||
        health->grace_ms > SPEC_HEALTH_MS_MAX || health->failures_max > FAILURES_MAX) {
        return "health: interval, timeout, grace or failures too large";
    }
    return NULL;
}

static bool hostname_is_sound(const char *hostname, size_t capacity_bytes)
{
    if (!text_is_sound(hostname, capacity_bytes) || hostname[0] == '\0' || hostname[0] == '-') {
        return false;
    }
    return hostname[strspn(hostname, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-")] == '\0';
}

static const char *numbers_problem(const struct sandbox_spec *spec)
{
    const struct sandbox_limits *limits = &spec->limits;

    if (spec->key.slot == 0 || spec->key.incarnation == 0) {
        return "replica: slot and incarnation must be above 0";
    }
    if (spec->user > SPEC_USER_MAX) {
        return "user: not in 0..65534";
    }
    if (limits->cpu_permille == 0 || limits->memory_bytes == 0 || limits->disk_bytes == 0 ||
        limits->pid_count == 0) {
        return "resources: every limit must be above 0";
    }
    if (limits->memory_bytes > INT64_MAX || limits->disk_bytes > INT64_MAX ||
        limits->cpu_permille > UINT32_MAX || limits->pid_count > UINT32_MAX) {
        return "resources: a limit is too large";
    }
    if (spec->stop_signal < 1 || spec->stop_signal > STOP_SIGNAL_MAX) {
        return "stop: unknown signal";
    }
    if (spec->stop_grace_ms > SPEC_STOP_GRACE_MS_MAX) {
        return "stop: grace too long";
    }
    if (spec->connections_max > CONNECTIONS_PER_PORT_MAX) {
        return "connections: too many";
    }
    if (spec->logs_bytes < SPEC_LOGS_BYTES_MIN || spec->logs_bytes > SPEC_LOGS_BYTES_MAX) {
        return "logs: too small or too large";
    }
    return NULL;
}

const char *spec_problem(const struct sandbox_spec *spec)
{
    const char *problem = numbers_problem(spec);

    if (problem == NULL) {
        problem = words_problem(spec);
    }
    if (problem == NULL) {
        problem = ports_problem(spec);
    }
    if (problem == NULL) {
        problem = health_problem(&spec->health);
    }
    if (problem == NULL &&
        (!text_is_sound(spec->workdir, sizeof(spec->workdir)) || spec->workdir[0] != '/')) {
        problem = "workdir: not an absolute path";
    }
    if (problem == NULL && !hostname_is_sound(spec->hostname, sizeof(spec->hostname))) {
        problem = "hostname: not a host name";
    }
    return problem;
}

static void put_list(struct wire_writer *wire, const char *list, size_t capacity_bytes,
                     uint32_t word_count)
{
    size_t used_bytes = 0;

    CHECK(list_is_sound(list, capacity_bytes, word_count, &used_bytes));
    wire_put_u32(wire, word_count);
    wire_put_blob(wire, (struct bytes){(const uint8_t *)list, used_bytes});
}

static void take_list(struct wire_reader *wire, char *list_out, size_t capacity_bytes,
                      uint32_t *word_count_out)
{
    struct bytes blob;
    size_t used_bytes = 0;

    *word_count_out = wire_u32(wire);
    blob = wire_blob(wire, capacity_bytes);
    if (wire->failed) {
        return;
    }
    if (blob.length_bytes > 0) {
        memcpy(list_out, blob.data, blob.length_bytes);
    }
    /* One form only: the blob ends with its last word. */
    if (!list_is_sound(list_out, capacity_bytes, *word_count_out, &used_bytes) ||
        used_bytes != blob.length_bytes) {
        wire->failed = true;
    }
}

static void put_limits_and_ports(struct wire_writer *wire, const struct sandbox_spec *spec)
{
    wire_put_u64(wire, spec->limits.cpu_permille);
    wire_put_u64(wire, spec->limits.memory_bytes);
    wire_put_u64(wire, spec->limits.disk_bytes);
    wire_put_u64(wire, spec->limits.pid_count);
    wire_put_u32(wire, spec->port_count);
    for (uint32_t i = 0; i < spec->port_count; i++) {
        wire_put_u8(wire, (uint8_t)spec->ports[i].protocol);
        wire_put_u16(wire, spec->ports[i].container_port);
        wire_put_u16(wire, spec->ports[i].host_port);
    }
    wire_put_u32(wire, spec->connections_max);
    wire_put_bool(wire, spec->egress);
}

static void take_limits_and_ports(struct wire_reader *wire, struct sandbox_spec *spec)
{
    spec->limits.cpu_permille = wire_u64(wire);
    spec->limits.memory_bytes = wire_u64(wire);
    spec->limits.disk_bytes = wire_u64(wire);
    spec->limits.pid_count = wire_u64(wire);
    spec->port_count = wire_u32(wire);
    if (spec->port_count > PORTS_PER_SERVICE_MAX) {
        wire->failed = true;
        spec->port_count = 0;
    }
    for (uint32_t i = 0; i < spec->port_count; i++) {
        spec->ports[i].protocol = (enum sandbox_protocol)wire_u8(wire);
        spec->ports[i].container_port = wire_u16(wire);
        spec->ports[i].host_port = wire_u16(wire);
    }
    spec->connections_max = wire_u32(wire);
    spec->egress = wire_bool(wire);
}

static void put_health(struct wire_writer *wire, const struct sandbox_health *health)
{
    put_list(wire, health->arguments, sizeof(health->arguments), health->argument_count);
    wire_put_u16(wire, health->container_port);
    wire_put_text(wire, health->http_path);
    wire_put_u64(wire, health->interval_ms);
    wire_put_u64(wire, health->timeout_ms);
    wire_put_u32(wire, health->failures_max);
    wire_put_u64(wire, health->grace_ms);
}

static void take_health(struct wire_reader *wire, struct sandbox_health *health)
{
    take_list(wire, health->arguments, sizeof(health->arguments), &health->argument_count);
    health->container_port = wire_u16(wire);
    wire_text(wire, health->http_path, sizeof(health->http_path));
    health->interval_ms = wire_u64(wire);
    health->timeout_ms = wire_u64(wire);
    health->failures_max = wire_u32(wire);
    health->grace_ms = wire_u64(wire);
}

int spec_encode(const struct sandbox_spec *spec, uint8_t *data_out, size_t capacity_bytes,
                size_t *length_bytes_out)
{
    struct wire_writer wire = wire_writer(data_out, capacity_bytes);

    if (spec_problem(spec) != NULL) {
        return -EINVAL;
    }
    wire_put_id(&wire, &spec->key.service.id);
    wire_put_u32(&wire, spec->key.slot);
    wire_put_u64(&wire, spec->key.incarnation);
    wire_put_id(&wire, &spec->tree.id);
    put_list(&wire, spec->arguments, sizeof(spec->arguments), spec->argument_count);
    put_list(&wire, spec->environment, sizeof(spec->environment), spec->environment_count);
    wire_put_text(&wire, spec->workdir);
    wire_put_u32(&wire, spec->user);
    put_limits_and_ports(&wire, spec);
    put_health(&wire, &spec->health);
    wire_put_u8(&wire, (uint8_t)spec->stop_signal);
    wire_put_u64(&wire, spec->stop_grace_ms);
    wire_put_u64(&wire, spec->logs_bytes);
    wire_put_text(&wire, spec->hostname);
    if (!wire_ok(&wire)) {
        return -ENOBUFS;
    }
    CHECK(wire.written_bytes <= SPEC_BYTES_MAX);
    *length_bytes_out = wire.written_bytes;
    return 0;
}

int spec_decode(struct bytes bytes, struct sandbox_spec *spec_out)
{
    struct wire_reader wire = wire_reader(bytes);
    struct sandbox_spec spec;

    memset(&spec, 0, sizeof(spec));
    wire_id(&wire, &spec.key.service.id);
    spec.key.slot = wire_u32(&wire);
    spec.key.incarnation = wire_u64(&wire);
    wire_id(&wire, &spec.tree.id);
    take_list(&wire, spec.arguments, sizeof(spec.arguments), &spec.argument_count);
    take_list(&wire, spec.environment, sizeof(spec.environment), &spec.environment_count);
    wire_text(&wire, spec.workdir, sizeof(spec.workdir));
    spec.user = wire_u32(&wire);
    take_limits_and_ports(&wire, &spec);
    take_health(&wire, &spec.health);
    spec.stop_signal = wire_u8(&wire);
    spec.stop_grace_ms = wire_u64(&wire);
    spec.logs_bytes = wire_u64(&wire);
    if (spec.logs_bytes > SPEC_LOGS_BYTES_MAX) {
        spec.logs_bytes = SPEC_LOGS_BYTES_MAX; /* what runs since more was allowed stays */
    }
    wire_text(&wire, spec.hostname, sizeof(spec.hostname));
    if (!wire_done(&wire)) {
        return -EBADMSG;
    }
    if (spec_problem(&spec) != NULL) {
        return -EINVAL;
    }
    *spec_out = spec;
    return 0;
}
