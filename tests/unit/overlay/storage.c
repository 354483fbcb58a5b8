// SPDX-License-Identifier: GPL-3.0-or-later
/* Stories of records and chunks: written, read, copied, lost and copied again. */
#include "overlay/chunks/homes.h"
#include "owners.h"

Test(records, each_write_must_be_the_one_before_plus_one)
{
    make_members(5);
    run_for(3000);
    cr_assert_eq(put(1, 1, 1, "wiki", 1, "a")->outcome, OVERLAY_OK);
    cr_assert_eq(put(2, 2, 1, "wiki", 1, "a")->outcome, OVERLAY_OK, "a repetition is fine");
    cr_assert_eq(put(2, 3, 1, "wiki", 1, "b")->outcome, OVERLAY_CONFLICT);
    cr_assert_eq(put(2, 4, 1, "wiki", 3, "b")->outcome, OVERLAY_CONFLICT);
    cr_assert_eq(put(2, 5, 1, "wiki", 2, "b")->outcome, OVERLAY_OK);
    cr_assert_eq(put(3, 6, 99, "wiki", 1, "x")->outcome, OVERLAY_REFUSED, "no such owner");
    end_network();
}

Test(records, any_node_reads_what_another_one_wrote)
{
    struct service_id service = service_of(1, "wiki");
    struct service_id other = service_of(1, "blog");
    const struct done *done;

    make_members(12);
    run_for(3000);
    cr_assert_eq(put(1, 1, 1, "wiki", 1, "content")->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 12; i++) {
        done = get(i, 2, &service);
        cr_assert_eq(done->outcome, OVERLAY_OK);
        cr_assert_gt(done->length_bytes, 0);
        cr_assert_eq(get(i, 3, &other)->outcome, OVERLAY_NOT_FOUND);
    }
    cr_assert_eq(count_copies(&service), RECORD_COPIES);
    end_network();
}

Test(records, lost_holders_are_replaced_and_writing_goes_on)
{
    struct service_id service = service_of(1, "wiki");
    struct node_id holders[RECORD_COPIES];
    struct ring_key key = {service.id};

    make_members(12);
    run_for(3000);
    cr_assert_eq(put(0, 1, 1, "wiki", 1, "content")->outcome, OVERLAY_OK);
    overlay_replica_set(net.nodes[0].overlay, &key, RECORD_COPIES, holders);
    for (uint32_t i = 0; i < 4; i++) {
        kill_node((uint32_t)find_node(&holders[i]), false);
        run_for(4000);
    }
    run_for(6000);
    cr_assert_geq(count_copies(&service), RECORD_COPIES);
    for (uint32_t i = 0; i < 12; i++) {
        if (net.nodes[i].running) {
            cr_assert_eq(put(i, 5, 1, "wiki", 1, "other")->outcome, OVERLAY_CONFLICT);
            cr_assert_eq(put(i, 6, 1, "wiki", 2, "next")->outcome, OVERLAY_OK);
            break;
        }
    }
    end_network();
}

/* Members of both sides lie between each other on the ring: each side closes it step by step. */
static void run_until_two_answer(void)
{
    uint32_t least = 0;
    uint32_t most = 0;

    for (uint32_t i = 0; i < 100 && (least != 2 || most != 2); i++) {
        run_for(100);
        count_responsible(&least, &most);
    }
    cr_assert_eq(least, 2, "for each key one on either side");
    cr_assert_eq(most, 2);
}

Test(records, two_sides_of_a_partition_agree_afterwards)
{
    struct service_id service = service_of(1, "wiki");
    struct bytes first;

    make_members(6);
    run_for(3000);
    cr_assert_eq(put(0, 1, 1, "wiki", 1, "a")->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 3; i++) {
        net.nodes[i].side = 1;
    }
    run_until_two_answer();
    cr_assert_eq(put(0, 2, 1, "wiki", 2, "left")->outcome, OVERLAY_OK);
    cr_assert_eq(put(4, 2, 1, "wiki", 2, "right")->outcome, OVERLAY_OK);
    cr_assert_eq(put(4, 3, 4, "blog", 1, "only right")->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 3; i++) {
        net.nodes[i].side = 0;
    }
    run_for(30000);
    first = overlay_record(net.nodes[0].overlay, &service, minga_RecordKind_RECORD_SERVICE, 0);
    for (uint32_t i = 1; i < 6; i++) {
        struct bytes other =
            overlay_record(net.nodes[i].overlay, &service, minga_RecordKind_RECORD_SERVICE, 0);

        cr_assert(bytes_equal(first, other), "node %u differs", i);
    }
    service = service_of(4, "blog");
    cr_assert_eq(count_copies(&service), 6);
    end_network();
}

