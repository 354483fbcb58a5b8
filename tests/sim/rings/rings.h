// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Rings of many thousand nodes in virtual time: only the ring, fingers, locations and look-ups of
 * overlay/, the shipped code, each node knowing no more than these tell it; no membership, no
 * storage, no agent. Bytes are those of the real encoded messages and 60 more for each.
 *
 * Simplified: a message is delivered or lost (no links), and a host's address is its index. A node
 * that dies is replaced by a newcomer with another id, so that the number stays.
 */
#include "base/random.h"
#include "overlay/ring/lists.h"
#include "overlay/routing/seek.h"

enum {
    FRAMING_BYTES = 60, /* ZMTP, CURVE, TCP and IP of one small message */
    NOBODY = -1,
    ASKED_MAX = SEEK_ASKS_MAX,
    LOST_MAX = 32, /* the last nodes lost that a host remembers */
};

enum liar_kind { LIARS_NONE, LIARS_TOGETHER, LIARS_CRUDE };

struct goals {                  /* UINT32_MAX: none */
    uint32_t hops_permille_max; /* of 1/2 log2 N */
    uint32_t missed_max;        /* look-ups that were wrong or without an answer */
    uint32_t rate_bytes_max;    /* sent by each node in a second, for the ring's own upkeep */
    uint32_t periods_max;       /* of stabilising, until a healed cut is one ring */
};

struct options {
    struct goals goals;
    uint64_t seed;
    uint32_t node_count;
    uint32_t lookup_count;
    uint32_t asker_count; /* look-ups come from so many nodes: their caches are warm */
    bool has_cache;
    bool is_safe_start;
    uint32_t candidates; /* more of each slot, with round trips */
    uint32_t zipf_keys;  /* 0: uniform keys; else so many, popular as Zipf's law (s = 1) says */
    uint32_t witness_count;
    uint32_t liar_permille;
    enum liar_kind liar_kind;
    uint32_t loss_permille;
    uint32_t session_s; /* 0: nobody comes or goes */
    bool is_weibull;
    uint32_t weibull_shape_permille;
    uint32_t leave_permille; /* of the ends of sessions: with a goodbye */
    uint32_t pace;           /* of the rings, at most */
    uint32_t minutes;
    uint32_t warm_minutes;
    bool is_split;
};

enum {
    QUESTIONS_MAX = 4,
    DIRECT_MS = 300, /* a question unanswered is repeated; a silent predecessor is pinged */
};

struct question { /* to one that should grant the lease; repeated until it is answered or lost */
    bool is_open;
    struct ring_node to;
    uint32_t number;
    uint32_t version;
    uint32_t pace;
    uint32_t known;
    uint64_t first_ms;
    uint64_t repeat_ms;
};

struct host {
    uint32_t index;
    uint32_t generation; /* of the node that is there now */
    bool is_up;
    bool is_built; /* its tables can be asked: filled at first use where the ring stands still */
    bool lies;
    struct ring_node node;
    double x;
    double y;
    struct ring ring;
    struct fingers fingers;
    struct locations *locations; /* NULL: no cache */
    uint64_t born_ms;
    bool has_joined;
    uint64_t sent_bytes;
    uint64_t timer_ms; /* when the next one is due */
    uint32_t lost_next;
    struct lost { /* what others say of them is not believed */
        bool is_used;
        struct ring_node node;
    } lost[LOST_MAX];
    struct question questions[QUESTIONS_MAX];
    uint32_t question_number;
    struct list_history lists;             /* of the own successors, as they were told */
    struct node_id list_from;              /* whose successors are known here, */
    struct list_copy list;                 /* and they, */
    struct ring_node told[SUCCESSORS_MAX]; /* with their positions */
    struct ring_node before;               /* the first predecessor, as it was watched */
    uint64_t before_heard_ms;
    uint64_t before_ping_ms;
    struct ring_node asker; /* the last one that had asked another than us, but for its loss */
    uint64_t asker_ms;
    uint32_t ring_count; /* of nodes on the ring, as this host sees it */
    uint64_t redial_ms;
    uint32_t redial_next;
};

