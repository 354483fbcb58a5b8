// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What minga-probe tries, as tables: one row an attempt to get out of a sandbox, to see the host,
 * to reach a neighbour, or to take more than was promised.
 *
 * Every attempt runs in a process of its own. It is `stopped` only when what refused it is the
 * sandbox; where it fails for another reason it is `unsure` and proves nothing. Many have a
 * control, which runs outside of any sandbox without rights and without changing anything: it says
 * whether there is on this machine what the attempt is after. Without that, nothing is proved
 * either.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ATTEMPT_ARGUMENTS_MAX = 6,
    REMARK_CHARS_MAX = 120,
};

enum verdict {
    VERDICT_STOPPED, /* refused by the sandbox */
    VERDICT_OPEN,    /* it worked */
    VERDICT_UNSURE,  /* failed for another reason, which says nothing */
};

struct outcome {
    enum verdict verdict;
    char remark[REMARK_CHARS_MAX + 1]; /* what stopped it, or what it got: one line */
};

/* What the probe is told about the host (see facts.c); "" and 0: not known, so no such attempt. */
struct facts {
    char canary[128];     /* a file of the host, readable by everyone there */
    char canary_text[64]; /* what is in it */
    char abstract[64];    /* name of an abstract socket on which somebody listens there */
    char unix_path[128];  /* of a socket in the host's file system, open to all */
    char lan[64];         /* an address of the host on its network */
    char router[64];      /* the host's default gateway */
    char boot_id[64];
    char kernel_name[64]; /* the host's host name */
    char cpu_model[80];
    char shm_name[64]; /* POSIX shared memory of the host, open to all */
    uint64_t tcp_port; /* on which somebody listens on all addresses there */
    uint64_t udp_port;
    uint64_t pid;     /* of a process of the host */
    uint64_t shm_key; /* System V shared memory of the host, open to all */
    uint64_t memory_kib;
    uint64_t uptime_s;
    uint64_t pid_count_max;
};

struct attempt {
    const char *name; /* "read /proc/kcore" */
    void (*run)(const struct attempt *attempt, const struct facts *facts, struct outcome *out);
    /* Is it there outside? NULL: every machine has it. */
    bool (*control)(const struct attempt *attempt, const struct facts *facts);
    const char *path;
    long number; /* of a system call, device type, ... */
    long arguments[ATTEMPT_ARGUMENTS_MAX];
    const char *meant; /* it works on purpose: why; NULL: it must not */
};

struct attempt_group {
    const char *name;
    const struct attempt *attempts;
    size_t count;
};

extern const struct attempt_group files_group;
extern const struct attempt_group devices_group;
extern const struct attempt_group kernel_group;
extern const struct attempt_group settings_group;
extern const struct attempt_group mounts_group;
extern const struct attempt_group namespaces_group;
extern const struct attempt_group calls_group;
extern const struct attempt_group sockets_group;
extern const struct attempt_group network_group;
extern const struct attempt_group processes_group;
extern const struct attempt_group rights_group;
extern const struct attempt_group limits_group;
extern const struct attempt_group doors_group;

/* --- outcome.c: words for verdicts --- */

void outcome_open(struct outcome *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void outcome_stopped(struct outcome *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void outcome_unsure(struct outcome *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* By errno: EPERM, EACCES, ENOSYS and their like are refusals, others say nothing. */
void outcome_of_error(struct outcome *out, int error_number);
/* The same, where a thing that is there outside may also simply be missing. */
void outcome_of_absence(struct outcome *out, int error_number);

/* --- common.c: attempts that only differ by path or number --- */

/* Opens `path` and reads a byte of it. */
void attempt_read(const struct attempt *attempt, const struct facts *facts, struct outcome *out);
/* Opens `path` for writing; nothing is written. */
void attempt_write(const struct attempt *attempt, const struct facts *facts, struct outcome *out);
/* Lists the folder `path`: an empty one is as good as none. */
void attempt_list(const struct attempt *attempt, const struct facts *facts, struct outcome *out);
/* The system call `number` with `arguments`. */
void attempt_call(const struct attempt *attempt, const struct facts *facts, struct outcome *out);
/* Does `path` exist outside? */
bool control_path(const struct attempt *attempt, const struct facts *facts);
/* Does the kernel have the call `number`? Asked with arguments that no call accepts. */
bool control_call(const struct attempt *attempt, const struct facts *facts);
/* Their rows. */
#define READ(where)                                                                          \
    {                                                                                        \
        .name = "read " where, .run = attempt_read, .path = (where), .control = control_path \
    }
#define LIST(where)                                                                          \
    {                                                                                        \
        .name = "list " where, .run = attempt_list, .path = (where), .control = control_path \
    }
#define CALL(text, call, ...)                                                           \
    {                                                                                   \
        .name = (text), .run = attempt_call, .number = (call), .control = control_call, \
        .arguments = {                                                                  \
            __VA_ARGS__                                                                 \
        }                                                                               \
    }
/* A pointer among `arguments`. */
#define TEXT(words) ((long)(intptr_t)(words))

/* The first line of a file, without its end; false when there is none. */
bool read_line(const char *path, char *line_out, size_t capacity_bytes);