Test(records, a_lone_founder_writes_and_keeps_records_over_a_restart)
{
    struct service_id service = service_of(0, "wiki");

    make_members(1);
    run_for(100);
    cr_assert_eq(put(0, 1, 0, "wiki", 1, "a")->outcome, OVERLAY_OK);
    kill_node(0, false);
    start_node(0);
    run_for(100);
    cr_assert_eq(get(0, 2, &service)->outcome, OVERLAY_OK);
    end_network();
}

/* --- chunks */

static const struct done *spread(uint32_t index, uint64_t token, const struct chunk_id *chunk)
{
    struct overlay_event now = now_event();

    overlay_chunk_put(net.nodes[index].overlay, &now, token,
                      &(struct overlay_spread){.chunk = *chunk}, &net.nodes[index].effects);
    perform(index);
    run_for(500);
    cr_assert(net.nodes[index].done[token].ended);
    return &net.nodes[index].done[token];
}

static const struct done *fetch(uint32_t index, uint64_t token, const struct chunk_id *chunk)
{
    struct overlay_event now = now_event();

    overlay_chunk_get(net.nodes[index].overlay, &now, token,
                      &(struct overlay_wanted){.chunk = *chunk}, &net.nodes[index].effects);
    perform(index);
    run_for(500);
    return &net.nodes[index].done[token];
}

static uint32_t count_holders(const struct chunk_id *chunk)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += net.nodes[i].running && overlay_has_chunk(net.nodes[i].overlay, chunk);
    }
    return count;
}

Test(chunks, who_pushes_alone_is_told_that_one_disk_has_them)
{
    struct chunk_id chunk;
    const struct done *done;

    make_members(3);
    run_for(3000);
    net.nodes[0].side = 1;
    run_for(20000);
    chunk = keep_text(0, "a chunk");
    done = spread(0, 1, &chunk);
    cr_assert_eq(done->outcome, OVERLAY_OK);
    cr_assert_eq(done->copies, 1);
    net.nodes[0].side = 0;
    run_for(120000);
    cr_assert_eq(count_holders(&chunk), CHUNK_COPIES, "it spreads by itself");
    end_network();
}

Test(chunks, are_spread_to_three_holders_and_fetched_by_any_node)
{
    struct chunk_id chunk;
    const struct done *done;

    make_members(8);
    run_for(3000);
    chunk = keep_text(2, "a chunk");
    done = spread(2, 1, &chunk);
    cr_assert_eq(done->outcome, OVERLAY_OK);
    cr_assert(done->is_new);
    cr_assert_eq(done->copies, CHUNK_COPIES);
    cr_assert_geq(count_holders(&chunk), CHUNK_COPIES);
    cr_assert_leq(count_holders(&chunk), CHUNK_COPIES + 1);
    done = spread(2, 2, &chunk);
    cr_assert_eq(done->outcome, OVERLAY_OK);
    cr_assert(!done->is_new);
    for (uint32_t i = 0; i < 8; i++) {
        done = fetch(i, 3, &chunk);
        cr_assert(done->ended);
        cr_assert_eq(done->outcome, OVERLAY_OK);
        cr_assert(overlay_has_chunk(net.nodes[i].overlay, &chunk));
    }
    end_network();
}

