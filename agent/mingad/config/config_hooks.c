// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/config/config_hooks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "agent/mingad/config/config.h"
#include "base/units.h"

enum {
    UID_RANGE = 65536, /* of one replica */
    LISTEN_CHARS_MAX = 80,
};

static bool is_word(const char *text, const char *also)
{
    for (; *text != '\0'; text++) {
        bool is_plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                        (*text >= '0' && *text <= '9');

        if (!is_plain && strchr(also, *text) == NULL) {
            return false;
        }
    }
    return true;
}

int config_check_name(const struct yaml_value *value, struct err *err)
{
    return is_word(value->text, "-_.")
               ? 0
               : err_set(err, -EINVAL, "expected letters, digits, \"-\", \"_\" and \".\"");
}

int config_check_zone(const struct yaml_value *value, struct err *err)
{
    return config_check_name(value, err);
}

int config_check_label(const struct yaml_value *value, struct err *err)
{
    return is_word(value->text, "-_.=")
               ? 0
               : err_set(err, -EINVAL, "expected a word like ssd or room=lab3");
}

int config_check_role(const struct yaml_value *value, struct err *err)
{
    const struct config *config = value->target;
    const enum config_role *role = value->base;

    for (const enum config_role *other = config->roles; other < role; other++) {
        if (*other == *role) {
            return err_set(err, -EINVAL, "%s is named twice", value->text);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ shares */

int config_parse_share(const char *text, struct config_share *share_out,
                       int (*parse)(const char *text, uint64_t *number_out), struct err *err)
{
    struct config_share share = {0};

    if (units_parse_percent(text, &share.percent) == 0) {
        share.is_percent = true;
    } else if (parse(text, &share.value) < 0) {
        return err_set(err, -EINVAL, "expected a share like 25%% or %s, got \"%.32s\"",
                       parse == units_parse_cores ? "cores like 1.5" : "a size like 512M", text);
    }
    *share_out = share;
    return 0;
}

static int read_share(const struct yaml_value *value, struct config_share *share_out,
                      int (*parse)(const char *text, uint64_t *number_out), struct err *err)
{
    return config_parse_share(value->text, share_out, parse, err);
}

int config_read_cpu(const struct yaml_value *value, struct err *err)
{
    return read_share(value, &((struct config *)value->target)->cpu, units_parse_cores, err);
}

int config_read_memory(const struct yaml_value *value, struct err *err)
{
    return read_share(value, &((struct config *)value->target)->memory, units_parse_bytes, err);
}

int config_read_disk(const struct yaml_value *value, struct err *err)
{
    return read_share(value, &((struct config *)value->target)->disk, units_parse_bytes, err);
}

int config_read_storage(const struct yaml_value *value, struct err *err)
{
    return read_share(value, &((struct config *)value->target)->storage, units_parse_bytes, err);
}

int config_read_keep_free(const struct yaml_value *value, struct err *err)
{
    return read_share(value, &((struct config *)value->target)->keep_free, units_parse_bytes, err);
}

/* ------------------------------------------------------------------ addresses and ports */

static int parse_port(const char *text, uint16_t *port_out)
{
    uint64_t number = 0;

    if (units_parse_number(text, &number) < 0 || number == 0 || number > UINT16_MAX) {
        return -EINVAL;
    }
    *port_out = (uint16_t)number;
    return 0;
}

/* Splits "host:port" and "[v6]:port". */
static int split_address(const char *text, char host_out[CONFIG_HOST_CHARS_MAX + 1],
                         uint16_t *port_out)
{
    const char *colon = strrchr(text, ':');
    size_t host_chars = colon == NULL ? 0 : (size_t)(colon - text);

    if (host_chars == 0 || parse_port(colon + 1, port_out) < 0) {
        return -EINVAL;
    }
    if (text[0] == '[' && text[host_chars - 1] == ']') {
        text++;
        host_chars -= 2;
    } else if (memchr(text, ':', host_chars) != NULL) {
        return -EINVAL; /* an IPv6 address without brackets */
    }
    if (host_chars == 0 || host_chars > CONFIG_HOST_CHARS_MAX) {
        return -EINVAL;
    }
    memcpy(host_out, text, host_chars);
    host_out[host_chars] = '\0';
    return 0;
}

static bool is_numeric_host(const char *host)
{
    struct in6_addr ignored;

    return strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &ignored) == 1 ||
           inet_pton(AF_INET6, host, &ignored) == 1;
}

int config_read_listen(const struct yaml_value *value, struct err *err)
{
    struct config *config = value->target;
    char host[CONFIG_HOST_CHARS_MAX + 1] = "*";
    uint16_t port = 0;

    if (parse_port(value->text, &port) < 0 &&
        (split_address(value->text, host, &port) < 0 || !is_numeric_host(host))) {
        return err_set(err, -EINVAL,
                       "expected a port, or \"address:port\" in quotes, got \"%.48s\"",
                       value->text);
    }
    config->listen_port = port;
    return text_copy(config->listen_host, sizeof(config->listen_host), host);
}

int config_read_bind(const struct yaml_value *value, struct err *err)
{
    struct config *config = value->target;

    if (!is_numeric_host(value->text)) {
        return err_set(err, -EINVAL, "expected an address or \"*\", got \"%.48s\"", value->text);
    }
    return text_copy(config->bind, sizeof(config->bind), value->text);
}

int config_check_advertise(const struct yaml_value *value, struct err *err)
{
    char host[CONFIG_HOST_CHARS_MAX + 1];
    uint16_t port = 0;

    if (strcmp(value->text, "auto") == 0 || strcmp(value->text, "none") == 0) {
        return 0;
    }
    if (split_address(value->text, host, &port) < 0 || !is_word(host, "-.:")) {
        return err_set(err, -EINVAL, "expected auto, none or host:port, got \"%.48s\"",
                       value->text);
    }
    return 0;
}

/* "first-last"; returns 0 or -EINVAL. */
static int parse_range(const char *text, uint64_t *first_out, uint64_t *last_out)
{
    char first[24];
    const char *dash = strchr(text, '-');
    size_t first_chars = dash == NULL ? 0 : (size_t)(dash - text);

    if (first_chars == 0 || first_chars >= sizeof(first)) {
        return -EINVAL;
    }
    memcpy(first, text, first_chars);
    first[first_chars] = '\0';
    if (units_parse_number(first, first_out) < 0 || units_parse_number(dash + 1, last_out) < 0) {
        return -EINVAL;
    }
    return *first_out <= *last_out ? 0 : -EINVAL;
}

int config_read_ports(const struct yaml_value *value, struct err *err)
{
    struct config *config = value->target;
    uint64_t first = 0;
    uint64_t last = 0;

    if (parse_range(value->text, &first, &last) < 0 || first < 1024 || last > UINT16_MAX) {
        return err_set(err, -EINVAL, "expected ports like 31000-31999, from 1024 on, got \"%.32s\"",
                       value->text);
    }
    config->port_first = (uint16_t)first;
    config->port_last = (uint16_t)last;
    return 0;
}

int config_read_uids(const struct yaml_value *value, struct err *err)
{
    struct config *config = value->target;
    uint64_t first = 0;
    uint64_t last = 0;

    /* (uid_t)-1 means "none" to the kernel, hence never the last one. */
    if (parse_range(value->text, &first, &last) < 0 || first % UID_RANGE != 0 ||
        (last + 1) % UID_RANGE != 0 || first < UID_RANGE || last >= UINT32_MAX) {
        return err_set(err, -EINVAL,
                       "expected whole ranges of 65536, like 1879048192-2147483647, got \"%.32s\"",
                       value->text);
    }
    config->uid_first = (uint32_t)first;
    config->uid_last = (uint32_t)last;
    return 0;
}

/* ------------------------------------------------------------------ names */

/* An owner's or a service's id, or a label that services require. */
int config_read_guest(const struct yaml_value *value, struct err *err)
{
    struct core_guest *guest = &((struct config_id *)value->base)->guest;
    static const char prefix[] = "label=";
    const size_t prefix_chars = sizeof(prefix) - 1;

    memset(guest, 0, sizeof(*guest));
    if (strncmp(value->text, prefix, prefix_chars) == 0 && value->text[prefix_chars] != '\0' &&
        is_word(value->text + prefix_chars, "-_.=") &&
        text_copy(guest->label, sizeof(guest->label), value->text + prefix_chars) == 0) {
        return 0;
    }
    if (id_from_hex(value->text, &guest->id) < 0) {
        return err_set(err, -EINVAL,
                       "expected an id of an owner or a service, 64 hexadecimal digits as in minga "
                       "members --json, or label=NAME");
    }
    return 0;
}

int config_check_user(const struct yaml_value *value, struct err *err)
{
    uint64_t number = 0;

    if (units_parse_number(value->text, &number) == 0 && (number == 0 || number >= UINT32_MAX)) {
        return err_set(err, -EINVAL, "mingad does not run as user %.32s", value->text);
    }
    if (strcmp(value->text, "root") == 0) {
        return err_set(err, -EINVAL, "mingad does not run as root: it talks to strangers");
    }
    return config_check_name(value, err);
}

int config_check_cgroup(const struct yaml_value *value, struct err *err)
{
    return is_word(value->text, "-_")
               ? 0
               : err_set(err, -EINVAL, "expected letters, digits, \"-\" and \"_\"");
}

int config_check_path(const struct yaml_value *value, struct err *err)
{
    const char *text = value->text;

    if (text[0] != '/' || strstr(text, "//") != NULL || strstr(text, "/.") != NULL ||
        text[strlen(text) - 1] == '/') {
        return err_set(err, -EINVAL, "expected an absolute path without \"..\", got \"%.64s\"",
                       text);
    }
    return 0;
}
