// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/manifest_table.h"

#include <errno.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

enum { CORES_PERMILLE_MIN = 10, CORES_PERMILLE_MAX = 1024000, PIDS_MAX = 32768, USER_MAX = 65534 };
enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS, STOP_GRACE_MS_MAX = 10 * MINUTE_MS };
#define DISK_BYTES_MIN MIB /* the smallest ext4 file system, which a replica's layer is */

static int expected(struct err *err, const char *fault, const char *text)
{
    return fault == NULL ? 0 : err_set(err, -EINVAL, "expected %s, got \"%.48s\"", fault, text);
}

static int check_name(const struct yaml_value *value, struct err *err)
{
    return expected(err, manifest_name_fault(value->text), value->text);
}

static int check_workdir(const struct yaml_value *value, struct err *err)
{
    return expected(err, manifest_path_fault(value->text), value->text);
}

static int check_label(const struct yaml_value *value, struct err *err)
{
    return expected(err, manifest_label_fault(value->text), value->text);
}

static int check_http(const struct yaml_value *value, struct err *err)
{
    return expected(err, manifest_http_fault(value->text), value->text);
}

static int check_disk(const struct yaml_value *value, struct err *err)
{
    const struct manifest *manifest = value->target;

    if (manifest->disk_bytes < DISK_BYTES_MIN) {
        return err_set(err, -EINVAL, "expected at least 1M, the smallest ext4 file system");
    }
    return 0;
}

/* Ports before this one must not have its name. */
static int check_port_name(const struct yaml_value *value, struct err *err)
{
    const struct manifest *manifest = value->target;
    const struct manifest_port *port = value->base;
    int r = check_name(value, err);

    for (const struct manifest_port *other = manifest->ports; r == 0 && other < port; other++) {
        if (strcmp(other->name, port->name) == 0) {
            r = err_set(err, -EINVAL, "port %s is repeated", port->name);
        }
    }
    return r;
}

static int store_argument(const struct yaml_value *value, struct err *err)
{
    struct manifest_words *words = value->base;

    if (words->count == 0) {
        int r = expected(err, manifest_path_fault(value->text), value->text);

        if (r < 0) {
            return r;
        }
    }
    if (manifest_words_add(words, value->text, ARGUMENTS_MAX) < 0) {
        return err_set(err, -EINVAL, "at most %d words, %d bytes together", ARGUMENTS_MAX,
                       COMMAND_BYTES_MAX);
    }
    return 0;
}

static int store_variable(const struct yaml_value *value, struct err *err)
{
    int r = expected(err, manifest_variable_fault(value->text), value->text);

    if (r == 0 && manifest_words_add(value->base, value->text, ENVIRONMENT_MAX) < 0) {
        r = err_set(err, -EINVAL, "at most %d variables, %d bytes together", ENVIRONMENT_MAX,
                    ENVIRONMENT_BYTES_MAX);
    }
    return r;
}

static int store_signal(const struct yaml_value *value, struct err *err)
{
    struct manifest *manifest = value->target;
    const char *name = strncmp(value->text, "SIG", 3) == 0 ? value->text + 3 : value->text;

    for (size_t i = 0; i < ARRAY_COUNT(manifest_signals); i++) {
        if (strcmp(manifest_signals[i].name, name) == 0) {
            manifest->stop_signal = manifest_signals[i].number;
            return 0;
        }
    }
    return expected(err, "one of TERM, INT, HUP, QUIT, KILL, USR1, USR2, WINCH", value->text);
}

static int store_health_port(const struct yaml_value *value, struct err *err)
{
    struct manifest_file *file = value->target;
    int r = expected(err, manifest_name_fault(value->text), value->text);

    return r < 0 || text_copy(file->health_port, sizeof(file->health_port), value->text) == 0
               ? r
               : err_set(err, -EINVAL, "too long");
}

static int store_health_argument(const struct yaml_value *value, struct err *err)
{
    struct manifest_file *file = value->target;
    struct manifest_words *command = &file->manifest.health_command;

    if (manifest_words_add(command, value->text, HEALTH_ARGUMENTS_MAX) < 0 ||
        command->used_bytes > HEALTH_COMMAND_BYTES_MAX) {
        return err_set(err, -EINVAL, "longer than %d words or %d bytes", HEALTH_ARGUMENTS_MAX,
                       HEALTH_COMMAND_BYTES_MAX);
    }
    return 0;
}

/* Words that one finds in documents but that come with a later version follow the NULL. */
static const char *const spreads[] = {"zone", "node", NULL, NULL};
static const char *const restarts[] = {"always", "on-failure", "never", NULL, NULL};
static const char *const instances[] = {"at-least", NULL, "at-most", NULL};
static const char *const archs[] = {"any",  "amd64",   "arm64", "armhf",
                                    "i386", "riscv64", NULL,    NULL};
static const char *const protocols[] = {"tcp", "udp", NULL, NULL};
static const char *const visibilities[] = {"public", "members", NULL, NULL};
static const char *const egresses[] = {"none", "internet", NULL, NULL};
static const char *const modes[] = {"none", NULL, "snapshot", "shared", "volume", NULL};

#define FIELD(name) YAML_FIELD(struct manifest, name)
#define PORT(name)  YAML_FIELD(struct manifest_port, name)
#define NO_FIELD    .offset = YAML_NOWHERE

