// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A network of overlays in virtual time, for tests: shuttles effects between them, with links that
 * come up, break, and carry messages in order. Everything static: each test is one program.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "overlay/overlay.h"
#include "overlay/signed.h"

enum { NODES_MAX = 24, EVENTS_MAX = 65536, BLOBS_MAX = 2048, TOKENS_MAX = 512, CHUNKS_KEPT = 64 };

#define HELPER __attribute__((unused)) static

struct stored_blob {
    enum overlay_blob_kind kind;
    struct id key;
    uint64_t number;
    size_t length_bytes;
    uint8_t bytes[3400];
};

struct done {
    bool ended;
    enum overlay_outcome outcome;
    char reason[REASON_CHARS_MAX + 1];
    bool is_new;
    struct overlay_lookup lookup;
    size_t length_bytes;
    uint8_t bytes[4096];
};

struct kept_chunk {
    struct chunk_id id;
    size_t length_bytes;
    uint8_t bytes[4096];
};

struct node {
    struct overlay *overlay;
    struct overlay_config config;
    struct public_key key;
    struct node_id id;
    struct curve_keypair curve;
    bool running;
    uint32_t life; /* events of an earlier life are dropped */
    uint64_t wake_ms;
    uint32_t side;             /* of a partition */
    uint64_t links[NODES_MAX]; /* outbound: number, 0: none */
    struct overlay_effects effects;
    uint32_t blob_count;
    struct stored_blob *blobs;
    uint32_t chunk_count;
    struct kept_chunk chunks[CHUNKS_KEPT];
    struct done done[TOKENS_MAX];
    uint32_t delivered_count;
    char delivered[256];
    uint32_t member_events;
    uint32_t arc_events;
    uint64_t arc_epoch;
    bool lies; /* sends wrong chunk data */
};

struct network_event {
    uint64_t at_ms;
    uint64_t order;
    uint32_t to;
    uint32_t life;
    struct overlay_event event;
    uint32_t from;
    bool carried; /* dropped when the two are apart */
};

struct network {
    uint64_t now_ms;
    uint64_t wall_unix_s;
    uint64_t order;
    uint64_t link_number;
    uint32_t node_count;
    struct node nodes[NODES_MAX];
    uint32_t event_count;
    struct network_event *events[EVENTS_MAX];
    struct secret_key community_key;
    uint8_t community[512];
    size_t community_bytes;
    struct random random;
    uint32_t loss_percent;
};

static struct network net;

HELPER bool is_before(const struct network_event *a, const struct network_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

HELPER void push_event(struct network_event *event)
{
    uint32_t i = net.event_count++;

    cr_assert_lt(i, EVENTS_MAX);
    event->order = net.order++;
    while (i > 0 && is_before(event, net.events[(i - 1) / 2])) {
        net.events[i] = net.events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    net.events[i] = event;
}

HELPER struct network_event *pop_event(void)
{
    struct network_event *first = net.events[0];
    struct network_event *last = net.events[--net.event_count];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= net.event_count) {
            break;
        }
        if (child + 1 < net.event_count && is_before(net.events[child + 1], net.events[child])) {
            child++;
        }
        if (!is_before(net.events[child], last)) {
            break;
        }
        net.events[i] = net.events[child];
        i = child;
    }
    net.events[i] = last;
    return first;
}

HELPER struct network_event *new_event(uint32_t to, enum overlay_event_kind kind, uint64_t delay_ms)
{
    struct network_event *event = calloc(1, sizeof(*event));

    event->to = to;
    event->life = net.nodes[to].life;
    event->at_ms = net.now_ms + delay_ms;
    event->event.kind = kind;
    return event;
}

HELPER int find_node(const struct node_id *id)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        if (id_equal(&net.nodes[i].id.id, &id->id)) {
            return (int)i;
        }
    }
    return -1;
}

HELPER bool are_apart(uint32_t a, uint32_t b)
{
    return net.nodes[a].side != net.nodes[b].side;
}

