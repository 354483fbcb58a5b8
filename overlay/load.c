// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What was stored comes back, in any order. Everything is verified again: a disk may have been
 * changed by others. Only whether a countersigner was a member is taken as it was decided then.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "overlay/state.h"

/* The first blob names the community; another one's blobs are refused from then on. */
static bool is_our_community(struct overlay *overlay, const struct public_key *key)
{
    struct public_key none = {{0}};

    if (keys_equal(&overlay->community, &none)) {
        overlay->community = *key;
    }
    return keys_equal(&overlay->community, key);
}

static int load_community(struct overlay *overlay, struct bytes encoded)
{
    struct public_key before = overlay->community;
    struct public_key none = {{0}};

    if (!joining_take_community(overlay, encoded)) {
        return -EBADMSG;
    }
    /* Left-overs of a join that was given up must not stand in the way of the real thing. */
    if (!keys_equal(&before, &none) && !keys_equal(&before, &overlay->community)) {
        memset(&overlay->membership, 0, sizeof(overlay->membership));
        overlay->self_index = MEMBER_NONE;
        overlay->router.self = MEMBER_NONE;
    }
    return 0;
}

/* What stands in another one's place would be lost when that one is written. */
static bool is_in_place(const struct overlay_blob *blob, const struct id *key)
{
    return id_equal(&blob->key, key);
}

static int load_admission(struct overlay *overlay, const struct overlay_blob *blob)
{
    struct public_key community;
    struct admission peeked;

    if (admission_peek(blob->bytes, &peeked, &community) < 0 ||
        !is_in_place(blob, &peeked.node.id) || !is_our_community(overlay, &community) ||
        !gossip_admit(overlay, blob->bytes, ADMIT_LOADED)) {
        return -EBADMSG;
    }
    return 0;
}

static int load_voucher(struct overlay *overlay, struct bytes encoded)
{
    struct public_key community;
    struct admission admission;

    if (admission_peek(encoded, &admission, &community) < 0 ||
        !is_our_community(overlay, &community) ||
        admission_open(encoded, &community, &admission) < 0) {
        return -EBADMSG;
    }
    (void)vouchers_keep(&overlay->vouchers, &admission, encoded);
    return 0;
}

static int load_ban(struct overlay *overlay, const struct overlay_blob *blob)
{
    bool is_expulsion = blob->kind == BLOB_EXPULSION;
    struct membership *membership = &overlay->membership;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key community;
    struct ban ban;
    int r;

    if (signed_decode(blob->bytes, &envelope) < 0) {
        return -EBADMSG;
    }
    memcpy(community.bytes, envelope.key, PUBLIC_KEY_BYTES);
    if (!is_our_community(overlay, &community)) {
        return -EBADMSG;
    }
    r = is_expulsion ? admission_open_expulsion(blob->bytes, &community, &ban)
                     : admission_open_revocation(blob->bytes, &community, &ban);
    if (r < 0) {
        return r;
    }
    if (!is_in_place(blob, &ban.key)) {
        return -EBADMSG;
    }
    r = membership_ban(membership,
                       is_expulsion ? &membership->expulsions : &membership->revocations, &ban);
    return r < 0 ? r : 0;
}

static int load_node(struct overlay *overlay, const struct overlay_blob *blob)
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_NodeRecord record = minga_NodeRecord_init_zero;
    struct bytes encoded = blob->bytes;
    struct public_key key;
    struct node_id node;

    if (encoded.length_bytes > NODE_RECORD_BYTES_MAX || signed_decode(encoded, &envelope) < 0 ||
        signed_open(&envelope, PURPOSE_NODE, minga_NodeRecord_fields, &record) < 0) {
        return -EBADMSG;
    }
    memcpy(key.bytes, envelope.key, PUBLIC_KEY_BYTES);
    node = keys_node_id(&key);
    if (!is_in_place(blob, &node.id)) {
        return -EBADMSG;
    }
    if (overlay->parked_count == MEMBERS_MAX) {
        return 0; /* as its admission, which had no room either */
    }
    memcpy(overlay->parked[overlay->parked_count].bytes, encoded.data, encoded.length_bytes);
    overlay->parked[overlay->parked_count++].length_bytes = encoded.length_bytes;
    return 0;
}

static int load_record(struct overlay *overlay, const struct overlay_blob *blob)
{
    struct record record;

    if (record_open(blob->bytes, &record) < 0 || !is_in_place(blob, &record.key.service.id) ||
        blob->number != record.key.number) {
        return -EBADMSG;
    }
    return records_merge(&overlay->records, &record) == RECORD_NO_ROOM ? -ENOSPC : 0;
}

