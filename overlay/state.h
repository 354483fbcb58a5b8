// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The whole of one overlay, and what its parts call each other for. For overlay/ only.
 *
 * On entry the time and the caller's effects list are noted here (state_enter), so that they need
 * not be handed through every call; state_leave does the housekeeping and asks to be woken.
 */
#include "base/attributes.h"
#include "base/random.h"
#include "overlay/chunks/chunks.h"
#include "overlay/chunks/repair.h"
#include "overlay/gossip/broadcast.h"
#include "overlay/large/vouchers.h"
#include "overlay/large/wanted.h"
#include "overlay/links/links.h"
#include "overlay/members/admission.h"
#include "overlay/members/detector.h"
#include "overlay/members/membership.h"
#include "overlay/message.h"
#include "overlay/reach/reach.h"
#include "overlay/records/record_state.h"
#include "overlay/records/records.h"
#include "overlay/requests.h"
#include "overlay/ring/calm.h"
#include "overlay/ring/lists.h"
#include "overlay/routing/bulk.h"
#include "overlay/routing/router.h"

enum {
    SENDS_MAX = LIMIT(192, 48),   /* of one effects list; the rest is for what must not be lost */
    EXPIRIES_MAX = LIMIT(16, 2),  /* requests that end in one step */
    PROBE_HELPERS = LIMIT(16, 4), /* also who alone connects two parts shall be asked */
    START_DIALS_MAX = 64,
    ASK_MS = 3000,
    ROUTE_MS = 5000,
    BUSY_MS = 100,          /* after "busy" a request is repeated ... */
    BUSY_SAME_COUNT = 4,    /* ... so often, then after twice the time ... */
    BUSY_DOUBLINGS_MAX = 4, /* ... and so on */
    JOIN_CONTACT_MS = 2500, /* one contact's time to answer a JOIN */
    JOIN_MS_MIN = 6000,     /* before that, the contacts are asked once more */
    JOIN_MS_MAX = 25000,    /* the same where one of them is there: it has too much to do */
    JOIN_REPEAT_MS = 1000,
    SYNC_PAGE_MS = 2000,
    SYNC_PAUSE_MS = 50,        /* between two sessions */
    NEWS_MS = 100,             /* so long after news others may not have heard them yet ... */
    DIFFER_MS_MAX = 500,       /* ... but after this a difference is one */
    DESCRIBE_MS = 2000,        /* until others hear that we are reached directly */
    SYNC_HASTY_MS = 60000,     /* rounds follow fast for so long after a change of the ring ... */
    SYNC_QUIET_MS = 30000,     /* ... and at this distance later */
    SYNC_FAR_EVERY = 16,       /* one round in so many goes to anybody */
    SYNC_PAGES_MAX = 1024,     /* of one session */
    SYNC_NEXT = RECORD_COPIES, /* successors to compare with in a large community */
    SYNC_ITEMS_MAX = 16,       /* items sent for one page */
    GOODBYE_MS = 1000,
    KEEP_AGAIN_MS = 1000, /* after a failed write of what must not be forgotten */
    KEEP_MS_MAX = 15000,  /* a join waits for its disk */
    CHUNK_OFFER_MS = 20000,
    SEQUENCE_LEAP_MAX = 65536, /* of the node record, at each start */
    BACK_SOON_MS = 10000,
    IDLE_LINK_MS = 60000,
    STORES_MAX = LIMIT(128, 6), /* waiting to be durable */
    SETTLED_MAX = 2 * RECORD_COPIES,
    LOST_WRITES_MAX = 8,
    LOST_TOLD_MAX = 4, /* nodes of one owner */
    SEEN_ASKS_MAX = LIMIT(256, 32),
    CACHED_ANSWERS_MAX = LIMIT(64, 8),
    PUTS_MAX = LIMIT(64, 2),
    GETS_MAX = LIMIT(64, 2),
    CHUNK_PUTS_MAX = LIMIT(128, 3),
    CHUNK_GETS_MAX = LIMIT(128, 4),
    CHUNK_CANDIDATES_MAX = 24,
    BOOK_MEMBERS_MIN = 40, /* a table holds at least so many, however small the full one is */
    BOOK_SPARE = 12,       /* beyond full membership */
    SCALE_ONE = 1024,      /* fixed point of sizes, here and in Digest */
    CONTACTS_MAX = 256,
    NAMED_MAX = 16,
    LOCATED_MAX = 128,
    SEEKS_MAX = LIMIT(16, 3), /* look-ups under way */
    SEEKS_WAITING_MAX = LIMIT(512, 8),
    LATELY_MS = 30000, /* who was heard, or sent to, since then is told of changes */
    FORWARD_COUNT = 2, /* ring neighbours who are passed news of another one */
    JOIN_HOPS_MAX = ROUTE_HOPS_MAX,
    NEAR_SORTED_MAX = 32,
};

