// SPDX-License-Identifier: GPL-3.0-or-later
/* The manifest's rules for single texts, and those across keys. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "images/archive_rules.h"
#include "images/manifest_table.h"

const struct manifest_signal manifest_signals[MANIFEST_SIGNAL_COUNT] = {
    {"TERM", SIGTERM}, {"INT", SIGINT},   {"HUP", SIGHUP},   {"QUIT", SIGQUIT},
    {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH},
};

/* isalnum without a locale. */
static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool consists_of(const char *text, const char *others)
{
    for (; *text != '\0'; text++) {
        if (!is_letter_or_digit(*text) && strchr(others, *text) == NULL) {
            return false;
        }
    }
    return true;
}

const char *manifest_name_fault(const char *name)
{
    bool is_fine = name[0] != '\0' && name[0] != '-' && strlen(name) <= NAME_CHARS_MAX &&
                   consists_of(name, "-");

    for (const char *c = name; is_fine && *c != '\0'; c++) {
        is_fine = *c < 'A' || *c > 'Z';
    }
    return is_fine ? NULL : "1 to 32 letters a-z, digits and dashes, no dash in front";
}

static bool has_control_characters(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

const char *manifest_path_fault(const char *path)
{
    size_t length_bytes = strlen(path);

    if (path[0] != '/') {
        return "an absolute path";
    }
    if (length_bytes >= PATH_BYTES_MAX || has_control_characters(path)) {
        return "a path of less than 1024 bytes without control characters";
    }
    if (strstr(path, "/../") != NULL ||
        (length_bytes >= 3 && strcmp(path + length_bytes - 3, "/..") == 0)) {
        return "a path without \"..\"";
    }
    return NULL;
}

const char *manifest_variable_fault(const char *variable)
{
    const char *equals = strchr(variable, '=');
    bool is_fine = equals != NULL && equals != variable && !(*variable >= '0' && *variable <= '9');

    for (const char *c = variable; is_fine && c < equals; c++) {
        is_fine = is_letter_or_digit(*c) || *c == '_';
    }
    return is_fine ? NULL : "NAME=value with letters, digits and _ in the name";
}

const char *manifest_label_fault(const char *label)
{
    bool is_fine =
        label[0] != '\0' && strlen(label) <= LABEL_CHARS_MAX && consists_of(label, "._=-");

    return is_fine ? NULL : "a label of 1 to 31 letters, digits and . _ = -";
}

const char *manifest_http_fault(const char *path)
{
    bool is_fine = path[0] == '\0' || path[0] == '/';

    for (; is_fine && *path != '\0'; path++) {
        is_fine = *path > 0x20 && *path < 0x7f;
    }
    return is_fine ? NULL : "a path like /healthz without spaces";
}

int manifest_words_add(struct manifest_words *words, const char *word, uint32_t count_max)
{
    size_t word_bytes = strlen(word) + 1;

    if (words->count >= count_max || word_bytes > sizeof(words->text) - words->used_bytes) {
        return -E2BIG;
    }
    memcpy(words->text + words->used_bytes, word, word_bytes);
    words->used_bytes += (uint32_t)word_bytes;
    words->count++;
    return 0;
}

const char *manifest_word(const struct manifest_words *words, uint32_t index)
{
    const char *word = words->text;

    CHECK(index < words->count);
    for (uint32_t i = 0; i < index; i++) {
        word += strlen(word) + 1;
    }
    return word;
}

const char *manifest_arch_name(enum manifest_arch arch)
{
    static const char *const names[] = {
        [MANIFEST_ARCH_ANY] = "any",     [MANIFEST_ARCH_AMD64] = "amd64",
        [MANIFEST_ARCH_ARM64] = "arm64", [MANIFEST_ARCH_ARMHF] = "armhf",
        [MANIFEST_ARCH_I386] = "i386",   [MANIFEST_ARCH_RISCV64] = "riscv64",
    };

    CHECK((size_t)arch < ARRAY_COUNT(names));
    return names[arch];
}

static int check_archs(const struct manifest *manifest, struct err *err)
{
    for (uint32_t i = 0; i < manifest->arch_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (manifest->archs[i] == manifest->archs[j]) {
                return err_set(err, -EINVAL, "%s is repeated",
                               manifest_arch_name(manifest->archs[i]));
            }
        }
        if (manifest->archs[i] == MANIFEST_ARCH_ANY && manifest->arch_count > 1) {
            return err_set(err, -EINVAL, "\"any\" stands alone");
        }
    }
    return 0;
}