Test(chunks, are_fetched_no_faster_than_the_owners_line_allows)
{
    static const char *const texts[] = {"first, 16 bytes!", "second 16 bytes!", "third, 16 bytes!"};
    struct chunk_id chunks[3];
    struct overlay_event now;

    make_members(14);
    run_for(3000);
    for (uint32_t i = 0; i < 3; i++) {
        chunks[i] = keep_text(2, texts[i]);
        cr_assert_eq(spread(2, 1 + i, &chunks[i])->outcome, OVERLAY_OK);
    }
    for (uint32_t i = 0; i < 14; i++) {
        if (i == 2 || overlay_has_chunk(net.nodes[i].overlay, &chunks[0]) ||
            overlay_has_chunk(net.nodes[i].overlay, &chunks[1]) ||
            overlay_has_chunk(net.nodes[i].overlay, &chunks[2])) {
            continue;
        }
        now = now_event();
        overlay_set_rates(net.nodes[i].overlay, &now, (struct overlay_rates){0, 4});
        cr_assert(fetch(i, 11, &chunks[0])->ended, "what was saved up is there at once");
        cr_assert(!fetch(i, 12, &chunks[1])->ended, "12 bytes of debt, at 4 a second");
        run_for(1500);
        cr_assert(!net.nodes[i].done[12].ended);
        run_for(1500);
        cr_assert_eq(net.nodes[i].done[12].outcome, OVERLAY_OK);
        cr_assert(!fetch(i, 13, &chunks[2])->ended);
        now = now_event();
        overlay_set_rates(net.nodes[i].overlay, &now, (struct overlay_rates){0, 0});
        run_for(5000);
        cr_assert_eq(net.nodes[i].done[13].outcome, OVERLAY_OK);
        end_network();
        return;
    }
    cr_assert_fail("everybody holds one");
}

Test(chunks, one_that_is_lost_with_its_link_is_sent_again)
{
    struct chunk_id chunk;

    make_members(3); /* all must hold it */
    run_for(3000);
    chunk = keep_text(2, "a chunk");
    net.chunks_to_lose = 2;
    cr_assert_eq(spread(2, 1, &chunk)->outcome, OVERLAY_OK);
    cr_assert_eq(net.chunks_to_lose, 0);
    cr_assert_eq(count_holders(&chunk), 3);
    end_network();
}

Test(chunks, a_member_that_sends_wrong_bytes_is_passed_over)
{
    struct chunk_id chunk;
    uint32_t liars = 0;

    make_members(8);
    run_for(3000);
    chunk = keep_text(2, "precious");
    cr_assert_eq(spread(2, 1, &chunk)->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 8; i++) {
        if (i != 2 && overlay_has_chunk(net.nodes[i].overlay, &chunk) && liars < 2) {
            net.nodes[i].lies = true;
            liars++;
        }
    }
    cr_assert_eq(liars, 2);
    for (uint32_t i = 0; i < 8; i++) {
        const struct done *done = fetch(i, 3, &chunk);

        cr_assert(done->ended);
        cr_assert_eq(done->outcome, OVERLAY_OK, "node %u: %s", i, done->reason);
    }
    end_network();
}

Test(chunks, an_unknown_chunk_is_not_found_soon)
{
    struct chunk_id chunk = {hash_of(HASH_CHUNK, bytes_of_text("nowhere"))};

    make_members(5);
    run_for(3000);
    cr_assert(fetch(1, 1, &chunk)->ended);
    cr_assert_eq(net.nodes[1].done[1].outcome, OVERLAY_NOT_FOUND);
    end_network();
}

Test(chunks, after_prompt_answers_a_lost_question_costs_no_more_than_as_the_first)
{
    struct chunk_id chunk = {hash_of(HASH_CHUNK, bytes_of_text("nowhere"))};
    const uint32_t *asked = &net.sent_count[minga_Message_chunk_get_tag];
    struct overlay_event now;

    make_members(8);
    run_for(3000);
    now = now_event();
    overlay_chunk_get(net.nodes[1].overlay, &now, 1, &(struct overlay_wanted){.chunk = chunk},
                      &net.nodes[1].effects);
    perform(1);
    for (uint32_t i = 0; i < 100 && *asked < 4; i++) {
        run_for(1);
    }
    cr_assert_eq(*asked, 4);
    net.loss_percent = 100; /* its answer, that is */
    run_for(3);
    net.loss_percent = 0;
    run_for(4000);
    cr_assert(!net.nodes[1].done[1].ended, "nothing was lost");
    run_for(3000);
    cr_assert(net.nodes[1].done[1].ended);
    cr_assert_eq(net.nodes[1].done[1].outcome, OVERLAY_NOT_FOUND);
    end_network();
}

