// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What mingad (client.h) and minga-sandboxd say to each other: one message is one datagram of a
 * SOCK_SEQPACKET socket, in the fixed form of base/wire.h.
 *
 * Pure. Decoding trusts nothing: every length is bounded, every enumeration is checked, nothing
 * may be left over. What a *well-formed* request may not do is judged by the helper, not here.
 */
#include "base/bytes.h"
#include "sandbox/environment.h"

enum {
    HELPER_PROTOCOL_VERSION = 6,
    LOGS_WINDOW_BYTES_MAX = 16384, /* of one answer */
    HELPER_MESSAGE_BYTES_MAX = LOGS_WINDOW_BYTES_MAX + 1024,
};

enum helper_request_kind {                    /* the values travel */
                           REQUEST_HELLO = 1, /* first of all, once */
                           REQUEST_START =
                               2, /* with one socket per port, in the order of the ports */
                           REQUEST_RENEW = 3, /* keep it for another HELPER_ALONE_MS */
                           REQUEST_STOP = 4,
                           REQUEST_FREEZE = 5,
                           REQUEST_THAW = 6,
                           REQUEST_STATS = 7,
                           REQUEST_LIST = 8,
                           REQUEST_LOGS = 9,
                           REQUEST_EXEC = 10,  /* a way into the sandbox: see exec_protocol.h */
                           REQUEST_ALLOW = 11, /* less than the contribution, or all of it again */
                           REQUEST_PROGRAMS = 12, /* which run of those that root wrote down? Of
                                                     minga-sandboxd only */
                           REQUEST_KIND_COUNT,
};

struct helper_request {
    enum helper_request_kind kind;
    uint32_t version;         /* HELLO */
    struct sandbox_spec spec; /* START; for the others only spec.key */
    uint64_t offset;          /* LOGS: of the first byte wanted, since the replica's start */
    uint32_t bytes_max;       /* LOGS: at most LOGS_WINDOW_BYTES_MAX */
    struct sandbox_allowance allowance; /* ALLOW: more than was contributed is no more than that */
};

enum helper_answer_kind {                   /* the values travel */
                          ANSWER_READY = 1, /* to HELLO */
                          ANSWER_EVENT = 2,
                          ANSWER_LIST_END = 3, /* every replica that lives has been LISTED */
                          ANSWER_LOGS = 4,
                          ANSWER_EXEC = 5,     /* to each EXEC; with a socket unless refused */
                          ANSWER_PROGRAMS = 6, /* to each PROGRAMS */
                          ANSWER_KIND_COUNT,
};

/*
 * A window of a replica's output. An offset greater than the one asked for says that older bytes
 * are not kept any more; no bytes, that there is nothing newer.
 */
struct sandbox_logs {
    struct replica_key key;
    uint64_t offset; /* of bytes[0] */
    uint32_t length_bytes;
    uint8_t bytes[LOGS_WINDOW_BYTES_MAX];
};

struct sandbox_exec {
    struct replica_key key;
    char reason[REASON_CHARS_MAX + 1]; /* "": the socket came along; else why not */
};

struct helper_answer {
    enum helper_answer_kind kind;
    uint32_t version;                   /* READY */
    char problem[REASON_CHARS_MAX + 1]; /* READY: why it can start nothing; "": it can */
    struct sandbox_event event;         /* EVENT */
    struct sandbox_logs logs;           /* LOGS */
    struct sandbox_exec exec;           /* EXEC */
    struct sandbox_programs programs;   /* PROGRAMS: those that run */
};

/* Returns the length written to `bytes_out`, or -EMSGSIZE. */
int helper_request_encode(const struct helper_request *request, uint8_t *bytes_out,
                          size_t capacity_bytes);
/* Returns 0, or -EBADMSG (request_out untouched). */
int helper_request_decode(struct bytes bytes, struct helper_request *request_out);
int helper_answer_encode(const struct helper_answer *answer, uint8_t *bytes_out,
                         size_t capacity_bytes);
/* Returns 0, or -EBADMSG (answer_out is garbage). */
int helper_answer_decode(struct bytes bytes, struct helper_answer *answer_out);

bool replica_key_equal(const struct replica_key *a, const struct replica_key *b);
