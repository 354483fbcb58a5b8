// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The words between minga-environment and an environment's program: one JSON object a line
 * (docs/environment.md). Pure but for what jansson allocates. What comes from the program is
 * judged here: kinds, types, bounds; a line that is none of the table is an error.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "sandbox/environment.h"

enum {
    WORDS_VERSION = 3,
    WORDS_LINE_BYTES_MAX = 65536, /* with its line end */
    WORDS_ID_BYTES = ID_HEX_CHARS + 1 + 10 + 1 + 20 + 1,
};

/* How the program calls a replica: "SERVICE-SLOT-INCARNATION"; also the name of its log files. */
void words_id(const struct replica_key *key, char id_out[WORDS_ID_BYTES]);

/* Each returns a line on the heap, the caller's to free, or NULL without memory. */
char *words_hello(void);
/*
 * `output_path`: a named pipe, which takes what the service prints. NULL also where a word of the
 * spec, one of its health command included, is no UTF-8.
 */
char *words_start(const struct sandbox_spec *spec, const char *tree_path, const char *output_path);
/* SIGKILL, SIGSTOP and SIGCONT: to all of it. */
char *words_signal(const struct replica_key *key, int signal);
char *words_stats(const struct replica_key *key);
char *words_probe(const struct replica_key *key, const struct sandbox_health *question);

enum said_kind {
    SAID_NOTHING, /* a kind of a later version */
    SAID_READY,
    SAID_STARTED,
    SAID_ENDED,
    SAID_PROBED,
    SAID_STATS,
};

struct said {
    enum said_kind kind;
    char id[WORDS_ID_BYTES]; /* all but READY */
    enum sandbox_end end;
    int status;
    char reason[REASON_CHARS_MAX + 1]; /* printable */
    bool healthy;
    struct sandbox_limits used;
};

/* Reads one line. 0, or -EBADMSG with err. */
int words_read(const char *line, size_t length_bytes, struct said *said_out, struct err *err);
