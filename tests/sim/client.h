// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The people of the community: the founder, volunteers who join, owners who push services and
 * change their wishes. They ask some agent, wait for its answer, and ask again when it fails.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "base/keys.h"
#include "tests/sim/invited.h"
#include "tests/sim/schedule.h"
#include "tests/sim/tree.h"

struct world;

enum { CLIENT_PENDING_MAX = 512, CLIENT_OWNERS = 3 };

struct pending { /* a request that has no answer yet; token 0: free */
    uint64_t token;
    uint32_t node;
    uint32_t life;
    enum core_request_kind kind;
    uint64_t asked_ms;
    /* Of an owner's request; from SIM_SERVICES_MAX on: nobody's, or what a question is about. */
    uint32_t service;
};

enum client_step { PUT_CHUNKS, PUT_VERSION, PUT_SERVICE, STEPS_DONE };

struct client_wish {
    bool active;
    bool removed;
    uint32_t replicas;
    uint64_t version;
};

struct client_service {
    char name[NAME_CHARS_MAX + 1];
    uint32_t owner;
    struct service_id id;
    struct client_wish wish;    /* what the owner wants */
    struct client_wish sending; /* what the record on its way says */
    struct client_wish known;   /* what the last record that stands says */
    enum client_step step;
    uint64_t version;               /* the latest that is pushed, or about to be */
    uint32_t tree;                  /* of that, which of the client's */
    uint32_t chunk;                 /* the next to put */
    uint32_t carrier;               /* 1 + the node that has it in memory only; 0: none */
    uint64_t version_sequence;      /* of that version's record; 0: it does not stand yet */
    uint64_t known_sequence;        /* of the service record that stands */
    uint64_t acknowledged_sequence; /* of the last that was answered with OK */
    uint64_t lone_sequence;         /* of the last that is said to be written, believed or not */
    uint32_t lone_node;             /* 1 + the one whose disk alone has that; 0: more have it */
    bool waiting;                   /* for an answer */
    bool asks;                      /* whether its record stands already */
    uint64_t again_ms;
    uint64_t attempts;
    uint64_t wipe_writer_for_ms; /* a fault to come: 0 for none */
};

enum client_membership { MEMBER_OUTSIDE, MEMBER_WANTED, MEMBER_JOINED, MEMBER_GONE };

struct client_member {
    enum client_membership membership;
    bool waiting;
    bool resume_wanted;
    uint64_t again_ms;
    uint64_t attempts;
    uint64_t joined_ms;
    uint64_t left_ms;
    uint64_t expelled_ms;
};

struct client {
    struct secret_key community;
    struct secret_key invitation;
    struct invited invited;
    struct secret_key owners[CLIENT_OWNERS];
    uint8_t community_record[512];
    uint32_t community_record_bytes;
    struct client_member members[SIM_NODES_MAX];
    uint32_t service_count;
    struct client_service services[SIM_SERVICES_MAX];
    uint32_t tree_count;
    struct sim_tree trees[TREES_MAX];
    struct pending pending[CLIENT_PENDING_MAX];
    uint64_t next_token;
    uint64_t request_count;
    uint64_t refused_count;
};

void client_init(struct world *world);
/* Does what is due; call every 100 ms. */
void client_tick(struct world *world);
/* An agent has answered. */
void client_answered(struct world *world, uint32_t node, const struct core_answer *answer);
/* Fails the run when an answer is overdue. */
void client_check_pending(struct world *world);

/* Hands a request to an agent, with a token. False when it does not run, or too many wait. */
bool client_request(struct world *world, uint32_t node, struct core_request *request,
                    uint32_t service);
void client_make_key(const struct world *world, const char *purpose, uint32_t number,
                     struct secret_key *secret_out);
/* A member that runs and is not stalled, drawn anew for each attempt; node_count for none. */
uint32_t client_choose(struct world *world, uint64_t who, uint64_t attempt);
/* Asks an agent for something without arguments (STEP_ASIDE: within 4.6 s), when it runs. */
void client_ask(struct world *world, uint32_t node, enum core_request_kind kind);
/* Asks a node to resume until it says yes. */
void client_resume(struct world *world, uint32_t node);
void client_join(struct world *world, uint32_t node);
void client_leave(struct world *world, uint32_t node);
void client_expel(struct world *world, uint32_t node);
/* Its disk is lost: it has to join again. */
void client_forget_membership(struct world *world, uint32_t node);
/* Has its person other nodes here, or else nothing left to send? */
bool client_may_expel(const struct world *world, uint32_t node);
/* The owner's wish; replicas 0: as before. No wish of a person counts whose last node was expelled. */
void client_wish(struct world *world, uint32_t service, bool active, uint32_t replicas);
/* For good: no wish after this one counts. */
void client_remove(struct world *world, uint32_t service);
/* Another version in its place, as it is done: stop, push, start. */
void client_update(struct world *world, uint32_t service);
bool client_same_wish(const struct client_wish *a, const struct client_wish *b);
/* Does the owner have in records what he wants? */
bool client_is_served(const struct client_service *service);
/* What the owner has to send next, as the last record that stands is not what he wants. */
void client_plan(struct world *world, uint32_t service);
/* The number of the record that is meant: 0 of a service, or its latest version's. */
uint64_t client_record_number(const struct client_service *service, minga_RecordKind kind);
/* What the latest version of the service consists of. */
const struct sim_tree *client_tree(const struct world *world, uint32_t service);
/* Is this node a member that ought to take part when it is up? */
bool client_is_member(const struct world *world, uint32_t node);
/* Does every owner have what he wants in records, and is every volunteer in? */
bool client_is_content(const struct world *world);
