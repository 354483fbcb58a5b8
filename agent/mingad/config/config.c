// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/config/config_folder.h"
#include "agent/mingad/config/config_hooks.h"
#include "agent/mingad/config/private_group.h"
#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/units.h"
#include "images/yaml_table.h"

/* After the first NULL: what a later version will take. */
static const char *const egress_choices[] = {"deny", "internet", NULL, NULL};
static const char *const mapping_choices[] = {"off", "auto", NULL, NULL};
static const char *const mode_choices[] = {"run", "keep", "drain", "freeze", NULL, NULL};
static const char *const role_choices[] = {"run", "store", "manage", NULL, NULL};

#define HERE(field)        YAML_FIELD(struct config, field)
#define LIST(field, count) YAML_ARRAY(struct config, field, count)
#define RULE(field)        YAML_FIELD(struct config_rule, field)
#define WORDS(field)       YAML_ARRAY(struct config_rule, rule.when.field.list, rule.when.field.count)
#define WORD               .field_bytes = OWNER_WORD_CHARS_MAX + 1, .min = 1

static const struct yaml_key keys[] = {
    {.path = "name", .type = YAML_TEXT, HERE(name), .default_text = "", .hook = config_check_name},
    {.path = "labels", .type = YAML_LIST, LIST(labels, label_count), .max = LABELS_MAX},
    {.path = "labels[]",
     .type = YAML_TEXT,
     .field_bytes = LABEL_CHARS_MAX + 1,
     .min = 1,
     .hook = config_check_label},
    {.path = "zone", .type = YAML_TEXT, HERE(zone), .default_text = "", .hook = config_check_zone},
    {.path = "contribute", .type = YAML_MAPPING, .offset = YAML_NOWHERE},
    {.path = "contribute.cpu",
     .type = YAML_HOOK,
     HERE(cpu),
     .default_text = "25%",
     .hook = config_read_cpu},
    {.path = "contribute.memory",
     .type = YAML_HOOK,
     HERE(memory),
     .default_text = "25%",
     .hook = config_read_memory},
    {.path = "contribute.disk",
     .type = YAML_HOOK,
     HERE(disk),
     .default_text = "10%",
     .hook = config_read_disk},
    {.path = "contribute.storage",
     .type = YAML_HOOK,
     HERE(storage),
     .default_text = "5%",
     .hook = config_read_storage},
    {.path = "contribute.keep_free",
     .type = YAML_HOOK,
     HERE(keep_free),
     .default_text = "10%",
     .hook = config_read_keep_free},
    {.path = "contribute.pids",
     .type = YAML_NUMBER,
     HERE(pid_count),
     .min = 1,
     .max = 4194304,
     .default_text = "512"},
    {.path = "contribute.weight",
     .type = YAML_NUMBER,
     HERE(weight_percent),
     .min = 1,
     .max = 100,
     .default_text = "10"},
    {.path = "contribute.upload",
     .type = YAML_BYTES,
     HERE(upload_bytes_per_s),
     .max = CONFIG_RATE_MAX,
     .default_text = "2M"},
    {.path = "contribute.download",
     .type = YAML_BYTES,
     HERE(download_bytes_per_s),
     .max = CONFIG_RATE_MAX,
     .default_text = "0"},
    {.path = "network", .type = YAML_MAPPING, .offset = YAML_NOWHERE},
    {.path = "network.listen",
     .type = YAML_HOOK,
     .default_text = "7400",
     .hook = config_read_listen},
    {.path = "network.advertise",
     .type = YAML_TEXT,
     HERE(advertise),
     .min = 1,
     .default_text = "auto",
     .hook = config_check_advertise},
    {.path = "network.ports",
     .type = YAML_HOOK,
     .default_text = "31000-31999",
     .hook = config_read_ports},
    {.path = "network.bind", .type = YAML_HOOK, .default_text = "*", .hook = config_read_bind},
    {.path = "network.connections",
     .type = YAML_NUMBER,
     HERE(connections_max),
     .min = 1,
     .max = CONNECTIONS_PER_PORT_MAX,
     .default_text = "1024"},
    {.path = "network.relay",
     .type = YAML_BYTES,
     HERE(relay_bytes_per_s),
     .max = CONFIG_RATE_MAX,
     .default_text = "1M"},
    {.path = "network.egress",
     .type = YAML_CHOICE,
     HERE(egress),
     .default_text = "deny",
     .choices = egress_choices},
    {.path = "network.port_mapping",
     .type = YAML_CHOICE,
     HERE(port_mapping),
     .default_text = "off",
     .choices = mapping_choices},
    {.path = "roles", .type = YAML_LIST, LIST(roles, role_count), .max = CONFIG_ROLES_COUNT},
    {.path = "roles[]",
     .type = YAML_CHOICE,
     .field_bytes = sizeof(enum config_role),
     .choices = role_choices,
     .hook = config_check_role},
    {.path = "rules", .type = YAML_LIST, LIST(rules, rule_count), .max = OWNER_RULES_MAX},
    {.path = "rules[].name",
     .type = YAML_TEXT,
     RULE(rule.name),
     .default_text = "",
     .hook = config_check_rule_name},
    {.path = "rules[].when", .type = YAML_MAPPING, .is_needed = true, .offset = YAML_NOWHERE},
    {.path = "rules[].when.hours", .type = YAML_HOOK, .hook = config_read_hours},
    {.path = "rules[].when.in_use",
     .type = YAML_DURATION,
     RULE(rule.when.in_use_ms),
     .min = 1000,
     .max = CONFIG_IDLE_MS_MAX},
    {.path = "rules[].when.idle",
     .type = YAML_DURATION,
     RULE(rule.when.idle_ms),
     .min = 1000,
     .max = CONFIG_IDLE_MS_MAX},
    {.path = "rules[].when.busy", .type = YAML_HOOK, .hook = config_read_busy},
    {.path = "rules[].when.on_battery", .type = YAML_HOOK, .hook = config_read_on_battery},
    {.path = "rules[].when.battery_below", .type = YAML_HOOK, .hook = config_read_battery_below},
    {.path = "rules[].when.metered", .type = YAML_HOOK, .hook = config_read_metered},
    {.path = "rules[].when.networks",
     .type = YAML_LIST,
     WORDS(networks),
     .min = 1,
     .max = OWNER_WORDS_MAX},
    {.path = "rules[].when.networks[]", .type = YAML_TEXT, WORD},
    {.path = "rules[].when.not_networks",
     .type = YAML_LIST,
     WORDS(not_networks),
     .min = 1,
     .max = OWNER_WORDS_MAX},
    {.path = "rules[].when.not_networks[]", .type = YAML_TEXT, WORD},
    {.path = "rules[].when.hotter_than",
     .type = YAML_NUMBER,
     RULE(rule.when.hotter_than_celsius),
     .min = 1,
     .max = 150},
    {.path = "rules[].when.programs",
     .type = YAML_LIST,
     WORDS(programs),
     .min = 1,
     .max = OWNER_WORDS_MAX},
    {.path = "rules[].when.programs[]", .type = YAML_TEXT, WORD},
    {.path = "rules[].then",
     .type = YAML_MAPPING,
     .is_needed = true,
     .offset = YAML_NOWHERE,
     .hook = config_check_then},
    {.path = "rules[].then.replicas",
     .type = YAML_CHOICE,
     RULE(rule.then.mode),
     .default_text = "run",
     .choices = mode_choices},
    {.path = "rules[].then.within",
     .type = YAML_DURATION,
     RULE(rule.then.within_ms),
     .max = CONFIG_WITHIN_MS_MAX,
     .default_text = "60s"},
    {.path = "rules[].then.cpu", .type = YAML_HOOK, .hook = config_read_rule_cpu},
    {.path = "rules[].then.memory", .type = YAML_HOOK, .hook = config_read_rule_memory},
    {.path = "rules[].then.upload",
     .type = YAML_BYTES,
     RULE(rule.then.upload_bytes_per_s),
     .max = CONFIG_RATE_MAX,
     .hook = config_check_rule_rate},
    {.path = "rules[].then.download",
     .type = YAML_BYTES,
     RULE(rule.then.download_bytes_per_s),
     .max = CONFIG_RATE_MAX,
     .hook = config_check_rule_rate},
    {.path = "members", .type = YAML_MAPPING, .offset = YAML_NOWHERE},
    {.path = "members.allow",
     .type = YAML_LIST,
     LIST(allow, allow_count),
     .max = CONFIG_MEMBERS_MAX},
    {.path = "members.allow[]", .type = YAML_HOOK, .hook = config_read_guest},
    {.path = "members.deny", .type = YAML_LIST, LIST(deny, deny_count), .max = CONFIG_MEMBERS_MAX},
    {.path = "members.deny[]", .type = YAML_HOOK, .hook = config_read_guest},
    {.path = "user",
     .type = YAML_TEXT,
     HERE(user),
     .min = 1,
     .default_text = "minga",
     .hook = config_check_user},
    {.path = "uids",
     .type = YAML_HOOK,
     .default_text = "1879048192-2147483647",
     .hook = config_read_uids},
    {.path = "environment", .type = YAML_MAPPING, .offset = YAML_NOWHERE},
    {.path = "environment.name",
     .type = YAML_TEXT,
     HERE(environment),
     .default_text = "",
     .hook = config_check_cgroup},
    {.path = "environment.command",
     .type = YAML_LIST,
     LIST(environment_words, environment_word_count),
     .max = CONFIG_ENVIRONMENT_WORDS_MAX},
    {.path = "environment.command[]",
     .type = YAML_TEXT,
     .field_bytes = CONFIG_ENVIRONMENT_WORD_CHARS_MAX + 1,
     .min = 1},
    {.path = "cgroup",
     .type = YAML_TEXT,
     HERE(cgroup),
     .min = 1,
     .default_text = "minga",
     .hook = config_check_cgroup},
    {.path = "paths", .type = YAML_MAPPING, .offset = YAML_NOWHERE},
    {.path = "paths.state",
     .type = YAML_TEXT,
     HERE(state),
     .min = 2,
     .default_text = "/var/lib/minga",
     .hook = config_check_path},
    {.path = "paths.run",
     .type = YAML_TEXT,
     HERE(run),
     .min = 2,
     .default_text = "/run/minga",
     .hook = config_check_path},
};

