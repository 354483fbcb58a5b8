// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/manager/placement.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

static const struct sandbox_limits need = {500, (uint64_t)128 << 20, (uint64_t)64 << 20, 64};

static struct offer offer_of(uint8_t number, const char *zone, uint64_t free_memory_mib)
{
    struct offer offer = {.answered = true, .uptime_ms = 1000};

    offer.node.id.bytes[0] = number;
    (void)snprintf(offer.zone, sizeof(offer.zone), "%s", zone);
    offer.contribution = (struct sandbox_limits){2000, (uint64_t)1 << 30, (uint64_t)1 << 30, 512};
    offer.free = offer.contribution;
    offer.free.memory_bytes = free_memory_mib << 20;
    return offer;
}

static struct placement_request request_of(enum manifest_spread spread)
{
    return (struct placement_request){.need = need, .spread = spread};
}

static void assert_reason(const struct placement_request *request, const struct offer *offers,
                          uint32_t count, const char *expected)
{
    char reason[REASON_CHARS_MAX + 1];

    cr_assert_eq(placement_scored.choose(request, offers, count), -1);
    placement_scored.explain(request, offers, count, reason);
    cr_assert_str_eq(reason, expected);
}

Test(placement, a_fresh_zone_goes_before_more_free_memory)
{
    struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
    struct offer offers[] = {offer_of(1, "shed", 1024), offer_of(2, "house", 512)};

    request.used_zone_count = 1;
    memcpy(request.used_zones[0], "shed", 5);
    cr_assert_eq(placement_scored.choose(&request, offers, 2), 1);
    request.spread = MANIFEST_SPREAD_NODE;
    cr_assert_eq(placement_scored.choose(&request, offers, 2), 0);
}

Test(placement, of_equal_zones_the_greatest_free_share_wins_then_the_longest_up)
{
    struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
    struct offer offers[] = {offer_of(1, "", 500), offer_of(2, "", 900), offer_of(3, "", 900)};

    offers[2].uptime_ms = 2000;
    cr_assert_eq(placement_scored.choose(&request, offers, 3), 2);
    offers[2].uptime_ms = 500;
    cr_assert_eq(placement_scored.choose(&request, offers, 3), 1);
}

Test(placement, no_choice_ever_breaks_a_constraint)
{
    struct random random;
    uint32_t chosen_count = 0;

    random_init(&random, 7, "placement");
    for (uint32_t round = 0; round < 20000; round++) {
        struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
        struct offer offers[12];
        uint32_t count = (uint32_t)random_below(&random, 13);
        bool possible = false;
        enum refusal lacking;
        int chosen;

        for (uint32_t i = 0; i < count; i++) {
            offers[i] = offer_of((uint8_t)i, random_below(&random, 2) == 0 ? "a" : "b",
                                 random_below(&random, 300));
            offers[i].answered = random_below(&random, 4) != 0;
            offers[i].taken = random_below(&random, 3) == 0;
            offers[i].avoid = random_below(&random, 5) == 0;
            offers[i].refusal = random_below(&random, 3) == 0
                                    ? (enum refusal)random_below(&random, REFUSAL_COUNT)
                                    : REFUSAL_NONE;
            possible = possible || (offers[i].answered && !offers[i].taken && !offers[i].avoid &&
                                    offers[i].refusal == REFUSAL_NONE &&
                                    limits_fit(&need, &offers[i].free, &lacking));
        }
        chosen = placement_scored.choose(&request, offers, count);
        cr_assert_eq(chosen >= 0, possible);
        if (chosen >= 0) {
            const struct offer *offer = &offers[chosen];

            chosen_count++;
            cr_assert(offer->answered && !offer->taken && !offer->avoid);
            cr_assert_eq(offer->refusal, REFUSAL_NONE);
            cr_assert(limits_fit(&need, &offer->free, &lacking));
        } else {
            char reason[REASON_CHARS_MAX + 1] = "";

            placement_scored.explain(&request, offers, count, reason);
            cr_assert_neq(reason[0], '\0');
        }
    }
    cr_assert_gt(chosen_count, 1000);
}

Test(placement, the_reason_names_the_scarce_resource_and_the_largest_free)
{
    struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
    struct offer offers[] = {offer_of(1, "", 100), offer_of(2, "", 60), offer_of(3, "", 1000)};

    request.need.memory_bytes = (uint64_t)512 << 20;
    offers[0].refusal = REFUSAL_MEMORY;
    offers[1].refusal = REFUSAL_MEMORY;
    offers[2].taken = true;
    assert_reason(&request, offers, 3, "needs 512M memory, largest free is 100M");
}

Test(placement, the_reason_names_a_request_larger_than_any_node)
{
    struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
    struct offer offers[] = {offer_of(1, "", 100), offer_of(2, "", 60)};

    request.need.memory_bytes = (uint64_t)4 << 30;
    offers[0].refusal = REFUSAL_TOO_LARGE;
    offers[1].refusal = REFUSAL_TOO_LARGE;
    assert_reason(&request, offers, 2,
                  "request is larger than any node: needs 4G memory, the most given is 1G");
}

Test(placement, the_reason_names_a_missing_architecture)
{
    struct manifest manifest = {.arch_count = 1, .archs = {MANIFEST_ARCH_ARM64}};
    struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
    struct offer offers[] = {offer_of(1, "", 1000)};

    request.manifest = &manifest;
    offers[0].refusal = REFUSAL_ARCH;
    assert_reason(&request, offers, 1, "needs arch arm64: no node has it");
}

Test(placement, a_disk_that_takes_nothing_is_named_unless_another_comes_nearer)
{
    struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
    struct offer offers[] = {offer_of(1, "", 1000), offer_of(2, "", 1000)};

    offers[0].refusal = REFUSAL_HAS_REPLICA;
    offers[1].refusal = REFUSAL_OWN_DISK;
    assert_reason(&request, offers, 2, "only 1 node can run it; the others' disks take nothing");
    offers[0].refusal = REFUSAL_PORTS;
    assert_reason(&request, offers, 2, "no node can run it: on the others ports are used up");
}

Test(placement, the_reason_counts_the_nodes_when_all_that_could_do)
{
    struct placement_request request = request_of(MANIFEST_SPREAD_ZONE);
    struct offer offers[] = {offer_of(1, "", 1000), offer_of(2, "", 1000), offer_of(3, "", 1000)};

    offers[0].refusal = REFUSAL_HAS_REPLICA;
    offers[1].refusal = REFUSAL_HAS_REPLICA;
    offers[2].refusal = REFUSAL_PAUSED;
    assert_reason(&request, offers, 3,
                  "only 2 nodes can run it; the others are paused by their owners");
    assert_reason(&request, offers, 2, "only 2 nodes can run it");
    assert_reason(&request, offers, 0, "no node can run it");
}
