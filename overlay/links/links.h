// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Inbound links: which member has greeted on which. Before that a link is nobody's, and nothing
 * but HELLO and JOIN is read from it. Pure; the table is bounded, the longest silent link is
 * forgotten first (its owner is told to greet again).
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum {
    LINKS_MAX = LIMIT(1024, 32),
    LINK_NOBODY = -1,
    JOINS_BURST_MAX = 64,  /* JOINs and HELLOs that cost signatures, from strangers */
    JOIN_INTERVAL_MS = 10, /* one more each: some percent of a processor at worst */
};

struct link {
    bool used;
    uint64_t number;
    uint64_t heard_ms;
    int member;
};

struct links {
    struct link list[LINKS_MAX];
    uint32_t stranger_tokens;
    uint64_t tokens_ms;
};

/* The member that greeted on the link, or LINK_NOBODY. Notes that it was heard. */
int links_member(struct links *links, uint64_t number, uint64_t now_ms);
/* A proven greeting. */
void links_greeted(struct links *links, uint64_t number, int member, uint64_t now_ms);
/* Forgets all links of a member (expelled). */
void links_forget(struct links *links, int member);
/* May a stranger's message that costs signature checks be looked at now? */
bool links_admit_stranger(struct links *links, uint64_t now_ms);