static const struct yaml_table table = {
    .keys = keys,
    .key_count = ARRAY_COUNT(keys),
    .target_bytes = sizeof(struct config),
    .empty_is_fine = true,
};

const struct yaml_table *config_table(void)
{
    return &table;
}

static void set_default_roles(struct config *config, const struct yaml_marks *marks)
{
    if (yaml_mark_of(marks, "roles").line == 0) {
        config->role_count = CONFIG_ROLES_COUNT;
        for (uint32_t i = 0; i < CONFIG_ROLES_COUNT; i++) {
            config->roles[i] = (enum config_role)i;
        }
    }
}

static int check_together(const struct config *config, const struct yaml_marks *marks,
                          struct err *err)
{
    if (config->listen_port >= config->port_first && config->listen_port <= config->port_last) {
        err_set(err, -EINVAL, "%u lies among network.ports, which are the replicas'",
                config->listen_port);
        return yaml_wrap_at(marks, "network.listen", err);
    }
    if (strcmp(config->state, config->run) == 0) {
        err_set(err, -EINVAL, "state and run must be two folders");
        return yaml_wrap_at(marks, "paths", err);
    }
    return 0;
}

/* A node says by a label that its replicas run elsewhere than in the sandbox. */
static int check_environment(struct config *config, const struct yaml_marks *marks, struct err *err)
{
    if (config->environment[0] == '\0' && config->environment_word_count == 0) {
        return 0;
    }
    if (config->environment[0] == '\0' || config->environment_word_count == 0) {
        err_set(err, -EINVAL, "needs both name and command");
        return yaml_wrap_at(marks, "environment", err);
    }
    if (config->environment_words[0][0] != '/') {
        err_set(err, -EINVAL, "the command's program must be an absolute path");
        return yaml_wrap_at(marks, "environment.command", err);
    }
    if (config->label_count == LABELS_MAX) {
        err_set(err, -EINVAL, "one label fewer: environment=%s is one too", config->environment);
        return yaml_wrap_at(marks, "labels", err);
    }
    static_assert(sizeof("environment=") + CONFIG_ENVIRONMENT_NAME_CHARS_MAX <= LABEL_CHARS_MAX + 1,
                  "the label fits");
    (void)snprintf(config->labels[config->label_count++], LABEL_CHARS_MAX + 1, "environment=%s",
                   config->environment);
    return 0;
}

