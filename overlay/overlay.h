// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The overlay: who is responsible for a key, and how is it reached?
 *
 * Pure: one event in, a bounded list of effects out. It opens no socket and no file, reads no
 * clock, and allocates only in overlay_new. mingad performs the effects with ZeroMQ and SQLite,
 * the simulator in virtual time.
 *
 * Requests (the functions that take a `token`) end in exactly one OVERLAY_DONE with that token,
 * in the same effects list or a later one; the overlay repeats and times out by itself.
 *
 * Memory: effects borrow from the overlay and from the event; they are valid until the next call
 * with the same `struct overlay`. Threads: none.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/keys.h"
#include "base/limits.h"
#include "overlay/protocol.pb.h"
#include "overlay/records/records.h"

struct overlay;

/* ------------------------------------------------------------------ events, from the edge */

enum overlay_event_kind {
    OVERLAY_TICK,         /* a wake-up asked for (or any other moment) */
    OVERLAY_RECEIVED,     /* a message, with or without a data frame */
    OVERLAY_LINK_UP,      /* an outbound link's CURVE handshake succeeded */
    OVERLAY_LINK_LOST,    /* an outbound link was refused or broke */
    OVERLAY_STORED,       /* a store effect is durable (or failed) */
    OVERLAY_CHUNK_STORED, /* a chunk is verified and durable (or wrong, or failed) */
    OVERLAY_CHUNK_ABSENT, /* a chunk that we thought to have is not there */
    OVERLAY_RELAY_UP,     /* a connection to a relay's door stands (`node`) */
    OVERLAY_RELAY_DOWN,   /* none stands any more */
    OVERLAY_PORT_REFUSED, /* a port that was to be passed on could not be opened */
    OVERLAY_PORT_MAPPED,  /* a router passes `outside_port` of its own on to `port` */
    OVERLAY_CALLER_LOST,  /* an inbound link (`source.link`) has ended; not of each this is told */
    OVERLAY_CHUNK_READ,   /* a chunk's file was read, and is good, holds something else
                             (WRONG_HASH), or was not given by the disk (REFUSED) */
};

/* Where a message came from. Inbound: our ROUTER; outbound: the reply side of our DEALER. */
struct overlay_source {
    bool inbound;
    uint64_t link;         /* inbound: the edge's number for the link */
    uint8_t curve_key[32]; /* inbound: the X25519 key that CURVE proved */
    struct node_id node;   /* outbound: whom we dialled (proved by CURVE as well) */
    /* The other end's numeric address, as it is seen here; "": not known. Behind a relay of ours
     * it is this host's own. */
    char host[HOST_CHARS_MAX + 1];
};

enum overlay_chunk_outcome {
    OVERLAY_CHUNK_OK,
    OVERLAY_CHUNK_WRONG_HASH,
    OVERLAY_CHUNK_FAILED,  /* just now: too much is under way */
    OVERLAY_CHUNK_REFUSED, /* by the disk, which is full or broken: others will fare no better */
};

struct overlay_event {
    enum overlay_event_kind kind;
    uint64_t now_ms;                    /* CLOCK_BOOTTIME; never 0 */
    uint64_t wall_unix_s;               /* for expiry dates only */
    struct overlay_source source;       /* RECEIVED; of CALLER_LOST `link` alone */
    struct bytes message;               /* RECEIVED */
    struct bytes data;                  /* RECEIVED: second frame, or empty */
    struct node_id node;                /* LINK_UP, LINK_LOST, RELAY_UP, RELAY_DOWN */
    uint64_t token;                     /* STORED, CHUNK_STORED */
    bool failed;                        /* STORED */
    bool refused;                       /* LINK_LOST: no process listens at the address */
    struct chunk_id chunk;              /* CHUNK_STORED, CHUNK_ABSENT, CHUNK_READ */
    uint64_t chunk_bytes;               /* CHUNK_STORED, CHUNK_READ */
    enum overlay_chunk_outcome outcome; /* CHUNK_STORED, CHUNK_READ */
    bool was_there;                     /* CHUNK_STORED: OK, and nothing had to be written */
    uint16_t port;                      /* PORT_REFUSED; PORT_MAPPED: 0 where the overlay listens */
    uint16_t outside_port;              /* PORT_MAPPED: 0: no more */
    bool is_udp;                        /* PORT_MAPPED */
    bool is_ipv6;                       /* PORT_MAPPED: the own port, in a firewall's hole */
};