Test(chunks, are_up_twice_again_when_holders_are_lost)
{
    struct chunk_id chunks[10];
    char text[32];

    make_members(8);
    run_for(3000);
    for (uint32_t i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(1, text);
        cr_assert_eq(spread(1, 1 + i, &chunks[i])->outcome, OVERLAY_OK);
    }
    kill_node(1, false);
    kill_node(5, false);
    run_for(60000);
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert_geq(count_holders(&chunks[i]), HOMES_UP, "chunk %u has %u", i,
                      count_holders(&chunks[i]));
    }
    end_network();
}

Test(chunks, full_shares_are_passed_over_and_said)
{
    struct chunk_id chunk;

    make_community();
    {
        struct test_invitation invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);

        for (uint32_t i = 0; i < 5; i++) {
            uint32_t index = add_node();

            net.nodes[index].config.storage_bytes_max = i < 2 ? 1 << 22 : 4;
            start_node(index);
        }
        found_community(0);
        for (uint32_t i = 1; i < 5; i++) {
            join_node(i, 0, &invitation, 1);
            run_for(200);
        }
    }
    run_for(3000);
    chunk = keep_text(0, "does not fit in four bytes");
    cr_assert_eq(spread(0, 2, &chunk)->outcome, OVERLAY_FULL);
    cr_assert(overlay_has_chunk(net.nodes[1].overlay, &chunk));
    end_network();
}

