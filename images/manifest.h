// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The manifest, service.yaml at the root of a bundle: what to run, how many, with how much.
 *
 * manifest_parse reads YAML by one table of keys (libyaml's events), with line and column in
 * every error; manifest_encode/_decode are the canonical bytes that an owner signs and other
 * nodes decode (bounded, no allocation, fit for pure code; decode trusts nothing).
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

enum manifest_spread { MANIFEST_SPREAD_ZONE, MANIFEST_SPREAD_NODE };
enum manifest_restart {
    MANIFEST_RESTART_ALWAYS,
    MANIFEST_RESTART_ON_FAILURE,
    MANIFEST_RESTART_NEVER
};
enum {
    MANIFEST_LOGS_BYTES_MIN = 16 << 10, /* as SPEC_LOGS_BYTES_MIN and _MAX of the sandbox */
    MANIFEST_LOGS_BYTES_MAX = 64 << 20,
};
enum manifest_protocol { MANIFEST_TCP, MANIFEST_UDP };
enum manifest_visibility { MANIFEST_PUBLIC, MANIFEST_MEMBERS };
enum manifest_egress { MANIFEST_EGRESS_NONE, MANIFEST_EGRESS_INTERNET };
enum manifest_arch {
    MANIFEST_ARCH_ANY,
    MANIFEST_ARCH_AMD64,
    MANIFEST_ARCH_ARM64,
    MANIFEST_ARCH_ARMHF,
    MANIFEST_ARCH_I386,
    MANIFEST_ARCH_RISCV64
};

struct manifest_words { /* a bounded list of texts: each word with its NUL */
    uint32_t count;
    uint32_t used_bytes;
    char text[COMMAND_BYTES_MAX];
};

struct manifest_port {
    char name[NAME_CHARS_MAX + 1];
    uint16_t container_port;
    enum manifest_protocol protocol;
    enum manifest_visibility visibility;
};

struct manifest {
    char name[NAME_CHARS_MAX + 1];
    struct manifest_words command;
    struct manifest_words environment; /* NAME=value */
    char workdir[PATH_BYTES_MAX];
    uint32_t user;
    uint32_t replica_count;
    enum manifest_spread spread;
    enum manifest_restart restart;
    uint64_t cpu_permille;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t pid_count;
    uint32_t arch_count; /* 0 until read from the ELF header of command[0] by push */
    enum manifest_arch archs[4];
    uint32_t label_count;
    char labels[LABELS_MAX][LABEL_CHARS_MAX + 1];
    uint32_t port_count;
    struct manifest_port ports[PORTS_PER_SERVICE_MAX];
    enum manifest_egress egress;
    bool has_health;
    struct manifest_words health_command; /* no words: the port is asked */
    uint32_t health_port;                 /* index into ports */
    char health_http[128];                /* "": TCP only */
    uint64_t health_interval_ms;
    uint64_t health_timeout_ms;
    uint32_t health_failures_max;
    uint64_t health_grace_ms;
    int stop_signal;
    uint64_t stop_grace_ms;
    uint64_t logs_bytes;
};

/*
 * Parses service.yaml. `file_name` is only for messages: "service.yaml:7:3: unknown key ...".
 * Returns 0; -EINVAL with err set for anything wrong, unknown, repeated or not built yet.
 */
int manifest_parse(struct bytes yaml, const char *file_name, struct manifest *manifest_out,
                   struct err *err);

/* Writes at most MANIFEST_BYTES_MAX canonical bytes. Returns the length, or -EMSGSIZE. */
int manifest_encode(const struct manifest *manifest, uint8_t *bytes_out);
/* Checks every field as parsing does. Returns 0 or -EBADMSG. */
int manifest_decode(struct bytes canonical, struct manifest *manifest_out);

/* The index-th word of a list; index < words->count. */
const char *manifest_word(const struct manifest_words *words, uint32_t index);
const char *manifest_arch_name(enum manifest_arch arch);