enum community_phase { PHASE_OUTSIDE, PHASE_ENTERING, PHASE_MEMBER };

/* A message that came in, and from whom. */
struct arrival {
    struct asker asker; /* where replies go */
    int member;         /* who sent it, or MEMBER_NONE */
    const struct overlay_source *source;
    const minga_Message *message;
    struct bytes data;
};

struct join_state {
    bool active;
    uint64_t token;
    uint64_t since_ms;
    bool is_met;                       /* a link to one of the contacts was up */
    char reason[REASON_CHARS_MAX + 1]; /* of the first that refused */
    uint32_t contact;                  /* being asked */
    uint32_t contact_count;
    struct overlay_peer contacts[TOKEN_MEMBERS_MAX];
    uint32_t passes;
    uint8_t seen_admissions[ID_BYTES]; /* the contact's digest in the last pass */
    uint32_t link;                     /* of the chain of countersigners, wanted next */
    minga_Join request;
    size_t admission_bytes; /* own, not yet vouched for */
    uint8_t admission[ADMISSION_BYTES_MAX];
    size_t countersigner_bytes;
    uint8_t countersigner[ADMISSION_BYTES_MAX];
    struct public_key countersigner_key;
};

/* A part of the ring, (from, to], that is compared; else everything is. */
struct sync_arc {
    bool used;
    struct ring_key from;
    struct ring_key to;
};

/* What a page is taken from. */
struct section {
    minga_SyncSection kind;
    struct node_id peer;
    struct sync_arc arc;
    bool handed; /* records that the one who asks does not hold for itself */
};

struct sync_session {
    bool active;
    struct node_id peer;
    minga_SyncSection section;
    bool has_after;
    struct record_key after; /* members and bans: only the id */
    uint32_t pages;
    bool is_whole;       /* it began with the first section */
    uint64_t term;       /* the section of records began in; see settled.c */
    uint32_t sent_count; /* records that we lacked */
    uint32_t page_count; /* entries of the page under way, for what is wanted */
    minga_Entry page[48];
    bool has_digest;     /* none comes with ranges that are equal */
    minga_Digest digest; /* the peer's */
    struct sync_arc arc; /* of admissions and nodes */
    bool hands_over;     /* also records that are nothing to this node any more */
    bool is_handing;     /* now */
    bool covers;         /* all of the own arc is compared */
    bool is_image;       /* with another neighbourhood: */
    struct compare_arc image_arc;
    struct sync_arc record_arc;
    struct compare ranges; /* of records */
};

struct seen_ask {
    struct node_id node; /* who began it, and its number there */
    uint64_t number;
    struct node_id asker; /* who handed it over */
    uint64_t request;
    uint32_t answer; /* index + 1 into answers; 0: not answered */
};

struct cached_answer {
    uint32_t seen; /* whose */
    pb_size_t length_bytes;
    uint8_t bytes[PAYLOAD_BYTES_MAX];
};

struct settled { /* see settled.c */
    uint64_t term;
    uint32_t count;
    struct node_id nodes[SETTLED_MAX];
};

struct lost_writes { /* see record_lost.c */
    uint32_t count;
    struct overlay_lost list[LOST_WRITES_MAX];
    uint32_t told_next;
    struct id told[LOST_WRITES_MAX]; /* hashes that others were told of */
};

