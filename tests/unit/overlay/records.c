// SPDX-License-Identifier: GPL-3.0-or-later
/* What becomes of records on disks that refuse, after partitions and long absences. */
#include "overlay/state.h"
#include "owners.h"

static void tell_node(uint32_t from, uint32_t to, const minga_Message *message)
{
    uint8_t bytes[4096];
    int length = message_encode(message, bytes, sizeof(bytes));
    struct overlay_effect effect = {.kind = OVERLAY_SEND};

    cr_assert_gt(length, 0);
    effect.message = (struct bytes){bytes, (size_t)length};
    carry(from, to, &effect, true);
}

/* Names whose responsible node is `node`. */
static void name_at(uint32_t node, char name_out[32])
{
    struct node_id holder = {0};

    for (uint32_t i = 0; !id_equal(&holder.id, &net.nodes[node].id.id); i++) {
        snprintf(name_out, 32, "wiki%u", i);
        struct ring_key key = {service_of(1, name_out).id};

        overlay_replica_set(net.nodes[0].overlay, &key, 1, &holder);
    }
}

Test(records, what_was_only_read_from_another_is_no_durable_copy)
{
    char name[32];

    make_members(2);
    run_for(3000);
    name_at(1, name);
    net.nodes[0].side = 1;
    run_for(20000);
    cr_assert_eq(put(0, 1, 1, name, 1, "a")->outcome, OVERLAY_OK, "alone, one disk is enough");
    net.nodes[1].disk_full = true;
    net.nodes[0].side = 0;
    run_for(20000);
    cr_assert_eq(put(1, 2, 1, name, 1, "a")->outcome, OVERLAY_FAILED, "its own disk refuses");
    net.nodes[1].disk_full = false;
    cr_assert_eq(put(1, 3, 1, name, 1, "a")->outcome, OVERLAY_OK);
    end_network();
}

Test(records, who_writes_is_told_on_how_many_disks_it_lies)
{
    struct service_id service;
    char name[32];

    make_members(3);
    run_for(3000);
    name_at(1, name);
    service = service_of(1, name);
    cr_assert_eq(put(0, 1, 1, name, 1, "a")->copies, 2, "of whoever answers for it");
    cr_assert_eq(put(1, 1, 1, name, 2, "b")->copies, 2);
    cr_assert_eq(put(0, 2, 1, name, 2, "b")->copies, 2, "the same once more");
    cr_assert_eq(put(0, 3, 1, name, 2, "c")->outcome, OVERLAY_CONFLICT);
    cr_assert_eq(net.nodes[0].done[3].copies, 0, "nothing was written");
    net.nodes[0].side = 1;
    run_for(20000);
    cr_assert_eq(put(0, 4, 1, name, 3, "d")->outcome, OVERLAY_OK);
    cr_assert_eq(net.nodes[0].done[4].copies, 1, "it hears nobody");
    net.nodes[0].side = 0;
    run_for(30000);
    cr_assert_eq(count_copies(&service), 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct record record;

        cr_assert_eq(record_open(overlay_record(net.nodes[i].overlay, &service,
                                                minga_RecordKind_RECORD_SERVICE, 0),
                                 &record),
                     0);
        cr_assert_eq(record.sequence, 3, "it spreads by itself");
    }
    end_network();
}

Test(records, the_owners_nodes_learn_of_a_write_that_is_lost)
{
    struct service_id service = service_of(1, "wiki");
    struct overlay_lost lost;
    struct record record;

    make_members(12);
    run_for(3000);
    cr_assert_eq(put(0, 1, 1, "wiki", 1, "a")->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 6; i++) {
        net.nodes[i].side = 1;
    }
    run_for(20000);
    cr_assert_eq(put(0, 2, 1, "wiki", 2, "left")->outcome, OVERLAY_OK);
    cr_assert_eq(put(9, 2, 1, "wiki", 2, "right")->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 6; i++) {
        net.nodes[i].side = 0;
    }
    run_for(60000);
    cr_assert(overlay_lost(net.nodes[1].overlay, 0, &lost));
    cr_assert_not(overlay_lost(net.nodes[1].overlay, 1, &lost), "once is enough");
    cr_assert(overlay_lost(net.nodes[1].overlay, 0, &lost));
    cr_assert_str_eq(lost.name, "wiki");
    cr_assert(id_equal(&lost.service.id, &service.id));
    cr_assert_eq(lost.sequence, 2);
    const struct done *done = get(3, 5, &service);

    cr_assert_eq(done->outcome, OVERLAY_OK);
    cr_assert_eq(record_open((struct bytes){done->bytes, done->length_bytes}, &record), 0);
    cr_assert_neq(id_compare(&record.hash, &lost.hash), 0, "the other one stands");
    for (uint32_t i = 0; i < 12; i++) {
        cr_assert(i == 1 || !overlay_lost(net.nodes[i].overlay, 0, &lost), "it is none of theirs");
    }
    end_network();
}

