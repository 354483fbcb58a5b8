// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/liar.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "overlay/message.h"
#include "tests/sim/lie.h"
#include "tests/sim/network_internal.h"
#include "tests/sim/papers.h"

void liar_free(struct liar *liar)
{
    for (uint32_t i = 0; liar != NULL && i < LIAR_KEPT_MAX; i++) {
        free(liar->kept[i].bytes);
    }
    free(liar);
}

struct liar *liar_of(struct world *world, uint32_t node)
{
    struct sim_node *liar = &world->nodes[node];

    if (liar->liar == NULL) {
        liar->liar = calloc(1, sizeof(*liar->liar));
        CHECK(liar->liar != NULL);
    }
    return liar->liar;
}

static bool happens(struct world *world, uint32_t node, const char *purpose, uint32_t permille)
{
    return permille != 0 &&
           world_draw(world, purpose, node, world->nodes[node].liar->number) % 1000 < permille;
}

/* ------------------------------------------------------------------ saying something else */

/* The same packet with another message, or as it was when that does not fit. */
static struct packet *reworded(struct packet *packet, const minga_Message *message)
{
    struct packet *other = malloc(sizeof(*other) + MESSAGE_BYTES_MAX);
    int length_bytes;

    CHECK(other != NULL);
    length_bytes = message_encode(message, other->message, MESSAGE_BYTES_MAX);
    if (length_bytes <= 0) {
        free(other);
        return packet;
    }
    memcpy(other, packet, sizeof(*other)); /* the flexible part is the new message */
    other->length_bytes = (uint32_t)length_bytes;
    free(packet);
    return other;
}

static bool is_about_ring(pb_size_t kind)
{
    return kind == minga_Message_stabilise_tag || kind == minga_Message_stabilise_reply_tag ||
           kind == minga_Message_lookup_reply_tag;
}

static bool is_about_data(pb_size_t kind)
{
    return kind == minga_Message_record_reply_tag || kind == minga_Message_record_copy_tag ||
           kind == minga_Message_record_put_tag || kind == minga_Message_chunk_data_tag;
}

/* Instead of data: there is none. */
static void keep_back(minga_Message *message)
{
    if (message->which_kind == minga_Message_record_reply_tag) {
        message->kind.record_reply.record.size = 0;
    } else if (message->which_kind == minga_Message_chunk_data_tag) {
        minga_ChunkAbsent absent = minga_ChunkAbsent_init_zero;

        memcpy(absent.chunk, message->kind.chunk_data.chunk, sizeof(absent.chunk));
        message->which_kind = minga_Message_chunk_absent_tag;
        message->kind.chunk_absent = absent;
    }
}

static struct packet *withhold(struct packet *packet, minga_Message *message)
{
    if (message->which_kind != minga_Message_record_reply_tag &&
        message->which_kind != minga_Message_chunk_data_tag) {
        free(packet);
        return NULL;
    }
    keep_back(message);
    packet->has_chunk = false;
    return reworded(packet, message);
}

static struct packet *change(struct world *world, uint32_t node, struct packet *packet,
                             minga_Message *message)
{
    if (message->which_kind == minga_Message_chunk_data_tag) {
        packet->chunk_is_other = true;
        return packet;
    }
    lie_about(world, node, world->nodes[node].liar->number, message);
    return reworded(packet, message);
}

/* ------------------------------------------------------------------ what was said before */

static void keep(struct liar *liar, struct bytes message)
{
    struct liar_memory *memory = &liar->kept[liar->kept_count++ % LIAR_KEPT_MAX];

    if (liar->replay_permille == 0) {
        return;
    }
    free(memory->bytes);
    memory->bytes = malloc(message.length_bytes);
    CHECK(memory->bytes != NULL);
    memcpy(memory->bytes, message.data, message.length_bytes);
    memory->length_bytes = (uint32_t)message.length_bytes;
}

static void replay(struct world *world, uint32_t node, const struct packet *packet)
{
    struct liar *liar = world->nodes[node].liar;
    uint64_t drawn = world_draw(world, "replayed", node, liar->number);
    const struct liar_memory *memory = &liar->kept[drawn % LIAR_KEPT_MAX];

    if (memory->bytes != NULL) {
        network_inject(world, packet->dialler, packet->target, packet->to_dialler,
                       (struct bytes){memory->bytes, memory->length_bytes});
    }
}

/* ------------------------------------------------------------------ mouth */

struct packet *liar_sends(struct world *world, uint32_t node, struct packet *packet)
{
    struct liar *liar = world->nodes[node].liar;
    struct bytes bytes = {packet->message, packet->length_bytes};
    minga_Message message = minga_Message_init_zero;

    liar->number++;
    if (happens(world, node, "replay", liar->replay_permille)) {
        replay(world, node, packet);
    }
    keep(liar, bytes);
    if (message_decode(bytes, &message) != 0) {
        return packet;
    }
    if (is_about_data(message.which_kind)) {
        if (happens(world, node, "withhold", liar->withhold_permille)) {
            return withhold(packet, &message);
        }
        if (happens(world, node, "alter", liar->alter_permille)) {
            return change(world, node, packet, &message);
        }
    }
    if (happens(world, node, "lie", liar->lie_permille) ||
        (is_about_ring(message.which_kind) &&
         happens(world, node, "lie about the ring", liar->ring_permille))) {
        lie_about(world, node, liar->number, &message);
        return reworded(packet, &message);
    }
    return packet;
}

