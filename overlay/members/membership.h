// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who belongs to the community, and what is known of each: admissions, node records, states,
 * expulsions and revocations, with digests over them.
 *
 * Pure tables; signatures were checked by the caller (admission.h). A member's index stays valid
 * until another member takes its place (membership_replace), which only a table does that keeps a
 * part of a large community. Orders are kept sorted: by node id and by ring position.
 * Digests are XORs of item hashes, so that order of arrival does not matter.
 */
#include <stdbool.h>

#include "overlay/chunks/positions.h"
#include "overlay/links/rtt.h"
#include "overlay/overlay.h"

enum {
    ADMISSION_BYTES_MAX = 1152,  /* encoded Signed{Countersigned} */
    NODE_RECORD_BYTES_MAX = 832, /* encoded Signed{NodeRecord} */
    BAN_BYTES_MAX = 448,         /* encoded Signed{Expulsion} or Signed{Revocation} */
    BANS_MAX = LIMIT(256, 4),    /* of each kind */
    REVOCATION_DAYS_MIN = 90,    /* it is kept after its invitation has expired */
    MEMBER_NONE = -1,
    INCARNATION_STEP_MAX = 1 << 20, /* an accusation from further ahead is nonsense */
};

/* Of sequences and incarnations in node records: there is room to count on, and for a bit beside. */
#define NODE_NUMBER_MAX ((uint64_t)1 << 62)

/* What is known of a member's life; UNKNOWN after a restart, until somebody tells. */
enum member_life { LIFE_UNKNOWN, LIFE_ALIVE, LIFE_DEAD };

struct member {
    struct overlay_member view;
    struct ring_key position;
    struct public_key invitation; /* all zero: the community's first node */
    struct public_key countersigner;
    uint32_t uses_max;     /* of the invitation; 0: any number */
    uint64_t incarnation;  /* highest known */
    enum member_life life; /* at `incarnation` */
    bool is_void;          /* admitted beyond the invitation's use limit */
    bool is_expelled;
    /* Of several admissions all have to hold the same one, or they would not agree on who came too
     * late, nor on what it may have countersigned. */
    uint64_t admission_version; /* greater the earlier it was made */
    uint64_t admission_check;   /* of two of one version the lower one stands */
    bool is_placed;             /* the ring has been told of it */
    uint64_t arcless_ms;        /* it has asked us since as one that has no arc; 0: not so */
    uint64_t asked_ms;          /* the last time */
    struct id node_hash;        /* what this member adds to the digest of nodes */
    uint64_t record_check;      /* of its record's bytes: which of two with one sequence it is */
    /* What was passed on of it, in a large community: each once. */
    uint64_t passed_sequence;
    uint64_t passed_death; /* its incarnation, and 1 */
    size_t admission_bytes;
    size_t record_bytes; /* 0: no node record known */
    uint8_t admission[ADMISSION_BYTES_MAX];
    uint8_t record[NODE_RECORD_BYTES_MAX];
    bool has_curve_key; /* its X25519 key was derived once */
    uint8_t curve_key[32];
    /* the link to it, kept here because it lives as long */
    bool greeted;        /* HELLO is sent on the present outbound link */
    bool is_large;       /* it keeps a part of the membership only */
    bool linked;         /* an outbound link is or may be open */
    uint64_t refused_ms; /* it had forgotten us then */
    bool is_up;          /* it has been up since */
    bool is_broken;      /* it was lost, or refused, and has not been up since */
    uint64_t near_ms;    /* watched as a neighbour since; 0: it is not */
    bool has_caller;     /* it has dialled us, and greeted, on link `caller` */
    uint64_t caller;
    bool is_refused;       /* no process listened at its address the last time */
    struct rtt rtt;        /* over it */
    uint64_t sent_ms;      /* last message to it */
    uint64_t heard_ms;     /* last message from it; 0: never */
    uint64_t told_dead;    /* somebody has held it for dead since: that incarnation, and 1 */
    uint64_t admitted_ms;  /* known since then */
    uint64_t back_soon_ms; /* said to return before this */
    bool refused;          /* its addresses refused us when it was last lost */
    uint64_t blamed_ms;    /* sent a wrong chunk: not asked before this */
    uint64_t silent_ms;    /* did not answer for one: asked last before this */
    uint64_t walked_ms;    /* how much of the table its questions have had walked ... */
    uint64_t walked;       /* ... until then, in thousandths, less what has been forgiven */
    uint64_t compare_ms;   /* records are not compared with it before this ... */
    uint64_t idle_ms;      /* ... and so much longer after each time that brings nothing */
    bool has_brought;      /* a record that we lacked, since the last time */
};

struct ban {
    struct id key; /* expulsion: node id; revocation: hash of the invitation's key */
    uint64_t since_unix_s;
    uint64_t over_unix_s; /* revocation: nothing to revoke since then; 0: unknown */
    char reason[REASON_CHARS_MAX + 1];
    size_t length_bytes;
    uint8_t bytes[BAN_BYTES_MAX];
};

struct ban_table {
    uint32_t count;
    struct ban list[BANS_MAX]; /* sorted by key */
};

