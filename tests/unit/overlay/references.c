// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/references.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { START_S = 1000000, HOUR_S = 3600 };

static struct service_id service_of(uint8_t number)
{
    return (struct service_id){{{number, 1}}};
}

static struct tree_id tree_of(uint8_t number)
{
    return (struct tree_id){{{number, 2}}};
}

static uint16_t add(struct references *references, uint8_t service, uint8_t tree)
{
    return references_add(references, &(struct service_id){service_of(service).id},
                          &(struct tree_id){tree_of(tree).id}, START_S);
}

static struct reference fresh(bool is_confirmed)
{
    return (struct reference){.used = true, .is_confirmed = is_confirmed, .touched_s = START_S};
}

Test(references, one_service_and_tree_have_one_place)
{
    struct references *references = calloc(1, sizeof(*references));
    uint16_t place = add(references, 1, 1);

    cr_assert_eq(add(references, 1, 1), place);
    cr_assert_neq(add(references, 2, 1), place);
    cr_assert_neq(add(references, 1, 2), place);
    cr_assert_eq(references->count, 3);
    cr_assert_eq(references_due(references, START_S + COLLECT_FIRST_S - 1), REFERENCE_NONE);
    cr_assert_eq(references_due(references, START_S + COLLECT_FIRST_S), place);
    cr_assert_eq(references_next_s(references), START_S + COLLECT_FIRST_S);
    references_remove(references, place);
    cr_assert_eq(references->count, 2);
    cr_assert_eq(add(references, 3, 1), place, "the place is free again");
    free(references);
}

Test(references, a_full_table_refuses)
{
    struct references *references = calloc(1, sizeof(*references));

    for (uint32_t i = 0; i < REFERENCES_MAX; i++) {
        struct tree_id tree = {{{(uint8_t)i, (uint8_t)(i >> 8)}}};
        struct service_id service = service_of(1);

        cr_assert_neq(references_add(references, &service, &tree, START_S), REFERENCE_NONE);
    }
    cr_assert_eq(add(references, 77, 77), REFERENCE_NONE);
    free(references);
}

Test(references, what_runs_lives)
{
    struct reference reference = fresh(false);

    cr_assert_not(reference_judge(&reference, FOUND_LIVE, true, START_S + 1000 * HOUR_S));
    cr_assert(reference.is_confirmed);
    cr_assert_eq(reference.check_s, START_S + 1000 * HOUR_S + COLLECT_CHECK_S);
}

Test(references, what_was_removed_dies_when_nobody_has_touched_it_for_an_hour)
{
    struct reference reference = fresh(true);

    cr_assert_not(reference_judge(&reference, FOUND_REMOVED, true, START_S + COLLECT_GRACE_S - 1));
    cr_assert_eq(reference.check_s, START_S + COLLECT_GRACE_S);
    cr_assert(reference_judge(&reference, FOUND_REMOVED, true, START_S + COLLECT_GRACE_S));
    cr_assert(reference.is_dead);
}

Test(references, a_push_that_was_never_finished_is_given_a_day)
{
    struct reference reference = fresh(false);

    cr_assert_not(
        reference_judge(&reference, FOUND_SUPERSEDED, true, START_S + COLLECT_FAILED_S - 1));
    cr_assert(reference_judge(&reference, FOUND_SUPERSEDED, true, START_S + COLLECT_FAILED_S));
    reference = fresh(false);
    cr_assert(reference_judge(&reference, FOUND_NOTHING, true, START_S + COLLECT_FAILED_S));
}

Test(references, that_nobody_knows_what_was_once_there_is_no_proof)
{
    struct reference reference = fresh(true);

    cr_assert_not(reference_judge(&reference, FOUND_NOTHING, true, START_S + 1000 * HOUR_S));
}

Test(references, among_few_silence_proves_nothing)
{
    struct reference reference = fresh(false);

    cr_assert_not(reference_judge(&reference, FOUND_NOTHING, false, START_S + 1000 * HOUR_S));
}

Test(references, what_cannot_be_read_is_asked_again_soon)
{
    struct reference reference = fresh(true);

    cr_assert_not(reference_judge(&reference, FOUND_UNKNOWN, true, START_S + 1000 * HOUR_S));
    cr_assert_eq(reference.check_s, START_S + 1000 * HOUR_S + COLLECT_AGAIN_S);
}

Test(references, they_are_the_same_after_a_restart)
{
    struct references *references = calloc(1, sizeof(*references));
    struct references *back = calloc(1, sizeof(*back));
    uint8_t bytes[REFERENCE_BYTES];
    uint16_t place;
    struct tree_id tree = tree_of(5);

    (void)add(references, 1, 1);
    place = add(references, 4, 5);
    references->list[place].is_confirmed = true;
    references->list[place].version = 12;
    reference_encode(&references->list[place], bytes);
    cr_assert_eq(references_load(back, place, &tree, (struct bytes){bytes, sizeof(bytes)}), 0);
    cr_assert_eq(back->list[place].version, 12);
    cr_assert(back->list[place].is_confirmed);
    cr_assert_eq(back->list[place].touched_s, START_S);
    cr_assert_eq(references_find(back, &references->list[place].service, &tree), place);
    cr_assert_lt(references_load(back, place, &tree, (struct bytes){bytes, sizeof(bytes)}), 0);
    cr_assert_lt(references_load(back, REFERENCES_MAX, &tree, (struct bytes){bytes, sizeof(bytes)}),
                 0);
    cr_assert_lt(references_load(back, 0, &tree, (struct bytes){bytes, sizeof(bytes) - 1}), 0);
    free(references);
    free(back);
}
