// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Whose records are taken in. Those of an owner who has no node any more are orphans: they stay where
 * they are, and can be read, but are compared with nobody. Who came later takes none of them, and
 * would find the same difference with whoever has them for ever.
 */
#include "overlay/state.h"

/* Where everyone is known: has the owner a node? In a large community the member answers for it
 * that brings the record. */
bool record_owner_stands(const struct overlay *overlay, const struct public_key *owner)
{
    return overlay->large || overlay_owner_is_member(overlay, owner);
}

void record_owners_weigh(struct overlay *overlay, const struct public_key *owner)
{
    bool stands = record_owner_stands(overlay, owner);

    for (uint32_t i = 0; i < overlay->records.count; i++) {
        struct record *record = &overlay->records.list[i];

        if (keys_equal(&record->owner, owner)) {
            record->is_orphan = !stands;
        }
    }
}

void record_owners_weigh_all(struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->records.count; i++) {
        struct record *record = &overlay->records.list[i];

        record->is_orphan = !record_owner_stands(overlay, &record->owner);
    }
}
