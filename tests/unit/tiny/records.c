// SPDX-License-Identifier: GPL-3.0-or-later
/* Six records of room: a service is pushed far more often than that. */
#include "../overlay/garbage.h"
#include "../overlay/owners.h"

enum { PUSHES = 40 };

static uint32_t count_blobs(const struct node *node)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < node->blob_count; i++) {
        count += node->blobs[i].kind == BLOB_RECORD ? 1 : 0;
    }
    return count;
}

/* Without waiting for what comes of it. */
static uint64_t put_at_once(uint32_t owner, const char *name, uint64_t sequence)
{
    struct node *node = &net.nodes[owner];
    struct overlay_event now = now_event();
    uint8_t encoded[3328];
    size_t length = make_record(owner, name, sequence, "x", encoded);

    overlay_record_put(node->overlay, &now, ++last_token, (struct bytes){encoded, length},
                       &node->effects);
    perform(owner);
    return last_token;
}

static bool has_version(uint32_t node, uint64_t number)
{
    struct service_id service = wiki();

    return overlay_record(net.nodes[node].overlay, &service, minga_RecordKind_RECORD_VERSION,
                          number)
               .length_bytes > 0;
}

static void push_and_start(uint64_t number)
{
    put_version(number, (uint8_t)number);
    put_service(number, number, number - 1, false);
}

Test(records, a_service_is_pushed_more_often_than_there_is_room_for)
{
    make_members(3);
    run_for(3000);
    for (uint64_t number = 1; number <= PUSHES; number++) {
        push_and_start(number);
    }
    run_for(10000);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(has_version(i, PUSHES), "node %u", i);
        cr_assert(has_version(i, PUSHES - 1));
        cr_assert_not(has_version(i, 1));
        cr_assert_leq(net.nodes[i].overlay->records.count, RECORDS_MAX);
        cr_assert_eq(count_blobs(&net.nodes[i]), net.nodes[i].overlay->records.count);
    }
    end_network();
}

Test(records, after_a_restart_the_table_is_as_before)
{
    const struct id all = {{0}};
    struct chunks_sum before;
    struct chunks_sum after;

    make_members(1);
    run_for(3000);
    for (uint64_t number = 1; number <= PUSHES; number++) {
        push_and_start(number);
    }
    before = records_sum(&net.nodes[0].overlay->records, &all, &all, 1);
    kill_node(0, true);
    start_node(0);
    run_for(3000);
    after = records_sum(&net.nodes[0].overlay->records, &all, &all, 1);
    cr_assert_eq(before.count, after.count);
    cr_assert_eq(before.sum, after.sum);
    push_and_start(PUSHES + 1);
    end_network();
}

Test(records, what_nobody_started_is_not_forgotten)
{
    const struct done *done;

    make_members(1);
    run_for(3000);
    push_and_start(1);
    for (uint64_t number = 2; number <= 4; number++) {
        put_version(number, (uint8_t)number);
    }
    done = try_version(5, 5);
    cr_assert_eq(done->outcome, OVERLAY_FULL);
    cr_assert_str_eq(
        done->reason,
        "its owner has a quarter of the room for records, and all of those are in use");
    for (uint64_t number = 1; number <= 4; number++) {
        cr_assert(has_version(0, number));
    }
    put_service(2, 4, 4, false);
    cr_assert_eq(try_version(5, 5)->outcome, OVERLAY_OK, "the first ones are superseded now");
    end_network();
}

Test(records, of_two_that_come_at_once_one_gets_the_only_place)
{
    uint64_t tokens[2];

    make_members(3);
    run_for(3000);
    put_version(1, 1);
    put_service(1, 9, 8, false); /* version 1 is superseded, and the only one to be forgotten */
    for (uint32_t i = 0; i < 4; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "pond%u", i);
        cr_assert_eq(put(1 + i % 2, 1 + i, 1 + i % 2, name, 1, "x")->outcome, OVERLAY_OK);
    }
    last_token = 10;
    tokens[0] = send_version(10, 10);
    tokens[1] = send_version(11, 11);
    run_for(8000);
    cr_assert_eq(net.nodes[0].done[tokens[0]].outcome, OVERLAY_OK);
    cr_assert_eq(net.nodes[0].done[tokens[1]].outcome, OVERLAY_FULL);
    end_network();
}

Test(records, what_is_being_written_is_not_forgotten_meanwhile)
{
    uint64_t again;
    uint64_t other;

    make_members(1);
    run_for(3000);
    cr_assert_eq(put(0, 1, 0, "wiki", 1, "")->outcome, OVERLAY_OK, "a tombstone, of long ago");
    for (uint32_t i = 0; i < 4; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "pond%u", i);
        cr_assert_eq(put(0, 2 + i, 0, name, 1, "x")->outcome, OVERLAY_OK);
    }
    last_token = 10;
    again = put_at_once(0, "wiki", 2);
    other = put_at_once(0, "well", 1);
    run_for(3000);
    cr_assert_eq(net.nodes[0].done[again].outcome, OVERLAY_OK);
    cr_assert_eq(net.nodes[0].done[other].outcome, OVERLAY_FULL);
    kill_node(0, true);
    start_node(0);
    run_for(3000);
    cr_assert_eq(net.nodes[0].overlay->records.count, 5);
    cr_assert_eq(get(0, 20, &(struct service_id){wiki().id})->outcome, OVERLAY_OK);
    end_network();
}
