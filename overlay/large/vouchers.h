// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who vouches for whom, where not everyone is known: the chain of admissions from this node's own
 * countersigner up to the one that the community itself has signed, to be shown to those who do
 * not know us; and the nodes whose chain was verified once, so that it is not verified again.
 *
 * Pure tables; signatures are checked by the caller. The chain is at most CHAIN_MAX long; of the
 * verified nodes the oldest is forgotten first, which costs its friends one more verification.
 */
#include "overlay/members/admission.h"

enum { CHAIN_MAX = 32, VOUCHED_MAX = 1024 };

struct voucher {
    struct node_id node;
    struct public_key countersigner;
    size_t length_bytes;
    uint8_t bytes[ADMISSION_BYTES_MAX];
};

struct vouchers {
    uint32_t count;
    struct voucher list[CHAIN_MAX]; /* of the own chain, in any order */
    uint32_t vouched_count;
    uint32_t vouched_next;
    struct node_id vouched[VOUCHED_MAX];
    uint64_t since_unix_s[VOUCHED_MAX]; /* members, as the earliest admission that was shown says */
};

const struct voucher *vouchers_find(const struct vouchers *vouchers, const struct node_id *node);
/* A link of the own chain. Returns whether it is kept: new, and there is room. */
bool vouchers_keep(struct vouchers *vouchers, const struct admission *admission,
                   struct bytes encoded);

/* Since when that node is a member, or UINT64_MAX: it has not been verified. */
uint64_t vouchers_since(const struct vouchers *vouchers, const struct node_id *node);
/* It was verified; of several dates the earliest is kept. */
void vouchers_note(struct vouchers *vouchers, const struct node_id *node, uint64_t since_unix_s);