enum message_kind {
    SEEK_NEXT,
    SEEK_REPLY,
    RING_QUESTION,
    RING_REPLY,
    RING_GOODBYE,
    PING,
    PONG,
    WHO,
    CONTACTS,
    KINDS
};

struct ring_payload { /* what Stabilise, its reply and Goodbye carry */
    bool joining;
    bool lapsed; /* on the ring, without a lease */
    uint32_t version;
    uint32_t known;
    uint32_t pace; /* asking: the lease that is wanted */
    uint64_t epoch;
    struct ring_answer answer;
    bool has_list;
    bool is_change; /* of the list at version `known`: `kept` of it, and `list` */
    uint32_t kept;
    uint32_t list_count;
    struct ring_node list[SUCCESSORS_MAX];
};

struct message {
    enum message_kind kind;
    uint32_t from;
    uint32_t from_generation;
    struct ring_node from_node;
    uint32_t number; /* of the look-up, or the question */
    struct ring_key key;
    uint32_t contacts_wanted;
    bool is_work;  /* not of the ring's own upkeep */
    bool is_right; /* SEEK_REPLY: the truth about its claim, when it was made */
    struct seek_answer *answer;
    struct ring_payload *ring;
};

enum timer_kind { TIMER_RING, TIMER_FINGERS, TIMER_SEEK, TIMER_WORK, TIMER_DEATH, TIMER_HEAL };

struct event {
    uint64_t at_ms;
    uint64_t order;
    uint32_t to;         /* host, or look-up */
    uint32_t generation; /* of it */
    enum timer_kind timer;
    struct message *message; /* NULL: a timer */
};

enum purpose { FOR_WORK, FOR_FINGER, FOR_JOIN };

struct lookup {
    bool is_used;
    uint32_t generation;
    enum purpose purpose;
    uint32_t asker;
    uint32_t asker_generation;
    uint64_t begun_ms;
    struct seek seek;
    uint64_t timer_ms;
    uint32_t asked_count;
    struct asked {
        uint32_t host;
        uint64_t sent_ms;
        bool is_right;
    } asked[ASKED_MAX];
};

/* A key for the work: main.c knows their law. */
struct world;
struct ring_key next_key(struct world *world);

struct results {
    uint64_t count;
    uint64_t hops;
    uint64_t hops_of[ROUTE_HOPS_MAX + 2];
    uint64_t asks;
    uint64_t right;
    uint64_t right_on_arrival;
    uint64_t wrong;
    uint64_t unanswered;
    uint64_t latency_ms;
    uint64_t liars_keys; /* keys of lying owners: not counted above */
    uint64_t bytes_start;
    uint64_t start_ms;
};

struct world {
    struct options options;
    uint64_t now_ms;
    struct random random_keys;
    struct random random_net;
    struct random random_life;
    uint32_t host_count;
    struct host *hosts;
    uint32_t order_count; /* hosts that are up, by position */
    uint32_t *order;
    struct event *heap;
    size_t heap_count;
    size_t heap_size_count;
    uint64_t event_count;
    uint32_t lookup_capacity;
    struct lookup *lookups;
    uint32_t *free_lookups;
    uint32_t free_count;
    uint32_t active_count;
    double *zipf; /* cumulative */
    bool is_cut;  /* hosts of even and odd index do not reach each other */
    uint64_t bytes_by_kind[KINDS];
    uint64_t count_by_kind[KINDS];
    uint64_t work_bytes;
    uint64_t births;
    uint64_t join_ms; /* from birth to the first lease, all added */
    uint64_t joined_count;
    uint64_t lost_alive; /* declared lost, though it was up */
    uint64_t work_begun_ms;
    uint32_t work_count;
    struct results results;
};

