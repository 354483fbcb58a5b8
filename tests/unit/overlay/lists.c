// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring/lists.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"

static struct ring ring;
static struct list_history history;
static struct list_copy copy;

static struct ring_node at(uint32_t position)
{
    struct ring_node node;
    uint32_t id = position * 2654435761U; /* in another order than positions */

    memset(&node, 0, sizeof(node));
    memcpy(node.node.id.bytes, &id, sizeof(id));
    node.position.id.bytes[0] = (uint8_t)(position >> 8);
    node.position.id.bytes[1] = (uint8_t)position;
    return node;
}

static void be_followed_by(const uint32_t *positions, uint32_t count)
{
    ring.successor_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ring.successors[i] = at(positions[i]);
    }
}

/* What the other side does with an answer. */
static void hear(void)
{
    struct list_change change;
    struct node_id nodes[SUCCESSORS_MAX];
    bool is_change = list_history_change(&history, &ring, copy.version, &change);
    uint32_t count = is_change ? change.added_count : ring.successor_count;

    list_history_note(&history, &ring);
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = is_change ? change.added[i].node : ring.successors[i].node;
    }
    if (is_change) {
        cr_assert(list_copy_change(&copy, list_version(&ring), change.kept, nodes, count));
    } else {
        list_copy_set(&copy, list_version(&ring), nodes, count);
    }
}

static bool knows(uint32_t position)
{
    struct ring_node node = at(position);

    for (uint32_t i = 0; i < copy.count; i++) {
        if (id_equal(&copy.nodes[i].id, &node.node.id)) {
            return true;
        }
    }
    return false;
}

Test(lists, changes_one_after_the_other_come_to_the_same_as_the_whole_list)
{
    struct random random;
    uint32_t positions[SUCCESSORS_MAX];

    random_init(&random, 1, "lists");
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t count = 0;

        /* Each of 24 places is taken most of the time, and stays so for some rounds. */
        for (uint32_t i = 0; i < 24 && count < SUCCESSORS_MAX; i++) {
            if ((round / (3 + i) + i) % 4 != 0) {
                positions[count++] = 100 + i;
            }
        }
        be_followed_by(positions, count);
        if (random_below(&random, 3) != 0) {
            hear();
            cr_assert_eq(copy.count, count);
            for (uint32_t i = 0; i < count; i++) {
                cr_assert(knows(positions[i]));
            }
        } else {
            list_history_note(&history, &ring); /* told to another one */
        }
    }
}

Test(lists, what_is_not_remembered_or_has_changed_too_much_is_told_whole)
{
    static const uint32_t before[] = {1, 2, 3, 4, 5, 6};
    static const uint32_t four[] = {1, 2, 7, 8, 9, 10};
    static const uint32_t five[] = {1, 11, 12, 13, 14, 15};
    struct list_change change;

    be_followed_by(before, 6);
    list_history_note(&history, &ring);
    copy.version = list_version(&ring);
    be_followed_by(four, 6);
    cr_assert(list_history_change(&history, &ring, copy.version, &change));
    cr_assert_eq(change.added_count, 4);
    be_followed_by(five, 6);
    cr_assert(!list_history_change(&history, &ring, copy.version, &change));
    cr_assert(!list_history_change(&history, &ring, copy.version + 1, &change));
    cr_assert(!list_history_change(&history, &ring, 0, &change));
}

Test(lists, a_change_that_makes_no_sense_leaves_nothing_known)
{
    struct node_id nodes[SUCCESSORS_MAX];

    for (uint32_t i = 0; i < SUCCESSORS_MAX; i++) {
        nodes[i] = at(i).node;
    }
    list_copy_set(&copy, 7, nodes, SUCCESSORS_MAX);
    cr_assert(!list_copy_change(&copy, 8, UINT32_MAX, &(struct node_id){{{1}}}, 1), "full");
    cr_assert_eq(copy.version, 0);
    list_copy_set(&copy, 7, nodes, 3);
    cr_assert(!list_copy_change(&copy, 8, 7, nodes, 1), "it is there already");
    cr_assert_eq(copy.version, 0);
}

/* A liar cuts it short, or changes it: honest again, it would say for ever that there is no news. */
Test(lists, a_list_that_is_not_the_one_of_its_name_is_asked_for_again)
{
    static const uint32_t three[] = {1, 2, 3};
    const struct node_id nodes[] = {at(1).node, at(2).node, at(3).node, at(4).node};
    uint32_t version;

    be_followed_by(three, 3);
    version = list_version(&ring);
    list_copy_set(&copy, version, nodes, 2);
    cr_assert_eq(copy.version, 0);
    cr_assert_eq(copy.count, 2, "it is heard all the same");
    list_copy_set(&copy, version, nodes, 3);
    cr_assert_eq(copy.version, version);
    cr_assert(!list_copy_change(&copy, version + 1, 3, &nodes[2], 1), "the one of another name");
    cr_assert_eq(copy.version, 0);
    list_copy_set(&copy, version, nodes, 3);
    cr_assert(!list_copy_change(&copy, version, UINT32_MAX, &nodes[3], 1), "one too many");
    cr_assert_eq(copy.version, 0);
}
