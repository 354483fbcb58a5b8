// SPDX-License-Identifier: GPL-3.0-or-later
/* A member that has others send, keep and compare chunks without end, or answers for none. */
#include "offers.h"
#include "overlay/state.h"

enum { COUNT = 5, GREEDY = 1, VICTIM = 0, THIRD = 2 };

static uint32_t served_count[COUNT]; /* questions of each that were answered with data */
static uint64_t walked_count;        /* chunks that were looked at for the greedy one, at least */
static uint32_t silent;              /* answers questions for chunks to nobody */

/* Requests are numbered by who asks. */
static void watch(uint32_t from, minga_Message *message)
{
    if (from == VICTIM && message->which_kind == minga_Message_chunk_data_tag && message->reply &&
        message->request < COUNT) {
        served_count[message->request]++;
    }
    if (from == VICTIM && message->which_kind == minga_Message_chunk_ranges_reply_tag &&
        message->request == GREEDY) {
        for (pb_size_t i = 0; i < message->kind.chunk_ranges_reply.parts_count; i++) {
            walked_count += 2 * (uint64_t)message->kind.chunk_ranges_reply.parts[i].count;
        }
    }
    if (from == silent && silent != VICTIM && message->reply &&
        message->which_kind == minga_Message_chunk_data_tag) {
        message->request = UINT64_MAX; /* nobody waits for that */
    }
}

static void make_greedy(void)
{
    make_members(COUNT);
    run_for(5000);
    cr_assert(all_agree());
    cr_assert_neq(net.nodes[GREEDY].links[VICTIM], 0, "it has dialled");
    cr_assert_neq(net.nodes[THIRD].links[VICTIM], 0, "it has dialled");
    net.lie = watch;
}

/* ------------------------------------------------------------------ asking */

static void ask_for(uint32_t asker, const struct chunk_id *chunk, uint32_t times)
{
    minga_Message message;

    for (uint32_t i = 0; i < times; i++) {
        message_init(&message, minga_Message_chunk_get_tag);
        message.request = asker;
        message_put_id(message.kind.chunk_get.chunk, &chunk->id);
        say_to(asker, VICTIM, &message);
    }
}

Test(greedy_chunks, who_asks_without_end_keeps_nobody_else_from_being_served)
{
    struct chunk_id chunk;

    make_greedy();
    chunk = keep_text(VICTIM, "a chunk");
    for (uint32_t i = 0; i < 20; i++) {
        ask_for(GREEDY, &chunk, 40);
        run_for(50);
        ask_for(THIRD, &chunk, 2);
        run_for(52);
    }
    cr_assert_eq(served_count[THIRD], 40, "%u of 40", served_count[THIRD]);
    cr_assert_geq(served_count[GREEDY], 20 * 16 - 16, "nobody needed more: %u",
                  served_count[GREEDY]);
    served_count[THIRD] = 0;
    for (uint32_t i = 0; i < 20; i++) {
        ask_for(GREEDY, &chunk, 40);
        run_for(50);
        ask_for(THIRD, &chunk, 40);
        run_for(52);
    }
    cr_assert_geq(served_count[THIRD], 20 * 8 - 16, "half: %u", served_count[THIRD]);
    end_network();
}

/* ------------------------------------------------------------------ offering */

/* Offers until it is told to wait, and sends nothing. */
static uint32_t offer_much(uint32_t bytes)
{
    char text[32];
    uint32_t count = 0;

    while (snprintf(text, sizeof(text), "offered %u", count) > 0 &&
           judge_sized(VICTIM, GREEDY, text, false, bytes) == minga_ChunkAnswer_CHUNK_SEND) {
        count++;
    }
    return count;
}

static void expect_room_for_another(void)
{
    cr_assert_eq(judge(VICTIM, THIRD, "a third one's", false), minga_ChunkAnswer_CHUNK_BUSY,
                 "not full: it shall come back");
    run_for(5100);
    cr_assert_eq(judge(VICTIM, THIRD, "a third one's", false), minga_ChunkAnswer_CHUNK_SEND);
    cr_assert_eq(judge(VICTIM, GREEDY, "one more", false), minga_ChunkAnswer_CHUNK_BUSY,
                 "it has more than its part");
}

Test(greedy_chunks, offers_without_data_hold_up_others_for_seconds_only)
{
    make_greedy();
    cr_assert_eq(offer_much(10), CHUNK_PUTS_MAX, "alone it may");
    expect_room_for_another();
    end_network();
}

