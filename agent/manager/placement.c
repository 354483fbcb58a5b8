// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/manager/placement.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/units.h"

static bool offer_is_possible(const struct offer *offer, const struct placement_request *request)
{
    enum refusal lacking;

    return offer->answered && offer->refusal == REFUSAL_NONE && !offer->taken && !offer->avoid &&
           limits_fit(&request->need, &offer->free, &lacking);
}

static uint32_t zone_use(const struct placement_request *request, const struct offer *offer)
{
    uint32_t use = 0;

    if (request->spread == MANIFEST_SPREAD_NODE || offer->zone[0] == '\0') {
        return 0;
    }
    for (uint32_t i = 0; i < request->used_zone_count; i++) {
        use += strcmp(request->used_zones[i], offer->zone) == 0 ? 1 : 0;
    }
    return use;
}

static uint64_t share_permille(uint64_t part, uint64_t all)
{
    return all == 0 ? 0 : part / (all / 1000 + 1);
}

/* The scarcest dimension counts. */
static uint64_t free_share(const struct offer *offer)
{
    uint64_t cpu_permille =
        share_permille(offer->free.cpu_permille * 1000, offer->contribution.cpu_permille * 1000);
    uint64_t memory_permille =
        share_permille(offer->free.memory_bytes, offer->contribution.memory_bytes);
    uint64_t disk_permille = share_permille(offer->free.disk_bytes, offer->contribution.disk_bytes);
    uint64_t least = cpu_permille < memory_permille ? cpu_permille : memory_permille;

    return least < disk_permille ? least : disk_permille;
}

static bool offer_is_better(const struct placement_request *request, const struct offer *a,
                            const struct offer *b)
{
    uint32_t use_a = zone_use(request, a);
    uint32_t use_b = zone_use(request, b);
    uint64_t share_a = free_share(a);
    uint64_t share_b = free_share(b);

    if (use_a != use_b) {
        return use_a < use_b;
    }
    if (share_a != share_b) {
        return share_a > share_b;
    }
    if (a->uptime_ms != b->uptime_ms) {
        return a->uptime_ms > b->uptime_ms;
    }
    return id_compare(&a->node.id, &b->node.id) < 0;
}

static int scored_choose(const struct placement_request *request, const struct offer *offers,
                         uint32_t offer_count)
{
    int best = -1;

    CHECK(offer_count <= OFFERS_MAX);
    for (uint32_t i = 0; i < offer_count; i++) {
        if (offer_is_possible(&offers[i], request) &&
            (best < 0 || offer_is_better(request, &offers[i], &offers[best]))) {
            best = (int)i;
        }
    }
    CHECK(best < 0 || !offers[best].taken);
    return best;
}

/* ------------------------------------------------------------------ reasons */

enum dimension { DIMENSION_CPU, DIMENSION_MEMORY, DIMENSION_DISK, DIMENSION_PIDS };

static uint64_t limit_of(const struct sandbox_limits *limits, enum dimension dimension)
{
    switch (dimension) {
    case DIMENSION_CPU:
        return limits->cpu_permille;
    case DIMENSION_MEMORY:
        return limits->memory_bytes;
    case DIMENSION_DISK:
        return limits->disk_bytes;
    case DIMENSION_PIDS:
        break;
    }
    return limits->pid_count;
}

static void amount_print(uint64_t amount, enum dimension dimension,
                         char text_out[UNITS_TEXT_BYTES_MAX])
{
    if (dimension == DIMENSION_CPU) {
        units_print_cores(amount, text_out);
    } else if (dimension == DIMENSION_PIDS) {
        (void)snprintf(text_out, UNITS_TEXT_BYTES_MAX, "%llu", (unsigned long long)amount);
    } else {
        units_print_bytes(amount, text_out);
    }
}

static const char *const dimension_names[] = {"cpu", "memory", "disk", "pids"};

static void explain_free(const struct placement_request *request, const struct offer *offers,
                         uint32_t offer_count, enum refusal refusal, char *reason_out)
{
    enum dimension dimension = (enum dimension)(refusal - REFUSAL_CPU);
    char need[UNITS_TEXT_BYTES_MAX];
    char largest[UNITS_TEXT_BYTES_MAX];
    uint64_t largest_free = 0;

    CHECK(refusal >= REFUSAL_CPU && refusal <= REFUSAL_PIDS);
    for (uint32_t i = 0; i < offer_count; i++) {
        uint64_t free = limit_of(&offers[i].free, dimension);

        if (offers[i].answered && !offers[i].taken && offers[i].refusal != REFUSAL_HAS_REPLICA &&
            free > largest_free) {
            largest_free = free;
        }
    }
    amount_print(limit_of(&request->need, dimension), dimension, need);
    amount_print(largest_free, dimension, largest);
    (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "needs %s %s, largest free is %s", need,
                   dimension_names[dimension], largest);
}

