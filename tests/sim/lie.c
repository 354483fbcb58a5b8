// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/lie.h"

#include <pb_common.h>
#include <string.h>

#include "overlay/signed.h"
#include "tests/sim/world.h"

enum { DEPTH_MAX = 4, LEAVES_MAX = 256, AGENTS_IN_8 = 6 };

struct lie { /* walks over the fields; changes the one whose turn it is */
    const struct world *world;
    uint64_t drawn;
    uint32_t
        depth_min; /* fields above it stay: a message is of its kind, and answers its question */
    uint32_t leaf_count;
    uint32_t turn; /* LEAVES_MAX: only counts */
};

static void other_number(struct lie *lie, const pb_field_iter_t *field, void *data)
{
    uint64_t number = 0;
    uint64_t drawn = lie->drawn >> 32;

    memcpy(&number, data, field->data_size); /* little-endian, as all that this runs on */
    /* Counters that others go on from, and that end: what is the last one? What is believable? */
    const uint64_t choices[] = {0,
                                1,
                                lie->drawn % 16,
                                lie->drawn % 100000,
                                lie->drawn,
                                UINT64_MAX,
                                ((uint64_t)1 << 48) - 1,
                                (uint64_t)1 << 48,
                                number + (1U << 20)};

    switch (drawn % 4) {
    case 0:
        number++;
        break;
    case 1:
        number--;
        break;
    case 2:
        number += 1000;
        break;
    default:
        number = choices[drawn / 4 % (sizeof(choices) / sizeof(choices[0]))];
        break;
    }
    memcpy(data, &number, field->data_size);
}

/* An id or a key: another member's, mostly. */
static void other_fixed(struct lie *lie, const pb_field_iter_t *field, pb_byte_t *data)
{
    uint64_t drawn = lie->drawn >> 24;
    const struct sim_node *other = &lie->world->nodes[drawn % lie->world->node_count];

    if (field->data_size == ID_BYTES && drawn / 256 % 8 != 0) {
        memcpy(data, drawn / 256 % 8 < 6 ? other->id.id.bytes : other->key.bytes, ID_BYTES);
    } else if (drawn / 4096 % 2 == 0) {
        memset(data, 0, field->data_size);
    } else {
        data[drawn % field->data_size] ^= (pb_byte_t)(1 + drawn / 4096 % 255);
    }
}

static void other_bytes(struct lie *lie, pb_bytes_array_t *bytes)
{
    uint64_t drawn = lie->drawn >> 16;

    if (bytes->size == 0) {
        return;
    }
    if (drawn % 4 == 0) {
        bytes->size = (pb_size_t)(drawn / 4 % bytes->size);
    } else {
        bytes->bytes[drawn / 4 % bytes->size] ^= (pb_byte_t)(1 + drawn / 65536 % 255);
    }
}

static void change_leaf(struct lie *lie, const pb_field_iter_t *field, void *data)
{
    switch (PB_LTYPE(field->type)) {
    case PB_LTYPE_BOOL:
        *(bool *)data = !*(bool *)data;
        break;
    case PB_LTYPE_VARINT:
    case PB_LTYPE_UVARINT:
    case PB_LTYPE_SVARINT:
    case PB_LTYPE_FIXED32:
    case PB_LTYPE_FIXED64:
        other_number(lie, field, data);
        break;
    case PB_LTYPE_BYTES:
        other_bytes(lie, data);
        break;
    case PB_LTYPE_FIXED_LENGTH_BYTES:
        other_fixed(lie, field, data);
        break;
    case PB_LTYPE_STRING:
        *(char *)data = '\0';
        break;
    default:
        break;
    }
}

static bool is_its_turn(struct lie *lie)
{
    return lie->leaf_count++ == lie->turn;
}

static bool is_there(const pb_field_iter_t *field)
{
    return PB_HTYPE(field->type) != PB_HTYPE_ONEOF || *(pb_size_t *)field->pSize == field->tag;
}

