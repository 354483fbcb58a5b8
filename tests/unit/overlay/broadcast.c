// SPDX-License-Identifier: GPL-3.0-or-later
/* Broadcast by interval: on made-up rings of any size, and in a community of whole nodes. */
#include "overlay/gossip/broadcast.h"

#include "network.h"

enum { RING_NODES_MAX = 500, TASKS_MAX = 4 * RING_NODES_MAX, FINGERS_PER_DIGIT = 15 };

/* --- made-up rings */

struct task { /* a message under way */
    uint32_t to;
    uint32_t depth;
    struct ring_key until;
};

static struct ring_node nodes[RING_NODES_MAX];
static struct broadcasts heard[RING_NODES_MAX];
static uint32_t told_count[RING_NODES_MAX];
static bool is_silent[RING_NODES_MAX];
static struct task tasks[TASKS_MAX];
static uint32_t task_count;
static uint32_t depth_max;
static bool is_linked;

static int by_position(const void *a, const void *b)
{
    return id_compare(&((const struct ring_node *)a)->position.id,
                      &((const struct ring_node *)b)->position.id);
}

static void make_ring(uint32_t count)
{
    memset(heard, 0, sizeof(heard));
    memset(told_count, 0, sizeof(told_count));
    memset(is_silent, 0, sizeof(is_silent));
    task_count = 0;
    depth_max = 0;
    is_linked = true;
    for (uint32_t i = 0; i < count; i++) {
        seed_of("position", i + 1000 * count, nodes[i].position.id.bytes);
        nodes[i].node.id = nodes[i].position.id;
    }
    qsort(nodes, count, sizeof(nodes[0]), by_position);
}

static bool knows_all(uint32_t count, uint32_t self, uint32_t other)
{
    (void)count;
    return self != other;
}

/* Is `other` among the next 16, or the first at or after self + digit * 16^row? */
static bool knows_fingers(uint32_t count, uint32_t self, uint32_t other)
{
    uint32_t ahead = (other + count - self) % count;
    uint32_t before = (other + count - 1) % count;

    if (ahead == 0 || ahead <= SUCCESSORS_MAX) {
        return ahead != 0;
    }
    for (uint32_t row = 0; row < 6; row++) {
        for (uint32_t digit = 1; digit <= FINGERS_PER_DIGIT; digit++) {
            struct id point = nodes[self].position.id;
            uint32_t carry = row % 2 == 0 ? digit << 4 : digit;

            for (uint32_t byte = row / 2 + 1; byte-- > 0;) {
                carry += point.bytes[byte];
                point.bytes[byte] = (uint8_t)carry;
                carry >>= 8;
            }
            if (id_in_arc(&point, &nodes[before].position.id, &nodes[other].position.id)) {
                return true;
            }
        }
    }
    return false;
}

typedef bool (*knows_function)(uint32_t count, uint32_t self, uint32_t other);

static void send_parts(uint32_t count, uint32_t self, const struct ring_key *from,
                       const struct ring_key *until, uint32_t depth, knows_function knows)
{
    struct broadcast_node known[RING_NODES_MAX];
    struct broadcast_part parts[BROADCAST_FANOUT];
    uint32_t known_count = 0;
    uint32_t part_count;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = (self + 1 + i) % count;

        if (knows(count, self, other) && !is_silent[other] &&
            broadcast_covers(&nodes[self].position, from, until, &nodes[other].position)) {
            known[known_count++] = (struct broadcast_node){nodes[other], is_linked};
        }
    }
    part_count = broadcast_split(known, known_count, until, parts);
    for (uint32_t i = 0; i < part_count; i++) {
        struct ring_node *to = bsearch(&parts[i].to, nodes, count, sizeof(nodes[0]), by_position);

        cr_assert_lt(task_count, TASKS_MAX);
        tasks[task_count++] = (struct task){(uint32_t)(to - nodes), depth + 1, parts[i].until};
    }
}

static void hear(uint32_t count, uint32_t self, const struct ring_key *until, uint32_t depth,
                 knows_function knows)
{
    struct id name = {{7}};
    struct ring_key from;

    depth_max = depth > depth_max ? depth : depth_max;
    if (broadcast_claim(&heard[self], &name, &nodes[self].position, until, 1, &from)) {
        send_parts(count, self, &from, until, depth, knows);
    }
}

