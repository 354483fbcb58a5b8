// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Where output goes that others have made: written as far as it is taken, never waited for. */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { SINK_BYTES_MAX = 1 << 20, SINK_NAME_BYTES = 64 };

enum sink_form {
    SINK_BYTES, /* as they come */
    SINK_LINES, /* whole lines, "NAME | " in front; into another sink */
    SINK_JSON,  /* {"replica": NAME, "stream": STREAM, "text": ...} a line; into another sink */
};

struct sink {
    enum sink_form form;
    int fd;             /* BYTES: borrowed; -1: thrown away */
    bool is_clean;      /* BYTES: a terminal: nothing in it may be obeyed */
    bool is_over;       /* nobody takes it any more */
    struct sink *into;  /* LINES, JSON: borrowed */
    const char *stream; /* JSON */
    char name[SINK_NAME_BYTES];
    struct buffer waiting; /* BYTES: to be written; LINES: of a line that is not complete */
};

void sink_init(struct sink *sink, int fd, bool is_clean);
/* One that gives other form to what goes `into` another one; `stream` is "stdout" or "stderr". */
void sink_init_into(struct sink *sink, enum sink_form form, struct sink *into, const char *name,
                    const char *stream);
void sink_done(struct sink *sink);
/* Bytes are copied. */
void sink_put(struct sink *sink, const void *bytes, size_t length_bytes);
/* Nothing more comes: a line that was begun is a line. */
void sink_end(struct sink *sink);
/* Writes what is taken at once. */
void sink_flush(struct sink *sink);
/* Has all been written that can be? */
bool sink_is_empty(const struct sink *sink);
bool sink_is_over(const struct sink *sink);
int sink_fd(const struct sink *sink);
