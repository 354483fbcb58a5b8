// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What a node says to a chunk that another one offers. */
#include "network.h"
#include "overlay/state.h"

/* `bytes` are what it says. */
HELPER minga_ChunkAnswer judge_sized(uint32_t index, uint32_t by, const char *text, bool is_repair,
                                     uint32_t bytes)
{
    struct overlay *overlay = net.nodes[index].overlay;
    struct id id = hash_of(HASH_CHUNK, bytes_of_text(text));
    struct overlay_event now = now_event();
    minga_Message message;
    minga_ChunkOffer offer = minga_ChunkOffer_init_zero;
    struct arrival arrival = {.message = &message, .asker.node = net.nodes[by].id};
    minga_ChunkAnswer answer;

    message_init(&message, minga_Message_chunk_offers_tag);
    message_put_id(offer.chunk, &id);
    offer.bytes = bytes;
    offer.repair = is_repair;
    state_enter(overlay, now.now_ms, now.wall_unix_s, &net.nodes[index].effects);
    answer = chunk_receive_judge(overlay, &arrival, &offer);
    state_leave(overlay);
    perform(index);
    return answer;
}

HELPER minga_ChunkAnswer judge(uint32_t index, uint32_t by, const char *text, bool is_repair)
{
    return judge_sized(index, by, text, is_repair, (uint32_t)strlen(text));
}
