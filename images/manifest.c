// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/manifest.h"

#include <errno.h>
#include <string.h>

#include "base/wire.h"
#include "images/manifest_table.h"

enum { CANONICAL_VERSION = 3 }; /* 2: health by command; 3: ports' protocols, egress */

/* A port's name to its place in `ports`. */
static int find_health_port(struct manifest_file *file, const struct yaml_marks *marks,
                            struct err *err)
{
    struct manifest *manifest = &file->manifest;

    if (manifest->health_command.count > 0) {
        if (file->health_port[0] == '\0') {
            return 0;
        }
        err_set(err, -EINVAL, "either a port or a command, not both");
        return yaml_wrap_at(marks, "health.command", err);
    }
    if (file->health_port[0] == '\0') {
        err_set(err, -EINVAL, "needs \"port\" or \"command\"");
        return yaml_wrap_at(marks, "health", err);
    }
    for (uint32_t i = 0; i < manifest->port_count; i++) {
        if (strcmp(manifest->ports[i].name, file->health_port) == 0) {
            manifest->health_port = i;
            return 0;
        }
    }
    err_set(err, -EINVAL, "\"%s\" names no port of \"ports\"", file->health_port);
    return yaml_wrap_at(marks, "health.port", err);
}

int manifest_parse(struct bytes yaml, const char *file_name, struct manifest *manifest_out,
                   struct err *err)
{
    struct manifest_file file;
    struct yaml_marks marks = {.file_name = file_name};
    const char *row = NULL;
    uint8_t canonical[MANIFEST_BYTES_MAX];

    if (yaml.length_bytes > MANIFEST_FILE_BYTES_MAX) {
        return err_set(err, -EINVAL, "%s: larger than %d bytes", file_name,
                       MANIFEST_FILE_BYTES_MAX);
    }
    if (yaml_table_read(manifest_table(), yaml, &file, &marks, err) < 0) {
        return err->code;
    }
    if (file.manifest.has_health && find_health_port(&file, &marks, err) < 0) {
        return err->code;
    }
    if (manifest_check_whole(&file.manifest, &row, err) < 0) {
        return yaml_wrap_at(&marks, row, err);
    }
    if (manifest_encode(&file.manifest, canonical) < 0) {
        err_set(err, -EINVAL,
                "with env, workdir and the rest longer than the %d bytes that a "
                "manifest may take",
                MANIFEST_BYTES_MAX);
        return yaml_wrap_at(&marks, "command", err);
    }
    *manifest_out = file.manifest;
    return 0;
}

static void put_words(struct wire_writer *wire, const struct manifest_words *words)
{
    wire_put_u8(wire, (uint8_t)words->count);
    wire_put_blob(wire, (struct bytes){(const uint8_t *)words->text, words->used_bytes});
}

static uint8_t signal_place(int number)
{
    uint8_t place = 0;

    while (place < MANIFEST_SIGNAL_COUNT && manifest_signals[place].number != number) {
        place++;
    }
    return place;
}

/*
 * A port's protocol and visibility are one byte: who knows nothing of ports for members refuses the
 * third value, or only the fourth, and does not publish what nobody may publish.
 */
enum { PORT_MEMBERS = MANIFEST_UDP + 1, PORT_MEMBERS_UDP };

static uint8_t kind_of_port(const struct manifest_port *port)
{
    if (port->visibility != MANIFEST_MEMBERS) {
        return (uint8_t)port->protocol;
    }
    return port->protocol == MANIFEST_UDP ? PORT_MEMBERS_UDP : PORT_MEMBERS;
}

static void put_port(struct wire_writer *wire, const struct manifest_port *port)
{
    wire_put_text(wire, port->name);
    wire_put_u16(wire, port->container_port);
    wire_put_u8(wire, kind_of_port(port));
}

