// SPDX-License-Identifier: GPL-3.0-or-later
/* A member that has others send chunks without end. */
#include "offers.h"
#include "overlay/state.h"

enum { COUNT = 5, GREEDY = 1, VICTIM = 0, THIRD = 2 };

static uint32_t served_count[COUNT]; /* questions of each that were answered with data */

/* Requests are numbered by who asks. */
static void watch(uint32_t from, minga_Message *message)
{
    if (from == VICTIM && message->which_kind == minga_Message_chunk_data_tag && message->reply &&
        message->request < COUNT) {
        served_count[message->request]++;
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