HELPER struct bytes copy_bytes(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.length_bytes + 1);

    if (bytes.length_bytes > 0) {
        memcpy(copy, bytes.data, bytes.length_bytes);
    }
    return (struct bytes){copy, bytes.length_bytes};
}

HELPER struct kept_chunk *find_chunk(struct node *node, const struct chunk_id *id)
{
    for (uint32_t i = 0; i < node->chunk_count; i++) {
        if (id_equal(&node->chunks[i].id.id, &id->id)) {
            return &node->chunks[i];
        }
    }
    return NULL;
}

HELPER bool is_lost(void)
{
    return net.loss_percent > 0 && random_below(&net.random, 100) < net.loss_percent;
}

/* The message with its chunk goes over a link from one node to another. */
HELPER void carry(uint32_t from, uint32_t to, const struct overlay_effect *effect, bool inbound)
{
    struct network_event *event;

    if (is_lost()) {
        return;
    }
    event = new_event(to, OVERLAY_RECEIVED, 1);
    event->from = from;
    event->carried = true;
    event->event.message = copy_bytes(effect->message);
    event->event.source.inbound = inbound;
    if (inbound) {
        event->event.source.link = net.nodes[from].links[to];
        memcpy(event->event.source.curve_key, net.nodes[from].curve.public_bytes, 32);
    } else {
        event->event.source.node = net.nodes[from].id;
    }
    if (effect->has_chunk) {
        struct kept_chunk *chunk = find_chunk(&net.nodes[from], &effect->chunk);

        if (chunk != NULL) {
            static const uint8_t wrong[4] = {1, 2, 3, 4};
            struct bytes data = {chunk->bytes, chunk->length_bytes};

            if (net.nodes[from].lies) {
                data = (struct bytes){wrong, sizeof(wrong)};
            }
            event->event.data = copy_bytes(data);
        }
    }
    push_event(event);
}

HELPER void report_link(uint32_t who, uint32_t peer, enum overlay_event_kind kind)
{
    struct network_event *event = new_event(who, kind, 1);

    event->event.node = net.nodes[peer].id;
    push_event(event);
}

HELPER void do_send(uint32_t from, const struct overlay_effect *effect)
{
    int to = find_node(&effect->peer.node);

    if (to < 0 || are_apart(from, (uint32_t)to)) {
        return;
    }
    if (!net.nodes[to].running) {
        net.nodes[from].links[to] = 0;
        report_link(from, (uint32_t)to, OVERLAY_LINK_LOST);
        return;
    }
    if (net.nodes[from].links[to] == 0) {
        net.nodes[from].links[to] = ++net.link_number;
        report_link(from, (uint32_t)to, OVERLAY_LINK_UP);
    }
    carry(from, (uint32_t)to, effect, true);
}

HELPER void do_reply(uint32_t from, const struct overlay_effect *effect)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        if (net.nodes[i].running && net.nodes[i].links[from] == effect->link && effect->link != 0) {
            carry(from, i, effect, false);
        }
    }
}

HELPER void do_store(uint32_t who, const struct overlay_effect *effect)
{
    struct node *node = &net.nodes[who];
    struct stored_blob *place = NULL;

    for (uint32_t i = 0; i < node->blob_count; i++) {
        struct stored_blob *blob = &node->blobs[i];

        if (blob->kind == effect->blob.kind && id_equal(&blob->key, &effect->blob.key) &&
            blob->number == effect->blob.number) {
            place = blob;
        }
    }
    if (place == NULL) {
        cr_assert_lt(node->blob_count, BLOBS_MAX);
        place = &node->blobs[node->blob_count++];
    }
    place->kind = effect->blob.kind;
    place->key = effect->blob.key;
    place->number = effect->blob.number;
    place->length_bytes = effect->blob.bytes.length_bytes;
    memcpy(place->bytes, effect->blob.bytes.data, effect->blob.bytes.length_bytes);
    if (effect->token != 0) {
        struct network_event *event = new_event(who, OVERLAY_STORED, 2);

        event->event.token = effect->token;
        push_event(event);
    }
}