static void put_lists(struct wire_writer *wire, const struct manifest *manifest)
{
    wire_put_u8(wire, (uint8_t)manifest->arch_count);
    for (uint32_t i = 0; i < manifest->arch_count; i++) {
        wire_put_u8(wire, (uint8_t)manifest->archs[i]);
    }
    wire_put_u8(wire, (uint8_t)manifest->label_count);
    for (uint32_t i = 0; i < manifest->label_count; i++) {
        wire_put_text(wire, manifest->labels[i]);
    }
    wire_put_u8(wire, (uint8_t)manifest->port_count);
    for (uint32_t i = 0; i < manifest->port_count; i++) {
        put_port(wire, &manifest->ports[i]);
    }
    wire_put_u8(wire, (uint8_t)manifest->egress);
}

static void put_health(struct wire_writer *wire, const struct manifest *manifest)
{
    wire_put_bool(wire, manifest->has_health);
    if (manifest->has_health) {
        put_words(wire, &manifest->health_command);
        wire_put_u8(wire, (uint8_t)manifest->health_port);
        wire_put_text(wire, manifest->health_http);
        wire_put_u64(wire, manifest->health_interval_ms);
        wire_put_u64(wire, manifest->health_timeout_ms);
        wire_put_u32(wire, manifest->health_failures_max);
        wire_put_u64(wire, manifest->health_grace_ms);
    }
}

int manifest_encode(const struct manifest *manifest, uint8_t *bytes_out)
{
    struct wire_writer wire = wire_writer(bytes_out, MANIFEST_BYTES_MAX);

    wire_put_u8(&wire, CANONICAL_VERSION);
    wire_put_text(&wire, manifest->name);
    put_words(&wire, &manifest->command);
    put_words(&wire, &manifest->environment);
    wire_put_text(&wire, manifest->workdir);
    wire_put_u32(&wire, manifest->user);
    wire_put_u32(&wire, manifest->replica_count);
    wire_put_u8(&wire, (uint8_t)manifest->spread);
    wire_put_u8(&wire, (uint8_t)manifest->restart);
    wire_put_u64(&wire, manifest->cpu_permille);
    wire_put_u64(&wire, manifest->memory_bytes);
    wire_put_u64(&wire, manifest->disk_bytes);
    wire_put_u64(&wire, manifest->pid_count);
    put_lists(&wire, manifest);
    put_health(&wire, manifest);
    wire_put_u8(&wire, signal_place(manifest->stop_signal));
    wire_put_u64(&wire, manifest->stop_grace_ms);
    wire_put_u64(&wire, manifest->logs_bytes);
    return wire_ok(&wire) ? (int)wire.written_bytes : -EMSGSIZE;
}

/* Words one by one, so that their count and bytes agree. */
static void get_words(struct wire_reader *wire, struct manifest_words *words, uint32_t count_max)
{
    uint32_t count = wire_u8(wire);
    struct bytes blob = wire_blob(wire, sizeof(words->text));
    const char *word = (const char *)blob.data;
    size_t left_bytes = blob.length_bytes;

    for (uint32_t i = 0; i < count && !wire->failed; i++) {
        size_t word_bytes = left_bytes == 0 ? 0 : strnlen(word, left_bytes) + 1;

        if (word_bytes == 0 || word_bytes > left_bytes ||
            manifest_words_add(words, word, count_max) < 0) {
            wire->failed = true;
            return;
        }
        word += word_bytes;
        left_bytes -= word_bytes;
    }
    wire->failed = wire->failed || left_bytes != 0;
}

/* A count of at most `max`, or failure and 0. */
static uint32_t get_count(struct wire_reader *wire, uint32_t max)
{
    uint32_t count = wire_u8(wire);

    wire->failed = wire->failed || count > max;
    return wire->failed ? 0 : count;
}

static void get_port(struct wire_reader *wire, struct manifest_port *port)
{
    uint32_t kind;

    wire_text(wire, port->name, sizeof(port->name));
    port->container_port = wire_u16(wire);
    kind = get_count(wire, PORT_MEMBERS_UDP);
    port->visibility = kind >= PORT_MEMBERS ? MANIFEST_MEMBERS : MANIFEST_PUBLIC;
    port->protocol = kind == MANIFEST_UDP || kind == PORT_MEMBERS_UDP ? MANIFEST_UDP : MANIFEST_TCP;
}