/* ------------------------------------------------------------------ effects */

enum overlay_effect_kind {
    /* performed by the edge */
    OVERLAY_SEND,        /* message (and a chunk's data) to a peer, dialling it if needed */
    OVERLAY_REPLY,       /* the same back on an inbound link */
    OVERLAY_HANG_UP,     /* close the outbound link to a peer that is gone or not needed */
    OVERLAY_STORE,       /* keep or delete a blob; answered by STORED unless token is 0 */
    OVERLAY_STORE_CHUNK, /* verify and keep the data; answered by CHUNK_STORED */
    OVERLAY_DROP_CHUNK,  /* delete a chunk's file */
    OVERLAY_WAKE,        /* a TICK is wanted at wake_ms, or earlier; the last one counts */
    OVERLAY_TRACE,       /* a line for the trace (simulator) or the debug log */
    OVERLAY_DIAL_BACK,   /* dial the peer on a link of its own, say the message, hang up */
    OVERLAY_RELAY,       /* pass on to this leaf what `relay` says; no ports: no more */
    OVERLAY_RELAYED,     /* let this relay pass on to us, the same */
    /* for the agent */
    OVERLAY_DELIVER, /* an agent's message, asked with overlay_ask or overlay_route */
    OVERLAY_MEMBER,  /* a member's state has changed, or whether it is on the ring, or manages */
    OVERLAY_ARC,     /* the arc that this node is responsible for has changed */
    OVERLAY_RECORD,  /* a record here is new or newer */
    OVERLAY_DONE,    /* a request has ended */
};

/* What is kept durably; the edge stores (kind, key, number) -> bytes and knows no more of it. */
enum overlay_blob_kind {
    BLOB_SELF = 1,   /* own counters: key 0 */
    BLOB_COMMUNITY,  /* the community's signed record: key 0 */
    BLOB_ADMISSION,  /* key: node id */
    BLOB_EXPULSION,  /* key: node id */
    BLOB_REVOCATION, /* key: hash of the invitation's key */
    BLOB_NODE,       /* a member's last node record: key: node id */
    BLOB_RECORD,     /* key: service id, number: kind << 56 | number */
    BLOB_MANAGER,    /* the agent's: key: service id */
    BLOB_AGENT,      /* the agent's own state: key 0 */
    BLOB_VOUCHER,    /* an admission of the chain that vouches for this node; key: node id */
    BLOB_HABIT = 20, /* when a member is usually away; key: node id */
    BLOB_REFERENCE,  /* for whom chunks are kept; key: tree id, number: its place */
    BLOB_CHUNK,      /* a chunk's references; key: chunk id */
};

struct overlay_blob {
    enum overlay_blob_kind kind;
    struct id key;
    uint64_t number;
    struct bytes bytes; /* empty: delete */
};

/* A peer as the transport needs it. */
struct overlay_peer {
    struct node_id node;
    struct public_key key; /* its CURVE key derives from it */
    size_t address_count;
    char addresses[ADDRESSES_MAX][ADDRESS_CHARS_MAX + 1];
};

/* What a relay passes on: who connects to a port of the relay's speaks with one of the leaf's. The
 * bytes go over connections that the leaf has opened to the relay's door. */