static uint32_t item_count(const pb_field_iter_t *field)
{
    return PB_HTYPE(field->type) == PB_HTYPE_REPEATED ? *(pb_size_t *)field->pSize : 1;
}

/* A list may be shorter than it ought, or say its first element again at its end. */
static void change_list(struct lie *lie, const pb_field_iter_t *field)
{
    pb_size_t *count = field->pSize;
    pb_byte_t *items = field->pData;

    if (PB_HTYPE(field->type) != PB_HTYPE_REPEATED || *count == 0 || !is_its_turn(lie)) {
        return;
    }
    if (lie->drawn % 2 == 0 || *count >= field->array_size) {
        *count = (pb_size_t)(lie->drawn / 2 % *count);
    } else {
        memcpy(items + (size_t)*count * field->data_size, items, field->data_size);
        (*count)++;
    }
}

static void begin_walk(pb_field_iter_t *field, const pb_msgdesc_t *described, void *data)
{
    if (!pb_field_iter_begin(field, described, data)) {
        field->pData = NULL; /* a message without fields */
    }
}

/* No recursion: the way down is an array. */
static void walk(struct lie *lie, const pb_msgdesc_t *described, void *message)
{
    pb_field_iter_t way[DEPTH_MAX];
    uint32_t items[DEPTH_MAX] = {0};
    uint32_t depth = 0;

    begin_walk(&way[0], described, message);
    for (;;) {
        pb_field_iter_t *field = &way[depth];
        bool goes_down = PB_LTYPE_IS_SUBMSG(field->type) && depth + 1 < DEPTH_MAX;
        bool is_over = field->pData == NULL || !is_there(field) ||
                       items[depth] >= item_count(field) || lie->leaf_count >= LEAVES_MAX;

        if (!is_over) {
            pb_byte_t *item = (pb_byte_t *)field->pData + (size_t)items[depth] * field->data_size;

            items[depth]++;
            if (goes_down) {
                depth++;
                items[depth] = 0;
                begin_walk(&way[depth], field->submsg_desc, item);
            } else if (depth >= lie->depth_min && is_its_turn(lie)) {
                change_leaf(lie, field, item);
            }
            continue;
        }
        if (field->pData != NULL && is_there(field)) {
            change_list(lie, field);
        }
        items[depth] = 0;
        if (field->pData != NULL && pb_field_iter_next(field)) {
            continue;
        }
        if (depth-- == 0) {
            return;
        }
    }
}

struct tale { /* what a lie is told in */
    const struct world *world;
    uint32_t node;
    uint64_t number;
    uint64_t drawn;
};

/* Changes one or two fields of it. */
static void tell(const struct tale *tale, const pb_msgdesc_t *described, uint32_t depth_min,
                 void *message)
{
    struct lie counting = {.world = tale->world, .depth_min = depth_min, .turn = LEAVES_MAX};

    walk(&counting, described, message);
    for (uint64_t i = 0; i <= tale->drawn % 2 && counting.leaf_count > 0; i++) {
        struct lie lie = {.world = tale->world, .depth_min = depth_min};

        lie.drawn = world_draw(tale->world, "lie", tale->node, tale->number << 1 | i);
        lie.turn = (uint32_t)(tale->drawn >> (8 + 16 * i)) % counting.leaf_count;
        walk(&lie, described, message);
    }
}

/* A manager's record in its own name: it may sign what it likes. */
static bool tell_record(const struct tale *tale, pb_byte_t *bytes, pb_size_t *size, size_t size_max)
{
    const struct sim_node *liar = &tale->world->nodes[tale->node];
    minga_Signed sealed = minga_Signed_init_zero;
    minga_Manager record;
    int length_bytes;

    if (*size == 0 || signed_decode((struct bytes){bytes, *size}, &sealed) != 0 ||
        signed_open(&sealed, PURPOSE_MANAGER, minga_Manager_fields, &record) != 0 ||
        memcmp(record.node, liar->id.id.bytes, ID_BYTES) != 0) {
        return false;
    }
    tell(tale, minga_Manager_fields, 0, &record);
    if (signed_make(minga_Manager_fields, &record, PURPOSE_MANAGER, &liar->secret, &sealed) != 0) {
        return false;
    }
    length_bytes = signed_encode(&sealed, bytes, size_max);
    *size = length_bytes > 0 ? (pb_size_t)length_bytes : *size;
    return true;
}

