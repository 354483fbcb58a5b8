// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Every bound and every time of the system, with the relations between them.
 *
 * Full means refuse, count and trace. Times are in ms of CLOCK_BOOTTIME.
 */
#include <assert.h>

/*
 * For tests, MINGA_TINY_LIMITS makes tables so small that they fill up in a community of a dozen:
 * what then happens is seen in seconds. No shipped program is built so.
 */
#ifdef MINGA_TINY_LIMITS
#define LIMIT(normal, tiny) (tiny)
#else
#define LIMIT(normal, tiny) (normal)
#endif

enum {
    /* --- community --- */
    MEMBERS_MAX = LIMIT(512, 11),      /* nodes that one node remembers */
    FULL_MEMBERS_MAX = LIMIT(500, 11), /* all know all up to here; beyond, each its part */
    NAME_CHARS_MAX = 32,               /* service and port names */
    NODE_NAME_CHARS_MAX = 63,          /* a host name's label */
    COMMUNITY_NAME_CHARS_MAX = 32,     /* same letters as a service's name */
    ADDRESS_CHARS_MAX = 63,            /* "host:port", IPv6 in brackets */
    ADDRESSES_MAX = 4,                 /* of one node */
    LABELS_MAX = 8,                    /* of one node */
    LABEL_CHARS_MAX = 31,
    ZONE_CHARS_MAX = 31,
    POSITIONS_MAX = 16,     /* of one node on the ring */
    RELAYED_PORTS_MAX = 16, /* of the replicas of one leaf, TCP; and as many UDP */
    RELAY_PORTS_MAX = 256,  /* of one relay, for all that it passes on */
    MAPPED_PORTS_MAX = 32,  /* that a router is asked to open for one node */
    RELAY_SECRET_BYTES = 32,
    HOST_CHARS_MAX = 45,    /* a numeric address, without brackets */
    TOKEN_MEMBERS_MAX = 8,  /* addresses in an invitation's token */
    REASON_CHARS_MAX = 127, /* a sentence for people that travels */
    CLOCK_SKEW_S_MAX = 300, /* between two members' wall clocks */
    INVITATION_DAYS_DEFAULT = 7,

    /* --- ring --- */
    SUCCESSORS_MAX = LIMIT(16, 5),
    PREDECESSORS_MAX = 4,
    ROUTE_HOPS_MAX = 32,

    /* --- storage --- */
    RECORD_BODY_BYTES_MAX = 3072, /* what an owner signs */
    RECORD_COPIES = LIMIT(8, 4),  /* holders, or all when fewer */
    RECORD_ACKNOWLEDGED_COPIES = 2,
    SYMMETRY = 4,         /* neighbourhoods with copies of a record, beyond full membership ... */
    SYMMETRIC_COPIES = 2, /* ... in each of them but the first */
    RECORDS_MAX = LIMIT(4096, 6), /* on one node */
    CHUNK_BYTES_MAX = 1048576,
    CHUNK_COPIES = 3,
    CHUNKS_MAX = LIMIT(65536, 64), /* on one node */

    /* --- messages --- */
    MESSAGE_BYTES_MAX = 4096,                 /* an encoded message, without the data frame */
    FRAME_BYTES_MAX = CHUNK_BYTES_MAX + 4096, /* what the transport accepts */
    PAYLOAD_BYTES_MAX = 3584,                 /* the agent's part of a message */
    REQUESTS_MAX = LIMIT(1024, 24),           /* outstanding, of one node */

    /* --- services --- */
    SERVICES_MAX = LIMIT(512, 4), /* managed by one node, as manager or secondary */
    REPLICAS_PER_SERVICE_MAX = 32,
    REPLICAS_PER_NODE_MAX = LIMIT(64, 3),
    ORDER_DAYS_MAX = 366,   /* of a pause, or of handing over */
    RESTART_MS_MAX = 60000, /* from the end of a replica until it is started again in its place */
    PORTS_PER_SERVICE_MAX = 8,
    CONNECTIONS_PER_PORT_MAX = 4096, /* forwarded at once; what a volunteer can allow */
    CONNECTIONS_PER_PORT_DEFAULT = 1024,
    ARGUMENTS_MAX = 32, /* words of a command */
    ENVIRONMENT_MAX = 32,
    COMMAND_BYTES_MAX = 1024, /* all words with their NULs */
    HEALTH_ARGUMENTS_MAX = 8, /* words of a probe's command */
    HEALTH_COMMAND_BYTES_MAX = 256,
    ENVIRONMENT_BYTES_MAX = 1024,
    PATH_BYTES_MAX = 1024,     /* inside a bundle, with NUL */
    MANIFEST_BYTES_MAX = 2560, /* canonical form */
    MANIFEST_FILE_BYTES_MAX = 65536,

