// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The question to the keeper in short. Almost always nothing has changed since the last exchange:
 * what the keeper confirmed then is not named again, but its sum alone, and an answer that agrees
 * names nothing either. Where the sums differ the answer says everything but the list, and the asker
 * asks again in full at once.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "overlay/message.h"

struct calm { /* what both sides knew after the last exchange */
    bool used;
    struct node_id keeper;
    uint32_t digest;
    uint32_t version; /* of the asker's predecessors */
    uint32_t known;   /* of the keeper's successors */
};

/* Says the sum in place of what the keeper has confirmed, if that is still so. */
void calm_shorten(const struct calm *calm, const struct node_id *to, minga_Stabilise *question);
/* Answers a question in short: `reply` says digest, told and version, and stays so, or, where the sum
 * is the same, empty of them. Returns whether it is. */
bool calm_answer(uint32_t sum, minga_StabiliseReply *reply);
/* Puts back into question and reply what was left out of them. False: that is not known any more. */
bool calm_restore(const struct calm *calm, minga_Stabilise *question, minga_StabiliseReply *reply);
/* After an exchange, both in full. */
void calm_learn(struct calm *calm, const struct node_id *from, const minga_Stabilise *question,
                const minga_StabiliseReply *reply);