enum { EPOCHS_SKIPPED = 2048 /* two stretches of place.c */ };

static uint64_t epoch_of(const uint8_t self[OVERLAY_SELF_BYTES])
{
    uint64_t epoch = 0;

    for (int i = 0; i < OVERLAY_SELF_BYTES; i++) {
        epoch = epoch << 8 | self[i];
    }
    return epoch;
}

void overlay_skip_epochs(uint8_t self[OVERLAY_SELF_BYTES])
{
    uint64_t epoch = epoch_of(self) + EPOCHS_SKIPPED;

    for (int i = 0; i < OVERLAY_SELF_BYTES; i++) {
        self[i] = (uint8_t)(epoch >> (56 - 8 * i));
    }
}

static int load_self(struct overlay *overlay, struct bytes bytes)
{
    uint64_t epoch;

    if (bytes.length_bytes != OVERLAY_SELF_BYTES) {
        return -EBADMSG;
    }
    epoch = epoch_of(bytes.data);
    /* What was kept is ahead of all that was used. */
    ring_init(&overlay->ring, &overlay->place, epoch);
    overlay->ring.kept_epoch = epoch;
    return 0;
}

static int load(struct overlay *overlay, const struct overlay_blob *blob)
{
    switch (blob->kind) {
    case BLOB_SELF:
        return load_self(overlay, blob->bytes);
    case BLOB_COMMUNITY:
        return load_community(overlay, blob->bytes);
    case BLOB_ADMISSION:
        return load_admission(overlay, blob);
    case BLOB_EXPULSION:
    case BLOB_REVOCATION:
        return load_ban(overlay, blob);
    case BLOB_NODE:
        return load_node(overlay, blob);
    case BLOB_VOUCHER:
        return load_voucher(overlay, blob->bytes);
    case BLOB_RECORD:
        return load_record(overlay, blob);
    case BLOB_HABIT:
        return habits_load(overlay, blob);
    case BLOB_REFERENCE:
        return collect_load_reference(overlay, blob);
    case BLOB_CHUNK:
        return collect_load_chunk(overlay, blob);
    case BLOB_MANAGER:
    case BLOB_AGENT:
        return 0; /* the agent's */
    }
    return -EINVAL;
}

int overlay_load(struct overlay *overlay, const struct overlay_blob *blob)
{
    struct public_key before = overlay->community;
    int r;

    CHECK(!overlay->started);
    r = load(overlay, blob);
    if (r < 0) {
        overlay->community = before; /* what is damaged names none */
    }
    return r;
}

int overlay_load_chunk(struct overlay *overlay, const struct chunk_id *chunk, uint64_t bytes)
{
    CHECK(!overlay->started);
    if (bytes > CHUNK_BYTES_MAX) {
        return -EBADMSG;
    }
    bool is_bad = chunks_is_bad(&overlay->chunks, chunk); /* as was noted of it */
    int r = chunks_add(&overlay->chunks, chunk, (uint32_t)bytes);

    if (r == 0 && is_bad) {
        chunks_set_bad(&overlay->chunks, chunks_entry(&overlay->chunks, chunk), true);
    }
    return r;
}

void load_finish(struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->parked_count; i++) {
        struct bytes encoded = {overlay->parked[i].bytes, overlay->parked[i].length_bytes};
        minga_Signed envelope = minga_Signed_init_zero;
        minga_NodeRecord record = minga_NodeRecord_init_zero;
        struct public_key key;
        struct node_id node;
        int index;

        CHECK(signed_decode(encoded, &envelope) == 0);
        memcpy(key.bytes, envelope.key, PUBLIC_KEY_BYTES);
        node = keys_node_id(&key);
        index = membership_find(&overlay->membership, &node);
        if (index == MEMBER_NONE ||
            signed_decode_body(minga_NodeRecord_fields,
                               (struct bytes){envelope.body.bytes, envelope.body.size},
                               &record) < 0) {
            continue;
        }
        (void)membership_describe(&overlay->membership, index, &record, encoded);
        if (index == overlay->self_index) {
            overlay->record.sequence = record.sequence;
            overlay->record.incarnation = record.incarnation;
            overlay->record.positions = record.positions;
            overlay->record.stored_kib = record.stored_kib;
        }
    }
    overlay->parked_count = 0;
    /* Left-overs of a join that was given up; a fresh node has none, and no page to touch. */
    if (overlay->community_bytes == 0 && overlay->membership.count > 0) {
        memset(&overlay->membership, 0, sizeof(overlay->membership));
        memset(&overlay->community, 0, sizeof(overlay->community));
        overlay->self_index = MEMBER_NONE;
        overlay->router.self = MEMBER_NONE;
    }
}