struct overlay_relay_port {
    uint16_t at_relay;
    uint16_t at_leaf; /* 0: where the overlay listens */
    bool is_udp;
};
enum { OVERLAY_RELAY_PORTS_MAX = 2 * RELAYED_PORTS_MAX + 1 };
struct overlay_relay {
    uint16_t door;
    uint8_t secret[RELAY_SECRET_BYTES]; /* both ends prove that they know it */
    uint32_t port_count;
    struct overlay_relay_port ports[OVERLAY_RELAY_PORTS_MAX]; /* the overlay's first */
};

/* How the agent answers a delivered message: overlay_answer(..., &ask, ...). */
struct overlay_ask {
    struct node_id from; /* who asked; proved by the link only when `direct` */
    bool direct;         /* came straight from that member, not through others */
    bool wants_answer;
    struct overlay_source source;
    uint64_t request;
};

enum member_state { MEMBER_UP, MEMBER_SUSPECT, MEMBER_DOWN, MEMBER_LEFT, MEMBER_EXPELLED };

enum overlay_outcome {
    OVERLAY_OK,
    OVERLAY_REFUSED,   /* by the other side; see reason */
    OVERLAY_TIMED_OUT, /* nobody answered in time */
    OVERLAY_NOT_FOUND,
    OVERLAY_CONFLICT, /* compare-and-swap: another sequence number stands */
    OVERLAY_FULL,     /* a table or a share is full */
    OVERLAY_FAILED,   /* local storage */
};

struct overlay_lookup { /* result of overlay_lookup */
    struct node_id responsible;
    uint32_t holder_count;
    struct node_id holders[RECORD_COPIES];
    uint32_t path_count; /* path[0] is the asker, the last one is the responsible node */
    struct node_id path[ROUTE_HOPS_MAX];
};

struct overlay_effect {
    enum overlay_effect_kind kind;
    struct overlay_peer peer;   /* SEND, DIAL_BACK; HANG_UP, RELAY: only node; RELAYED: no key */
    struct overlay_relay relay; /* RELAY, RELAYED */
    uint64_t link;              /* REPLY */
    struct bytes message;       /* SEND, REPLY; TRACE: text without NUL */
    bool has_chunk;             /* SEND, REPLY: append this chunk's bytes as second frame */
    struct chunk_id chunk;      /* SEND, REPLY, STORE_CHUNK, DROP_CHUNK */
    struct bytes data;          /* STORE_CHUNK */
    struct overlay_blob blob;   /* STORE */
    bool is_unhurried;          /* STORE: nobody waits; may begin up to UNHURRIED_MS later */
    uint64_t token;             /* STORE, STORE_CHUNK: to hand back; DONE: the caller's */
    uint64_t wake_ms;           /* WAKE */
    struct overlay_ask ask;     /* DELIVER */
    struct ring_key key;        /* DELIVER, routed: where to */
    struct bytes payload;       /* DELIVER; DONE of ask and route: the answer */
    struct node_id node;        /* MEMBER */
    enum member_state state;    /* MEMBER */
    struct ring_key arc_from;   /* ARC: responsible for (from, to] */
    struct ring_key arc_to;
    uint64_t arc_epoch;
    struct service_id service;         /* RECORD */
    uint64_t number;                   /* RECORD */
    minga_RecordKind record_kind;      /* RECORD */
    enum overlay_outcome outcome;      /* DONE */
    struct bytes record;               /* DONE of record_get: an encoded Signed */
    struct overlay_lookup lookup;      /* DONE of lookup */
    bool is_new;                       /* DONE of chunk_put: no holder had it before */
    uint32_t copies;                   /* DONE of puts: so many disks have it; 0: not said */
    char reason[REASON_CHARS_MAX + 1]; /* DONE: for people; may be "" */
};

enum { OVERLAY_EFFECTS_MAX = LIMIT(256, 96) };

/* Filled by each call; the caller performs all and empties it (count = 0). Bytes that effects
 * point to lie in `arena`. When it is full, sends are dropped and counted, never anything else. */
