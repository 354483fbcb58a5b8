// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A membership that is durable: the community, and of each member its admission and node record.
 * They are stored as they come, and nobody looks whether the disk took them: later ones are learnt
 * again from the others after a restart. Not so when this node has just become a member: without its
 * own admission it would be none after a crash, and without the others' it would find nobody. So all
 * is written once more, and again until it is durable, and the join is answered only then.
 */
#include "base/check.h"
#include "overlay/state.h"

enum { KEEP_MEMBERS = 8 }; /* written at once */

/* None of the overlay's others, which count from less than 2^40, nor one of the core's. */
static const uint64_t keep_token = UINT64_C(1) << 62;

static void keep_blob(struct overlay *overlay, const struct overlay_blob *blob)
{
    if (blob->bytes.length_bytes > 0) {
        overlay->keep.waiting_count++;
        effect_store(overlay, blob, keep_token);
    }
}

static void keep_member(struct overlay *overlay, const struct member *member)
{
    keep_blob(overlay,
              &(struct overlay_blob){.kind = BLOB_ADMISSION,
                                     .key = member->view.node.id,
                                     .bytes = {member->admission, member->admission_bytes}});
    keep_blob(overlay, &(struct overlay_blob){.kind = BLOB_NODE,
                                              .key = member->view.node.id,
                                              .bytes = {member->record, member->record_bytes}});
}

static void keep_some(struct overlay *overlay)
{
    const struct membership *membership = &overlay->membership;
    struct bytes community = {overlay->community_encoded, overlay->community_bytes};
    uint32_t end = overlay->keep.cursor + KEEP_MEMBERS;

    CHECK(overlay->keep.waiting_count == 0);
    keep_blob(overlay, &(struct overlay_blob){.kind = BLOB_COMMUNITY, .bytes = community});
    for (uint32_t i = overlay->keep.cursor; i < end && i < membership->count; i++) {
        keep_member(overlay, &membership->list[i]);
    }
}

static void end_keep(struct overlay *overlay, enum overlay_outcome outcome, const char *reason)
{
    uint64_t token = overlay->keep.join_token;

    overlay->keep.join_token = 0;
    if (token != 0) {
        (void)effect_done(overlay, token, outcome, reason);
    }
}

void keep_membership(struct overlay *overlay, uint64_t join_token)
{
    overlay->keep.cursor = 0;
    overlay->keep.join_token = join_token;
    overlay->keep.give_up_ms = overlay->now_ms + KEEP_MS_MAX;
    keep_some(overlay);
}

bool keep_on_stored(struct overlay *overlay, uint64_t token, bool failed)
{
    struct keep *keep = &overlay->keep;

    if (token != keep_token || keep->waiting_count == 0) {
        return false;
    }
    keep->has_failed = keep->has_failed || failed;
    if (--keep->waiting_count > 0) {
        return true;
    }
    if (keep->has_failed) {
        keep->has_failed = false;
        keep->again_ms = overlay->now_ms + KEEP_AGAIN_MS;
        return true;
    }
    keep->cursor += KEEP_MEMBERS;
    if (keep->cursor < overlay->membership.count) {
        keep_some(overlay);
    } else {
        end_keep(overlay, OVERLAY_OK, "");
    }
    return true;
}

void keep_tick(struct overlay *overlay)
{
    struct keep *keep = &overlay->keep;

    if (keep->again_ms == 0 || overlay->now_ms < keep->again_ms) {
        return;
    }
    keep->again_ms = 0;
    if (overlay->now_ms >= keep->give_up_ms) {
        end_keep(overlay, OVERLAY_FAILED, "this node is admitted, but its disk does not take that");
    }
    if (overlay->phase == PHASE_MEMBER) {
        keep_some(overlay);
    }
}