struct get {
    bool used;
    bool is_own; /* for collect.c */
    uint64_t number;
    uint64_t token;
    struct record_key key;
    uint32_t asked_count; /* of holders, in order */
    uint32_t holder_count;
    struct node_id holders[RECORD_COPIES];
    uint32_t waiting_count;
    uint32_t answered_count; /* of the holders */
    struct record best;
    bool found;
    bool settled;       /* the responsible node has told all there is */
    uint64_t images_ms; /* then the other neighbourhoods are asked, too; 0: not (any more) */
    uint64_t enough_ms; /* and from then on their word does; 0: not yet */
};

struct chunk_put {
    bool used;
    uint64_t number;
    bool is_repair; /* nobody waits */
    bool is_shed;   /* and it goes from here when others have it */
    enum home_why why;
    uint32_t home_mark; /* not 0: see chunk_put_hand_over */
    uint64_t since_ms;
    uint64_t token;
    struct chunk_id chunk;
    uint32_t carried_bytes; /* not 0: it is in the edge's memory, not on this disk */
    struct chunk_references references;
    uint32_t next; /* candidates offered so far */
    uint32_t candidate_count;
    struct node_id candidates[CHUNK_CANDIDATES_MAX];
    uint32_t waiting_count;
    uint32_t held_count;
    uint32_t needed_count;
    uint16_t retry_count;
    uint16_t stand_ins[STAND_INS_MAX];       /* as in struct chunk */
    bool any_had, any_full, is_lacking_here; /* the own disk should hold it, and does not */
};

struct chunk_get {
    bool used;
    uint64_t number;
    uint64_t token;
    struct chunk_id chunk;
    struct chunk_references references;
    uint32_t next;
    uint32_t candidate_count;
    struct node_id candidates[CHUNK_CANDIDATES_MAX];
    struct node_id asked; /* who sent, or was asked, last */
    bool storing;
    uint32_t promised_bytes; /* 0: it waits for room, or has its place */
    uint32_t silent_count;   /* who did not answer in time */
    uint32_t busy_rounds;
    bool any_busy;
    uint64_t retry_ms; /* 0: a request is under way */
};

/* A chunk that a member sent to be kept: answered when it is durable. */
struct chunk_receive {
    bool used;
    uint64_t token;
    struct chunk_id chunk;
    uint64_t bytes;
    uint64_t since_ms, until_ms;
    bool storing;
    bool is_repair;
    bool is_noting; /* for whom it is */
    struct chunk_references references;
    struct asker asker;
};

/* A stored node record whose admission may still come. */
struct parked {
    size_t length_bytes;
    uint8_t bytes[NODE_RECORD_BYTES_MAX];
};

/* A new membership that must become durable; see keep.c. */
struct keep {
    uint32_t cursor;        /* of the members: those before are durable */
    uint32_t waiting_count; /* writes under way */
    bool has_failed;        /* one of them */
    uint64_t again_ms;      /* 0: all is durable, or under way */
    uint64_t join_token;    /* to be answered when all is durable; 0: none */
    uint64_t give_up_ms;    /* then it is told that it is not */
};

struct overlay {
    struct secret_key secret;
    struct public_key key;
    struct node_id self;
    struct ring_node place;
    minga_NodeRecord record; /* own, as last signed */
    size_t record_bytes;
    uint8_t record_encoded[NODE_RECORD_BYTES_MAX];

    /* the present call */
    uint64_t now_ms;
    uint64_t wall_unix_s;
    struct overlay_effects *effects;

