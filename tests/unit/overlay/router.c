// SPDX-License-Identifier: GPL-3.0-or-later
/* The suite of the router table: what any router must answer, asked of each of them. */
#include "overlay/routing/router.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { MEMBERS = 10 };

static struct membership *membership;
static struct ring ring;
static struct fingers fingers;
static struct locations locations;
static struct ring_node standing[MEMBERS]; /* what router_static is given */
static struct router router;
static const struct router_functions *functions;
static int by_place[MEMBERS]; /* members in ring order */

/* One test for each table. */
#define ROUTER_TEST(name)                                          \
    static void name(void);                                        \
    Test(router_full, name, .init = begin_full, .fini = end)       \
    {                                                              \
        name();                                                    \
    }                                                              \
    Test(router_fingers, name, .init = begin_fingers, .fini = end) \
    {                                                              \
        name();                                                    \
    }                                                              \
    Test(router_static, name, .init = begin_static, .fini = end)   \
    {                                                              \
        name();                                                    \
    }                                                              \
    static void name(void)

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

static struct ring_node node_at(uint32_t place)
{
    return (struct ring_node){membership->list[by_place[place]].view.node,
                              membership->list[by_place[place]].position};
}

static void step(struct ring_event event)
{
    struct ring_effects effects;

    ring_step(&ring, &event, &effects);
}

/* The static table is of those that are up, self too until it has left. */
static void fill_standing(void)
{
    router.node_count = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (i == 0 ? ring.phase == RING_IN : membership_in_ring(&membership->list[by_place[i]])) {
            standing[router.node_count++] = node_at(i);
        }
    }
}

/* Self is the member at place 0, with its predecessor at the last place. */
static void begin(const struct router_functions *table)
{
    struct ring_node self;

    functions = table;
    membership = calloc(1, sizeof(*membership));
    for (uint8_t i = 0; i < MEMBERS; i++) {
        add_member((uint8_t)(i + 1));
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        by_place[i] = membership->by_position[i];
    }
    self = node_at(0);
    ring_init(&ring, &self, 0);
    step((struct ring_event){.kind = RING_BEGIN, .now_ms = 1, .alone = true});
    step((struct ring_event){.kind = RING_KEPT, .now_ms = 1, .epoch = 10});
    for (uint32_t i = 1; i < MEMBERS; i++) {
        step((struct ring_event){.kind = RING_KNOWN, .now_ms = 1, .node = node_at(i)});
    }
    step((struct ring_event){.kind = RING_ASKED, .now_ms = 1, .node = node_at(MEMBERS - 1)});
    step((struct ring_event){.kind = RING_ASKED,
                             .now_ms = 1,
                             .node = node_at(MEMBERS - 1),
                             .joined = true,
                             .leased = true,
                             .has_list = true,
                             .list_count = 1,
                             .list = {node_at(MEMBERS - 2)}});
    fingers_init(&fingers, &self);
    locations_init(&locations);
    router = (struct router){.membership = membership,
                             .ring = &ring,
                             .self = by_place[0],
                             .fingers = &fingers,
                             .locations = &locations,
                             .nodes = standing,
                             .now_ms = 1};
    fill_standing();
}

static void begin_full(void)
{
    begin(&router_full);
}

static void begin_fingers(void)
{
    begin(&router_fingers);
}

static void begin_static(void)
{
    begin(&router_static);
}

static void take_down(uint32_t place)
{
    membership->list[by_place[place]].view.state = MEMBER_DOWN;
    step((struct ring_event){.kind = RING_LOST,
                             .now_ms = 2,
                             .is_gone = true,
                             .node = node_at(place),
                             .has_other = true,
                             .other = node_at(place - 1)});
    fill_standing();
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

ROUTER_TEST(a_position_belongs_to_its_own_node_and_the_point_behind_it_to_the_next)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct ring_key key = position(i);
        struct node_id node;

        cr_assert(functions->local_lookup(&router, &key, false, 1, &node) > 0);
        cr_assert(is_place(&node, i));
        key.id.bytes[ID_BYTES - 1]++;
        cr_assert(functions->local_lookup(&router, &key, false, 1, &node) > 0);
        cr_assert(is_place(&node, (i + 1) % MEMBERS));
    }
}

