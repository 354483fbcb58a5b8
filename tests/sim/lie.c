// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/lie.h"

#include <pb_common.h>
#include <string.h>

#include "tests/sim/world.h"

enum { DEPTH_MAX = 4, LEAVES_MAX = 256 };

struct lie { /* walks over the fields; changes the one whose turn it is */
    const struct world *world;
    uint64_t drawn;
    uint32_t leaf_count;
    uint32_t turn; /* LEAVES_MAX: only counts */
};

static void other_number(struct lie *lie, const pb_field_iter_t *field, void *data)
{
    const uint64_t choices[] = {0, 1, lie->drawn % 16, lie->drawn % 100000, lie->drawn, UINT64_MAX};
    uint64_t number = 0;
    uint64_t drawn = lie->drawn >> 32;

    memcpy(&number, data, field->data_size); /* little-endian, as all that this runs on */
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
static void walk(struct lie *lie, minga_Message *message)
{
    pb_field_iter_t way[DEPTH_MAX];
    uint32_t items[DEPTH_MAX] = {0};
    uint32_t depth = 0;

    begin_walk(&way[0], minga_Message_fields, message);
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
            } else if (depth > 0 && is_its_turn(lie)) {
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

void lie_about(const struct world *world, uint32_t node, uint64_t number, minga_Message *message)
{
    struct lie counting = {.world = world, .turn = LEAVES_MAX};
    uint64_t drawn = world_draw(world, "what a lie is about", node, number);

    walk(&counting, message);
    for (uint64_t i = 0; i <= drawn % 2 && counting.leaf_count > 0; i++) {
        struct lie lie = {.world = world, .drawn = world_draw(world, "lie", node, number << 1 | i)};

        lie.turn = (uint32_t)(drawn >> (8 + 16 * i)) % counting.leaf_count;
        walk(&lie, message);
    }
}