HELPER void do_store_chunk(uint32_t who, const struct overlay_effect *effect)
{
    struct node *node = &net.nodes[who];
    struct network_event *event = new_event(who, OVERLAY_CHUNK_STORED, 2);
    struct id hash = hash_of(HASH_CHUNK, effect->data);

    event->event.token = effect->token;
    event->event.chunk = effect->chunk;
    event->event.chunk_bytes = effect->data.length_bytes;
    if (!id_equal(&hash, &effect->chunk.id)) {
        event->event.outcome = OVERLAY_CHUNK_WRONG_HASH;
    } else {
        struct kept_chunk *chunk = find_chunk(node, &effect->chunk);

        if (chunk == NULL) {
            chunk = &node->chunks[node->chunk_count++];
        }
        cr_assert_leq(node->chunk_count, CHUNKS_KEPT);
        chunk->id = effect->chunk;
        chunk->length_bytes = effect->data.length_bytes;
        memcpy(chunk->bytes, effect->data.data, effect->data.length_bytes);
    }
    push_event(event);
}

HELPER void do_done(struct node *node, const struct overlay_effect *effect)
{
    struct done *done = &node->done[effect->token];
    struct bytes bytes = effect->record.length_bytes > 0 ? effect->record : effect->payload;

    cr_assert_lt(effect->token, TOKENS_MAX);
    cr_assert(!done->ended, "token %d ended twice", (int)effect->token);
    done->ended = true;
    done->outcome = effect->outcome;
    done->is_new = effect->is_new;
    done->lookup = effect->lookup;
    memcpy(done->reason, effect->reason, sizeof(done->reason));
    done->length_bytes = bytes.length_bytes;
    if (bytes.length_bytes > 0) {
        memcpy(done->bytes, bytes.data, bytes.length_bytes);
    }
}

HELPER void perform(uint32_t who)
{
    struct node *node = &net.nodes[who];
    struct overlay_effects *effects = &node->effects;
    struct overlay_effect *deliveries[64];
    uint32_t delivery_count = 0;

    for (uint32_t i = 0; i < effects->count; i++) {
        struct overlay_effect *effect = &effects->list[i];

        switch (effect->kind) {
        case OVERLAY_SEND:
            do_send(who, effect);
            break;
        case OVERLAY_REPLY:
            do_reply(who, effect);
            break;
        case OVERLAY_HANG_UP: {
            int peer = find_node(&effect->peer.node);

            if (peer >= 0) {
                node->links[peer] = 0;
            }
            break;
        }
        case OVERLAY_STORE:
            do_store(who, effect);
            break;
        case OVERLAY_STORE_CHUNK:
            do_store_chunk(who, effect);
            break;
        case OVERLAY_DROP_CHUNK:
            break;
        case OVERLAY_WAKE:
            node->wake_ms = effect->wake_ms;
            break;
        case OVERLAY_TRACE:
            if (getenv("TRACE") != NULL) {
                printf("[%6llu] n%u %.*s\n", (unsigned long long)net.now_ms, who,
                       (int)effect->message.length_bytes, (const char *)effect->message.data);
            }
            break;
        case OVERLAY_DELIVER:
            deliveries[delivery_count++] = effect;
            break;
        case OVERLAY_MEMBER:
            node->member_events++;
            if (getenv("TRACE") != NULL) {
                printf("[%6llu] n%u member n%d -> %d\n", (unsigned long long)net.now_ms, who,
                       find_node(&effect->node), (int)effect->state);
            }
            break;
        case OVERLAY_ARC:
            node->arc_events++;
            cr_assert_gt(effect->arc_epoch, node->arc_epoch);
            node->arc_epoch = effect->arc_epoch;
            break;
        case OVERLAY_RECORD:
            break;
        case OVERLAY_DONE:
            do_done(node, effect);
            break;
        }
    }
    effects->count = 0;
    /* Effects borrow from the overlay until its next call: keep what is needed for the answers. */
    struct {
        struct overlay_ask ask;
        char text[128];
    } kept[64];
    for (uint32_t i = 0; i < delivery_count; i++) {
        kept[i].ask = deliveries[i]->ask;
        snprintf(kept[i].text, sizeof(kept[i].text), "%.*s",
                 (int)deliveries[i]->payload.length_bytes,
                 (const char *)deliveries[i]->payload.data);
    }
    effects->arena_used_bytes = 0;
    for (uint32_t i = 0; i < delivery_count; i++) {
        char answer[160];

        node->delivered_count++;
        memcpy(node->delivered, kept[i].text, sizeof(kept[i].text));
        snprintf(answer, sizeof(answer), "re: %s", kept[i].text);
        if (kept[i].ask.wants_answer) {
            overlay_answer(node->overlay, &kept[i].ask, bytes_of_text(answer), effects);
            perform(who);
        }
    }
}