struct overlay_effects {
    uint32_t count;
    uint32_t dropped_count;
    struct overlay_effect list[OVERLAY_EFFECTS_MAX];
    size_t arena_used_bytes;
    uint8_t arena[OVERLAY_EFFECTS_MAX * 2048];
};

/* ------------------------------------------------------------------ life */

struct overlay_config {
    struct secret_key node_key;
    uint64_t seed;                 /* of all protocol randomness */
    minga_NodeRecord description;  /* of this node; sequence and incarnation are filled in here */
    uint64_t storage_bytes_max;    /* of chunks; refuse beyond */
    uint64_t upload_bytes_per_s;   /* for the repair of chunks; 0: no limit */
    uint64_t download_bytes_per_s; /* of chunks; 0: no limit */
    uint32_t full_members_max;     /* beyond, only a part is kept; 0: FULL_MEMBERS_MAX */
    /* Finds out whether others can dial this node; else the description says so. */
    bool finds_reach;
    uint16_t relay_port_first; /* where it passes on, if description.relays */
    uint16_t relay_port_count;
};

struct overlay_event; /* below */

/* How much of the line chunks may take from now on; 0: no limit. What others send to be kept is
 * paid by what this node asks for itself, later. */
struct overlay_rates {
    uint64_t upload_bytes_per_s;
    uint64_t download_bytes_per_s;
};
void overlay_set_rates(struct overlay *overlay, const struct overlay_event *now,
                       struct overlay_rates rates);

/* So much may be stored here from now on. What is here above it is handed to others and dropped;
 * the last copy of anything stays until somebody else has it. */
void overlay_set_storage(struct overlay *overlay, const struct overlay_event *now,
                         uint64_t bytes_max, struct overlay_effects *effects);
/* Ports that this node passes on from now on; connections on others end. */
void overlay_set_relay_ports(struct overlay *overlay, const struct overlay_event *now,
                             uint16_t port_first, uint16_t port_count,
                             struct overlay_effects *effects);

/* Allocates everything that it will ever need. Returns NULL without memory. */
struct overlay *overlay_new(const struct overlay_config *config);
void overlay_free(struct overlay *overlay);

/* Before overlay_start: gives back what was stored, in any order. Blobs that do not verify are
 * refused (-EBADMSG) and change nothing. */
int overlay_load(struct overlay *overlay, const struct overlay_blob *blob);
int overlay_load_chunk(struct overlay *overlay, const struct chunk_id *chunk, uint64_t bytes);
/* For what comes back of a BLOB_SELF that may be an old one: past the epochs that may have been used
 * since. */
enum { OVERLAY_SELF_BYTES = 8 };
void overlay_skip_epochs(uint8_t self[OVERLAY_SELF_BYTES]);
/* Begins: dials known members when this node belongs to a community. */
void overlay_start(struct overlay *overlay, uint64_t now_ms, uint64_t wall_unix_s,
                   struct overlay_effects *effects);

void overlay_step(struct overlay *overlay, const struct overlay_event *event,
                  struct overlay_effects *effects);

/* ------------------------------------------------------------------ requests */
/* `now` carries the time as an event does; only its now_ms and wall_unix_s are read. */

/* Becomes the first node of a new community: an encoded Signed{Community} and admission. */
int overlay_create(struct overlay *overlay, const struct overlay_event *now, struct bytes community,
                   struct bytes admission, struct overlay_effects *effects);

struct overlay_join {
    struct bytes community; /* encoded Signed{Community}, from the token */
    struct bytes request;   /* encoded AdmissionRequest */
    struct signature owner_signature;
    struct signature invitation_signature; /* the node's own is added here */
    uint32_t contact_count;
    struct overlay_peer contacts[TOKEN_MEMBERS_MAX];
};
void overlay_join(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                  const struct overlay_join *join, struct overlay_effects *effects);