    bool started;
    bool may_begin; /* on the ring, unless it is a leaf */
    enum community_phase phase;
    struct public_key community;
    char community_name[NAME_CHARS_MAX + 1];
    size_t community_bytes;
    uint8_t community_encoded[512];
    int self_index;
    uint64_t started_ms;
    struct node_id sponsor; /* has let this node in; all zero: before it was started */
    uint64_t heard_ms;      /* any other member; what was slept since does not count */
    uint64_t due_ms;        /* a call was wanted by then; 0: none */
    struct membership membership;
    bool large;                /* only a part of the membership is kept */
    uint32_t full_members_max; /* large beyond */
    uint32_t members_max;      /* of the table */
    uint64_t size_average;     /* of the community, times SCALE_ONE */
    uint64_t size_own;         /* the same, by the own neighbours alone */
    uint64_t large_ms;         /* not back to full membership before */
    uint64_t scale_ms;
    bool no_room; /* the last admission was right, but all places are taken by who must stay */
    int speaker;  /* who has sent the present message: its index must stay */
    struct node_id guest; /* joins through this node, and asks for its chain link by link */
    uint64_t guest_ms;    /* it asked last then */
    struct vouchers vouchers;
    struct contact contacts[CONTACTS_MAX];
    uint64_t contacts_ms;
    struct located located[LOCATED_MAX];
    struct seek_run seeks[SEEKS_MAX];
    uint32_t seek_wait_count;
    struct seek_wait seek_waits[SEEKS_WAITING_MAX]; /* first come, first served */
    uint64_t place_ms;                              /* the own place is not looked up before */
    struct fingers fingers;
    struct locations locations;
    uint32_t named_count; /* unknown ones that the present message names */
    struct node_id named[NAMED_MAX];

    uint32_t parked_count;
    struct parked parked[MEMBERS_MAX];

    struct random random;
    struct links links;
    struct requests requests;
    struct reach reach;
    struct leaf leaf;
    struct relaying relaying;
    struct detector detector;
    struct ring ring;
    bool had_arc;
    struct ring_key arc_from;  /* of the arc as it was told last */
    uint64_t epoch_token;      /* of the store under way; 0: none */
    uint64_t epoch_stored;     /* by it */
    struct allowance epochs;   /* of others, to be stored */
    struct list_history lists; /* of our own successors, as they were told */
    struct node_id list_from;  /* whose successors we were told ... */
    struct list_copy list;     /* ... and they */
    bool list_open;            /* not all of them were known, and up, the last time */
    struct calm calm;          /* the last exchange with the keeper */
    struct keep keep;
    struct router router;
    const struct router_functions *routing;
    struct records records;
    struct chunks chunks;
    struct broadcasts broadcasts;
    struct bulk offers; /* of chunks */
    struct join_state join;
    struct sync_session sync;
    bool sync_wanted[MEMBERS_MAX];
    uint32_t sync_wanted_count, sync_turn; /* the next one is looked for from that index on */
    uint64_t news_digest;                  /* of the membership at the last step */
    uint64_t news_ms;                      /* since then */
    uint64_t differ_ms;                    /* the last difference that was looked into */
    bool has_overlooked;                   /* one was not, with this member */
    struct node_id overlooked;
    struct allowance refutes;
    uint64_t refute_above;  /* the incarnation that is refuted at describe_ms; 0: none */
    uint64_t describe_ms;   /* the own record has changed, and is told then; 0: it has not */
    uint64_t sync_ms;       /* next random round */
    uint64_t sync_next_ms;  /* no session before */
    uint64_t sync_hasty_ms; /* rounds follow fast until then */
    uint32_t dial_count;    /* of the greetings after the start */
    uint32_t dials_max;
    uint64_t dial_ms; /* of the next */
    uint64_t redial_ms;
    uint64_t idle_ms;
    uint64_t upload_bytes_per_s; /* for repair; 0: no limit */
    struct repair repair;        /* of chunks */
    uint32_t repair_put_count;
    struct references references;
    struct collect collect;
    uint64_t goodbye_token;
    uint64_t goodbye_ms;
    uint32_t goodbye_waiting;
    uint64_t last_token;
    struct pending_store stores[STORES_MAX];
    uint32_t spreading_count; /* of puts */
    struct put puts[PUTS_MAX];
    struct settled settled;
    struct images images;
    struct lost_writes lost;
    struct get gets[GETS_MAX];
    struct chunk_put chunk_puts[CHUNK_PUTS_MAX];
    uint32_t chunk_get_count;
    struct chunk_get chunk_gets[CHUNK_GETS_MAX];
    struct chunk_receive chunk_receives[CHUNK_PUTS_MAX];
    struct receive_crowd receive_crowd;
    struct serves serves;
    uint32_t seen_next;
    struct seen_ask seen[SEEN_ASKS_MAX];
    uint32_t answer_next;
    struct cached_answer answers[CACHED_ANSWERS_MAX];
    struct overlay_counters counters;
};

