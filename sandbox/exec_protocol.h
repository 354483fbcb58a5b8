// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What goes over the socket between a client of one exec and minga-init, which runs a command, or
 * copies files, inside its sandbox as the service. Pure.
 *
 * minga-sandboxd makes the socket (SOCK_STREAM) and gives one end to mingad, the other to init;
 * nothing of the bytes is its business.
 *
 *     client                          minga-init
 *     BEGIN: 32-bit length, then what exec_begin_encode makes
 *     then bytes, as they are: the command's input, or an archive (DELIVER). shutdown(SHUT_WR)
 *     ends it
 *                                     frames: kind (8 bits), length (16 bits), that many bytes.
 *                                     OUTPUT and ERROR as they come; the last one is END
 *
 * When the client closes its socket, init kills what it had started for it. A socket that ends
 * without END means that the replica has ended.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    EXEC_WORDS_MAX = 64,
    EXEC_WORDS_BYTES_MAX = 2048, /* all words with their NULs */
    EXEC_BEGIN_BYTES_MAX = EXEC_WORDS_BYTES_MAX + 64,
    EXEC_FRAME_HEADER_BYTES = 3,
    EXEC_FRAME_BYTES_MAX = 4096, /* without the header */
    EXEC_MS_MAX = 86400000,      /* the longest time an exec may take */
    EXECS_PER_REPLICA_MAX = 8,   /* at the same time */
    EXECS_PER_NODE_MAX = 32,
};

enum exec_kind {             /* the values travel: only append */
                 EXEC_RUN,   /* words: the command; its first one is looked up in PATH */
                 EXEC_FETCH, /* words: a path; OUTPUT is a tar archive of what is there */
                 EXEC_STORE, /* words: a path, a name; the input is a tar archive, put to the path,
                              * or into it under that name where it is a folder */
                 EXEC_KIND_COUNT,
};

struct exec_begin {
    enum exec_kind kind;
    uint64_t time_ms; /* then it is killed; 1 to EXEC_MS_MAX */
    uint32_t word_count;
    char words[EXEC_WORDS_BYTES_MAX]; /* each with its NUL */
};

enum exec_frame_kind { EXEC_OUTPUT = 1, EXEC_ERROR, EXEC_END, EXEC_FRAME_KIND_COUNT };

struct exec_frame {
    enum exec_frame_kind kind;
    struct bytes bytes; /* borrowed */
};

enum exec_end_kind {                 /* the values travel: only append */
                     EXEC_EXITED,    /* status: exit status */
                     EXEC_SIGNALLED, /* status: signal */
                     EXEC_TOO_LATE,  /* killed: its time was over */
                     EXEC_FAILED,    /* could not be started: reason */
                     EXEC_END_KIND_COUNT,
};

struct exec_end {
    enum exec_end_kind kind;
    uint32_t status; /* 0 to 255 */
    char reason[REASON_CHARS_MAX + 1];
};

/* How many words lie in these bytes, each with its NUL; 0: none, or not so. */
uint32_t exec_count_words(struct bytes words);
/* Writes length and content, at most EXEC_BEGIN_BYTES_MAX. Returns the length of both. */
size_t exec_begin_encode(const struct exec_begin *begin, uint8_t *bytes_out);
/* Without the length in front. Returns 0 or -EBADMSG. */
int exec_begin_decode(struct bytes bytes, struct exec_begin *begin_out);

/* Room for EXEC_FRAME_HEADER_BYTES; length_bytes is at most EXEC_FRAME_BYTES_MAX. */
void exec_frame_header(enum exec_frame_kind kind, size_t length_bytes, uint8_t *bytes_out);
/*
 * Takes one frame from the front of `stream`. Returns 1; 0 when it is not complete yet; -EBADMSG.
 */
int exec_frame_next(struct bytes *stream, struct exec_frame *frame_out);
/* The content of an END frame. */
size_t exec_end_encode(const struct exec_end *end, uint8_t *bytes_out);
int exec_end_decode(struct bytes bytes, struct exec_end *end_out);
