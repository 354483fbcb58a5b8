// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A community on the transport of transport.h: nodes with stored blobs, keys, admissions; started,
 * killed, joined; and what they see of each other.
 */
#include "overlay/members/membership.h"
#include "transport.h"

/* --- nodes */

HELPER void seed_of(const char *what, uint32_t number, uint8_t seed_out[32])
{
    char text[64];
    struct id id;

    snprintf(text, sizeof(text), "%s %u", what, number);
    id = hash_of("minga test", bytes_of_text(text));
    memcpy(seed_out, id.bytes, 32);
}

HELPER struct secret_key test_key(const char *what, uint32_t number)
{
    struct secret_key key;
    uint8_t seed[32];

    seed_of(what, number, seed);
    keys_from_seed(seed, &key);
    return key;
}

HELPER uint32_t add_node(void)
{
    uint32_t index = net.node_count++;
    struct node *node = &net.nodes[index];

    node->config.node_key = test_key("node", index);
    node->config.seed = index + 1;
    node->config.storage_bytes_max = 1 << 24;
    node->config.description.addresses_count = 1;
    snprintf(node->config.description.addresses[0], 64, "10.0.0.%u:7400", index + 1);
    snprintf(node->config.description.name, 64, "node%u", index);
    node->config.finds_reach = net.finds_reach;
    node->config.relay_port_first = 32000;
    node->config.relay_port_count = 4;
    node->config.description.relays = true;
    node->config.description.runs = true;
    node->config.description.stores = true;
    node->config.description.manages = true;
    node->key = keys_public(&node->config.node_key);
    node->id = keys_node_id(&node->key);
    cr_assert_eq(keys_curve(&node->config.node_key, &node->curve), 0);
    if (node->blobs == NULL) {
        node->blobs = calloc(BLOBS_MAX, sizeof(*node->blobs));
    }
    return index;
}

HELPER void start_node(uint32_t index)
{
    struct node *node = &net.nodes[index];

    node->overlay = overlay_new(&node->config);
    for (uint32_t i = node->blob_count; i > 0; i--) {
        struct stored_blob *blob = &node->blobs[i - 1];
        struct overlay_blob loaded = {
            blob->kind, blob->key, blob->number, {blob->bytes, blob->length_bytes}};

        cr_assert_eq(overlay_load(node->overlay, &loaded), 0, "blob kind %d", (int)blob->kind);
    }
    for (uint32_t i = 0; i < node->chunk_count; i++) {
        overlay_load_chunk(node->overlay, &node->chunks[i].id, node->chunks[i].length_bytes);
    }
    node->running = true;
    node->life++;
    node->wake_ms = 0;
    node->config.seed += 1000;
    node->effects.count = 0;
    node->arc_epoch = 0;
    overlay_start(node->overlay, net.now_ms, net.wall_unix_s + net.now_ms / 1000, &node->effects);
    perform(index);
}

/* Ends at once; with `silent` the others notice nothing but silence. */
HELPER void kill_node(uint32_t index, bool silent)
{
    struct node *node = &net.nodes[index];

    node->running = false;
    overlay_free(node->overlay);
    node->overlay = NULL;
    memset(node->links, 0, sizeof(node->links));
    for (uint32_t i = 0; i < net.node_count; i++) {
        if (net.nodes[i].links[index] != 0) {
            if (!silent) {
                net.nodes[i].links[index] = 0;
                report_link(i, index, OVERLAY_LINK_LOST);
            }
        }
    }
}

HELPER void make_community(void)
{
    minga_Community body = minga_Community_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key;

    memset(&net, 0, sizeof(net));
    net.now_ms = 1000;
    net.wall_unix_s = 1790000000;
    random_init(&net.random, 7, "network");
    net.community_key = test_key("community", 0);
    key = keys_public(&net.community_key);
    strcpy(body.name, "allotment");
    memcpy(body.key, key.bytes, 32);
    cr_assert_eq(signed_make(minga_Community_fields, &body, PURPOSE_COMMUNITY, &net.community_key,
                             &envelope),
                 0);
    net.community_bytes = (size_t)signed_encode(&envelope, net.community, sizeof(net.community));
}

struct test_invitation {
    struct secret_key key;
    minga_Signed signed_invitation;
};