/* ------------------------------------------------------------------ ears */

static void answer(struct world *world, const struct packet *packet, const minga_Message *asked,
                   minga_Message *answer)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length_bytes;

    answer->request = asked->request;
    answer->reply = true;
    length_bytes = message_encode(answer, bytes, sizeof(bytes));
    CHECK(length_bytes > 0);
    if (asked->request != 0) {
        network_inject(world, packet->dialler, packet->target, !packet->to_dialler,
                       (struct bytes){bytes, (size_t)length_bytes});
    }
}

/* Says that it has it, and forgets it. */
static bool pretend_to_keep(struct world *world, const struct packet *packet,
                            const minga_Message *asked)
{
    minga_Message reply;

    if (asked->which_kind == minga_Message_record_put_tag) {
        message_init(&reply, minga_Message_record_put_reply_tag);
    } else if (asked->which_kind == minga_Message_record_copy_tag) {
        message_init(&reply, minga_Message_acknowledged_tag);
    } else if (asked->which_kind == minga_Message_chunk_offers_tag) {
        message_init(&reply, minga_Message_chunk_offers_reply_tag);
        reply.kind.chunk_offers_reply.answers_count = asked->kind.chunk_offers.offers_count;
    } else {
        return false;
    }
    answer(world, packet, asked, &reply);
    return true;
}

/* The key is mine; and there is nothing at it. */
static bool claim(struct world *world, uint32_t node, const struct packet *packet,
                  const minga_Message *asked)
{
    const struct id *self = &world->nodes[node].id.id;
    minga_Message reply;

    if (asked->which_kind == minga_Message_lookup_tag) {
        minga_LookupReply *claimed = &reply.kind.lookup_reply;

        message_init(&reply, minga_Message_lookup_reply_tag);
        message_put_id(claimed->path[claimed->path_count++], self);
        message_put_id(claimed->holders[claimed->holders_count++], self);
    } else if (asked->which_kind == minga_Message_record_get_tag) {
        message_init(&reply, minga_Message_record_reply_tag);
    } else if (asked->which_kind == minga_Message_route_tag) {
        message_init(&reply, minga_Message_answer_tag);
    } else {
        return pretend_to_keep(world, packet, asked);
    }
    answer(world, packet, asked, &reply);
    return true;
}

bool liar_receives(struct world *world, uint32_t node, const struct packet *packet)
{
    struct liar *liar = world->nodes[node].liar;
    struct bytes bytes = {packet->message, packet->length_bytes};
    minga_Message message = minga_Message_init_zero;

    liar->number++;
    keep(liar, bytes);
    if (message_decode(bytes, &message) != 0 || message.reply) {
        return false;
    }
    if (liar->claims_all && claim(world, node, packet, &message)) {
        return true;
    }
    return happens(world, node, "withhold", liar->withhold_permille) &&
           pretend_to_keep(world, packet, &message);
}

static void tell_all(struct world *world, uint32_t node, const minga_Message *message)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length_bytes = message_encode(message, bytes, sizeof(bytes));

    CHECK(length_bytes > 0);
    for (uint32_t other = 0; other < world->node_count; other++) {
        if (other != node) {
            network_inject(world, node, other, false, (struct bytes){bytes, (size_t)length_bytes});
            network_inject(world, other, node, true, (struct bytes){bytes, (size_t)length_bytes});
        }
    }
}

void liar_tells_death(struct world *world, uint32_t node, uint32_t victim)
{
    const struct core *core = world->nodes[node].core;
    const struct overlay_member *member =
        core == NULL ? NULL : overlay_member_by_id(core_overlay(core), &world->nodes[victim].id);
    minga_Message message;

    if (member == NULL) {
        return;
    }
    message_init(&message, minga_Message_item_tag);
    message.kind.item.kind = minga_ItemKind_ITEM_DEATH;
    message_put_id(message.kind.item.node, &member->node.id);
    message.kind.item.incarnation = member->record.incarnation;
    message.kind.item.flooded = true;
    tell_all(world, node, &message);
}

void liar_expels(struct world *world, uint32_t node, uint32_t victim)
{
    struct papers papers;
    minga_Message message;

    if (world->nodes[node].core == NULL) {
        return;
    }
    papers_expulsion_by(world, victim, &world->nodes[node].secret, &papers);
    message_init(&message, minga_Message_item_tag);
    message.kind.item.kind = minga_ItemKind_ITEM_EXPULSION;
    memcpy(message.kind.item.content.bytes, papers.signed_bytes, papers.signed_length_bytes);
    message.kind.item.content.size = (pb_size_t)papers.signed_length_bytes;
    message.kind.item.flooded = true;
    tell_all(world, node, &message);
}
