// SPDX-License-Identifier: GPL-3.0-or-later
/* Whose chunk is sent next. */
#include "agent/mingad/store/upload_share.h"

#include <criterion/criterion.h>

#include "transport_pair.h"

static const struct node_id nobody;

Test(upload_share, one_that_reads_nothing_leaves_room_for_a_chunk_of_each_other_one)
{
    struct upload_share share = {0};
    struct upload_asker *stuck = upload_share_begin(&share, &nobody, 1);
    struct upload_asker *other = upload_share_begin(&share, &nobody, 2);

    cr_assert_neq(stuck, other);
    cr_assert(upload_share_may_send(stuck, UPLOAD_BYTES_MAX - 1), "alone it may have all");
    atomic_store(&stuck->unsent_bytes, UPLOAD_BYTES_MAX);
    cr_assert_not(upload_share_may_send(stuck, UPLOAD_BYTES_MAX));
    cr_assert(upload_share_may_send(other, UPLOAD_BYTES_MAX));
    atomic_store(&other->unsent_bytes, 1);
    cr_assert_not(upload_share_may_send(other, UPLOAD_BYTES_MAX + 1));
    atomic_store(&other->unsent_bytes, 0);
    cr_assert_not(upload_share_may_send(other, UPLOAD_BYTES_HARD));
}

Test(upload_share, those_who_wait_take_turns)
{
    struct upload_share share = {0};
    struct upload_asker *greedy = upload_share_begin(&share, &nobody, 1);
    struct upload_asker *other;
    uint64_t last = 0;

    for (uint32_t i = 0; i < 100; i++) {
        last = upload_share_turn(&share, greedy);
    }
    share.turn = 3; /* three have gone */
    other = upload_share_begin(&share, &nobody, 2);
    cr_assert_eq(upload_share_turn(&share, other), 4, "behind one more at most");
    cr_assert_eq(upload_share_turn(&share, other), 5);
    cr_assert_eq(last, 100);
    share.turn = 200;
    cr_assert_eq(upload_share_turn(&share, other), 201, "nobody saves turns up");
}

Test(upload_share, a_place_is_free_again_when_nothing_waits_and_all_is_sent)
{
    struct upload_share share = {0};
    struct upload_asker *first = upload_share_begin(&share, &nobody, 1);

    atomic_store(&first->unsent_bytes, 1);
    upload_share_end(first);
    for (uint64_t link = 2; link <= UPLOAD_ASKERS_MAX; link++) {
        cr_assert_not_null(upload_share_begin(&share, &nobody, link));
    }
    cr_assert_null(upload_share_begin(&share, &nobody, UPLOAD_ASKERS_MAX + 1));
    cr_assert_eq(upload_share_begin(&share, &nobody, 1), first, "it has one");
    upload_share_end(first);
    atomic_store(&first->unsent_bytes, 0);
    cr_assert_eq(upload_share_begin(&share, &nobody, UPLOAD_ASKERS_MAX + 1), first);
}

Test(upload_share, what_zeromq_holds_is_counted_for_whom_it_is)
{
    struct fixture *fixture = set_up();
    struct end *from = &fixture->ends[0];
    struct upload_share share = {0};
    struct upload_asker *asker = upload_share_begin(&share, &fixture->ends[1].peer.node, 0);

    send_text(fixture, "hello"); /* chunks are for those who know each other */
    wait_for(fixture, &fixture->ends[1].received_count, 1);
    for (uint32_t i = 1; i <= 3; i++) {
        struct transport_data data = {calloc(1, CHUNK_BYTES_MAX), CHUNK_BYTES_MAX,
                                      &asker->unsent_bytes};

        transport_send(from->transport, &fixture->ends[1].peer, bytes_of_text("take"), data);
    }
    cr_assert_gt(atomic_load(&asker->unsent_bytes), 0);
    cr_assert_eq(atomic_load(&asker->unsent_bytes), transport_unsent_bytes(from->transport));
    wait_for(fixture, &fixture->ends[1].received_count, 4);
    for (int i = 0; i < 20000 && atomic_load(&asker->unsent_bytes) > 0; i++) {
        usleep(1000); /* ZeroMQ's thread frees what it has sent a moment later */
    }
    cr_assert_eq(atomic_load(&asker->unsent_bytes), 0);
    tear_down(fixture);
}