/* Tells everyone that this node goes: `for_good` gives up nothing of the admission, but the node
 * counts as left until it returns; otherwise as "back soon". DONE when told (or after 1 s). */
void overlay_goodbye(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                     bool for_good, struct overlay_effects *effects);
/* Floods an encoded Signed{Expulsion} or Signed{Revocation}, and stores it with `token`, of which
 * STORED is said to the caller. Returns 0, -EBADMSG, or -ENOSPC: the community has as many of them
 * as there can be. */
int overlay_expel(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                  struct bytes expulsion, struct overlay_effects *effects);
int overlay_revoke(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                   struct bytes revocation, struct overlay_effects *effects);
/* Replaces what this node says about itself (labels, roles, addresses). */
void overlay_describe(struct overlay *overlay, const struct overlay_event *now,
                      const minga_NodeRecord *description, struct overlay_effects *effects);

/* The ports of this node that others are to reach, all of them: where it is a leaf, relays pass
 * them on, RELAYED_PORTS_MAX of each kind. */
struct overlay_port {
    uint16_t number;
    bool is_udp;
};
void overlay_publish(struct overlay *overlay, const struct overlay_event *now,
                     const struct overlay_port *ports, uint32_t count,
                     struct overlay_effects *effects);
/* Under which port of this node's first address others reach that port; 0: not at present. */
uint16_t overlay_port_outside(const struct overlay *overlay, uint16_t port, bool is_udp);

struct overlay_question { /* an agent's message */
    uint64_t token;       /* not 0: an answer is awaited, DONE */
    struct bytes payload;
};
/* `via` has named a node that may be unknown here (in a large community), or stand as down since nobody
 * near has told that it is back: has `via` asked how to reach that node, or the node greeted, so
 * that overlay_ask, called next, can wait for it. */
void overlay_named(struct overlay *overlay, const struct overlay_event *now,
                   const struct node_id *node, const struct node_id *via,
                   struct overlay_effects *effects);
/* To one member. */
void overlay_ask(struct overlay *overlay, const struct overlay_event *now, const struct node_id *to,
                 struct overlay_question question, struct overlay_effects *effects);
/* The same to whoever is responsible for `key` (this node too). */
void overlay_route(struct overlay *overlay, const struct overlay_event *now,
                   const struct ring_key *key, struct overlay_question question,
                   struct overlay_effects *effects);
void overlay_answer(struct overlay *overlay, const struct overlay_ask *ask, struct bytes payload,
                    struct overlay_effects *effects);
void overlay_lookup(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                    const struct ring_key *key, struct overlay_effects *effects);

/* Has the holders of a key found, in a large community, so that overlay_replica_set knows them a
 * little later. To be called again as long as they are of interest; cheap. */
void overlay_locate(struct overlay *overlay, const struct overlay_event *now,
                    const struct ring_key *key, struct overlay_effects *effects);

/* As overlay_locate, though they were found a moment ago: others may have taken their place. */
void overlay_locate_anew(struct overlay *overlay, const struct overlay_event *now,
                         const struct ring_key *key, struct overlay_effects *effects);

/* Who was found for the key does not answer for it: its holders are found anew. */
void overlay_mislocated(struct overlay *overlay, const struct overlay_event *now,
                        const struct ring_key *key, struct overlay_effects *effects);

/* An owner's encoded Signed{Record}; its sequence must be the stored one + 1 (else CONFLICT).
 * DONE when RECORD_ACKNOWLEDGED_COPIES holders (all, when fewer are up) have it durably. */
void overlay_record_put(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                        struct bytes encoded, struct overlay_effects *effects);
/* That record was put by this node, and acknowledged: whose chunks lie here is known by it. */
void overlay_record_stands(struct overlay *overlay, const struct overlay_event *now,
                           struct bytes encoded, struct overlay_effects *effects);