/* --- load.c */
/* Node records that came before their admissions. */
void load_finish(struct overlay *overlay);

/* --- overlay.c: the frame of each call */
void state_enter(struct overlay *overlay, uint64_t now_ms, uint64_t wall_unix_s,
                 struct overlay_effects *effects);
void state_leave(struct overlay *overlay);
uint64_t state_slept_ms(const struct overlay *overlay, uint64_t now_ms); /* since due_ms */

/* --- effects.c */
/* NULL when the list is full (counted): only sends can be refused in practice. */
struct overlay_effect *effect_add(struct overlay *overlay, enum overlay_effect_kind kind);
/* Copies bytes of the last effect into the arena; empty when it is full, for sends before that. */
struct bytes effect_keep(struct overlay *overlay, struct bytes bytes);
/* The last one is none after all: counted as dropped. */
void effect_drop(struct overlay *overlay);
/* Hurried when it has a token. NULL: it was dropped. */
struct overlay_effect *effect_store(struct overlay *overlay, const struct overlay_blob *blob,
                                    uint64_t token);
struct overlay_effect *effect_done(struct overlay *overlay, uint64_t token,
                                   enum overlay_outcome outcome, const char *reason);
void effect_trace(struct overlay *overlay, const char *format, ...) PRINTF_LIKE(2, 3);

/* --- peers.c: links and messages to others */
bool peer_is_self(const struct overlay *overlay, const struct node_id *node);
void peer_send(struct overlay *overlay, const struct node_id *to, const minga_Message *message,
               const struct chunk_id *chunk);
void peer_reply(struct overlay *overlay, const struct asker *asker, minga_Message *message,
                const struct chunk_id *chunk);
void peer_refuse(struct overlay *overlay, const struct asker *asker, minga_RefusedCode code,
                 const char *reason);
/* Sends a request that will be repeated until `timeout_ms`. NULL: too many are under way. */
struct request *peer_request(struct overlay *overlay, enum request_kind kind,
                             const struct node_id *to, minga_Message *message, uint64_t timeout_ms);
/* Enters one that is not sent yet: its way is looked up first (search_first). */
struct request *peer_request_later(struct overlay *overlay, enum request_kind kind,
                                   const struct node_id *to, minga_Message *message,
                                   uint64_t timeout_ms);
/* The same for a chunk's data; not repeated. */
struct request *peer_request_data(struct overlay *overlay, const struct node_id *to,
                                  const struct chunk_id *chunk, uint64_t timeout_ms);
/* How long an answer of this member may take before it is overdue. */
uint64_t peer_timeout_ms(const struct overlay *overlay, const struct node_id *node);
void peer_greet(struct overlay *overlay, const struct node_id *to);
void peer_welcome(struct overlay *overlay, const struct asker *asker, int index);
/* Is it up as far as is known, or at least one that can be dialled? */
bool peer_is_reachable(const struct overlay *overlay, const struct node_id *node);
void peer_hang_up(struct overlay *overlay, const struct node_id *node);
/* Does this member know something else of bans, admissions or nodes? */
bool peer_digest_differs(const struct overlay *overlay, const minga_Digest *theirs);
void peer_on_hello(struct overlay *overlay, const struct arrival *arrival);
void peer_on_welcome(struct overlay *overlay, const struct arrival *arrival);
void peer_on_refused(struct overlay *overlay, const struct arrival *arrival);
void peer_on_link_up(struct overlay *overlay, const struct node_id *node);
void peer_on_link_lost(struct overlay *overlay, const struct node_id *node, bool refused);

