// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What people sign: the community, admissions, versions, services; made as the command does. */
#include <stdint.h>

#include "agent/core/core.h"

struct world;

enum papers_flaw {
    PAPERS_FINE,
    PAPERS_EXPIRED, /* the invitation was for before the beginning */
    PAPERS_FORGED,  /* who shows it has signed it */
    PAPERS_STOLEN,  /* who shows it does not hold its key */
    PAPERS_LIMITED, /* the invitation for a few uses: a flaw when it is over */
};

struct papers {
    struct overlay_join join;
    uint8_t request[1024];
    uint8_t signed_bytes[4096];
    uint32_t signed_length_bytes;
};

/* The encoded Signed{Community}. */
void papers_community(struct world *world);
/* The founder's node: Signed{Countersigned} by the community's key. */
void papers_founder(struct world *world, uint32_t node, struct papers *papers);
/* A volunteer's node with an invitation that names `contact`. */
void papers_join(struct world *world, uint32_t node, uint32_t contact, struct papers *papers);
/* The same, with this contact only. */
void papers_intrude(struct world *world, uint32_t node, uint32_t contact, enum papers_flaw flaw,
                    struct papers *papers);
void papers_expulsion(struct world *world, uint32_t node, struct papers *papers);
void papers_revocation(struct world *world, struct papers *papers);
/* It counts by the community's key only. */
void papers_expulsion_by(struct world *world, uint32_t node, const struct secret_key *by,
                         struct papers *papers);
/* The owner's records of a service; the sequence is the one that is known, plus 1. */
void papers_version(struct world *world, uint32_t service, struct papers *papers);
void papers_service(struct world *world, uint32_t service, struct papers *papers);
