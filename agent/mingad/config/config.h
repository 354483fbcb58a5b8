// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * minga.yaml: what the owner of this machine gives, and how the agent is reached.
 *
 * config_parse is pure. config_load finds and checks the file: only root or the agent's own user
 * may have written it, since it decides what the community may take. Shares of the machine are
 * kept as written until config_resolve is told what the machine has.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "agent/policy/rules.h"
#include "base/bytes.h"
#include "base/err.h"
#include "sandbox/environment.h"

enum {
    CONFIG_MEMBERS_MAX = 16, /* entries in members.allow and members.deny */
    CONFIG_FILE_BYTES_MAX = 65536,
    CONFIG_RUN_BYTES_MAX = 80, /* "RUN/sandbox/..." must fit a socket's address */
    CONFIG_STATE_BYTES_MAX = 256,
    CONFIG_HOST_CHARS_MAX = 47,
    CONFIG_IDLE_MS_MAX = 24 * 3600 * 1000,
    CONFIG_WITHIN_MS_MAX = 24 * 3600 * 1000,
    CONFIG_ENVIRONMENT_WORDS_MAX = 8, /* of the command of another execution environment */
    CONFIG_ENVIRONMENT_WORD_CHARS_MAX = 255,
    CONFIG_ENVIRONMENT_NAME_CHARS_MAX = 19, /* "environment=NAME" is a label */
};

struct yaml_table;

#define CONFIG_PATH_DEFAULT "/etc/minga/minga.yaml"
#define CONFIG_RATE_MAX     ((uint64_t)1 << 40) /* bytes a second */

/* "25%" of the machine, or an absolute quantity. */
struct config_share {
    bool is_percent;
    uint32_t percent;
    uint64_t value; /* bytes or permille, when not a percentage */
};

enum config_role { CONFIG_ROLE_RUN, CONFIG_ROLE_STORE, CONFIG_ROLE_MANAGE, CONFIG_ROLES_COUNT };

struct config_id { /* an element of members.allow */
    struct core_guest guest;
};

struct config_rule { /* an element of rules */
    struct owner_rule rule;
    struct config_share cpu; /* neither a percentage nor a value: as contributed */
    struct config_share memory;
};

struct config_place { /* in the file; line 0: not there */
    uint32_t line;
    uint32_t column;
};

struct config {
    const char *file_name; /* as given to config_parse, borrowed; for messages, as are the places */
    struct config_place cpu_place;
    struct config_place memory_place;
    struct config_place disk_place;
    struct config_place storage_place;
    char name[NODE_NAME_CHARS_MAX + 1]; /* "": the host's */
    uint32_t label_count;
    char labels[LABELS_MAX][LABEL_CHARS_MAX + 1];
    char zone[ZONE_CHARS_MAX + 1];
    struct config_share cpu;
    struct config_share memory;
    struct config_share disk;
    struct config_share storage;
    struct config_share keep_free;
    uint64_t pid_count;
    uint32_t weight_percent;
    uint64_t upload_bytes_per_s; /* 0: no limit */
    uint64_t download_bytes_per_s;
    char listen_host[CONFIG_HOST_CHARS_MAX + 1]; /* "*": all; IPv6 without brackets */
    uint16_t listen_port;
    char advertise[ADDRESS_CHARS_MAX + 1]; /* "auto", "none", or "host:port" */
    uint16_t port_first;
    uint16_t port_last;
    char bind[CONFIG_HOST_CHARS_MAX + 1]; /* "*": all */
    uint32_t connections_max;             /* of each published port */
    uint64_t relay_bytes_per_s;           /* for others, in both directions; 0: none is relayed */
    int egress;                           /* 0: deny, 1: internet */
    int port_mapping;                     /* 0: off, 1: auto */
    uint32_t role_count;
    enum config_role roles[CONFIG_ROLES_COUNT];
    uint32_t rule_count;
    struct config_rule rules[OWNER_RULES_MAX];
    uint32_t allow_count;
    struct config_id allow[CONFIG_MEMBERS_MAX];
    uint32_t deny_count;
    struct config_id deny[CONFIG_MEMBERS_MAX];
    char user[33];
    uint32_t uid_first;
    uint32_t uid_last;
    char environment[CONFIG_ENVIRONMENT_NAME_CHARS_MAX + 1]; /* "": minga-sandboxd */
    uint32_t environment_word_count;
    char environment_words[CONFIG_ENVIRONMENT_WORDS_MAX][CONFIG_ENVIRONMENT_WORD_CHARS_MAX + 1];
    char cgroup[64];
    char state[CONFIG_STATE_BYTES_MAX];
    char run[CONFIG_RUN_BYTES_MAX];
};

/* What the shares are shares of. */
struct machine {
    char host_name[NODE_NAME_CHARS_MAX + 1];
    uint64_t cpu_permille;
    uint64_t memory_bytes;
    uint64_t disk_bytes; /* of the file system that holds the state */
    enum manifest_arch arch;
};

struct contribution { /* in absolute figures */
    struct sandbox_limits limits;
    uint64_t storage_bytes;
    uint64_t keep_free_bytes;
    struct owner_rules rules;
};

/*
 * Reads YAML; an empty file means all defaults. Returns 0, or -EINVAL with err
 * "FILE:LINE:COLUMN: KEY: what is wrong".
 */
int config_parse(struct bytes yaml, const char *file_name, struct config *config_out,
                 struct err *err);

/* All its keys. The target is a struct config. */
const struct yaml_table *config_table(void);

/*
 * Loads `path`, or the default file when path is NULL; a missing default file means all defaults.
 * -EPERM when others than root and the caller can write to it.
 */
int config_load(const char *path, struct config *config_out, struct err *err);

bool config_has_role(const struct config *config, enum config_role role);

/* Pure. -ERANGE when more is promised than the machine has, with "FILE:LINE:COLUMN: KEY: ...". */
int config_resolve(const struct config *config, const struct machine *machine,
                   struct contribution *contribution_out, struct err *err);

/* Looks at this machine; `state` is the state folder or, while it is missing, a path to be. */
int machine_inspect(const char *state, struct machine *machine_out, struct err *err);