    /* --- bundles --- */
    BUNDLE_ENTRIES_MAX = 100000,
    BUNDLE_DEPTH_MAX = 32,

    /* --- times --- */
    HEARTBEAT_MS = 500,  /* an executor's reports; between pings of who is suspected */
    REPLY_MS = 400,      /* a request unanswered is repeated, or counts as missed */
    UNHURRIED_MS = 100,  /* a write that nobody waits for begins so much later at most */
    STABILISE_MS = 1030, /* the one exchange between ring neighbours, and their heartbeat */
    PROBE_MS = 1080,     /* a neighbour silent for so long is pinged */
    SUSPECT_MS = 1200,   /* of silence: ask others to look */
    ABSENT_MS = 2000,    /* of silence, unanswered by others too: replaced */
    LEASE_MS = 1900,     /* a node answers for its arc so long after it *asked* for it */
    GRANT_MS = 1940,     /* who granted it waits so long after it was *asked* */
    RECLAIM_MS =
        ABSENT_MS,       /* without a lease for so long: grants to its predecessor all the same */
    ISOLATED_MS = 15000, /* no other member heard: end the replicas */
    SYNC_MS = 5000,      /* anti-entropy round with one random member */
    HELPER_ALONE_MS = 30000,  /* minga-sandboxd without a mingad: ends everything */
    RENEW_MS = 5000,          /* mingad renews its replicas with minga-sandboxd */
    SHUTDOWN_MS = 10000,      /* SIGTERM to mingad: handed over and ended within */
    OWNER_REQUEST_MS = 10000, /* a command's request inside the agent */
};

/* One counted in 64 bits, hence no enum. */
#define BUNDLE_BYTES_MAX ((uint64_t)8 << 30)

static_assert(FULL_MEMBERS_MAX <= MEMBERS_MAX, "the table is not full before the change of mode");
static_assert(RECORD_BODY_BYTES_MAX + 512 <= PAYLOAD_BYTES_MAX,
              "a signed record with its envelope fits one message");
static_assert(PAYLOAD_BYTES_MAX + 512 <= MESSAGE_BYTES_MAX,
              "the agent's part and the header fit one message");
static_assert(MANIFEST_BYTES_MAX + 512 <= RECORD_BODY_BYTES_MAX,
              "a manifest fits its version record");
static_assert(PROBE_MS > STABILISE_MS, "a neighbour that is heard in time is not pinged");
static_assert(SUSPECT_MS > PROBE_MS, "one lost heartbeat suspects nobody");
static_assert(LEASE_MS >= STABILISE_MS + 2 * REPLY_MS,
              "a lease outlives one exchange that was lost, and its repetition");
static_assert(GRANT_MS * 100 >= LEASE_MS * 102,
              "a clock that is 1 % fast does not end a lease before one that is 1 % slow");
static_assert(ABSENT_MS >= GRANT_MS, "who was silent until it counts as gone has no lease left");
static_assert(ABSENT_MS >= SUSPECT_MS + 2 * REPLY_MS,
              "others are asked, and can answer, before a member counts as gone");
static_assert(ISOLATED_MS > 4 * ABSENT_MS, "a passing fault ends no replica");
static_assert(HELPER_ALONE_MS >= 3 * RENEW_MS, "two lost renewals end nothing");
static_assert(SUCCESSORS_MAX > RECORD_COPIES, "the copies' holders are among the successors");
static_assert(256 % SYMMETRY == 0, "a turn is a number of steps of the top byte");
static_assert(SYMMETRIC_COPIES <= RECORD_COPIES, "lists of holders have room");
static_assert(CHUNK_COPIES <= RECORD_COPIES, "chunks need no longer list than records");