HELPER struct test_invitation make_invitation(uint32_t number, uint64_t expires_unix_s,
                                              uint32_t uses_max)
{
    struct test_invitation invitation;
    minga_Invitation body = minga_Invitation_init_zero;
    struct public_key community = keys_public(&net.community_key);
    struct public_key key;

    memset(&invitation, 0, sizeof(invitation));
    invitation.key = test_key("invitation", number);
    key = keys_public(&invitation.key);
    memcpy(body.community, community.bytes, 32);
    memcpy(body.key, key.bytes, 32);
    body.created_unix_s = net.wall_unix_s;
    body.expires_unix_s = expires_unix_s;
    body.uses_max = uses_max;
    cr_assert_eq(signed_make(minga_Invitation_fields, &body, PURPOSE_INVITATION, &net.community_key,
                             &invitation.signed_invitation),
                 0);
    return invitation;
}

/* Fills `request_out` with an encoded AdmissionRequest; the owner is the node's number. */
HELPER size_t make_request(uint32_t index, const struct test_invitation *invitation,
                           uint8_t *request_out, size_t capacity_bytes)
{
    minga_AdmissionRequest body = minga_AdmissionRequest_init_zero;
    struct public_key community = keys_public(&net.community_key);
    struct secret_key owner = test_key("owner", index);
    struct public_key owner_key = keys_public(&owner);
    int length;

    memcpy(body.community, community.bytes, 32);
    memcpy(body.node_key, net.nodes[index].key.bytes, 32);
    memcpy(body.owner_key, owner_key.bytes, 32);
    snprintf(body.node_name, sizeof(body.node_name), "node%u", index);
    snprintf(body.owner_name, sizeof(body.owner_name), "owner%u", index);
    body.positions = 1;
    body.requested_unix_s = net.wall_unix_s;
    if (invitation != NULL) {
        body.has_invitation = true;
        body.invitation = invitation->signed_invitation;
    }
    length = signed_encode_body(minga_AdmissionRequest_fields, &body, request_out, capacity_bytes);
    cr_assert_gt(length, 0);
    return (size_t)length;
}

HELPER void found_community(uint32_t index)
{
    struct node *node = &net.nodes[index];
    uint8_t request[768];
    uint8_t encoded[1152];
    minga_Countersigned body = minga_Countersigned_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct secret_key owner = test_key("owner", index);
    size_t length = make_request(index, NULL, request, sizeof(request));
    struct bytes bytes = {request, length};
    struct signature signature;
    struct overlay_event now = now_event();
    int encoded_bytes;

    memcpy(body.request.bytes, request, length);
    body.request.size = (pb_size_t)length;
    signature = keys_sign(&node->config.node_key, PURPOSE_ADMISSION, bytes);
    memcpy(body.node_signature, signature.bytes, 64);
    signature = keys_sign(&owner, PURPOSE_ADMISSION, bytes);
    memcpy(body.owner_signature, signature.bytes, 64);
    body.admitted_unix_s = net.wall_unix_s;
    cr_assert_eq(signed_make(minga_Countersigned_fields, &body, PURPOSE_COUNTERSIGNATURE,
                             &net.community_key, &envelope),
                 0);
    encoded_bytes = signed_encode(&envelope, encoded, sizeof(encoded));
    cr_assert_gt(encoded_bytes, 0);
    cr_assert_eq(overlay_create(node->overlay, &now,
                                (struct bytes){net.community, net.community_bytes},
                                (struct bytes){encoded, (size_t)encoded_bytes}, &node->effects),
                 0);
    perform(index);
}

HELPER void fill_contact(struct overlay_peer *peer, uint32_t contact)
{
    memset(peer, 0, sizeof(*peer));
    peer->node = net.nodes[contact].id;
    peer->key = net.nodes[contact].key;
    peer->address_count = 1;
    strcpy(peer->addresses[0], net.nodes[contact].config.description.addresses[0]);
}

/* Joins through these contacts; the outcome lands in done[token]. */
HELPER void join_through(uint32_t index, const uint32_t *contacts, uint32_t contact_count,
                         const struct test_invitation *invitation, uint64_t token)
{
    struct node *node = &net.nodes[index];
    struct overlay_join join;
    uint8_t request[768];
    struct secret_key owner = test_key("owner", index);
    size_t length = make_request(index, invitation, request, sizeof(request));
    struct overlay_event now = now_event();

    memset(&join, 0, sizeof(join));
    join.community = (struct bytes){net.community, net.community_bytes};
    join.request = (struct bytes){request, length};
    join.owner_signature = keys_sign(&owner, PURPOSE_ADMISSION, join.request);
    join.invitation_signature = keys_sign(&invitation->key, PURPOSE_ADMISSION, join.request);
    join.contact_count = contact_count;
    for (uint32_t i = 0; i < contact_count; i++) {
        fill_contact(&join.contacts[i], contacts[i]);
    }
    overlay_join(node->overlay, &now, token, &join, &node->effects);
    perform(index);
}

