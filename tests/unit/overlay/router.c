// SPDX-License-Identifier: GPL-3.0-or-later
/* The suite of the router table: what any router must answer, asked of the one that knows all. */
#include "overlay/router.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { MEMBERS = 10 };

static struct membership *membership;
static struct ring ring;
static struct router router;
static const struct router_functions *functions = &router_full;
static int by_place[MEMBERS]; /* members in ring order */

static void add_member(uint8_t number)
{
    struct admission admission;
    struct secret_key secret;
    uint8_t seed[KEY_SEED_BYTES] = {number};
    uint8_t encoded[4] = {number};
    bool added;
    int index;

    memset(&admission, 0, sizeof(admission));
    keys_from_seed(seed, &secret);
    admission.node_key = keys_public(&secret);
    admission.node = keys_node_id(&admission.node_key);
    index = membership_admit(membership, &admission, (struct bytes){encoded, 4}, &added);
    cr_assert_geq(index, 0);
    cr_assert(added);
    membership->list[index].view.state = MEMBER_UP;
}

/* Self is the member at place 0, with its predecessor at the last place. */
static void begin(void)
{
    struct ring_event event = {.kind = RING_BEGIN, .now_ms = 1, .alone = true};
    struct ring_effects effects;
    struct ring_node self;

    membership = calloc(1, sizeof(*membership));
    for (uint8_t i = 0; i < MEMBERS; i++) {
        add_member((uint8_t)(i + 1));
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        by_place[i] = membership->by_position[i];
    }
    self = (struct ring_node){membership->list[by_place[0]].view.node,
                              membership->list[by_place[0]].position};
    ring_init(&ring, &self, 0);
    ring_step(&ring, &event, &effects);
    event.kind = RING_KEPT;
    event.epoch = 10;
    ring_step(&ring, &event, &effects);
    event.kind = RING_ASKED;
    event.epoch = 0;
    event.node = (struct ring_node){membership->list[by_place[MEMBERS - 1]].view.node,
                                    membership->list[by_place[MEMBERS - 1]].position};
    ring_step(&ring, &event, &effects);
    router = (struct router){membership, &ring, by_place[0], 1};
}

static void end(void)
{
    free(membership);
}

static bool is_place(const struct node_id *node, uint32_t place)
{
    return id_equal(&node->id, &membership->list[by_place[place]].view.node.id);
}

static struct ring_key position(uint32_t place)
{
    return membership->list[by_place[place]].position;
}

TestSuite(router, .init = begin, .fini = end);

Test(router, a_position_belongs_to_its_own_node_and_the_point_behind_it_to_the_next)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct ring_key key = position(i);
        struct node_id node;

        cr_assert(functions->local_lookup(&router, &key, &node));
        cr_assert(is_place(&node, i));
        key.id.bytes[ID_BYTES - 1]++;
        cr_assert(functions->local_lookup(&router, &key, &node));
        cr_assert(is_place(&node, (i + 1) % MEMBERS));
    }
}

Test(router, the_responsible_node_has_no_next_hop)
{
    struct ring_key own = position(0);
    struct ring_key other = position(3);
    struct node_id node;

    cr_assert(!functions->next_hop(&router, &own, &node));
    cr_assert(functions->next_hop(&router, &other, &node));
    cr_assert(is_place(&node, 3));
}

Test(router, the_replica_set_begins_with_the_responsible_node_and_skips_who_is_down)
{
    struct ring_key key = position(8);
    struct node_id nodes[MEMBERS + 5];

    membership->list[by_place[9]].view.state = MEMBER_DOWN;
    membership->list[by_place[2]].view.state = MEMBER_SUSPECT;
    cr_assert_eq(functions->replica_set(&router, &key, 4, nodes), 4);
    cr_assert(is_place(&nodes[0], 8));
    cr_assert(is_place(&nodes[1], 0));
    cr_assert(is_place(&nodes[2], 1));
    cr_assert(is_place(&nodes[3], 2), "a suspicion moves nothing yet");
    cr_assert_eq(functions->replica_set(&router, &key, MEMBERS + 5, nodes), MEMBERS - 1);
}

Test(router, neighbours_are_the_nearest_on_both_sides_without_self_or_repetition)
{
    struct node_id nodes[2 * MEMBERS];
    uint32_t count = functions->neighbour_set(&router, 2 * MEMBERS, nodes);

    cr_assert_eq(count, MEMBERS - 1);
    cr_assert(is_place(&nodes[0], 1));
    cr_assert(is_place(&nodes[1], MEMBERS - 1));
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(!is_place(&nodes[i], 0));
        for (uint32_t k = 0; k < i; k++) {
            cr_assert(!id_equal(&nodes[i].id, &nodes[k].id));
        }
    }
}

Test(router, a_range_of_rank_r_holds_exactly_the_keys_with_the_node_among_r_plus_one_holders)
{
    for (uint32_t rank = 0; rank < 4; rank++) {
        for (uint32_t i = 0; i < 100; i++) {
            struct ring_key key = {hash_of("minga test", (struct bytes){(uint8_t *)&i, sizeof(i)})};
            struct node_id nodes[MEMBERS];
            struct node_id node = membership->list[by_place[5]].view.node;
            struct ring_key from;
            struct ring_key to;
            bool among = false;
            uint32_t count = functions->replica_set(&router, &key, rank + 1, nodes);

            for (uint32_t k = 0; k < count; k++) {
                among |= id_equal(&nodes[k].id, &node.id);
            }
            cr_assert(functions->range(&router, &node, rank, &from, &to));
            cr_assert_eq(id_in_arc(&key.id, &from.id, &to.id), among);
        }
    }
}

Test(router, one_who_has_left_sends_on_to_the_next)
{
    struct ring_event event = {.kind = RING_LEAVE, .now_ms = 2};
    struct ring_effects effects;
    struct ring_key own = position(0);
    struct node_id node;

    ring_step(&ring, &event, &effects);
    cr_assert(functions->local_lookup(&router, &own, &node));
    cr_assert(is_place(&node, 1));
}
