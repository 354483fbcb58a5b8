// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The table of commands: one row and one file per command, as in git. The table is what `minga
 * help` prints, what is parsed by, and what the tests walk.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/cli/problem.h"

enum option {
    OPTION_SOCKET, /* global ones first */
    OPTION_JSON,
    OPTION_KEY,
    OPTION_HELP,
    OPTION_EXPIRES,
    OPTION_USES,
    OPTION_TOKEN_FILE,
    OPTION_YES,
    OPTION_WAIT,
    OPTION_REPLICAS,
    OPTION_PORT,
    OPTION_FOLLOW,
    OPTION_WATCH,
    OPTION_REASON,
    OPTION_OWNER_NAME,
    OPTION_OWNER,
    OPTION_TRACE,
    OPTION_PARALLEL,
    OPTION_DELAY,
    OPTION_TIMEOUT,
    OPTION_NOW,
    OPTION_WITHIN,
    OPTION_LISTEN,
    OPTION_STDIO,
    OPTION_COUNT
};
#define OPTION_BIT(option) (1U << (option))
#define OPTIONS_GLOBAL     (OPTION_BIT(OPTION_EXPIRES) - 1)

enum option_value { VALUE_NONE, VALUE_NEEDED, VALUE_OPTIONAL };

struct option_spec {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum option_value value;
    const char *placeholder;
    const char *help;
};

enum { WORDS_MAX = 72 }; /* a service and all words of a command to run in it */

struct arguments {
    uint32_t word_count; /* without the command's own words */
    const char *words[WORDS_MAX];
    const char *options[OPTION_COUNT]; /* NULL: absent; "" where no value was given */
};

struct session;

struct command {
    const char *name;  /* "node pause": one or two words */
    const char *usage; /* of its words: "NAME N" */
    const char *help;  /* one line */
    uint32_t words_min;
    uint32_t words_max;
    uint32_t options; /* OPTION_BITs besides the global ones */
    int (*run)(struct session *session, const struct arguments *arguments);
};

uint32_t command_count(void);
const struct command *command_at(uint32_t index);
/* By one or two words (`second` may be NULL); *used_out: how many were the name. NULL: none. */
const struct command *command_find(const char *first, const char *second, uint32_t *used_out);
/* The name nearest to a mistyped one, or NULL when none is near. */
const char *command_nearest(const char *typed);
const struct option_spec *option_spec(enum option option);

/*
 * Sorts argv (without the program's name) into words and options; "--" ends options. Options may
 * stand anywhere; whether the command takes them is checked by arguments_check. Returns
 * EXIT_DONE or EXIT_USAGE with the problem. Borrows from argv.
 */
int arguments_parse(int count, char *const *argv, struct arguments *arguments_out,
                    struct problem *problem);
/* Removes the command's own words; checks number of words and options. */
int arguments_check(const struct command *command, uint32_t used_words, struct arguments *arguments,
                    struct problem *problem);

/* One per file cmd_*.c. */
int run_community_create(struct session *session, const struct arguments *arguments);
int run_invite(struct session *session, const struct arguments *arguments);
int run_invite_revoke(struct session *session, const struct arguments *arguments);
int run_join(struct session *session, const struct arguments *arguments);
int run_leave(struct session *session, const struct arguments *arguments);
int run_members(struct session *session, const struct arguments *arguments);
int run_nodes(struct session *session, const struct arguments *arguments);
int run_expel(struct session *session, const struct arguments *arguments);
int run_node(struct session *session, const struct arguments *arguments);
int run_node_pause(struct session *session, const struct arguments *arguments);
int run_node_resume(struct session *session, const struct arguments *arguments);
int run_node_drain(struct session *session, const struct arguments *arguments);
int run_node_history(struct session *session, const struct arguments *arguments);
int run_push(struct session *session, const struct arguments *arguments);
int run_check(struct session *session, const struct arguments *arguments);
int run_prove(struct session *session, const struct arguments *arguments);
int run_plan(struct session *session, const struct arguments *arguments);
int run_start(struct session *session, const struct arguments *arguments);
int run_stop(struct session *session, const struct arguments *arguments);
int run_scale(struct session *session, const struct arguments *arguments);
int run_rm(struct session *session, const struct arguments *arguments);
int run_services(struct session *session, const struct arguments *arguments);
int run_status(struct session *session, const struct arguments *arguments);
int run_connect(struct session *session, const struct arguments *arguments);
int run_locate(struct session *session, const struct arguments *arguments);
int run_logs(struct session *session, const struct arguments *arguments);
int run_try(struct session *session, const struct arguments *arguments);
int run_exec(struct session *session, const struct arguments *arguments);
int run_cp(struct session *session, const struct arguments *arguments);
int run_events(struct session *session, const struct arguments *arguments);
int run_metrics(struct session *session, const struct arguments *arguments);
int run_storage(struct session *session, const struct arguments *arguments);
int run_ring(struct session *session, const struct arguments *arguments);
int run_lookup(struct session *session, const struct arguments *arguments);
int run_key(struct session *session, const struct arguments *arguments);
int run_help(struct session *session, const struct arguments *arguments);
int run_version(struct session *session, const struct arguments *arguments);