Test(greedy_chunks, promised_room_without_data_holds_up_others_for_seconds_only)
{
    struct chunks *chunks;

    make_greedy();
    chunks = &net.nodes[VICTIM].overlay->chunks;
    chunks->bytes_max = chunks->cost_bytes + chunk_cost_bytes(CHUNK_BYTES_MAX) * 4 + 2000;
    cr_assert_geq(offer_much(CHUNK_BYTES_MAX), 3);
    (void)judge(VICTIM, GREEDY, "a little more", false);
    chunks->bytes_max = chunks->cost_bytes + storage_promised(net.nodes[VICTIM].overlay).cost_bytes;
    expect_room_for_another();
    end_network();
}

/* ------------------------------------------------------------------ comparing */

static void ask_ranges(uint32_t ranges)
{
    minga_Message message;

    message_init(&message, minga_Message_chunk_ranges_tag);
    message.request = GREEDY;
    message.kind.chunk_ranges.ranges_count = (pb_size_t)ranges; /* all of the ring */
    for (uint32_t i = 0; i < ranges; i++) {
        message.kind.chunk_ranges.ranges[i].sum = 1;
    }
    say_to(GREEDY, VICTIM, &message);
}

static void fill_table(uint32_t count)
{
    struct chunks *chunks = &net.nodes[VICTIM].overlay->chunks;

    for (uint32_t i = 0; i < count; i++) {
        struct chunk_id id = {
            hash_of("minga test", (struct bytes){(const uint8_t *)&i, sizeof(i)})};

        cr_assert_eq(chunks_add(chunks, &id, 1), 0);
    }
}

Test(greedy_chunks, small_questions_for_fingerprints_walk_the_table_a_bounded_number_of_times)
{
    uint32_t count = CHUNKS_MAX / 2;

    make_greedy();
    fill_table(count);
    ask_ranges(8);
    run_for(2);
    cr_assert_leq(walked_count, 2 * (uint64_t)count, "ranges that overlap are not answered");
    walked_count = 0;
    for (uint32_t i = 0; i < 400; i++) {
        ask_ranges(1);
        run_for(1);
    }
    cr_assert_geq(walked_count, 8 * (uint64_t)count, "some are");
    cr_assert_leq(walked_count, 24 * (uint64_t)count, "%lu walks",
                  (unsigned long)(walked_count / count));
    end_network();
}

/* ------------------------------------------------------------------ keeping silent */

enum { PUSHED = 40, FETCHER = 4 };

/* It answers pings at once: who is near is asked first. */
static void seem_near(uint32_t node)
{
    struct membership *membership = &net.nodes[FETCHER].overlay->membership;
    int index = membership_find(membership, &net.nodes[node].overlay->self);

    cr_assert_neq(index, MEMBER_NONE);
    membership->list[index].rtt = (struct rtt){.is_known = true, .smoothed_eighth_ms = 1};
}

Test(greedy_chunks, a_holder_that_sends_nothing_costs_its_silence_once)
{
    struct chunk_id chunks[PUSHED];
    uint32_t fetched_count = 0;
    uint64_t began_ms;

    make_greedy();
    for (uint32_t i = 0; i < PUSHED; i++) {
        struct overlay_event now;
        char text[32];

        snprintf(text, sizeof(text), "chunk number %u", i);
        chunks[i] = keep_text(0, text);
        net.nodes[0].done[1] = (struct done){0};
        now = now_event();
        overlay_chunk_put(net.nodes[0].overlay, &now, 1,
                          &(struct overlay_spread){.chunk = chunks[i]}, &net.nodes[0].effects);
        perform(0);
        run_for(100);
    }
    silent = GREEDY;
    began_ms = net.now_ms;
    for (uint32_t i = 0; i < PUSHED; i++) {
        struct overlay_event now = now_event();
        struct done *done = &net.nodes[FETCHER].done[1];

        if (overlay_has_chunk(net.nodes[FETCHER].overlay, &chunks[i])) {
            continue;
        }
        fetched_count++;
        *done = (struct done){0};
        seem_near(GREEDY);
        overlay_chunk_get(net.nodes[FETCHER].overlay, &now, 1,
                          &(struct overlay_wanted){.chunk = chunks[i]},
                          &net.nodes[FETCHER].effects);
        perform(FETCHER);
        for (uint32_t k = 0; k < 1000 && !done->ended; k++) {
            run_for(50);
        }
        cr_assert_eq(done->outcome, OVERLAY_OK, "%s", done->reason);
    }
    cr_assert_geq(fetched_count, 8);
    cr_assert_leq(net.now_ms - began_ms, 10000, "%u took %lu ms", fetched_count,
                  (unsigned long)(net.now_ms - began_ms));
    end_network();
}