/* --- world.c */
struct world *world_new(const struct options *options);
void world_free(struct world *world);
struct ring_key world_random_key(struct random *random);
struct ring_node world_make_node(uint32_t index, uint32_t generation, struct random *random);
/* The host of a node, or NULL when there was never one (a made-up contact). */
struct host *world_host(struct world *world, const struct ring_node *node);
bool world_is_current(const struct world *world, const struct ring_node *node);
void world_place(struct world *world, struct host *host);
void world_unplace(struct world *world, struct host *host);
/* The place in `order` of the first host at or behind the key. */
uint32_t world_find(const struct world *world, const struct id *key);
uint32_t world_delay_ms(struct world *world, const struct host *a, const struct host *b,
                        bool jitter);
void world_send(struct world *world, struct host *from, const struct ring_node *to,
                const struct message *message);
void world_timer(struct world *world, enum timer_kind kind, uint64_t at_ms, uint32_t to,
                 uint32_t generation);
/* What is only counted: the other side knows it at once. */
void world_count(struct world *world, struct host *from, const struct message *message);
bool world_owns(const struct world *world, const struct host *host, const struct ring_key *key);
/* Is this host the only one that may answer for the key now? */
bool world_is_owner(const struct world *world, const struct host *host, const struct ring_key *key);
uint64_t world_bytes(const struct world *world);
/* Until the time, or until there is nothing to do. */
void world_run(struct world *world, uint64_t until_ms);

/* --- queue.c */
void queue_push(struct world *world, struct event event);
bool queue_pop(struct world *world, uint64_t until_ms, struct event *event_out);

/* --- sizes.c */
size_t size_of_message(const struct message *message);

/* --- build.c: tables filled by the truth */
void build_ring(struct world *world, struct host *host);
void build_fingers(struct world *world, struct host *host);
/* As if the lease had just been asked for; all rings must be built. */
void build_lease(struct world *world, struct host *host);

/* --- lookups.c */
void lookup_begin(struct world *world, struct host *asker, const struct ring_key *key,
                  enum purpose purpose);
void lookup_on_ask(struct world *world, struct host *host, const struct message *message);
void lookup_on_reply(struct world *world, struct host *host, const struct message *message);
void lookup_on_timer(struct world *world, uint32_t number, uint32_t generation);
struct router host_router(const struct world *world, const struct host *host);
void host_learn(struct host *host, const struct fingers_event *event);

/* --- liars.c */
void liar_answer(struct world *world, struct host *host, const struct ring_key *key,
                 struct seek_answer *answer_out);

/* --- neighbours.c: the protocol of the ring */
void neighbours_step(struct world *world, struct host *host, struct ring_event *event,
                     struct ring_answer *answer_out);
/* The successor of that id. */
bool neighbours_find(const struct host *host, const struct node_id *id, struct ring_node *node_out);
void neighbours_ping(struct world *world, struct host *host, const struct ring_node *to);
void neighbours_tick(struct world *world, struct host *host);
void neighbours_plan(struct world *world, struct host *host);
void neighbours_leave(struct world *world, struct host *host);
void neighbours_on_message(struct world *world, struct host *host, const struct message *message);

/* --- lost.c: whom a host has lost */
bool lost_has(struct host *host, const struct ring_node *node);
void lost_note(struct host *host, const struct ring_node *node);
void lost_hear(struct world *world, struct host *host, const struct ring_node *node);
void lost_on_near(struct world *world, struct host *host, const struct message *message);
void lost_redial(struct world *world, struct host *host);

/* --- lists.c: successors */
void lists_fill(struct host *host, uint32_t known, struct ring_payload *reply);
/* `known`: the version that the question named. */
void lists_hear(struct host *host, uint32_t known, const struct message *message);

/* --- life.c: births, deaths, work */
void life_begin(struct world *world);
/* Returns how many stabilise periods the healing took, rounded up. */
uint32_t life_run_split(struct world *world);
void life_on_timer(struct world *world, const struct event *event);
void life_joined(struct world *world, struct host *host, const struct seek *seek);