Test(records, only_the_owners_own_words_are_taken_for_a_lost_write)
{
    struct overlay_lost lost;
    minga_Message message;
    uint8_t encoded[3328];
    size_t length;

    make_members(3);
    run_for(3000);
    for (uint32_t owner = 1; owner <= 2; owner++) {
        length = make_record(owner, "wiki", 4, "x", encoded);
        encoded[length - 1] ^= owner == 1; /* altered; and somebody else's */
        message_init(&message, minga_Message_record_lost_tag);
        memcpy(message.kind.record_lost.record.bytes, encoded, length);
        message.kind.record_lost.record.size = (pb_size_t)length;
        tell_node(0, 1, &message);
        run_for(100);
    }
    cr_assert_not(overlay_lost(net.nodes[1].overlay, 0, &lost));
    end_network();
}

Test(records, what_was_removed_stays_removed_when_a_holder_returns_after_a_month)
{
    struct service_id service = service_of(1, "wiki");
    struct ring_key key = {service.id};
    struct node_id holders[3];
    struct record record;

    make_members(5);
    run_for(3000);
    cr_assert_eq(put(0, 1, 1, "wiki", 1, "content")->outcome, OVERLAY_OK);
    run_for(3000);
    cr_assert_eq(count_copies(&service), 5);
    cr_assert_eq(overlay_replica_set(net.nodes[0].overlay, &key, 3, holders), 3);
    uint32_t away = (uint32_t)find_node(&holders[0]); /* who will answer for it again */
    uint32_t asker = (away + 1) % 5;

    kill_node(away, false);
    run_for(20000);
    cr_assert_eq(put(asker, 2, 1, "wiki", 2, "")->outcome, OVERLAY_OK);
    net.now_ms += (uint64_t)31 * 86400 * 1000;
    run_for(20000);
    start_node(away);
    run_for(60000);
    for (uint32_t i = 0; i < 5; i++) {
        const struct done *done = get(i, 3, &service);

        cr_assert_eq(done->outcome, OVERLAY_OK);
        cr_assert_eq(record_open((struct bytes){done->bytes, done->length_bytes}, &record), 0);
        cr_assert(record.removed, "node %u", i);
        cr_assert_eq(record.sequence, 2);
    }
    cr_assert_eq(put(away, 4, 1, "wiki", 2, "back")->outcome, OVERLAY_CONFLICT);
    cr_assert_eq(put(away, 5, 1, "wiki", 3, "made anew")->outcome, OVERLAY_OK);
    end_network();
}

static uint32_t sent(pb_size_t kind)
{
    uint32_t count = net.sent_count[kind];

    net.sent_count[kind] = 0;
    return count;
}

/* So many that one page would not hold them. */
Test(records, are_named_only_where_fingerprints_of_ranges_differ)
{
    struct service_id service = service_of(1, "late");
    char name[16];

    make_members(3);
    run_for(3000);
    for (uint32_t i = 0; i < 110; i++) {
        (void)snprintf(name, sizeof(name), "box%u", i);
        cr_assert_eq(put(1, 1 + i, 1, name, 1, "content")->outcome, OVERLAY_OK);
    }
    run_for(70000);
    (void)sent(minga_Message_summary_tag);
    (void)sent(minga_Message_chunk_ranges_tag);
    run_for(100000);
    cr_assert_geq(sent(minga_Message_chunk_ranges_tag), 3);
    cr_assert_eq(sent(minga_Message_summary_tag), 0, "all is equal: nothing is named");
    net.nodes[2].side = 1;
    run_for(5000);
    cr_assert_eq(put(1, 200, 1, "late", 1, "content")->outcome, OVERLAY_OK);
    (void)sent(minga_Message_record_copy_tag);
    net.nodes[2].side = 0;
    run_for(40000);
    cr_assert_eq(count_copies(&service), 3);
    cr_assert_leq(sent(minga_Message_record_copy_tag), 8, "and of the others none is sent");
    end_network();
}

static bool is_among(const struct node_id *nodes, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&nodes[i].id, &net.nodes[node].id.id)) {
            return true;
        }
    }
    return false;
}

Test(records, one_that_holds_nothing_of_ours_is_not_compared_with_over_and_over)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t count;
    uint32_t other = 1;

    make_members(16);
    run_for(70000);
    count = overlay_replica_set(net.nodes[0].overlay, &net.nodes[0].overlay->ring.self.position,
                                RECORD_COPIES, holders);
    while (is_among(holders, count, other)) {
        other++;
    }
    settled_want(net.nodes[0].overlay, &net.nodes[other].id);
    (void)sent(minga_Message_summary_tag);
    (void)sent(minga_Message_chunk_ranges_tag);
    run_for(10000);
    cr_assert_lt(sent(minga_Message_summary_tag) + sent(minga_Message_chunk_ranges_tag), 100);
    end_network();
}
