// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Small things around AgentMessage: numbers of the wire, limits, epochs. Pure. */
#include <stdbool.h>

#include "agent/core/core.h"
#include "overlay/protocol.pb.h"

/* Why a node does not run a replica. Travels: only append. The greater, the nearer to a yes. */
enum refusal {
    REFUSAL_NONE,
    REFUSAL_ROLE,       /* does not run replicas */
    REFUSAL_NO_SANDBOX, /* no execution environment */
    REFUSAL_ISOLATED,   /* hears no other member */
    REFUSAL_PAUSED,     /* by its owner */
    REFUSAL_DRAINING,   /* by its owner, or shutting down */
    REFUSAL_MEMBER,     /* members.allow or members.deny */
    REFUSAL_ARCH,       /* another processor */
    REFUSAL_LABEL,      /* a label is missing */
    REFUSAL_EGRESS,     /* no way to the Internet for replicas */
    REFUSAL_TOO_LARGE,  /* more than all that it gives */
    REFUSAL_PORTS,      /* ports used up */
    REFUSAL_FULL,       /* its table of replicas is full */
    REFUSAL_CPU,        /* free resources */
    REFUSAL_MEMORY,
    REFUSAL_DISK,
    REFUSAL_PIDS,
    REFUSAL_HAS_REPLICA, /* of this service already */
    REFUSAL_STALE,       /* an older epoch or incarnation */
    REFUSAL_RECORD,      /* the version record is not valid */
    REFUSAL_UNKNOWN,     /* STOP of a replica that is not here */
    REFUSAL_OWN_DISK,    /* its disk takes nothing; as far from a yes as REFUSAL_ISOLATED */
    REFUSAL_MANAGER,     /* who asks is not known here as one that may manage the service */
    REFUSAL_COUNT
};

/* How the executor feels about all its replicas. Travels: only append. */
enum executor_mood { MOOD_NORMAL, MOOD_PAUSED, MOOD_DRAINING, MOOD_BACK_SOON, MOOD_COUNT };

/* A manager's word on one reported replica. Travels: only append. */
enum verdict { VERDICT_KEEP, VERDICT_END, VERDICT_NOT_MANAGER, VERDICT_COUNT };

enum { REPORT_REPLICAS_MAX = 8 };

/*
 * Incarnations and generations: whoever leads goes on from the greatest it was told of, so that no
 * message may use them up. None is COUNTER_END (core.h) or above. One below COUNTER_FREE is
 * believed by anybody, however long it was away: one each second makes 136 years. From there on,
 * where only a lie leads, steps are bounded. What anybody says raises at most to COUNTER_TOLD at
 * once, for whom that is no small step: what honest managers count on from there is believed, too.
 */
#define COUNTER_FREE ((uint64_t)1 << 32)
#define COUNTER_TOLD ((uint64_t)1 << 31)
enum { COUNTER_STEP_MAX = 1 << 20 };
/* May another's word that a counter has come to `named` be believed, by who knows of `known`? */
bool counter_is_near(uint64_t named, uint64_t known);
/* What who knows of `known` then knows by anybody's word: `named`, or on the way to it. */
uint64_t counter_told(uint64_t named, uint64_t known);

struct epoch {
    uint64_t generation; /* 0: none */
    struct node_id node;
};
int epoch_compare(const struct epoch *a, const struct epoch *b);
struct epoch epoch_of(bool present, const minga_Epoch *wire);
minga_Epoch epoch_to_wire(const struct epoch *epoch);

minga_Limits limits_to_wire(const struct sandbox_limits *limits);
struct sandbox_limits limits_of(bool present, const minga_Limits *wire);
minga_Activity activity_to_wire(const struct sandbox_activity *activity);
struct sandbox_activity activity_of(bool present, const minga_Activity *wire);
/* Does `need` fit into `free` in every dimension? Else *lacking_out is CPU, MEMORY, DISK, PIDS. */
bool limits_fit(const struct sandbox_limits *need, const struct sandbox_limits *free,
                enum refusal *lacking_out);
void limits_add(struct sandbox_limits *sum, const struct sandbox_limits *more);
/* Never below 0. */
struct sandbox_limits limits_minus(const struct sandbox_limits *all,
                                   const struct sandbox_limits *part);

/* Decodes and checks every number against its enum: 0 or -EBADMSG. A replica of a report that is not
 * in order is dropped from it: others of the batch are not to fall silent for it. */
int agent_message_decode(struct bytes payload, minga_AgentMessage *message_out);

/* Opens an encoded Signed{Record}: -EBADMSG unless signed by the record's own owner and about
 * `service`. */
int owner_record_open(struct bytes encoded, const struct service_id *service,
                      minga_Record *record_out);
/* The same for a record from the local store, whose signature was verified when it came in. */
int record_read(struct bytes encoded, minga_Record *record_out);
/* The Service within a service record (not a tombstone). Returns 0 or -EBADMSG. */
int service_content_read(const minga_Record *record, minga_Service *service_out);
/* The Version within a version record, and its manifest. */
int version_open(const minga_Record *record, minga_Version *version_out,
                 struct manifest *manifest_out);
struct sandbox_limits manifest_limits(const struct manifest *manifest);
/* The question whether a node would run one more replica. Its `round` is the asker's affair. */
minga_Find find_of(const struct service_id *service, const struct public_key *owner_key,
                   const struct manifest *manifest);