/* The newest record that the reachable holders know; `key` is record_key()'s. */
void overlay_record_get(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                        const struct record_key *key, struct overlay_effects *effects);
struct overlay_reference { /* for whom a chunk is kept; all zero: it is not said */
    struct service_id service;
    struct tree_id tree;
};
struct overlay_spread {
    struct chunk_id chunk;
    uint32_t carried_bytes; /* its size when the own disk does not take it; 0: it is stored here */
    struct overlay_reference reference;
};
/* Spreads a chunk that the edge has already stored here, and reported with CHUNK_STORED (token 0,
 * its size), or has in memory only: DONE when CHUNK_COPIES holders (all that
 * store, when fewer are up; an own disk that does not take it is as one that is off) have it durably; in
 * memory is not. FAILED: the own disk does not give the chunk. It is kept as long as a version of the
 * service that may run has that tree. */
void overlay_chunk_put(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                       const struct overlay_spread *spread, struct overlay_effects *effects);
struct overlay_wanted { /* a chunk, and who besides its holders likely has it */
    struct chunk_id chunk;
    const struct node_id *others; /* borrowed for the call */
    uint32_t other_count;
    struct overlay_reference reference;
};
/* Fetches a chunk into the local store. Several at once are answered from different holders. */
void overlay_chunk_get(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                       const struct overlay_wanted *wanted, struct overlay_effects *effects);

/* ------------------------------------------------------------------ views: no effects */

struct overlay_member {
    struct node_id node;
    struct public_key key;
    struct owner_id owner;
    struct public_key owner_key;
    char owner_name[NODE_NAME_CHARS_MAX + 1];
    minga_NodeRecord record; /* the last known */
    enum member_state state;
    uint64_t since_unix_s; /* admitted */
    uint64_t changed_ms;   /* of state; in this node's time */
    bool is_self;
};

/* A secret of `purpose` and `what`, always the same one, that only this node can make. */
void overlay_secret(const struct overlay *overlay, const char *purpose, struct bytes what,
                    uint8_t secret_out[RELAY_SECRET_BYTES]);
bool overlay_belongs(const struct overlay *overlay); /* to a community */
struct community_id overlay_community(const struct overlay *overlay);
const char *overlay_community_name(const struct overlay *overlay);
/* The encoded Signed{Community}, for invitations; empty without a community. */
struct bytes overlay_community_record(const struct overlay *overlay);
struct node_id overlay_self(const struct overlay *overlay);
/* All ever admitted; in a large community those that this node knows at present. */
uint32_t overlay_member_count(const struct overlay *overlay);
/* Does it keep the whole membership, so that one that is not found is none? */
bool overlay_knows_all(const struct overlay *overlay);
/* Does the node say that it manages services? */
bool overlay_manages(const struct overlay *overlay, const struct node_id *node);
/* How many are up: counted, or in a large community estimated. */
uint32_t overlay_size(const struct overlay *overlay);
/* The index-th member, index < count; index order is stable while the whole is kept. */
const struct overlay_member *overlay_member(const struct overlay *overlay, uint32_t index);
const struct overlay_member *overlay_member_by_id(const struct overlay *overlay,
                                                  const struct node_id *node);
/* Is this X25519 key one that a member, not expelled since, has greeted with? */
bool overlay_has_greeted(const struct overlay *overlay, const uint8_t curve_key[32]);
/* A member that was not expelled and has not left, as far as this node knows. (In a large community
 * also one that it does not know at present.) */
bool overlay_is_welcome(const struct overlay *overlay, const struct node_id *node);
/* Is this key the owner of at least one member that is not expelled? */
bool overlay_owner_is_member(const struct overlay *overlay, const struct public_key *owner);
/* Has no other member been heard for ISOLATED_MS, though others did not leave on purpose? While the
 * machine sleeps nobody could be: that time does not count. */
bool overlay_isolated(const struct overlay *overlay, uint64_t now_ms);