/* --- near.c */
/* Those who answer soonest come first; equally near ones keep their order. */
void near_sort(const struct overlay *overlay, struct node_id *nodes, uint32_t count);

/* --- dispatch.c */
void dispatch_received(struct overlay *overlay, const struct overlay_event *event);
void dispatch_expire(struct overlay *overlay);
/* Ends requests to a member that is gone; those that can go elsewhere do. */
void dispatch_gone(struct overlay *overlay, const struct node_id *node);
/* A node that did not know us does now: what it was asked before is asked again at once. */
void dispatch_welcomed(struct overlay *overlay, const struct node_id *node);
/* It is asked again. Whose is the answer then? It is not measured any more. */
void dispatch_missed(struct overlay *overlay, struct request *request);
/* Ends what was under way on a broken link and is not repeated. */
void dispatch_link_lost(struct overlay *overlay, const struct node_id *node, bool refused);

/* --- tell.c: broadcasts */
/* Tells every member once what has been applied here already. */
void tell_everyone(struct overlay *overlay, const minga_Item *item);
void tell_on_broadcast(struct overlay *overlay, const struct arrival *arrival);
void tell_on_timeout(struct overlay *overlay, const struct request *request);

/* --- gossip.c: what everyone is to know */
/* Recomputes a member's state and tells whom it concerns. */
void gossip_refresh(struct overlay *overlay, int index);
void gossip_heard(struct overlay *overlay, int index);
/* Applies an item; returns whether it was news. */
bool gossip_apply(struct overlay *overlay, const minga_Item *item);
void gossip_on_item(struct overlay *overlay, const struct arrival *arrival);
/* Signs the own record anew, stores it, and tells everyone. */
void gossip_describe(struct overlay *overlay, uint64_t incarnation);
/* The same, but everyone is told a little later, when more may be known of it. */
void gossip_describe_soon(struct overlay *overlay, uint64_t incarnation);
void gossip_refute(struct overlay *overlay, uint64_t incarnation);
void gossip_fill_digest(const struct overlay *overlay, minga_Digest *digest_out);
bool gossip_admit(struct overlay *overlay, struct bytes encoded, enum admit_how how);
void gossip_arc_digest(const struct overlay *overlay, const struct sync_arc *arc,
                       minga_Digest *digest_out);
void gossip_accuse(struct overlay *overlay, int index, uint64_t incarnation);

/* --- around.c: news in a large community */
/* To the ring neighbours, and those we talk with. */
void around_tell(struct overlay *overlay, const minga_Item *item);
/* What was news here, to those around its subject. */
void around_forward(struct overlay *overlay, const minga_Item *item);

/* --- keep.c: what must not be forgotten */
/* Of a member since now; the join is answered when it is durable. 0: nobody waits. */
void keep_membership(struct overlay *overlay, uint64_t join_token);
/* False: not its write. */
bool keep_on_stored(struct overlay *overlay, uint64_t token, bool failed);
void keep_tick(struct overlay *overlay);

/* --- goodbye.c */
void goodbye_on_message(struct overlay *overlay, const struct arrival *arrival);
void goodbye_on_reply(struct overlay *overlay, const struct request *request,
                      const struct arrival *arrival);
void goodbye_tick(struct overlay *overlay);

/* --- watch.c: the detector's verdicts */
void watch_event(struct overlay *overlay, enum detector_event_kind kind, int index);
void watch_neighbours(struct overlay *overlay);
bool watch_is_neighbour(const struct overlay *overlay, const struct node_id *node);
void watch_ping(struct overlay *overlay, int index, uint64_t accused_incarnation);
void watch_on_ping(struct overlay *overlay, const struct arrival *arrival);
void watch_on_probe_via(struct overlay *overlay, const struct arrival *arrival);
void watch_on_timeout(struct overlay *overlay, const struct request *request);
void watch_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival);