static int check_health_command(const struct manifest *manifest, struct err *err)
{
    const char *fault = manifest_path_fault(manifest_word(&manifest->health_command, 0));

    if (fault != NULL) {
        return err_set(err, -EINVAL, "expected %s as its first word", fault);
    }
    if (manifest->health_command.used_bytes > HEALTH_COMMAND_BYTES_MAX ||
        manifest->health_port != 0 || manifest->health_http[0] != '\0') {
        return err_set(err, -EINVAL, "too long, or beside a port or a path");
    }
    return 0;
}

/* DNS asks for one number with both protocols, so only the pair must be unique. */
static int check_ports(const struct manifest *manifest, struct err *err)
{
    for (uint32_t i = 0; i < manifest->port_count; i++) {
        const struct manifest_port *port = &manifest->ports[i];

        for (uint32_t j = 0; j < i; j++) {
            if (manifest->ports[j].container_port == port->container_port &&
                manifest->ports[j].protocol == port->protocol) {
                return err_set(err, -EINVAL, "port %u is repeated", port->container_port);
            }
        }
    }
    return 0;
}

static int check_health(const struct manifest *manifest, const char **row_out, struct err *err)
{
    if (!manifest->has_health) {
        return 0;
    }
    if (manifest->health_command.count > 0) {
        *row_out = "health.command";
        if (check_health_command(manifest, err) < 0) {
            return err->code;
        }
    } else if (manifest->health_port >= manifest->port_count) {
        *row_out = "health.port";
        return err_set(err, -EINVAL, "names no port of \"ports\"");
    } else if (manifest->ports[manifest->health_port].protocol != MANIFEST_TCP) {
        *row_out = "health.port";
        return err_set(err, -EINVAL, "a udp port cannot be asked: name a tcp port or a command");
    }
    *row_out = "health.interval";
    if (manifest->health_timeout_ms > manifest->health_interval_ms) {
        return err_set(err, -EINVAL, "interval must not be shorter than timeout");
    }
    return 0;
}

static int check_commands(const struct manifest *manifest, const char **row_out, struct err *err)
{
    const char *fault;

    *row_out = "command";
    if (manifest->command.count == 0) {
        return err_set(err, -EINVAL, "must not be empty");
    }
    fault = manifest_path_fault(manifest_word(&manifest->command, 0));
    if (fault != NULL) {
        return err_set(err, -EINVAL, "expected %s as its first word", fault);
    }
    *row_out = "env";
    for (uint32_t i = 0; i < manifest->environment.count; i++) {
        const char *variable = manifest_word(&manifest->environment, i);
        fault = manifest_variable_fault(variable);

        if (fault != NULL) {
            return err_set(err, -EINVAL, "expected %s", fault);
        }
        for (uint32_t j = 0; j < i; j++) {
            size_t name_bytes = (size_t)(strchr(variable, '=') - variable) + 1;

            if (strncmp(manifest_word(&manifest->environment, j), variable, name_bytes) == 0) {
                return err_set(err, -EINVAL, "%.*s is repeated", (int)name_bytes - 1, variable);
            }
        }
    }
    return 0;
}

static bool words_are_text(const struct manifest_words *words)
{
    for (uint32_t i = 0; i < words->count; i++) {
        if (!archive_text_is_utf8(manifest_word(words, i))) {
            return false;
        }
    }
    return true;
}

/* YAML has no other text; a manifest that was signed without its parser may. */
static int check_texts(const struct manifest *manifest, const char **row_out, struct err *err)
{
    const struct {
        const char *row;
        bool is_text;
    } texts[] = {{"command", words_are_text(&manifest->command)},
                 {"env", words_are_text(&manifest->environment)},
                 {"health.command", words_are_text(&manifest->health_command)},
                 {"workdir", archive_text_is_utf8(manifest->workdir)}};

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (!texts[i].is_text) {
            *row_out = texts[i].row;
            return err_set(err, -EINVAL, "expected UTF-8");
        }
    }
    return 0;
}

int manifest_check_whole(const struct manifest *manifest, const char **row_out, struct err *err)
{
    int r = check_commands(manifest, row_out, err);

    if (r == 0) {
        r = check_texts(manifest, row_out, err);
    }
    if (r == 0) {
        *row_out = "requires.arch";
        r = check_archs(manifest, err);
    }
    if (r == 0) {
        *row_out = "ports";
        r = check_ports(manifest, err);
    }
    if (r == 0) {
        r = check_health(manifest, row_out, err);
    }
    return r;
}