/* The key-based routing API of Dabek et al. over what this node knows now. */
/* May it answer for the key at that moment? Only while its lease on the arc lasts. */
bool overlay_responsible(const struct overlay *overlay, const struct ring_key *key,
                         uint64_t now_ms);
bool overlay_local_lookup(const struct overlay *overlay, const struct ring_key *key,
                          struct node_id *node_out);
/* Where a message for the key goes from here; false: it stays, or nobody is known. */
bool overlay_next_hop(const struct overlay *overlay, const struct ring_key *key,
                      struct node_id *node_out);
/* Up members in ring order from the key's responsible node on; returns how many (<= max). In a
 * large community: of keys near this node, and of those that overlay_locate has found. */
uint32_t overlay_replica_set(const struct overlay *overlay, const struct ring_key *key,
                             uint32_t count_max, struct node_id *nodes_out);
uint32_t overlay_neighbour_set(const struct overlay *overlay, uint32_t count_max,
                               struct node_id *nodes_out);
struct overlay_ring_view {
    uint32_t position_count;
    struct ring_key positions[POSITIONS_MAX]; /* the ring's own, then others that chunks live at */
    uint32_t predecessor_count;
    struct node_id predecessors[SUCCESSORS_MAX];
    uint32_t successor_count;
    struct node_id successors[SUCCESSORS_MAX];
    uint64_t epoch;          /* of its arc; 0: it has none */
    bool has_arc;            /* on the ring; else it joins, or belongs to no community */
    bool is_alone;           /* the whole ring is its own, without lease or keeper */
    uint64_t lease_until_ms; /* it answers for its arc until then, unless granted anew */
    bool has_keeper;
    struct node_id keeper; /* grants the lease */
};
/* The smoothed round trip to a member, in ms; UINT32_MAX while unknown. */
uint32_t overlay_rtt_ms(const struct overlay *overlay, const struct node_id *node);
void overlay_ring(const struct overlay *overlay, struct overlay_ring_view *view_out);

/* The newest local copy of a record: an encoded Signed, empty when there is none. */
struct bytes overlay_record(const struct overlay *overlay, const struct service_id *service,
                            minga_RecordKind kind, uint64_t number);
/* Walks local records of a kind: *cursor starts at 0; false at the end. */
bool overlay_record_next(const struct overlay *overlay, minga_RecordKind kind, uint32_t *cursor,
                         struct service_id *service_out);
/* A write of this node's owner that another one has replaced: two of the owner's machines wrote on
 * top of the same version while the community was parted. The newest comes first. */
struct overlay_lost {
    struct service_id service;
    char name[NAME_CHARS_MAX + 1]; /* of the service */
    minga_RecordKind kind;
    uint64_t number;
    uint64_t sequence;
    uint64_t lost_unix_s; /* when this node heard of it */
    struct id hash;       /* of the lost one */
};
/* False when fewer than index + 1 were heard of since the start. */
bool overlay_lost(const struct overlay *overlay, uint32_t index, struct overlay_lost *lost_out);
bool overlay_has_chunk(const struct overlay *overlay, const struct chunk_id *chunk);
/* Walks all chunks here, or those whose files are bad, in no order: *cursor starts at 0; false at the
 * end. What comes or goes meanwhile may be missed. */
bool overlay_chunk_next(const struct overlay *overlay, bool is_bad, uint32_t *cursor,
                        struct chunk_id *chunk_out);
/* What chunks take of the share here, with what their files and notes cost. */
uint64_t overlay_chunk_bytes(const struct overlay *overlay);
/* What a chunk takes of the share. */
uint64_t overlay_chunk_cost_bytes(uint64_t bytes);
/* Is there room for one more chunk, while so many that users push are being written, which take so much
 * of the share? */
bool overlay_has_room(const struct overlay *overlay, uint64_t bytes, uint32_t written_count,
                      uint64_t written_cost_bytes);

