// SPDX-License-Identifier: GPL-3.0-or-later
/* A node whose own disk takes, or gives, nothing: others' disks are as good. */
#include "offers.h"
#include "owners.h"

static uint32_t count_holders(const struct chunk_id *chunk)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += net.nodes[i].running && overlay_has_chunk(net.nodes[i].overlay, chunk);
    }
    return count;
}

/* As keep_text, but the own disk does not take it: it is in memory only. */
static const struct done *spread_carried(uint32_t index, uint64_t token, const char *text,
                                         struct chunk_id *chunk_out)
{
    struct node *node = &net.nodes[index];
    struct kept_chunk *chunk = &node->chunks[node->chunk_count++];
    struct overlay_event now = now_event();
    struct overlay_spread wanted = {.carried_bytes = (uint32_t)strlen(text)};

    chunk->length_bytes = strlen(text);
    memcpy(chunk->bytes, text, strlen(text));
    chunk->id = (struct chunk_id){hash_of(HASH_CHUNK, bytes_of_text(text))};
    wanted.chunk = chunk->id;
    overlay_chunk_put(node->overlay, &now, token, &wanted, &node->effects);
    perform(index);
    run_for(500);
    cr_assert(node->done[token].ended);
    *chunk_out = chunk->id;
    return &node->done[token];
}

Test(own_disk, what_the_own_disk_does_not_take_goes_to_as_many_others)
{
    struct chunk_id chunk;
    char text[32];

    make_members(6);
    run_for(3000);
    net.nodes[2].disk_full = true;
    for (uint32_t i = 0; i < 12; i++) { /* of some of them the node is a home */
        const struct done *done;

        snprintf(text, sizeof(text), "chunk number %u", i);
        done = spread_carried(2, 1 + i, text, &chunk);
        cr_assert_eq(done->outcome, OVERLAY_OK, "%s", done->reason);
        cr_assert_eq(done->copies, CHUNK_COPIES);
        cr_assert_eq(count_holders(&chunk), CHUNK_COPIES);
        cr_assert(!overlay_has_chunk(net.nodes[2].overlay, &chunk));
    }
    end_network();
}

Test(own_disk, where_only_the_own_disk_is_lacking_a_push_goes_to_those_that_there_are)
{
    const struct done *done;
    struct chunk_id chunk;

    make_members(3);
    run_for(3000);
    net.nodes[1].disk_full = true;
    done = spread_carried(1, 1, "a chunk", &chunk);
    cr_assert_eq(done->outcome, OVERLAY_OK, "%s", done->reason);
    cr_assert_eq(done->copies, 2);
    cr_assert_eq(count_holders(&chunk), 2);
    net.nodes[0].side = 1;
    run_for(20000); /* alone with one other */
    done = spread_carried(1, 2, "another chunk", &chunk);
    cr_assert_eq(done->outcome, OVERLAY_OK, "%s", done->reason);
    cr_assert_eq(done->copies, 1);
    cr_assert_eq(count_holders(&chunk), 1);
    net.nodes[1].disk_full = false;
    run_for(20 * 60000); /* it has a disk again, and a place for it */
    cr_assert_eq(count_holders(&chunk), 2, "nobody brings it");
    end_network();
}

Test(own_disk, where_no_disk_takes_it_a_push_fails)
{
    const struct done *done;
    struct chunk_id chunk;

    make_members(2);
    run_for(3000);
    net.nodes[0].disk_full = true;
    net.nodes[1].disk_full = true;
    done = spread_carried(1, 1, "a chunk", &chunk);
    cr_assert_neq(done->outcome, OVERLAY_OK);
    cr_assert_eq(count_holders(&chunk), 0);
    end_network();
}