static void explain_too_large(const struct placement_request *request, const struct offer *offers,
                              uint32_t offer_count, char *reason_out)
{
    enum refusal lacking = REFUSAL_MEMORY;
    enum dimension dimension;
    char need[UNITS_TEXT_BYTES_MAX];
    char most[UNITS_TEXT_BYTES_MAX];
    uint64_t largest = 0;

    for (uint32_t i = 0; i < offer_count; i++) {
        if (offers[i].refusal == REFUSAL_TOO_LARGE) {
            (void)limits_fit(&request->need, &offers[i].contribution, &lacking);
        }
    }
    dimension = (enum dimension)(lacking - REFUSAL_CPU);
    for (uint32_t i = 0; i < offer_count; i++) {
        uint64_t given = limit_of(&offers[i].contribution, dimension);

        largest = given > largest ? given : largest;
    }
    amount_print(limit_of(&request->need, dimension), dimension, need);
    amount_print(largest, dimension, most);
    (void)snprintf(reason_out, REASON_CHARS_MAX + 1,
                   "request is larger than any node: needs %s %s, the most given is %s", need,
                   dimension_names[dimension], most);
}

static void explain_requires(const struct placement_request *request, enum refusal refusal,
                             char *reason_out)
{
    const struct manifest *manifest = request->manifest;

    if (refusal == REFUSAL_ARCH && manifest != NULL && manifest->arch_count > 0) {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "needs arch %s: no node has it",
                       manifest_arch_name(manifest->archs[0]));
        return;
    }
    if (refusal == REFUSAL_LABEL && manifest != NULL && manifest->label_count > 0) {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "needs label %s%s: no node has it",
                       manifest->labels[0], manifest->label_count > 1 ? " and more" : "");
        return;
    }
    if (refusal == REFUSAL_EGRESS) {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1,
                       "needs egress: internet: no node gives it (network.egress, package passt)");
        return;
    }
    (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "no node fits what it requires");
}

static void explain_others(uint32_t taken_count, enum refusal refusal, char *reason_out)
{
    static const char *const words[REFUSAL_COUNT] = {
        [REFUSAL_NONE] = "the others failed to run it a moment ago",
        [REFUSAL_NO_SANDBOX] = "the others have no execution environment",
        [REFUSAL_ISOLATED] = "the others are cut off",
        [REFUSAL_PAUSED] = "the others are paused by their owners",
        [REFUSAL_DRAINING] = "the others are draining",
        [REFUSAL_MEMBER] = "the others do not run this member's services",
        [REFUSAL_EGRESS] = "the others give replicas no way to the Internet",
        [REFUSAL_PORTS] = "on the others ports are used up",
        [REFUSAL_FULL] = "the others run as many replicas as they can",
        [REFUSAL_OWN_DISK] = "the others' disks take nothing",
    };
    const char *why = words[refusal] != NULL ? words[refusal] : "";

    if (taken_count == 0) {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "no node can run it%s%s",
                       why[0] != '\0' ? ": " : "", why[0] != '\0' ? why : "");
        return;
    }
    (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "only %u node%s can run it%s%s", taken_count,
                   taken_count == 1 ? "" : "s", why[0] != '\0' ? "; " : "", why);
}

/* The greater, the nearer to a yes. */
static enum refusal nearness(enum refusal refusal)
{
    return refusal == REFUSAL_OWN_DISK ? REFUSAL_ISOLATED : refusal;
}

/* The binding constraint is that of the node which comes nearest to a yes. */
static void scored_explain(const struct placement_request *request, const struct offer *offers,
                           uint32_t offer_count, char reason_out[REASON_CHARS_MAX + 1])
{
    enum refusal nearest = REFUSAL_ROLE;
    uint32_t taken_count = 0;
    bool avoided = false;

    for (uint32_t i = 0; i < offer_count; i++) {
        const struct offer *offer = &offers[i];
        enum refusal refusal = offer->refusal;

        if (offer->taken || refusal == REFUSAL_HAS_REPLICA) {
            taken_count++;
        } else if (offer->answered && refusal == REFUSAL_NONE &&
                   limits_fit(&request->need, &offer->free, &refusal)) {
            avoided = true;
        } else if (offer->answered && nearness(refusal) > nearness(nearest)) {
            nearest = refusal;
        }
    }
    if (avoided) {
        explain_others(taken_count, REFUSAL_NONE, reason_out);
    } else if (nearest >= REFUSAL_CPU && nearest <= REFUSAL_PIDS) {
        explain_free(request, offers, offer_count, nearest, reason_out);
    } else if (nearest == REFUSAL_TOO_LARGE && taken_count == 0) {
        explain_too_large(request, offers, offer_count, reason_out);
    } else if (nearest >= REFUSAL_ARCH && nearest <= REFUSAL_EGRESS && taken_count == 0) {
        explain_requires(request, nearest, reason_out);
    } else {
        explain_others(taken_count, nearest, reason_out);
    }
}

const struct placement placement_scored = {scored_choose, scored_explain};