static void get_lists(struct wire_reader *wire, struct manifest *manifest)
{
    manifest->arch_count = get_count(wire, 4);
    for (uint32_t i = 0; i < manifest->arch_count; i++) {
        manifest->archs[i] = (enum manifest_arch)get_count(wire, MANIFEST_ARCH_RISCV64);
    }
    manifest->label_count = get_count(wire, LABELS_MAX);
    for (uint32_t i = 0; i < manifest->label_count; i++) {
        wire_text(wire, manifest->labels[i], sizeof(manifest->labels[i]));
    }
    manifest->port_count = get_count(wire, PORTS_PER_SERVICE_MAX);
    for (uint32_t i = 0; i < manifest->port_count; i++) {
        get_port(wire, &manifest->ports[i]);
    }
    manifest->egress = (enum manifest_egress)get_count(wire, MANIFEST_EGRESS_INTERNET);
}

static void get_health(struct wire_reader *wire, struct manifest *manifest)
{
    manifest->has_health = wire_bool(wire);
    if (manifest->has_health) {
        get_words(wire, &manifest->health_command, HEALTH_ARGUMENTS_MAX);
        manifest->health_port = wire_u8(wire);
        wire_text(wire, manifest->health_http, sizeof(manifest->health_http));
        manifest->health_interval_ms = wire_u64(wire);
        manifest->health_timeout_ms = wire_u64(wire);
        manifest->health_failures_max = wire_u32(wire);
        manifest->health_grace_ms = wire_u64(wire);
    }
}

static bool get_all(struct wire_reader *wire, struct manifest *manifest)
{
    wire->failed = wire_u8(wire) != CANONICAL_VERSION;
    wire_text(wire, manifest->name, sizeof(manifest->name));
    get_words(wire, &manifest->command, ARGUMENTS_MAX);
    get_words(wire, &manifest->environment, ENVIRONMENT_MAX);
    wire_text(wire, manifest->workdir, sizeof(manifest->workdir));
    manifest->user = wire_u32(wire);
    manifest->replica_count = wire_u32(wire);
    manifest->spread = (enum manifest_spread)get_count(wire, MANIFEST_SPREAD_NODE);
    manifest->restart = (enum manifest_restart)get_count(wire, MANIFEST_RESTART_NEVER);
    manifest->cpu_permille = wire_u64(wire);
    manifest->memory_bytes = wire_u64(wire);
    manifest->disk_bytes = wire_u64(wire);
    manifest->pid_count = wire_u64(wire);
    get_lists(wire, manifest);
    get_health(wire, manifest);
    manifest->stop_signal = manifest_signals[get_count(wire, MANIFEST_SIGNAL_COUNT - 1)].number;
    manifest->stop_grace_ms = wire_u64(wire);
    manifest->logs_bytes = wire_u64(wire);
    return wire_done(wire);
}

/* Versions signed when logs could be as small or as large stand: they keep what is kept now. */
static void suit_logs(struct manifest *manifest)
{
    enum { SMALLEST_EVER = 4 << 10, LARGEST_EVER = 1 << 30 };

    if (manifest->logs_bytes >= SMALLEST_EVER && manifest->logs_bytes < MANIFEST_LOGS_BYTES_MIN) {
        manifest->logs_bytes = MANIFEST_LOGS_BYTES_MIN;
    } else if (manifest->logs_bytes > MANIFEST_LOGS_BYTES_MAX &&
               manifest->logs_bytes <= LARGEST_EVER) {
        manifest->logs_bytes = MANIFEST_LOGS_BYTES_MAX;
    }
}

int manifest_decode(struct bytes canonical, struct manifest *manifest_out)
{
    struct wire_reader wire = wire_reader(canonical);
    struct manifest_file file;
    const char *row = NULL;
    struct err err;

    /* Health keeps its defaults where there is none, as after parsing. */
    yaml_table_defaults(manifest_table(), &file);
    if (canonical.length_bytes > MANIFEST_BYTES_MAX || !get_all(&wire, &file.manifest)) {
        return -EBADMSG;
    }
    suit_logs(&file.manifest);
    if (yaml_table_check(manifest_table(), &file) < 0 ||
        manifest_check_whole(&file.manifest, &row, &err) < 0) {
        return -EBADMSG;
    }
    *manifest_out = file.manifest;
    return 0;
}