Test(own_disk, a_push_ends_at_once_when_the_own_disk_gives_nothing)
{
    struct overlay_event read = {.kind = OVERLAY_CHUNK_READ, .outcome = OVERLAY_CHUNK_REFUSED};
    struct overlay_event now;

    make_members(5);
    run_for(3000);
    read.chunk = keep_text(2, "a chunk");
    now = now_event();
    overlay_chunk_put(net.nodes[2].overlay, &now, 1, &(struct overlay_spread){.chunk = read.chunk},
                      &net.nodes[2].effects);
    perform(2);
    cr_assert(!net.nodes[2].done[1].ended);
    now = now_event();
    read.now_ms = now.now_ms;
    read.wall_unix_s = now.wall_unix_s;
    overlay_step(net.nodes[2].overlay, &read, &net.nodes[2].effects);
    perform(2);
    cr_assert(net.nodes[2].done[1].ended);
    cr_assert_eq(net.nodes[2].done[1].outcome, OVERLAY_FAILED);
    run_for(60000); /* late answers go nowhere */
    end_network();
}

static void tell_written(uint32_t index, const struct chunk_id *chunk,
                         enum overlay_chunk_outcome outcome, bool was_there)
{
    struct overlay_event event = now_event();

    event.kind = OVERLAY_CHUNK_STORED;
    event.chunk = *chunk;
    event.chunk_bytes = strlen("a chunk");
    event.outcome = outcome;
    event.was_there = was_there;
    overlay_step(net.nodes[index].overlay, &event, &net.nodes[index].effects);
    perform(index);
}

Test(own_disk, what_was_there_already_says_nothing_about_the_disk)
{
    struct chunk_id chunk;

    make_members(2);
    chunk = keep_text(1, "a chunk");
    tell_written(1, &chunk, OVERLAY_CHUNK_REFUSED, false);
    tell_written(1, &chunk, OVERLAY_CHUNK_OK, true);
    cr_assert_eq(judge(1, 0, "another chunk", true), minga_ChunkAnswer_CHUNK_FULL);
    tell_written(1, &chunk, OVERLAY_CHUNK_OK, false);
    cr_assert_eq(judge(1, 0, "another chunk", true), minga_ChunkAnswer_CHUNK_SEND);
    end_network();
}

Test(own_disk, while_it_is_tried_again_others_are_told_to_wait)
{
    struct chunk_id chunk;

    make_members(2);
    chunk = keep_text(1, "a chunk");
    tell_written(1, &chunk, OVERLAY_CHUNK_REFUSED, false);
    cr_assert_eq(judge(1, 0, "another chunk", true), minga_ChunkAnswer_CHUNK_FULL);
    run_for(REFUSED_MS);
    cr_assert_eq(judge(1, 0, "another chunk", true), minga_ChunkAnswer_CHUNK_SEND);
    cr_assert_eq(judge(1, 0, "a third one", true), minga_ChunkAnswer_CHUNK_BUSY);
    cr_assert_eq(judge(1, 0, "a fourth one", false), minga_ChunkAnswer_CHUNK_BUSY);
    tell_written(1, &chunk, OVERLAY_CHUNK_OK, false);
    cr_assert_eq(judge(1, 0, "a third one", true), minga_ChunkAnswer_CHUNK_SEND);
    end_network();
}

Test(own_disk, what_only_other_disks_have_stands_with_the_responsible_node_at_once)
{
    struct service_id service = service_of(1, "wiki");
    struct ring_key key = {service.id};
    struct node_id holder;
    uint32_t responsible;

    make_members(5);
    run_for(60000); /* it has compared everything with all others, and asks none of them */
    overlay_replica_set(net.nodes[0].overlay, &key, 1, &holder);
    responsible = (uint32_t)find_node(&holder);
    cr_assert_eq(put(1, 1, 1, "wiki", 1, "a")->outcome, OVERLAY_OK);
    net.nodes[responsible].disk_full = true;
    cr_assert_eq(put(1, 2, 1, "wiki", 2, "b")->outcome, OVERLAY_OK);
    for (uint32_t i = 0; i < 5; i++) {
        const struct done *done = get(i, 3, &service);
        struct record record;

        cr_assert_eq(done->outcome, OVERLAY_OK);
        cr_assert_eq(record_glance((struct bytes){done->bytes, done->length_bytes}, &record), 0);
        cr_assert_eq(record.sequence, 2, "node %u reads an older one", i);
    }
    cr_assert_eq(put(2, 4, 1, "wiki", 3, "c")->outcome, OVERLAY_OK);
    end_network();
}
