// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring/calm.h"

/* FNV-1a. Not 0, which stands for a question in full. */
static uint32_t sum_of(uint32_t digest, uint32_t version, uint32_t known)
{
    const uint32_t words[] = {digest, version, known};
    uint32_t sum = 2166136261U;

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            sum = (sum ^ (words[i] >> shift & 0xff)) * 16777619U;
        }
    }
    return sum == 0 ? 1 : sum;
}

/* Who joins, has lost its lease, or names its predecessors, says all. */
void calm_shorten(const struct calm *calm, const struct node_id *to, minga_Stabilise *question)
{
    if (!calm->used || !id_equal(&calm->keeper.id, &to->id) || question->joining ||
        question->lapsed || question->predecessors_count > 0 || question->digest != calm->digest ||
        question->version != calm->version || question->known != calm->known) {
        return;
    }
    question->sum = sum_of(calm->digest, calm->version, calm->known);
    question->digest = 0;
    question->version = 0;
    question->known = 0;
}

static bool is_plain(const minga_StabiliseReply *reply)
{
    return reply->verdict == minga_LeaseAnswer_LEASE_GRANTED && reply->from.size == 0;
}

bool calm_answer(uint32_t sum, minga_StabiliseReply *reply)
{
    if (!is_plain(reply) || sum != sum_of(reply->digest, reply->told, reply->version)) {
        return false;
    }
    reply->digest = 0;
    reply->told = 0;
    reply->version = 0;
    return true;
}

bool calm_restore(const struct calm *calm, minga_Stabilise *question, minga_StabiliseReply *reply)
{
    if (question->sum == 0) {
        return true;
    }
    if (!calm->used || question->sum != sum_of(calm->digest, calm->version, calm->known)) {
        return false;
    }
    question->digest = calm->digest;
    question->version = calm->version;
    question->known = calm->known;
    if (is_plain(reply) && reply->version == 0) { /* no list has that name: it agrees */
        reply->told = calm->version;
        reply->version = calm->known;
    }
    return true;
}

void calm_learn(struct calm *calm, const struct node_id *from, const minga_Stabilise *question,
                const minga_StabiliseReply *reply)
{
    calm->used = is_plain(reply) && reply->told == question->version &&
                 reply->version == question->known && question->known != 0 &&
                 (reply->digest == 0 || reply->digest == question->digest);
    calm->keeper = *from;
    calm->digest = question->digest;
    calm->version = question->version;
    calm->known = question->known;
}