/* --- place.c: the ring's effects */
void place_event(struct overlay *overlay, struct ring_event *event);
void place_known(struct overlay *overlay, int index);
void place_lost(struct overlay *overlay, int index);
void place_tick(struct overlay *overlay);
uint64_t place_wake(const struct overlay *overlay);
/* Was it the ring's epoch? */
bool place_on_stored(struct overlay *overlay, uint64_t token, bool failed);
void place_on_stabilise(struct overlay *overlay, const struct arrival *arrival);
/* The arc, for the one that takes it over. */
void place_fill_goodbye(const struct overlay *overlay, minga_Goodbye *goodbye);
void place_on_goodbye(struct overlay *overlay, const struct arrival *arrival);
void place_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival);

/* --- asks.c */
void asks_on_ask(struct overlay *overlay, const struct arrival *arrival);
void asks_on_route(struct overlay *overlay, const struct arrival *arrival);
void asks_on_lookup(struct overlay *overlay, const struct arrival *arrival);
void asks_on_reply(struct overlay *overlay, const struct request *request,
                   const struct arrival *arrival);
void asks_on_timeout(struct overlay *overlay, const struct request *request);
/* Whom else to ask at the first repetition of a routed question; the first answer counts. */
bool asks_other(struct overlay *overlay, struct request *request);
bool asks_reroute(struct overlay *overlay, struct request *request);
/* Sends a message for a key one hop on. */
void asks_relay(struct overlay *overlay, const struct arrival *arrival, enum request_kind kind,
                const struct ring_key *key, minga_Message *message);

/* --- chunk_offers.c: offers of several chunks to one holder */
bool chunk_offers_add(struct overlay *overlay, const struct node_id *to,
                      const struct chunk_id *chunk, uint64_t bytes, uint64_t put);
/* Adds an offer to a message, with the names it refers to; false: they have no room. */
bool chunk_offers_fill(minga_ChunkOffers *offers, const struct chunk_put *put, uint64_t bytes);
void chunk_offers_tick(struct overlay *overlay);
void chunk_offers_on_message(struct overlay *overlay, const struct arrival *arrival);
void chunk_offers_on_reply(struct overlay *overlay, const struct request *request,
                           const struct arrival *arrival);
void chunk_offers_on_timeout(struct overlay *overlay, const struct request *request);

/* --- chunk_put.c, chunk_get.c */
/* What becomes of one offer that was made together with others. */
void chunk_put_answered(struct overlay *overlay, uint64_t number, const struct node_id *by,
                        minga_ChunkAnswer answer);
void chunk_put_not_answered(struct overlay *overlay, uint64_t number);
void chunk_put_offer_alone(struct overlay *overlay, uint64_t number, const struct node_id *to);
const struct chunk_put *chunk_put_find(const struct overlay *overlay, uint64_t number);
void chunk_put_on_reply(struct overlay *overlay, const struct request *request,
                        const struct arrival *arrival);
void chunk_put_on_timeout(struct overlay *overlay, const struct request *request);
void chunk_put_on_holders(struct overlay *overlay, uint64_t number, const struct node_id *holders,
                          uint32_t count);
void chunk_get_on_holders(struct overlay *overlay, uint64_t number, const struct node_id *holders,
                          uint32_t count);
/* Holders of a chunk in ring order, those that store only. */
uint32_t chunk_holders(const struct overlay *overlay, const struct chunk_id *chunk,
                       uint32_t count_max, struct node_id *nodes_out);
void chunk_get_on_reply(struct overlay *overlay, const struct request *request,
                        const struct arrival *arrival);
void chunk_get_on_timeout(struct overlay *overlay, const struct request *request);
bool chunk_get_on_stored(struct overlay *overlay, const struct overlay_event *event);
/* Fetches for this node itself what it should have. */
void chunk_get_again(struct overlay *overlay, const struct chunk_id *chunk,
                     const struct chunk_references *references);
void chunk_get_tick(struct overlay *overlay);
uint64_t chunk_get_wake(const struct overlay *overlay);

#include "overlay/chunks/storing.h"
#include "overlay/gossip/digests.h"
#include "overlay/large/large.h"
#include "overlay/links/callers.h"
#include "overlay/members/joining.h"
#include "overlay/records/holding.h"
