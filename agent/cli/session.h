// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One run of the command: the agent it talks to, how it prints, what went wrong.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/cli/command.h"
#include "agent/cli/screen/bar.h"
#include "agent/cli/screen/table.h"
#include "base/bytes.h"
#include "base/keys.h"

#define SOCKET_DEFAULT "/run/minga/agent.sock"

struct session {
    const char *socket_path;
    const char *key_path; /* --key, or NULL */
    bool json;
    bool asks;     /* stdin and stderr are terminals */
    bool progress; /* stderr is a terminal */
    bool colour;
    uint32_t width_columns;  /* of the window; 0: no window */
    uint32_t row_count;      /* of the window; 0: no window */
    struct buffer *frame;    /* tables go there instead of to stdout, or NULL */
    bool interactive_output; /* stdout is a terminal */
    bool draws;              /* a terminal here understands escape sequences */
    uint32_t patience_s;     /* with the agent, for one answer; 0: the usual */
    bool answered;           /* the last request had an answer of the agent's, whatever it was */
    void *curl;              /* CURL *, made on first use */
    uint32_t copies_least;   /* of what this command has written; 0: nothing, or not said */
    struct problem problem;
};

/* ------------------------------------------------------------------ client.c: the agent */

struct reply_window { /* of a stream */
    uint64_t offset;  /* Minga-Offset */
    bool ended;       /* Minga-Ended */
};

struct reply {
    unsigned status;
    json_t *document; /* NULL for bytes */
    struct buffer bytes;
    struct reply_window window;
};

/* Makes `easy`, a CURL handle, ready for a request to the agent at `socket_path`; without time-outs.
 * The answer goes to `bytes_out` up to its bytes_max, its headers to `window_out`. */
void request_prepare(void *easy, const char *socket_path, struct buffer *bytes_out,
                     struct reply_window *window_out);

void reply_done(struct reply *reply);
void cleanup_json(json_t **json);
void cleanup_buffer(struct buffer *buffer);

/* Does what an agent of before did not answer get better by itself? One that is being upgraded comes
 * back, and a manager that has died is replaced. */
bool session_may_pass(const struct session *session, int status);

/* All return EXIT_DONE with a document (owned by the caller), or a status with the problem. */
int session_get(struct session *session, const char *path, json_t **document_out);
/* `body` is taken; NULL: empty. `document_out` may be NULL. */
int session_post(struct session *session, const char *path, json_t *body, json_t **document_out);
int session_post_bytes(struct session *session, const char *path, struct bytes body,
                       json_t **document_out);
int session_get_bytes(struct session *session, const char *path, struct reply *reply_out);
/* As session_get, but "no such thing" gives EXIT_DONE and NULL. */
int session_find(struct session *session, const char *path, json_t **document_out);
void session_done(struct session *session);

/* An answer to a write says on how many disks it lies. */
void session_note_copies(struct session *session, const json_t *answer);
/* The least of them, for a document; null: nothing was written. */
json_t *session_copies(const struct session *session);
/* For people: what lies on one disk alone, and what will become of it. */
void session_warn_alone(const struct session *session);

/* ------------------------------------------------------------------ output.c */

/* Reads the window's size; COLUMNS stands above it. */
void session_measure(struct session *session);
/* Prints a document as it is (--json). */
void print_document(const json_t *document);
void print_table(const struct session *session, struct table *table);
/* One document a line, for streams. */
void print_line(const json_t *document);
/* "y" or "yes" on the terminal; true without one, or with --yes. */
bool confirm(const struct session *session, const struct arguments *arguments,
             const char *question);
/* A remark on stderr, cleaned. */
void remark(const char *format, ...) PRINTF_LIKE(1, 2);
/* Overwrites the last progress line; "" ends it. Only on a terminal. */
void progress(const struct session *session, const char *format, ...) PRINTF_LIKE(2, 3);
/* Of `what`, so much is done of so much (0: nobody knows); with rate and time left. */
void progress_begin(struct bar *bar, const char *what);
void progress_bar(const struct session *session, struct bar *bar, uint64_t done_bytes,
                  uint64_t total_bytes);
/* Ends it with a line of what was `done` ("copied") in all, for whoever looked on. */
void progress_total(const struct session *session, const struct bar *bar, const char *done,
                    uint64_t done_bytes);

/* ------------------------------------------------------------------ homes.c: keys of a person */

/* The owner's key, made on first use (and said so). */
int session_owner_key(struct session *session, struct secret_key *secret_out);
/* The same, but EXIT_NOT_FOUND rather than making one. */
int session_owner_key_if_any(struct session *session, struct secret_key *secret_out);
int session_community_key(struct session *session, const char *community,
                          struct secret_key *secret_out);
/* Makes and keeps a new one; fails when there is one of that name. `path_out`: where it is. */
int session_community_key_new(struct session *session, const char *community,
                              struct secret_key *secret_out, char *path_out, size_t capacity_bytes);
/* After a failed creation: takes the new key away again. */
void session_community_key_drop(const char *path);
/* The name of the person at the keyboard, also through sudo. */
void session_person(char *name_out, size_t capacity_bytes);

/* ------------------------------------------------------------------ json.c */

const char *text_of(const json_t *object, const char *key); /* "" when absent */
int64_t number_of(const json_t *object, const char *key);   /* 0 when absent */
double real_of(const json_t *object, const char *key);
json_t *json_base64(struct bytes bytes);
/* Seconds since 1970 of an RFC 3339 moment; 0: it is none. */
int64_t moment_of(const char *moment);
/* How long ago an RFC 3339 moment was, for tables: "3h". */
void print_age(const char *moment, char text_out[32]);
/* "host:port" as one writes it in a URL: IPv6 in brackets. */
void print_place(const char *host, int64_t port, char *text_out, size_t capacity_bytes);
/* "0.01/0.50" and "41M/128M" */
void print_cores_of(const json_t *object, const char *used, const char *limit, char *text_out,
                    size_t capacity_bytes);
void print_bytes_of(const json_t *object, const char *used, const char *limit, char *text_out,
                    size_t capacity_bytes);
void short_id(const char *hex, char text_out[16]);
