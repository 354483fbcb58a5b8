// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A community on paper: keys and admissions for the fuzz targets, the same for all inputs. */
#include <string.h>

#include "base/check.h"
#include "overlay/message.h"
#include "overlay/overlay.h"
#include "overlay/signed.h"

enum { PAPER_NODES_MAX = 5 };

struct papers {
    struct secret_key community;
    struct secret_key invitation;
    struct secret_key nodes[PAPER_NODES_MAX];
    uint8_t community_bytes[512];
    size_t community_length;
    uint8_t admissions[PAPER_NODES_MAX][1152];
    size_t admission_lengths[PAPER_NODES_MAX];
    minga_Signed signed_invitation;
};

static inline void papers_key(uint8_t number, struct secret_key *secret_out)
{
    uint8_t seed[KEY_SEED_BYTES];

    memset(seed, number, sizeof(seed));
    keys_from_seed(seed, secret_out);
}

static inline size_t papers_encode(const minga_Signed *envelope, uint8_t *bytes_out,
                                   size_t capacity_bytes)
{
    int length = signed_encode(envelope, bytes_out, capacity_bytes);

    CHECK(length > 0);
    return (size_t)length;
}

static inline void papers_make_community(struct papers *papers)
{
    minga_Community body = minga_Community_init_zero;
    minga_Invitation invitation = minga_Invitation_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key;
    struct public_key invitation_key;

    papers_key(100, &papers->community);
    papers_key(101, &papers->invitation);
    key = keys_public(&papers->community);
    invitation_key = keys_public(&papers->invitation);
    memcpy(body.name, "fuzz", 5);
    memcpy(body.key, key.bytes, PUBLIC_KEY_BYTES);
    CHECK(signed_make(minga_Community_fields, &body, PURPOSE_COMMUNITY, &papers->community,
                      &envelope) == 0);
    papers->community_length =
        papers_encode(&envelope, papers->community_bytes, sizeof(papers->community_bytes));
    memcpy(invitation.community, key.bytes, PUBLIC_KEY_BYTES);
    memcpy(invitation.key, invitation_key.bytes, PUBLIC_KEY_BYTES);
    invitation.expires_unix_s = UINT32_MAX;
    CHECK(signed_make(minga_Invitation_fields, &invitation, PURPOSE_INVITATION, &papers->community,
                      &papers->signed_invitation) == 0);
}

/* What a node asks with; `invited`: with the invitation in it. */
static inline struct bytes papers_request(const struct papers *papers, uint32_t index, bool invited,
                                          uint8_t *bytes_out, size_t capacity_bytes)
{
    minga_AdmissionRequest request = minga_AdmissionRequest_init_zero;
    struct public_key community = keys_public(&papers->community);
    struct public_key key = keys_public(&papers->nodes[index]);
    int length;

    memcpy(request.community, community.bytes, PUBLIC_KEY_BYTES);
    memcpy(request.node_key, key.bytes, PUBLIC_KEY_BYTES);
    memcpy(request.owner_key, key.bytes, PUBLIC_KEY_BYTES);
    request.has_invitation = invited;
    if (invited) {
        request.invitation = papers->signed_invitation;
    }
    length = signed_encode_body(minga_AdmissionRequest_fields, &request, bytes_out, capacity_bytes);
    CHECK(length > 0);
    return (struct bytes){bytes_out, (size_t)length};
}

/* Countersigned by the community itself, which needs no invitation. */
static inline void papers_admit(struct papers *papers, uint32_t index)
{
    minga_Countersigned body = minga_Countersigned_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct bytes bytes =
        papers_request(papers, index, false, body.request.bytes, sizeof(body.request.bytes));
    struct signature signature = keys_sign(&papers->nodes[index], PURPOSE_ADMISSION, bytes);

    body.request.size = (pb_size_t)bytes.length_bytes;
    memcpy(body.node_signature, signature.bytes, SIGNATURE_BYTES);
    memcpy(body.owner_signature, signature.bytes, SIGNATURE_BYTES);
    CHECK(signed_make(minga_Countersigned_fields, &body, PURPOSE_COUNTERSIGNATURE,
                      &papers->community, &envelope) == 0);
    papers->admission_lengths[index] =
        papers_encode(&envelope, papers->admissions[index], sizeof(papers->admissions[index]));
}

static inline const struct papers *papers_made(void)
{
    static struct papers made; /* slow to make */
    static bool is_made;

    if (!is_made) {
        papers_make_community(&made);
        for (uint32_t i = 0; i < PAPER_NODES_MAX; i++) {
            papers_key((uint8_t)(i + 1), &made.nodes[i]);
            papers_admit(&made, i);
        }
        is_made = true;
    }
    return &made;
}

/* A node with a role and an address, of the community; the first `known_count` are its members.
 * It knows everyone up to `full_members_max`, and beyond keeps a part. */
static inline struct overlay *papers_node_of(const struct papers *papers, uint32_t index,
                                             uint32_t known_count, uint32_t full_members_max)
{
    struct overlay_config config = {.node_key = papers->nodes[index],
                                    .seed = index + 1,
                                    .storage_bytes_max = 1 << 20,
                                    .full_members_max = full_members_max};
    struct overlay_blob blob = {.kind = BLOB_COMMUNITY};
    struct overlay *overlay;

    config.description.stores = true;
    config.description.addresses_count = 1;
    memcpy(config.description.addresses[0], "n:1", 4);
    overlay = overlay_new(&config);
    CHECK(overlay != NULL);
    blob.bytes = (struct bytes){papers->community_bytes, papers->community_length};
    CHECK(overlay_load(overlay, &blob) == 0);
    for (uint32_t i = 0; i < known_count; i++) {
        struct public_key key = keys_public(&papers->nodes[i]);

        blob.kind = BLOB_ADMISSION;
        blob.bytes = (struct bytes){papers->admissions[i], papers->admission_lengths[i]};
        blob.key = keys_node_id(&key).id;
        CHECK(overlay_load(overlay, &blob) == 0);
    }
    return overlay;
}

static inline struct overlay *papers_node(const struct papers *papers, uint32_t index,
                                          uint32_t known_count)
{
    return papers_node_of(papers, index, known_count, 0);
}

/* A greeting as node `index` says it first. */
static inline void papers_hello(const struct papers *papers, uint32_t index,
                                minga_Message *message_out)
{
    minga_NodeRecord record = minga_NodeRecord_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Hello *hello = &message_out->kind.hello;
    struct public_key key = keys_public(&papers->nodes[index]);
    struct public_key community = keys_public(&papers->community);

    message_init(message_out, minga_Message_hello_tag);
    memcpy(hello->node_key, key.bytes, PUBLIC_KEY_BYTES);
    memcpy(hello->community_key, community.bytes, PUBLIC_KEY_BYTES);
    record.sequence = 1;
    record.incarnation = 1;
    record.stores = true;
    record.addresses_count = 1;
    memcpy(record.addresses[0], "n:1", 4);
    CHECK(signed_make(minga_NodeRecord_fields, &record, PURPOSE_NODE, &papers->nodes[index],
                      &envelope) == 0);
    hello->node_record.size = (pb_size_t)papers_encode(&envelope, hello->node_record.bytes,
                                                       sizeof(hello->node_record.bytes));
}