struct membership {
    bool is_part; /* of a large community: others know others */
    uint32_t count;
    struct member list[MEMBERS_MAX];
    uint16_t by_id[MEMBERS_MAX];
    uint16_t by_position[MEMBERS_MAX];
    struct positions positions; /* of those that store, for chunks */
    struct ban_table expulsions;
    struct ban_table revocations;
    struct id digest_bans;
    struct id digest_admissions;
    struct id digest_nodes;
};

/* What an admission says, taken apart by admission_open. */
struct admission {
    struct node_id node;
    struct public_key node_key;
    struct public_key owner_key;
    struct public_key countersigner; /* the community's key for the first node */
    bool has_invitation;
    struct public_key invitation_key;
    uint32_t uses_max;
    uint64_t created_unix_s; /* the invitation */
    uint64_t expires_unix_s;
    uint64_t admitted_unix_s;
    char node_name[NODE_NAME_CHARS_MAX + 1];
    char owner_name[NODE_NAME_CHARS_MAX + 1];
};

/* Index of a member, or MEMBER_NONE. */
int membership_find(const struct membership *membership, const struct node_id *node);

/* Adds an admitted node. Returns its index (an existing one when it is known: nothing changes
 * then), or -ENOSPC. `added_out` says which. */
int membership_admit(struct membership *membership, const struct admission *admission,
                     struct bytes encoded, bool *added_out);

/* The same in the place of another member, which is forgotten; its bans are not. */
int membership_replace(struct membership *membership, int index, const struct admission *admission,
                       struct bytes encoded);

/* Is it not the known one, and its sequence not lower? At one sequence the lower check stands: a member
 * whose identity was at two places, or whose disk is an old one, may have signed two. */
bool membership_is_other(const struct member *member, const minga_NodeRecord *record,
                         struct bytes encoded);
/* Takes over a node record if it stands against the known one. Returns whether. */
bool membership_describe(struct membership *membership, int index, const minga_NodeRecord *record,
                         struct bytes encoded);

/* Can it have died at that incarnation? Nobody signs deaths: one too far ahead of its own record
 * could not be refuted. */
bool membership_may_die(const struct member *member, uint64_t incarnation);
/* A death notice. Returns whether it is news: the incarnation is not below the known one. */
bool membership_bury(struct membership *membership, int index, uint64_t incarnation);
/* Heard, in person or through others who know it alive. Returns whether that is news. */
bool membership_revive(struct membership *membership, int index);

/* Adds an expulsion or revocation. Returns 1 when new, 0 when known, -ENOSPC, -EMSGSIZE. */
int membership_ban(struct membership *membership, struct ban_table *table, const struct ban *ban);
/* Is there room for that one, or is it there? */
bool membership_has_room(const struct ban_table *table, const struct id *key);
/* The one that a full table of revocations forgets for another: that whose invitation expired first,
 * REVOCATION_DAYS_MIN ago at least. NULL when there is room, none is that old, or `comes` would go before
 * it: then the two could take each other's place for ever. */
const struct ban *membership_outlived(const struct membership *membership, const struct ban *comes,
                                      uint64_t wall_unix_s);
/* `key` is in the table. */
void membership_unban(struct membership *membership, struct ban_table *table, const struct id *key);
const struct ban *membership_banned(const struct ban_table *table, const struct id *key);
/* Does this admission of a member stand in the place of the one that is known? One that is not void does,
 * then the earlier one. */
bool membership_prefers(const struct membership *membership, int index,
                        const struct admission *admission, struct bytes encoded);
void membership_readmit(struct membership *membership, int index, const struct admission *admission,
                        struct bytes encoded);

/* The key under which the revocation of an invitation is filed. */
struct id membership_invitation_id(const struct public_key *invitation);

/* Admissions that used an invitation, void ones too. */
uint32_t membership_uses(const struct membership *membership, const struct public_key *invitation);
/* The members that the same invitation has let in before this one, without the expelled: how many of
 * the first `max` of the list there are. */
uint32_t membership_let_in_before(const struct membership *membership, int index, uint32_t max,
                                  uint16_t *indexes_out);

/* What stands for a member's admission in comparisons: all prefer the greater version, then the lower
 * check. In an arc those by invitations without a limit are all alike (0): who has countersigned them
 * need not be known there. */
uint64_t membership_version(const struct member *member, bool in_arc, uint64_t *check_out);
/* Has it countersigned the admission of a member? */
bool membership_has_let_in(const struct membership *membership, int index);

/* What the state should be from bans, record and deaths; SUSPECT is the detector's and kept. */
enum member_state membership_state(const struct membership *membership, int index);

/* Is it up, or at least not known to be down? */
bool membership_is_up(const struct member *member);
/* Does it say that nobody can dial it? Then it has no place on the ring. */
bool membership_is_leaf(const struct member *member);
/* Is the member part of the ring as far as this node knows: up, and no leaf? */
bool membership_in_ring(const struct member *member);

/* Place in by_position of the first member at or after `key`; count > 0. */
uint32_t membership_place(const struct membership *membership, const struct id *key);

/* XORs of the admissions and of the node records of those that are up in an arc of the ring. */
void membership_digest_arc(const struct membership *membership, const struct ring_key *from,
                           const struct ring_key *to, struct id *admissions_out,
                           struct id *nodes_out);

/* A member's short fingerprint of everything that all should know alike, for pings; and whether
 * another one's shows that there is something to compare. */
uint64_t membership_digest(const struct membership *membership);
bool membership_differs(const struct membership *membership, uint64_t theirs);
