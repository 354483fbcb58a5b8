// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * For whom chunks are kept here: a reference is a service and one of its trees. Chunks note the
 * places of their references in this table (chunks.h); a chunk whose last reference is dead is
 * garbage. Pure.
 *
 * A reference dies only of what its owner has signed: a tombstone of the service, or a service
 * record whose version, and fallback, are others. That nobody knows the service, or any version with
 * this tree, is proof only when none was ever seen: then the push has failed.
 */
#include <assert.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"
#include "overlay/overlay.h"

enum {
    REFERENCES_MAX = OVERLAY_STOCK_LINES_MAX,
    REFERENCE_NONE = UINT16_MAX,
    REFERENCE_BYTES = 1 + ID_BYTES + 8 + 8 + 1, /* encoded */
    COLLECT_GRACE_S = 3600,       /* after the last push or fetch: nothing is dropped */
    COLLECT_FAILED_S = 24 * 3600, /* a push that was never finished */
    COLLECT_CHECK_S = 6 * 3600,   /* the records are looked at again */
    COLLECT_AGAIN_S = 600,        /* after they could not be read */
    COLLECT_SOON_S = 5,           /* after the last chunk of a push */
    COLLECT_FIRST_S = 30,         /* once more, when its record was not there yet */
    COLLECT_DEAD_S = 24 * 3600,   /* remembered as dead, so that others do not bring it back */
};

static_assert(REFERENCES_MAX < REFERENCE_NONE, "places fit a chunk's fields");

/* What the owner's records say of one reference. */
enum reference_finding {
    FOUND_LIVE,       /* a version that may run has this tree */
    FOUND_SUPERSEDED, /* the service's versions are others */
    FOUND_REMOVED,    /* a tombstone */
    FOUND_NOTHING,    /* no record of the service, said by who must know */
    FOUND_UNKNOWN,    /* could not be read */
};

struct reference {
    bool used;
    bool is_dead;
    bool is_confirmed; /* a version with this tree was seen once */
    struct service_id service;
    struct tree_id tree;
    uint64_t touched_s; /* last pushed or fetched */
    uint64_t check_s;
    uint64_t version; /* confirmed: which */
    uint32_t chunk_count;
    uint64_t bytes;
    struct owner_id owner; /* as the records say; all zero until they were read */
    char name[NAME_CHARS_MAX + 1];
};

struct references {
    uint32_t count;
    uint32_t top; /* no place at or above is in use */
    struct reference list[REFERENCES_MAX];
};

/* Its place, or REFERENCE_NONE. */
uint16_t references_find(const struct references *references, const struct service_id *service,
                         const struct tree_id *tree);
/* The same, making one that is new and due to be checked soon; REFERENCE_NONE when full. */
uint16_t references_add(struct references *references, const struct service_id *service,
                        const struct tree_id *tree, uint64_t now_s);
void references_remove(struct references *references, uint16_t place);
/* One that is to be checked, or REFERENCE_NONE; dead ones whose time is over, too. */
uint16_t references_due(const struct references *references, uint64_t now_s);
/* When the next is due; 0: none is there. */
uint64_t references_next_s(const struct references *references);
/* Takes in what was found. Returns whether the reference has died of it. `is_among_many`: at least
 * half of the members are up, so that silence means something. */
bool reference_judge(struct reference *reference, enum reference_finding finding,
                     bool is_among_many, uint64_t now_s);

void reference_encode(const struct reference *reference, uint8_t bytes_out[REFERENCE_BYTES]);
/* Into its place, with its tree. Returns 0 or -EBADMSG. */
int references_load(struct references *references, uint64_t place, const struct tree_id *tree,
                    struct bytes bytes);