/* What is stored here, for whom, and how well. */
struct overlay_stock {
    uint32_t chunk_count;
    uint64_t bytes;
    uint64_t bytes_max;
    uint32_t spare_count; /* fetched, or handed over: they live elsewhere, and make room first */
    uint64_t spare_bytes;
    uint32_t bad_count; /* files that cannot be read, or hold something else; they are kept */
    uint64_t bad_bytes;
    uint64_t home_bytes; /* of chunks that live here, with what their files cost */
    uint32_t position_count;
    struct ring_key positions[POSITIONS_MAX]; /* at which they do */
    uint32_t part_permille;  /* of what would be fair, when last looked at; 0: not known */
    uint32_t nameless_count; /* it is not noted for whom they are */
    uint64_t nameless_bytes;
    uint64_t repair_wait_ms; /* until the upload share lets the next copy go */
    bool is_comparing;
    bool is_collecting;
    bool is_shedding;     /* more is here than is given: it goes, elsewhere first */
    uint64_t moved_count; /* copies sent for repair since the start */
    uint64_t moved_bytes;
    uint64_t rotten_count;
    uint64_t collected_count;
    uint64_t collected_bytes;
};
/* Until chunks may be sent for repair, or asked for, again; 0: they may. */
uint64_t overlay_upload_wait_ms(const struct overlay *overlay);
uint64_t overlay_download_wait_ms(const struct overlay *overlay);

struct overlay_stock_line { /* a service's tree */
    bool used;
    bool is_dead;      /* garbage, about to go */
    bool is_confirmed; /* a version has this tree */
    bool is_counted;   /* copies are known of one chunk at least */
    struct overlay_reference reference;
    struct owner_id owner; /* all zero until its records were read */
    char name[NAME_CHARS_MAX + 1];
    uint64_t version;
    uint32_t chunk_count;
    uint64_t bytes;
    uint32_t copies_least; /* that are up, of any of its chunks here, this one counted */
    uint32_t copies_most;
    uint32_t scarce_count; /* chunks with fewer than two */
};
enum { OVERLAY_STOCK_LINES_MAX = LIMIT(2048, 8) };
/* Fills OVERLAY_STOCK_LINES_MAX lines, some of them unused. */
void overlay_stock(const struct overlay *overlay, struct overlay_stock *stock_out,
                   struct overlay_stock_line *lines_out);
enum overlay_repair_why {
    OVERLAY_REPAIR_LACKS,  /* it should have had a copy: it was away, or has lost it */
    OVERLAY_REPAIR_FEW_UP, /* fewer than two of those before it are up */
    OVERLAY_REPAIR_GONE,   /* one of those before it is gone for longer than its habit */
    OVERLAY_REPAIR_SHED,   /* this node gives less than before */
};
struct overlay_repair { /* a copy on its way */
    struct chunk_id chunk;
    struct node_id to;
    enum overlay_repair_why why;
    uint64_t since_ms;
};
/* Walks them: *cursor starts at 0; false at the end. */
bool overlay_repair_next(const struct overlay *overlay, uint32_t *cursor,
                         struct overlay_repair *repair_out);
struct overlay_absence { /* of a member that stores */
    struct node_id node;
    uint64_t away_s;
    uint64_t patience_s; /* so long it is waited for */
    bool is_gone;
};
bool overlay_absence_next(const struct overlay *overlay, uint32_t *cursor,
                          struct overlay_absence *absence_out);

struct overlay_counters {
    uint64_t sent_messages;
    uint64_t received_messages;
    uint64_t refused_messages; /* undecodable, not admitted, over a limit */
    uint64_t dropped_effects;
    uint32_t record_count;
    uint32_t chunk_count;
    uint64_t chunks_moved; /* sent for repair, ever; their bytes: */
    uint64_t chunks_moved_bytes;
    uint64_t chunks_rotten; /* found so on this disk, or missing */
};
struct overlay_counters overlay_counters(const struct overlay *overlay);
