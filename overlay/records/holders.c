// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Who keeps the records of a key? The one place that says it.
 *
 * The first RECORD_COPIES behind the key on the ring: all, or eight. Where a community is so large that
 * nobody knows it as a whole, also the first SYMMETRIC_COPIES behind each of the key's images, which
 * divide the ring into equal parts (Ghodsi's symmetric replication, 2006): neighbourhoods that have
 * nothing to do with each other, so that one may be lost, or cut off, as a whole. An image needs no
 * state and no agreement: everybody can tell it from the key alone, and the images of an image are
 * those of the key.
 *
 * Only the first neighbourhood decides what stands. The others keep copies, and know no more.
 */
#include "base/check.h"
#include "overlay/state.h"

enum { STEP_OF_TOP_BYTE = 256 / SYMMETRY };

struct ring_key holders_image(const struct ring_key *key, uint32_t turn)
{
    struct ring_key image = *key;

    image.id.bytes[0] = (uint8_t)(image.id.bytes[0] + turn * STEP_OF_TOP_BYTE);
    return image;
}

uint32_t holders_of(const struct overlay *overlay, const struct ring_key *key, uint32_t turn,
                    struct node_id nodes_out[RECORD_COPIES])
{
    struct ring_key image = holders_image(key, turn);

    CHECK(turn < SYMMETRY);
    if (turn == 0) {
        uint32_t count = search_holders(overlay, key, RECORD_COPIES, nodes_out);

        return count > 0 ? count : search_own(overlay, key, RECORD_COPIES, nodes_out);
    }
    return overlay->large ? search_holders(overlay, &image, SYMMETRIC_COPIES, nodes_out) : 0;
}

bool holders_has(const struct overlay *overlay, const struct ring_key *key, uint32_t turn,
                 const struct node_id *node)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t count = holders_of(overlay, key, turn, holders);

    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&holders[i].id, &node->id)) {
            return true;
        }
    }
    return false;
}

bool holders_has_any(const struct overlay *overlay, const struct ring_key *key,
                     const struct node_id *node)
{
    for (uint32_t turn = 0; turn < SYMMETRY; turn++) {
        if (holders_has(overlay, key, turn, node)) {
            return true;
        }
    }
    return false;
}