HELPER struct overlay_event now_event(void)
{
    return (struct overlay_event){.kind = OVERLAY_TICK,
                                  .now_ms = net.now_ms,
                                  .wall_unix_s = net.wall_unix_s + net.now_ms / 1000};
}

HELPER void handle(struct network_event *event)
{
    struct node *node = &net.nodes[event->to];
    struct overlay_event *inner = &event->event;

    if (!node->running || node->life != event->life ||
        (event->carried && are_apart(event->from, event->to))) {
        return;
    }
    inner->now_ms = net.now_ms;
    inner->wall_unix_s = net.wall_unix_s + net.now_ms / 1000;
    overlay_step(node->overlay, inner, &node->effects);
    perform(event->to);
}

HELPER void free_event(struct network_event *event)
{
    free((void *)(uintptr_t)event->event.message.data);
    free((void *)(uintptr_t)event->event.data.data);
    free(event);
}

/* The next thing that happens, at most at until_ms. Returns false when there is none. */
HELPER bool step_once(uint64_t until_ms)
{
    uint64_t next_ms = net.event_count > 0 ? net.events[0]->at_ms : UINT64_MAX;
    int waker = -1;

    for (uint32_t i = 0; i < net.node_count; i++) {
        struct node *node = &net.nodes[i];

        if (node->running && node->wake_ms != 0 && node->wake_ms < next_ms) {
            next_ms = node->wake_ms;
            waker = (int)i;
        }
    }
    if (next_ms > until_ms) {
        return false;
    }
    if (next_ms > net.now_ms) {
        net.now_ms = next_ms;
    }
    if (waker >= 0) {
        struct overlay_event event = now_event();

        net.nodes[waker].wake_ms = 0;
        overlay_step(net.nodes[waker].overlay, &event, &net.nodes[waker].effects);
        perform((uint32_t)waker);
    } else {
        struct network_event *event = pop_event();

        handle(event);
        free_event(event);
    }
    return true;
}

HELPER void run_for(uint64_t ms)
{
    uint64_t until_ms = net.now_ms + ms;

    while (step_once(until_ms)) {
    }
    net.now_ms = until_ms;
}

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

/* Joins through one contact; the outcome lands in done[token]. */
HELPER void join_node(uint32_t index, uint32_t contact, const struct test_invitation *invitation,
                      uint64_t token)
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
    join.contact_count = 1;
    fill_contact(&join.contacts[0], contact);
    overlay_join(node->overlay, &now, token, &join, &node->effects);
    perform(index);
}

/* A community of `count` nodes, all joined through node 0. */
HELPER void make_members(uint32_t count)
{
    struct test_invitation invitation;

    make_community();
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    for (uint32_t i = 0; i < count; i++) {
        start_node(add_node());
    }
    found_community(0);
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
            count += net.nodes[k].running && overlay_responsible(net.nodes[k].overlay, &key);
        }
        *min_out = count < *min_out ? count : *min_out;
        *max_out = count > *max_out ? count : *max_out;
    }
}