static struct config_place place_of(const struct yaml_marks *marks, const char *path)
{
    struct yaml_mark mark = yaml_mark_of(marks, path);

    return (struct config_place){mark.line, mark.column};
}

int config_parse(struct bytes yaml, const char *file_name, struct config *config_out,
                 struct err *err)
{
    struct config config;
    struct yaml_marks marks = {.file_name = file_name};
    int r = yaml_table_read(&table, yaml, &config, &marks, err);

    if (r < 0) {
        return r;
    }
    set_default_roles(&config, &marks);
    r = config_finish_rules(&config, &marks, err);
    if (r == 0) {
        r = check_together(&config, &marks, err);
    }
    if (r == 0) {
        r = check_environment(&config, &marks, err);
    }
    if (r == 0) {
        config.file_name = file_name;
        config.cpu_place = place_of(&marks, "contribute.cpu");
        config.memory_place = place_of(&marks, "contribute.memory");
        config.disk_place = place_of(&marks, "contribute.disk");
        config.storage_place = place_of(&marks, "contribute.storage");
        memcpy(config_out, &config, sizeof(config)); /* with its padding: configs are compared */
    }
    return r;
}

/* Whoever writes this file decides what the machine gives away, and as which user. */
static int check_owner(const char *path, const struct stat *status, struct err *err)
{
    if (!S_ISREG(status->st_mode)) {
        return err_set(err, -EINVAL, "%s: not a regular file", path);
    }
    if (status->st_uid != 0 && status->st_uid != geteuid()) {
        err_set(err, -EPERM, "%s: belongs to user %u, who could change what this machine gives",
                path, status->st_uid);
        return err_hint(err, "chown root %s", path);
    }
    if (others_can_write(status)) {
        err_set(err, -EPERM, "%s: others can write to it", path);
        return err_hint(err, "chmod go-w %s", path);
    }
    return 0;
}