static const struct yaml_key keys[] = {
    {"name", YAML_TEXT, .is_needed = true, FIELD(name), .min = 1, .hook = check_name},
    {"command", YAML_LIST, .is_needed = true, .offset = offsetof(struct manifest, command),
     .min = 1, .max = ARGUMENTS_MAX, .count_offset = YAML_NOWHERE},
    {"command[]", YAML_HOOK, .hook = store_argument},
    {"workdir", YAML_TEXT, FIELD(workdir), .min = 1, .default_text = "/", .hook = check_workdir},
    {"user", YAML_NUMBER, FIELD(user), .max = USER_MAX, .default_text = "65534"},
    {"env", YAML_LIST, .offset = offsetof(struct manifest, environment), .max = ENVIRONMENT_MAX,
     .count_offset = YAML_NOWHERE},
    {"env[]", YAML_HOOK, .hook = store_variable},
    {"replicas", YAML_NUMBER, FIELD(replica_count), .min = 1, .max = REPLICAS_PER_SERVICE_MAX,
     .default_text = "1"},
    {"availability", YAML_REFUSED, NO_FIELD},
    {"schedule", YAML_REFUSED, NO_FIELD},
    {"spread", YAML_CHOICE, FIELD(spread), .default_text = "zone", .choices = spreads},
    {"instances", YAML_CHOICE, NO_FIELD, .default_text = "at-least", .choices = instances},
    {"restart", YAML_CHOICE, FIELD(restart), .default_text = "always", .choices = restarts},
    {"resources", YAML_MAPPING, NO_FIELD},
    {"resources.cpu", YAML_CORES, FIELD(cpu_permille), .min = CORES_PERMILLE_MIN,
     .max = CORES_PERMILLE_MAX, .default_text = "0.1"},
    {"resources.memory", YAML_BYTES, FIELD(memory_bytes), .min = 4 * MIB, .max = TIB,
     .default_text = "64M"},
    {"resources.disk", YAML_BYTES, FIELD(disk_bytes), .max = 16 * TIB, .default_text = "64M",
     .hook = check_disk},
    {"resources.pids", YAML_NUMBER, FIELD(pid_count), .min = 1, .max = PIDS_MAX,
     .default_text = "64"},
    {"requires", YAML_MAPPING, NO_FIELD},
    {"requires.arch", YAML_LIST, YAML_ARRAY(struct manifest, archs, arch_count), .max = 4},
    {"requires.arch[]", YAML_CHOICE, .field_bytes = sizeof(enum manifest_arch), .choices = archs},
    {"requires.labels", YAML_LIST, YAML_ARRAY(struct manifest, labels, label_count),
     .max = LABELS_MAX},
    {"requires.labels[]", YAML_TEXT, .field_bytes = LABEL_CHARS_MAX + 1, .min = 1,
     .hook = check_label},
    {"ports", YAML_LIST, YAML_ARRAY(struct manifest, ports, port_count),
     .max = PORTS_PER_SERVICE_MAX},
    {"ports[].name", YAML_TEXT, .is_needed = true, PORT(name), .min = 1, .hook = check_port_name},
    {"ports[].container", YAML_NUMBER, .is_needed = true, PORT(container_port), .min = 1,
     .max = 65535},
    {"ports[].protocol", YAML_CHOICE, PORT(protocol), .default_text = "tcp", .choices = protocols},
    {"ports[].visibility", YAML_CHOICE, PORT(visibility), .default_text = "public",
     .choices = visibilities},
    {"egress", YAML_CHOICE, FIELD(egress), .default_text = "none", .choices = egresses},
    {"health", YAML_MAPPING, .offset = offsetof(struct manifest, has_health)},
    {"health.port", YAML_HOOK, .hook = store_health_port},
    {"health.http", YAML_TEXT, FIELD(health_http), .hook = check_http},
    {"health.command", YAML_LIST, .offset = offsetof(struct manifest, health_command),
     .max = HEALTH_ARGUMENTS_MAX, .count_offset = YAML_NOWHERE},
    {"health.command[]", YAML_HOOK, .hook = store_health_argument},
    {"health.interval", YAML_DURATION, FIELD(health_interval_ms), .min = 100, .max = HOUR_MS,
     .default_text = "5s"},
    {"health.timeout", YAML_DURATION, FIELD(health_timeout_ms), .min = 10, .max = MINUTE_MS,
     .default_text = "2s"},
    {"health.failures", YAML_NUMBER, FIELD(health_failures_max), .min = 1, .max = 100,
     .default_text = "3"},
    {"health.grace", YAML_DURATION, FIELD(health_grace_ms), .max = HOUR_MS, .default_text = "10s"},
    {"stop", YAML_MAPPING, NO_FIELD},
    {"stop.signal", YAML_HOOK, .default_text = "TERM", .hook = store_signal},
    {"stop.grace", YAML_DURATION, FIELD(stop_grace_ms), .max = STOP_GRACE_MS_MAX,
     .default_text = "5s"},
    {"logs", YAML_BYTES, FIELD(logs_bytes), .min = MANIFEST_LOGS_BYTES_MIN,
     .max = MANIFEST_LOGS_BYTES_MAX, .default_text = "8M"},
    {"state", YAML_MAPPING, NO_FIELD},
    {"state.mode", YAML_CHOICE, NO_FIELD, .default_text = "none", .choices = modes},
};

const struct yaml_table *manifest_table(void)
{
    static const struct yaml_table table = {keys, ARRAY_COUNT(keys), sizeof(struct manifest_file),
                                            false};

    return &table;
}