/* Of an admission that is told the date, countersigned by the liar itself: as it likes, though signed. */
static bool tell_admission(const struct tale *tale, minga_Item *item)
{
    const struct sim_node *liar = &tale->world->nodes[tale->node];
    minga_Signed sealed = minga_Signed_init_zero;
    minga_Countersigned body = minga_Countersigned_init_zero;
    uint64_t drawn = tale->drawn >> 32;
    int length_bytes;

    if (item->kind != minga_ItemKind_ITEM_ADMISSION || drawn % 4 == 0 ||
        signed_decode((struct bytes){item->content.bytes, item->content.size}, &sealed) != 0 ||
        signed_open(&sealed, PURPOSE_COUNTERSIGNATURE, minga_Countersigned_fields, &body) != 0) {
        return false;
    }
    body.admitted_unix_s = drawn % 4 == 1 ? 1 : body.admitted_unix_s - drawn / 4 % 400;
    if (signed_make(minga_Countersigned_fields, &body, PURPOSE_COUNTERSIGNATURE, &liar->secret,
                    &sealed) != 0) {
        return false;
    }
    length_bytes = signed_encode(&sealed, item->content.bytes, sizeof(item->content.bytes));
    item->content.size = length_bytes > 0 ? (pb_size_t)length_bytes : item->content.size;
    return true;
}

/* What agents say to each other is opaque to the overlay, and the schema describes it as well. */
static bool tell_agents(const struct tale *tale, minga_Payload *payload)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_SaveManager *save = &message.body.save_manager;
    minga_FetchReply *fetched = &message.body.fetch_reply;
    uint8_t bytes[PAYLOAD_BYTES_MAX];
    bool is_told = false;
    int length_bytes;

    if ((tale->drawn >> 40) % 8 >= AGENTS_IN_8 ||
        signed_decode_body(minga_AgentMessage_fields,
                           (struct bytes){payload->bytes.bytes, payload->bytes.size},
                           &message) != 0) {
        return false;
    }
    if (message.which_body == minga_AgentMessage_save_manager_tag) {
        is_told =
            tell_record(tale, save->record.bytes, &save->record.size, sizeof(save->record.bytes));
    } else if (message.which_body == minga_AgentMessage_fetch_reply_tag) {
        is_told = tell_record(tale, fetched->record.bytes, &fetched->record.size,
                              sizeof(fetched->record.bytes));
    }
    if (!is_told) {
        tell(tale, minga_AgentMessage_fields, 1, &message);
    }
    length_bytes = signed_encode_body(minga_AgentMessage_fields, &message, bytes, sizeof(bytes));
    if (length_bytes <= 0) {
        return false;
    }
    memcpy(payload->bytes.bytes, bytes, (size_t)length_bytes);
    payload->bytes.size = (pb_size_t)length_bytes;
    return true;
}

static minga_Payload *payload_of(minga_Message *message)
{
    switch (message->which_kind) {
    case minga_Message_ask_tag:
        return &message->kind.ask.payload;
    case minga_Message_route_tag:
        return &message->kind.route.payload;
    case minga_Message_answer_tag:
        return &message->kind.answer.payload;
    default:
        return NULL;
    }
}

void lie_about(const struct world *world, uint32_t node, uint64_t number, minga_Message *message)
{
    struct tale tale = {world, node, number,
                        world_draw(world, "what a lie is about", node, number)};
    minga_Payload *payload = payload_of(message);

    if (message->which_kind == minga_Message_item_tag &&
        tell_admission(&tale, &message->kind.item)) {
        return;
    }
    if (payload == NULL || !tell_agents(&tale, payload)) {
        tell(&tale, minga_Message_fields, 1, message);
    }
}