Test(chunks, a_fetch_does_not_wait_for_a_dead_holder)
{
    struct chunk_id chunk;
    const struct done *done;
    struct overlay_event now;

    make_members(8);
    run_for(3000);
    chunk = keep_text(2, "from the living");
    cr_assert_eq(spread(2, 1, &chunk)->outcome, OVERLAY_OK);
    run_for(100);
    for (uint32_t i = 0; i < 8; i++) {
        if (i != 2 && overlay_has_chunk(net.nodes[i].overlay, &chunk)) {
            kill_node(i, false);
            break;
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        if (net.nodes[i].running && !overlay_has_chunk(net.nodes[i].overlay, &chunk)) {
            now = now_event();
            overlay_chunk_get(net.nodes[i].overlay, &now, 3,
                              &(struct overlay_wanted){.chunk = chunk}, &net.nodes[i].effects);
            perform(i);
            run_for(1500);
            done = &net.nodes[i].done[3];
            cr_assert(done->ended);
            cr_assert_eq(done->outcome, OVERLAY_OK);
        }
    }
    end_network();
}

Test(records, a_write_does_not_fail_because_a_holder_dies_meanwhile)
{
    struct overlay_event now;
    uint8_t encoded[3328];
    size_t length;

    make_members(3);
    run_for(3000);
    length = make_record(1, "wiki", 1, "a", encoded);
    kill_node(2, true);
    net.nodes[2].side = 9;
    now = now_event();
    overlay_record_put(net.nodes[1].overlay, &now, 1, (struct bytes){encoded, length},
                       &net.nodes[1].effects);
    perform(1);
    run_for(8000);
    cr_assert(net.nodes[1].done[1].ended);
    cr_assert_eq(net.nodes[1].done[1].outcome, OVERLAY_OK, "%s", net.nodes[1].done[1].reason);
    kill_node(0, true);
    net.nodes[0].side = 9;
    length = make_record(1, "wiki", 2, "b", encoded);
    now = now_event();
    overlay_record_put(net.nodes[1].overlay, &now, 2, (struct bytes){encoded, length},
                       &net.nodes[1].effects);
    perform(1);
    run_for(9000);
    cr_assert(net.nodes[1].done[2].ended);
    cr_assert_eq(net.nodes[1].done[2].outcome, OVERLAY_OK, "%s", net.nodes[1].done[2].reason);
    end_network();
}

Test(records, what_every_disk_refuses_has_never_been_there)
{
    struct service_id service = service_of(1, "wiki");
    const struct done *done;

    make_members(4);
    run_for(3000);
    cr_assert_eq(put(1, 1, 1, "wiki", 1, "a")->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 4; i++) {
        net.nodes[i].disk_full = true;
    }
    cr_assert_eq(put(2, 2, 1, "wiki", 2, "b")->outcome, OVERLAY_FAILED);
    for (uint32_t i = 0; i < 4; i++) {
        net.nodes[i].disk_full = false;
        done = get(i, 3, &service);
        cr_assert_eq(done->outcome, OVERLAY_OK);
    }
    cr_assert_eq(put(2, 4, 1, "wiki", 2, "c")->outcome, OVERLAY_OK, "the sequence is free still");
    end_network();
}

Test(records, two_other_disks_are_as_good_as_the_responsible_nodes_own)
{
    struct service_id service = service_of(1, "wiki");
    struct ring_key key = {service.id};
    struct node_id holder;

    make_members(5);
    run_for(3000);
    overlay_replica_set(net.nodes[0].overlay, &key, 1, &holder);
    net.nodes[find_node(&holder)].disk_full = true;
    cr_assert_eq(put(1, 1, 1, "wiki", 1, "a")->outcome, OVERLAY_OK);
    cr_assert_eq(get(2, 2, &service)->outcome, OVERLAY_OK);
    end_network();
}

static uint32_t sent(pb_size_t kind)
{
    uint32_t count = net.sent_count[kind];

    net.sent_count[kind] = 0;
    return count;
}

Test(records, a_settled_owner_writes_and_reads_with_few_messages)
{
    struct service_id service = service_of(1, "wiki");
    struct ring_key key = {service.id};
    struct node_id holder;
    uint32_t asker;

    make_members(12);
    run_for(3000);
    cr_assert_eq(put(0, 1, 1, "wiki", 1, "a")->outcome, OVERLAY_OK);
    run_for(5000);
    overlay_replica_set(net.nodes[0].overlay, &key, 1, &holder);
    asker = ((uint32_t)find_node(&holder) + 1) % 12;
    (void)sent(minga_Message_record_get_tag);
    (void)sent(minga_Message_record_copy_tag);
    net.unhurried_count = 0;
    cr_assert_eq(put(asker, 2, 1, "wiki", 2, "b")->outcome, OVERLAY_OK);
    cr_assert_eq(sent(minga_Message_record_get_tag), 0, "nobody can have anything newer");
    cr_assert_eq(sent(minga_Message_record_copy_tag), RECORD_COPIES - 1);
    cr_assert_eq(net.unhurried_count, RECORD_COPIES - RECORD_ACKNOWLEDGED_COPIES,
                 "only two disks are waited for");
    cr_assert_eq(get(asker, 3, &service)->outcome, OVERLAY_OK);
    cr_assert_leq(sent(minga_Message_record_get_tag), 1);
    end_network();
}

/* The responsible node itself, and one that hands it on unchecked. */
Test(records, what_its_owner_has_not_signed_is_refused_wherever_it_is_put)
{
    struct service_id service = service_of(1, "wiki");
    uint8_t encoded[3328];
    size_t length;

    make_members(5);
    run_for(3000);
    length = make_record(1, "wiki", 1, "a", encoded);
    encoded[length - 1] ^= 1; /* of the signature, which comes last */
    for (uint32_t i = 0; i < 5; i++) {
        struct overlay_event now = now_event();

        overlay_record_put(net.nodes[i].overlay, &now, 1, (struct bytes){encoded, length},
                           &net.nodes[i].effects);
        perform(i);
        run_for(1000);
        cr_assert(net.nodes[i].done[1].ended);
        cr_assert_eq(net.nodes[i].done[1].outcome, OVERLAY_REFUSED);
    }
    cr_assert_eq(count_copies(&service), 0);
    end_network();
}