ROUTER_TEST(the_responsible_node_has_no_next_hop)
{
    struct ring_key own = position(0);
    struct ring_key other = position(3);
    struct node_id node;

    cr_assert(!functions->next_hop(&router, &own, &node));
    cr_assert(functions->next_hop(&router, &other, &node));
    cr_assert(is_place(&node, 3));
}

ROUTER_TEST(the_replica_set_begins_with_the_responsible_node_and_skips_who_is_down)
{
    struct ring_key key = position(8);
    struct node_id nodes[MEMBERS + 5];

    take_down(9);
    membership->list[by_place[2]].view.state = MEMBER_SUSPECT;
    cr_assert_eq(functions->replica_set(&router, &key, 4, nodes), 4);
    cr_assert(is_place(&nodes[0], 8));
    cr_assert(is_place(&nodes[1], 0));
    cr_assert(is_place(&nodes[2], 1));
    cr_assert(is_place(&nodes[3], 2), "a suspicion moves nothing yet");
    cr_assert_eq(functions->replica_set(&router, &key, MEMBERS + 5, nodes), MEMBERS - 1);
}

ROUTER_TEST(neighbours_are_the_nearest_on_both_sides_without_self_or_repetition)
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

ROUTER_TEST(a_range_of_rank_r_holds_exactly_the_keys_with_the_node_among_r_plus_one_holders)
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

ROUTER_TEST(one_who_has_left_sends_on_to_the_next)
{
    struct ring_key own = position(0);
    struct node_id node;

    step((struct ring_event){.kind = RING_LEAVE, .now_ms = 2});
    fill_standing();
    cr_assert(functions->local_lookup(&router, &own, false, 1, &node) > 0);
    cr_assert(is_place(&node, 1));
}

ROUTER_TEST(more_next_hops_come_without_repetition_and_self_only_as_the_owner)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        for (uint32_t safe = 0; safe < 2; safe++) {
            struct ring_key key = position(i);
            struct node_id nodes[MEMBERS];
            uint32_t count = functions->local_lookup(&router, &key, safe == 1, 4, nodes);

            cr_assert(i == 0 ? count == 1 : count >= 1 && count <= 4);
            cr_assert(is_place(&nodes[0], i), "the owner is the best next hop");
            for (uint32_t k = 1; k < count; k++) {
                for (uint32_t m = 0; m < k; m++) {
                    cr_assert(!id_equal(&nodes[m].id, &nodes[k].id));
                }
            }
        }
    }
}

ROUTER_TEST(nothing_is_written_where_nothing_is_wanted)
{
    struct ring_key key = position(0);

    cr_assert_eq(functions->local_lookup(&router, &key, false, 0, NULL), 0);
    cr_assert_eq(functions->replica_set(&router, &key, 0, NULL), 0);
    cr_assert_eq(functions->neighbour_set(&router, 0, NULL), 0);
}

ROUTER_TEST(changes_among_the_neighbours_are_told_once)
{
    struct router_neighbours neighbours = {0};
    struct router_change changes[2 * ROUTER_NEIGHBOURS_MAX];

    cr_assert_eq(router_update(functions, &router, &neighbours, changes), MEMBERS - 1);
    cr_assert(changes[0].joined);
    cr_assert(is_place(&changes[0].node, 1));
    cr_assert_eq(router_update(functions, &router, &neighbours, changes), 0);
    take_down(3);
    cr_assert_eq(router_update(functions, &router, &neighbours, changes), 1);
    cr_assert(!changes[0].joined);
    cr_assert(is_place(&changes[0].node, 3));
}