static int read_file(int fd, const char *path, struct buffer *buffer, struct err *err)
{
    uint8_t block[4096];

    for (;;) {
        ssize_t count_bytes = read(fd, block, sizeof(block));

        if (count_bytes == 0) {
            return 0;
        }
        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            return err_set(err, -errno, "%s: %m", path);
        }
        if (buffer_append(buffer, block, (size_t)count_bytes) < 0) {
            return err_set(err, -EFBIG, "%s: longer than %d bytes", path, CONFIG_FILE_BYTES_MAX);
        }
    }
}

int config_load(const char *path, struct config *config_out, struct err *err)
{
    const char *name = path == NULL ? CONFIG_PATH_DEFAULT : path;
    CLEANUP(buffer_done) struct buffer buffer = {.bytes_max = CONFIG_FILE_BYTES_MAX};
    CLEANUP(cleanup_close) int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (fd < 0 && errno == ENOENT && path == NULL) {
        return config_parse((struct bytes){NULL, 0}, name, config_out, err);
    }
    if (fd < 0 || fstat(fd, &status) < 0) {
        return err_set(err, -errno, "%s: %m", name);
    }
    int r = check_owner(name, &status, err);

    if (r == 0) {
        r = config_check_folders(name, err);
    }
    if (r == 0) {
        r = read_file(fd, name, &buffer, err);
    }
    return r < 0 ? r : config_parse(buffer_bytes(&buffer), name, config_out, err);
}

bool config_has_role(const struct config *config, enum config_role role)
{
    for (uint32_t i = 0; i < config->role_count; i++) {
        if (config->roles[i] == role) {
            return true;
        }
    }
    return false;
}

uint64_t config_share_of(const struct config_share *share, uint64_t whole)
{
    /* Divided first: no machine is so small that 1 % of its bytes is lost on people. */
    return share->is_percent ? whole / 100 * share->percent : share->value;
}

static int too_much(const struct config *config, struct config_place place, const char *key,
                    const char *whole, struct err *err)
{
    err_set(err, -ERANGE, "contribute.%s: this machine has only %s", key, whole);
    return err_wrap(err, "%s:%u:%u", config->file_name, place.line, place.column);
}

static int check_share(const struct config *config, struct config_place place, const char *key,
                       uint64_t wanted_bytes, uint64_t whole_bytes, struct err *err)
{
    char whole[UNITS_TEXT_BYTES_MAX];

    if (wanted_bytes <= whole_bytes) {
        return 0;
    }
    units_print_bytes(whole_bytes, whole);
    return too_much(config, place, key, whole, err);
}

int config_resolve(const struct config *config, const struct machine *machine,
                   struct contribution *contribution_out, struct err *err)
{
    struct contribution result = {
        .limits.cpu_permille = config->cpu.is_percent
                                   ? machine->cpu_permille * config->cpu.percent / 100
                                   : config->cpu.value,
        .limits.memory_bytes = config_share_of(&config->memory, machine->memory_bytes),
        .limits.disk_bytes = config_share_of(&config->disk, machine->disk_bytes),
        .limits.pid_count = config->pid_count,
        .storage_bytes = config_share_of(&config->storage, machine->disk_bytes),
        .keep_free_bytes = config_share_of(&config->keep_free, machine->disk_bytes),
    };
    char cores[UNITS_TEXT_BYTES_MAX];
    char whole[UNITS_TEXT_BYTES_MAX + sizeof(" cores")];

    if (result.limits.cpu_permille > machine->cpu_permille) {
        units_print_cores(machine->cpu_permille, cores);
        (void)snprintf(whole, sizeof(whole), "%s cores", cores);
        return too_much(config, config->cpu_place, "cpu", whole, err);
    }
    int r = check_share(config, config->memory_place, "memory", result.limits.memory_bytes,
                        machine->memory_bytes, err);

    if (r == 0) {
        r = check_share(config, config->disk_place, "disk", result.limits.disk_bytes,
                        machine->disk_bytes, err);
    }
    if (r == 0) {
        r = check_share(config, config->storage_place, "storage", result.storage_bytes,
                        machine->disk_bytes, err);
    }
    if (r == 0) {
        config_resolve_rules(config, machine, &result.rules);
        *contribution_out = result;
    }
    return r;
}
