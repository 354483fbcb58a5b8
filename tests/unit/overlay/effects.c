// SPDX-License-Identifier: GPL-3.0-or-later
/* What one step may ask of its edge, and what gives way when that is too much. */
#include <criterion/criterion.h>

#include "overlay/state.h"

static struct overlay overlay;
static struct overlay_effects effects;
static const uint8_t large[MESSAGE_BYTES_MAX];

/* Sends as large as there are, until one is refused. */
static void fill_with_sends(void)
{
    struct bytes kept;

    overlay.effects = &effects;
    do {
        cr_assert_not_null(effect_add(&overlay, OVERLAY_SEND));
        kept = effect_keep(&overlay, (struct bytes){large, sizeof(large)});
    } while (kept.length_bytes > 0);
    effect_drop(&overlay);
    cr_assert_eq(effects.dropped_count, 1);
}

Test(effects, what_is_sent_leaves_room_for_what_must_not_be_lost)
{
    struct overlay_blob blob = {.kind = BLOB_RECORD, .bytes = {large, 2048}};
    const struct overlay_effect *store;

    fill_with_sends();
    store = effect_store(&overlay, &blob, 7);
    cr_assert_not_null(store);
    cr_assert_eq(store->blob.bytes.length_bytes, 2048);
}

/* Or it would be a removal, and answered as done. */
Test(effects, a_write_without_room_for_its_bytes_is_none)
{
    struct overlay_blob blob = {.kind = BLOB_RECORD, .bytes = {large, sizeof(large)}};
    struct overlay_blob removal = {.kind = BLOB_RECORD};
    uint32_t count;

    fill_with_sends();
    while (effect_store(&overlay, &blob, 7) != NULL) {
        cr_assert_lt(effects.count, OVERLAY_EFFECTS_MAX);
    }
    count = effects.count;
    cr_assert_eq(effects.dropped_count, 2);
    cr_assert_eq(effects.list[count - 1].blob.bytes.length_bytes, sizeof(large));
    cr_assert_not_null(effect_store(&overlay, &removal, 7));
    cr_assert_eq(effects.count, count + 1);
}
