// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Whose word of generations and incarnations is taken. Whoever leads must know of the greatest that
 * was ever given out, or executors do not obey it; and a lie must leave room above it, for what
 * honest managers count on from there has to be believed by those who did not hear the lie.
 */
#include "agent/manager/internal.h"

enum { WALK_MS = 60 * 1000 }; /* above COUNTER_TOLD: a step, of COUNTER_STEP_MAX, in so long */

/* Bounds of what those may say that may manage it, and of what anybody may say to who knows of
 * nothing: that one counts on from there, and has to be believed by the others. */
#define COUNTER_VOUCHED (COUNTER_END / 2)
#define COUNTER_BLANK   (COUNTER_END / 4)

uint64_t service_generation(const struct service *service)
{
    uint64_t generation = service->stored_epoch.generation;

    if (generation < service->epoch.generation) {
        generation = service->epoch.generation;
    }
    return generation < service->generation_seen ? service->generation_seen : generation;
}

bool counter_is_vouched(uint64_t named, uint64_t known)
{
    return counter_is_near(named, known) || named < COUNTER_VOUCHED;
}

static bool is_believed(uint64_t named, uint64_t known, bool vouched)
{
    return named <= known || (vouched ? counter_is_vouched(named, known) : named <= COUNTER_TOLD);
}

bool service_believes(const struct service *service, const minga_Manager *record, bool vouched)
{
    if (!is_believed(record->generation, service_generation(service), vouched)) {
        return false;
    }
    for (pb_size_t i = 0; i < record->placements_count; i++) {
        const minga_Placement *placement = &record->placements[i];
        uint64_t known = service->slots[placement->slot - 1].incarnation_max;

        if (!is_believed(placement->incarnation, known, vouched) ||
            !is_believed(placement->given, known, vouched)) {
            return false;
        }
    }
    return true;
}

void service_learn_given(struct service *service, const minga_Manager *record)
{
    for (pb_size_t i = 0; i < record->placements_count; i++) {
        const minga_Placement *placement = &record->placements[i];
        struct slot *slot = &service->slots[placement->slot - 1];

        if (slot->incarnation_max < placement->incarnation) {
            slot->incarnation_max = placement->incarnation;
        }
        if (slot->incarnation_max < placement->given) {
            slot->incarnation_max = placement->given;
        }
    }
}

/* What who knows of `known` then knows by anybody's word. */
static uint64_t told(struct walk *walk, uint64_t named, uint64_t known, uint64_t now_ms)
{
    uint64_t raised = counter_told(named, known);
    uint64_t end;

    if (raised == known || known < COUNTER_TOLD) {
        return raised;
    }
    if (walk->begin_ms == 0 || now_ms - walk->begin_ms >= WALK_MS) {
        *walk = (struct walk){now_ms, known};
    }
    end = walk->begin + COUNTER_STEP_MAX;
    if (raised > end) {
        raised = end > known ? end : known;
    }
    return raised;
}

bool slot_told(struct slot *slot, uint64_t incarnation, uint64_t now_ms)
{
    slot->incarnation_max = told(&slot->walk, incarnation, slot->incarnation_max, now_ms);
    return incarnation <= slot->incarnation_max;
}

/* Nobody could say what was given out before: whoever knows nothing has nothing to lose. */
static bool is_blank(const struct service *service, uint64_t now_ms)
{
    return service->lead != LEAD_FETCHING &&
           (service->stored_bytes == 0 || now_ms < service->blank_until_ms);
}

/* Leads above it, or will once it has fetched. */
static void learn_generation(struct manager *manager, struct turn *turn, struct service *service,
                             uint64_t generation)
{
    if (generation <= service_generation(service)) {
        return;
    }
    if (service->lead == LEAD_FETCHING) {
        service->generation_seen = generation;
    } else {
        service_pass(manager, turn, service, generation);
    }
}

bool service_told(struct manager *manager, struct turn *turn, struct service *service,
                  const minga_ReplicaReport *wire)
{
    struct epoch epoch = epoch_of(wire->has_epoch, &wire->epoch);
    struct slot *slot = &service->slots[wire->slot - 1];
    uint64_t generation = service_generation(service);

    service->history = service->history || service->lead == LEAD_FETCHING;
    if (is_blank(service, turn->now_ms) && epoch.generation < COUNTER_BLANK &&
        wire->incarnation < COUNTER_BLANK) {
        slot->incarnation_max =
            wire->incarnation > slot->incarnation_max ? wire->incarnation : slot->incarnation_max;
        learn_generation(manager, turn, service, epoch.generation);
        return true;
    }
    if (!counter_is_near(epoch.generation, generation) ||
        !counter_is_near(wire->incarnation, slot->incarnation_max)) {
        return false; /* no manager can have given them out */
    }
    generation = told(&service->walk, epoch.generation, generation, turn->now_ms);
    learn_generation(manager, turn, service, generation);
    return slot_told(slot, wire->incarnation, turn->now_ms) && epoch.generation <= generation;
}

void service_told_record(struct service *service, const minga_Manager *record, uint64_t now_ms)
{
    for (pb_size_t i = 0; i < record->placements_count; i++) {
        struct slot *slot = &service->slots[record->placements[i].slot - 1];

        (void)slot_told(slot, record->placements[i].incarnation, now_ms);
        (void)slot_told(slot, record->placements[i].given, now_ms);
    }
}
