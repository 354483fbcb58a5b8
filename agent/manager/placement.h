// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * On which node should the next replica run, or what stands in the way? Pure.
 *
 * The default: of the offers that would run it, not a replica's node already and not to be
 * avoided, first those in a zone (or, spread by node, simply a node) with the fewest replicas of
 * this service, then those with the greatest free share, then the longest up.
 */
#include "agent/core/core.h"
#include "agent/core/message.h"

enum { OFFERS_MAX = LIMIT(64, 8) };

struct offer {
    struct node_id node;
    char zone[ZONE_CHARS_MAX + 1]; /* "": a zone of its own */
    bool answered;
    enum refusal refusal;
    bool avoid; /* it failed a moment ago */
    bool taken; /* it holds a replica of this service, or is being asked to */
    struct sandbox_limits free;
    struct sandbox_limits contribution;
    uint64_t uptime_ms;
};

struct placement_request {
    struct sandbox_limits need;
    enum manifest_spread spread;
    uint32_t used_zone_count; /* zones of the nodes that hold replicas; with repetitions */
    char used_zones[REPLICAS_PER_SERVICE_MAX][ZONE_CHARS_MAX + 1];
    const struct manifest *manifest; /* for the words of a reason */
};

/* The table: another policy is another pair of functions. */
struct placement {
    /* The chosen offer's index, or -1. */
    int (*choose)(const struct placement_request *request, const struct offer *offers,
                  uint32_t offer_count);
    /* Why none is chosen, for people: "needs 512M memory, largest free is 300M". */
    void (*explain)(const struct placement_request *request, const struct offer *offers,
                    uint32_t offer_count, char reason_out[REASON_CHARS_MAX + 1]);
};
extern const struct placement placement_scored;