HELPER void join_node(uint32_t index, uint32_t contact, const struct test_invitation *invitation,
                      uint64_t token)
{
    join_through(index, &contact, 1, invitation, token);
}

/* `count` nodes run, and node 0 is the first member. Returns what the others can join with. */
HELPER struct test_invitation start_with_founder(uint32_t count)
{
    struct test_invitation invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);

    for (uint32_t i = 0; i < count; i++) {
        start_node(add_node());
    }
    found_community(0);
    return invitation;
}

/* A community of `count` nodes, all joined through node 0. */
HELPER void make_members(uint32_t count)
{
    struct test_invitation invitation;

    make_community();
    invitation = start_with_founder(count);
    for (uint32_t i = 1; i < count; i++) {
        join_node(i, 0, &invitation, 1);
        run_for(200);
        cr_assert(net.nodes[i].done[1].ended, "node %u did not join", i);
        cr_assert_eq(net.nodes[i].done[1].outcome, OVERLAY_OK, "node %u: %s", i,
                     net.nodes[i].done[1].reason);
        memset(&net.nodes[i].done[1], 0, sizeof(net.nodes[i].done[1]));
    }
}

HELPER void end_network(void)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        overlay_free(net.nodes[i].overlay);
        free(net.nodes[i].blobs);
    }
    while (net.event_count > 0) {
        free_event(pop_event());
    }
}

/* --- looking */

HELPER enum member_state state_at(uint32_t viewer, uint32_t of)
{
    const struct overlay_member *member =
        overlay_member_by_id(net.nodes[viewer].overlay, &net.nodes[of].id);

    return member == NULL ? MEMBER_EXPELLED : member->state;
}

/* Does every running node see every running one up, and nobody else? */
HELPER bool all_agree(void)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        for (uint32_t k = 0; k < net.node_count; k++) {
            bool up;

            if (!net.nodes[i].running) {
                continue;
            }
            if (overlay_member_by_id(net.nodes[i].overlay, &net.nodes[k].id) == NULL) {
                if (net.nodes[k].running && overlay_belongs(net.nodes[k].overlay)) {
                    return false;
                }
                continue;
            }
            up = state_at(i, k) == MEMBER_UP;
            if (up != net.nodes[k].running || state_at(i, k) == MEMBER_SUSPECT) {
                return false;
            }
        }
    }
    return true;
}

/* For many keys: how many running nodes think themselves responsible, at most and at least? */
HELPER void count_responsible(uint32_t *min_out, uint32_t *max_out)
{
    *min_out = UINT32_MAX;
    *max_out = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct ring_key key;
        uint32_t count = 0;

        seed_of("key", i, key.id.bytes);
        for (uint32_t k = 0; k < net.node_count; k++) {
            count +=
                net.nodes[k].running && overlay_responsible(net.nodes[k].overlay, &key, net.now_ms);
        }
        *min_out = count < *min_out ? count : *min_out;
        *max_out = count > *max_out ? count : *max_out;
    }
}

/* The node has a chunk of that text on its disk, as after a fetch. */
HELPER struct chunk_id keep_text(uint32_t index, const char *text)
{
    struct node *node = &net.nodes[index];
    struct kept_chunk *chunk = &node->chunks[node->chunk_count++];
    struct overlay_event event = now_event();

    cr_assert_leq(node->chunk_count, CHUNKS_KEPT);
    chunk->length_bytes = strlen(text);
    memcpy(chunk->bytes, text, strlen(text));
    chunk->id = (struct chunk_id){hash_of(HASH_CHUNK, bytes_of_text(text))};
    event.kind = OVERLAY_CHUNK_STORED;
    event.chunk = chunk->id;
    event.chunk_bytes = strlen(text);
    overlay_step(node->overlay, &event, &node->effects);
    perform(index);
    return chunk->id;
}

/* As the community's founder signs it. */
HELPER size_t sign_expulsion(uint32_t whom, uint64_t expelled_unix_s,
                             uint8_t encoded_out[BAN_BYTES_MAX])
{
    minga_Expulsion body = minga_Expulsion_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key community = keys_public(&net.community_key);
    int length;

    memcpy(body.community, community.bytes, PUBLIC_KEY_BYTES);
    memcpy(body.node_key, net.nodes[whom].key.bytes, PUBLIC_KEY_BYTES);
    strcpy(body.reason, "mines coins");
    body.expelled_unix_s = expelled_unix_s;
    cr_assert_eq(signed_make(minga_Expulsion_fields, &body, PURPOSE_EXPULSION, &net.community_key,
                             &envelope),
                 0);
    length = signed_encode(&envelope, encoded_out, BAN_BYTES_MAX);
    cr_assert_gt(length, 0);
    return (size_t)length;
}
