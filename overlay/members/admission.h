// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Admissions: checking those of others, and countersigning new ones. Pure.
 */
#include "overlay/members/membership.h"

/* What a newcomer brings. */
struct admission_request {
    struct bytes request; /* encoded AdmissionRequest, as it was signed */
    struct signature node_signature;
    struct signature owner_signature;
    struct signature invitation_signature;
};

/* Whom an admission is for, since when, and to which community, without any check of a signature: to
 * skip what is known already. Nothing else is filled in. Returns 0 or -EBADMSG. */
int admission_peek(struct bytes encoded, struct admission *peeked_out,
                   struct public_key *community_out);

/* Checks everything that lies in the admission itself: the signatures of node, owner, invitation,
 * community (on the invitation) and countersigner. Whether the countersigner was a member is the
 * caller's question. The community's first node needs no invitation: its countersigner is the
 * community's key. Returns 0 or -EBADMSG. */
int admission_open(struct bytes encoded, const struct public_key *community,
                   struct admission *admission_out);

struct admission_verdict {
    struct admission admission;        /* what an accepted request says */
    char reason[REASON_CHARS_MAX + 1]; /* of a refusal: a sentence */
};
/* A member's judgement on a request: 0, or -EACCES. */
int admission_judge(const struct membership *membership, const struct public_key *community,
                    const struct admission_request *request, uint64_t wall_unix_s,
                    struct admission_verdict *verdict_out);

/* The date to countersign with: by the clock, but neither before the invitation was made nor before the
 * countersigner itself was let in, `since_unix_s`, by clocks that may be ahead. */
uint64_t admission_date(const struct admission *asked, uint64_t since_unix_s, uint64_t wall_unix_s);
/* Countersigns. Returns the encoded length, or -EMSGSIZE. */
int admission_countersign(const struct admission_request *request, const struct secret_key *secret,
                          uint64_t admitted_unix_s, uint8_t encoded_out[ADMISSION_BYTES_MAX]);

/* Was it countersigned before `ban`, the countersigner's own expulsion (NULL: none)? By clocks that
 * may differ: else who hears of the expulsion first, and of the one let in afterwards, would not
 * have it as a member, though all others have. */
bool admission_precedes(const struct admission *admission, const struct ban *ban);

/* Was it countersigned after its invitation was made, and before that had expired? The countersigner has
 * compared the same clock with that. */
bool admission_is_timely(const struct admission *admission);

/* Was this admission countersigned by the community, or by a member that had been let in before and was not
 * expelled then? Dates so grow along each chain of countersigners: nobody is let in by whom it has let in,
 * and a member makes none that came before itself. */
bool admission_is_vouched(const struct membership *membership, const struct public_key *community,
                          const struct admission *admission);

/* Opens an expulsion or a revocation of this community. Return 0 or -EBADMSG. */
int admission_open_expulsion(struct bytes encoded, const struct public_key *community,
                             struct ban *ban_out);
int admission_open_revocation(struct bytes encoded, const struct public_key *community,
                              struct ban *ban_out);