static void run_from(uint32_t count, uint32_t origin, knows_function knows)
{
    hear(count, origin, &nodes[origin].position, 0, knows);
    for (uint32_t i = 0; i < task_count; i++) {
        told_count[tasks[i].to]++;
        hear(count, tasks[i].to, &tasks[i].until, tasks[i].depth, knows);
    }
}

static void assert_each_once(uint32_t count, uint32_t origin)
{
    cr_assert_eq(task_count, count - 1, "%u nodes, %u messages", count, task_count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(told_count[i], i == origin ? 0 : 1, "node %u of %u told %u times", i, count,
                     told_count[i]);
    }
}

Test(broadcast, every_node_of_a_ring_of_any_size_hears_once_within_three_steps)
{
    for (uint32_t count = 2; count <= RING_NODES_MAX; count += count < 40 ? 1 : 46) {
        uint32_t origin = count / 3;

        make_ring(count);
        run_from(count, origin, knows_all);
        assert_each_once(count, origin);
        cr_assert_leq(depth_max, count <= 17 ? 1 : count <= 273 ? 2 : 3);
    }
}

Test(broadcast, without_any_link_it_goes_by_halves)
{
    for (uint32_t count = 2; count <= RING_NODES_MAX; count += count < 40 ? 1 : 46) {
        uint32_t depth = 0;

        make_ring(count);
        is_linked = false;
        run_from(count, count / 3, knows_all);
        assert_each_once(count, count / 3);
        while (((uint32_t)1 << depth) < count) {
            depth++;
        }
        cr_assert_leq(depth_max, depth);
    }
}

Test(broadcast, parts_begin_where_a_link_is)
{
    struct broadcast_part parts[BROADCAST_FANOUT];
    struct broadcast_node known[100];

    make_ring(101);
    for (uint32_t i = 0; i < 100; i++) {
        known[i] = (struct broadcast_node){nodes[i + 1], i == 33 || i == 60};
    }
    cr_assert_eq(broadcast_split(known, 100, &nodes[0].position, parts), 3);
    cr_assert(id_equal(&parts[0].to.node.id, &nodes[1].node.id));
    cr_assert(id_equal(&parts[0].until.id, &nodes[34].position.id));
    cr_assert(id_equal(&parts[1].to.node.id, &nodes[34].node.id));
    cr_assert(id_equal(&parts[2].to.node.id, &nodes[61].node.id));
    cr_assert(id_equal(&parts[2].until.id, &nodes[0].position.id));
}

Test(broadcast, with_fingers_only_every_node_still_hears_once)
{
    for (uint32_t count = 2; count <= 200; count += 66) {
        uint32_t origin = count - 1;

        make_ring(count);
        run_from(count, origin, knows_fingers);
        assert_each_once(count, origin);
        cr_assert_leq(depth_max, 6);
    }
}

Test(broadcast, two_who_begin_the_same_do_not_double_what_is_covered)
{
    make_ring(100);
    run_from(100, 0, knows_all);
    cr_assert_eq(task_count, 99);
    hear(100, 50, &nodes[50].position, 0, knows_all); /* it has covered a part of the ring only */
    for (uint32_t i = 99; i < task_count; i++) {
        hear(100, tasks[i].to, &tasks[i].until, tasks[i].depth, knows_all);
    }
    cr_assert_lt(task_count, 99 + 99);
    hear(100, 50, &nodes[50].position, 0, knows_all);
    hear(100, 50, &nodes[10].position, 0, knows_all);
    cr_assert_lt(task_count, 99 + 99, "the whole ring was covered before");
}

Test(broadcast, a_wider_interval_of_the_same_is_covered_beyond_the_first)
{
    struct broadcasts table = {0};
    struct ring_key self = {{{0x10}}};
    struct ring_key near = {{{0x20}}};
    struct ring_key far = {{{0x05}}};
    struct ring_key point = {{{0x1f}}};
    struct ring_key from;
    struct id name = {{1}};

    cr_assert(broadcast_claim(&table, &name, &self, &near, 5, &from));
    cr_assert(id_equal(&from.id, &self.id));
    cr_assert(!broadcast_claim(&table, &name, &self, &near, 6, &from));
    cr_assert(!broadcast_claim(&table, &name, &self, &point, 6, &from));
    cr_assert(broadcast_claim(&table, &name, &self, &far, 7, &from));
    cr_assert(id_equal(&from.id, &near.id));
    cr_assert(broadcast_covers(&self, &from, &far, &near));
    cr_assert(!broadcast_covers(&self, &from, &far, &point));
    cr_assert(!broadcast_covers(&self, &from, &far, &far));
    cr_assert(broadcast_claim(&table, &name, &self, &self, 8, &from));
    cr_assert(!broadcast_claim(&table, &name, &self, &self, 9, &from));
    cr_assert(broadcast_claim(&table, &name, &self, &near, 5 + BROADCAST_KEPT_MS, &from),
              "later it is another one");
}

Test(broadcast, the_table_forgets_the_oldest_first)
{
    struct broadcasts table = {0};
    struct ring_key self = {{{0x10}}};
    struct ring_key from;

    for (uint32_t i = 0; i <= BROADCASTS_HEARD_MAX; i++) {
        struct id name = {{(uint8_t)i, 1}};

        cr_assert(broadcast_claim(&table, &name, &self, &self, 1 + i, &from));
    }
    for (uint32_t i = BROADCASTS_HEARD_MAX; i > 0; i--) {
        struct id name = {{(uint8_t)i, 1}};

        cr_assert(!broadcast_claim(&table, &name, &self, &self, 500, &from), "%u", i);
    }
    cr_assert(broadcast_claim(&table, &(struct id){{0, 1}}, &self, &self, 500, &from));
}

/* --- whole nodes */

static void describe(uint32_t index, const char *zone)
{
    struct node *node = &net.nodes[index];
    minga_NodeRecord description = node->config.description;
    struct overlay_event now = now_event();

    snprintf(description.zone, sizeof(description.zone), "%s", zone);
    overlay_describe(node->overlay, &now, &description, &node->effects);
    perform(index);
}

static uint32_t count_who_know(uint32_t index, const char *zone)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count +=
            net.nodes[i].running &&
            strcmp(overlay_member_by_id(net.nodes[i].overlay, &net.nodes[index].id)->record.zone,
                   zone) == 0;
    }
    return count;
}

Test(broadcast, news_reaches_every_member_with_one_message_each)
{
    make_members(20);
    run_for(5000);
    net.sent_count[minga_Message_broadcast_tag] = 0;
    describe(4, "attic");
    run_for(100); /* new links are built, one behind the other */
    cr_assert_eq(count_who_know(4, "attic"), 20);
    cr_assert_eq(net.sent_count[minga_Message_broadcast_tag], 19);
    end_network();
}

Test(broadcast, silent_members_keep_nothing_from_those_behind_them)
{
    make_members(20);
    run_for(5000);
    for (uint32_t i = 0; i < 20; i += 3) {
        net.nodes[i].side = i == 0 ? 0 : 1; /* nobody has noticed it yet */
    }
    describe(4, "attic");
    run_for(1000);
    cr_assert_eq(count_who_know(4, "attic"), 14);
    end_network();
}

Test(broadcast, lost_messages_keep_it_from_nobody)
{
    make_members(20);
    run_for(5000);
    net.loss_percent = 10;
    describe(4, "attic");
    run_for(2500);
    cr_assert_eq(count_who_know(4, "attic"), 20);
    end_network();
}

Test(broadcast, nonsense_is_not_passed_on)
{
    struct overlay_effect effect = {.kind = OVERLAY_SEND};
    uint8_t bytes[MESSAGE_BYTES_MAX];
    minga_Message message;
    int length;

    make_members(6);
    run_for(5000);
    message_init(&message, minga_Message_broadcast_tag);
    message.kind.broadcast.has_item = true;
    message.kind.broadcast.item.kind = minga_ItemKind_ITEM_NODE;
    message.kind.broadcast.item.content.size = 100;
    length = message_encode(&message, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    effect.peer.node = net.nodes[2].id;
    effect.message = (struct bytes){bytes, (size_t)length};
    net.sent_count[minga_Message_broadcast_tag] = 0;
    do_send(1, &effect);
    run_for(1000);
    cr_assert_eq(net.sent_count[minga_Message_broadcast_tag], 1);
    end_network();
}
