// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A transport in virtual time, for tests: shuttles effects between overlays, with links that come
 * up, break, and carry messages in order. Everything static: each test is one program.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "overlay/message.h"
#include "overlay/overlay.h"
#include "overlay/signed.h"

enum {
    NODES_MAX = 24,
    EVENTS_MAX = 65536,
    BLOBS_MAX = 2048,
    TOKENS_MAX = 512,
    CHUNKS_KEPT = 64,
    KINDS_MAX = 96
};

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
    uint64_t stalled_until_ms; /* it gets no time before */
    uint32_t down_events;      /* members that it counted as down */
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
    bool disk_full;
    bool is_closed;               /* nobody can dial it */
    uint32_t dial_back_count;     /* that it did for others */
    struct overlay_peer dialled;  /* the last of them */
    struct overlay_relay passing; /* the last one that it passes on for ... */
    struct node_id passing_for;   /* ... and whom */
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
    uint32_t chunks_to_lose; /* with the link that they are on */
    uint32_t node_count;
    struct node nodes[NODES_MAX];
    uint32_t event_count;
    struct network_event *events[EVENTS_MAX];
    struct secret_key community_key;
    uint8_t community[512];
    size_t community_bytes;
    struct random random;
    uint32_t loss_percent;
    bool finds_reach;                  /* of nodes added from now on */
    bool is_cut[NODES_MAX][NODES_MAX]; /* nothing gets from one to the other */
    uint32_t sent_count[KINDS_MAX];    /* of each kind of message, replies not counted */
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

HELPER void host_of(uint32_t node, char host_out[HOST_CHARS_MAX + 1])
{
    const char *address = net.nodes[node].config.description.addresses[0];

    snprintf(host_out, HOST_CHARS_MAX + 1, "%.*s", (int)strcspn(address, ":"), address);
}

/* The message with its chunk goes over a link from one node to another. */
HELPER void carry(uint32_t from, uint32_t to, const struct overlay_effect *effect, bool inbound)
{
    struct network_event *event;

    if (is_lost() || net.is_cut[from][to]) {
        return;
    }
    event = new_event(to, OVERLAY_RECEIVED, 1);
    event->from = from;
    event->carried = true;
    event->event.message = copy_bytes(effect->message);
    event->event.source.inbound = inbound;
    host_of(from, event->event.source.host);
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

HELPER void count_kind(const struct overlay_effect *effect)
{
    minga_Message message = minga_Message_init_zero;

    cr_assert_eq(message_decode(effect->message, &message), 0);
    cr_assert_lt(message.which_kind, KINDS_MAX);
    net.sent_count[message.which_kind] += !message.reply;
}

/* Does the address lead there: its own, unless nobody can dial it, or its relay's? */
HELPER bool leads_to(const char *address, uint32_t to)
{
    const struct node *node = &net.nodes[to];
    char relayed[ADDRESS_CHARS_MAX + 1];
    char host[HOST_CHARS_MAX + 1];

    for (uint32_t i = 0; i < net.node_count; i++) {
        if (net.nodes[i].running && net.nodes[i].passing.port_count > 0 &&
            id_equal(&net.nodes[i].passing_for.id, &node->id.id)) {
            host_of(i, host);
            snprintf(relayed, sizeof(relayed), "%s:%u", host,
                     net.nodes[i].passing.ports[0].at_relay);
            if (strcmp(relayed, address) == 0) {
                return true;
            }
        }
    }
    return !node->is_closed && strcmp(node->config.description.addresses[0], address) == 0;
}

HELPER bool can_dial(const struct overlay_peer *peer, uint32_t to)
{
    for (size_t i = 0; i < peer->address_count; i++) {
        if (leads_to(peer->addresses[i], to)) {
            return true;
        }
    }
    return !net.nodes[to].is_closed; /* tests change what is said of addresses */
}

HELPER void do_dial_back(uint32_t from, const struct overlay_effect *effect)
{
    int to = find_node(&effect->peer.node);
    struct network_event *event;

    net.nodes[from].dial_back_count++;
    net.nodes[from].dialled = effect->peer;
    if (to < 0 || !net.nodes[to].running || are_apart(from, (uint32_t)to) ||
        !leads_to(effect->peer.addresses[0], (uint32_t)to)) {
        return;
    }
    event = new_event((uint32_t)to, OVERLAY_RECEIVED, 2);
    event->from = from;
    event->carried = true;
    event->event.message = copy_bytes(effect->message);
    event->event.source.inbound = true;
    event->event.source.link = ++net.link_number;
    memcpy(event->event.source.curve_key, net.nodes[from].curve.public_bytes, 32);
    push_event(event);
}

HELPER void do_relay(uint32_t who, const struct overlay_effect *effect)
{
    net.nodes[who].passing = effect->relay;
    net.nodes[who].passing_for = effect->peer.node;
}

HELPER void do_relayed(uint32_t who, const struct overlay_effect *effect)
{
    int relay = find_node(&effect->peer.node);

    if (relay >= 0 && effect->relay.port_count > 0) {
        report_link(who, (uint32_t)relay, OVERLAY_RELAY_UP);
    }
}

HELPER void do_send(uint32_t from, const struct overlay_effect *effect)
{
    int to = find_node(&effect->peer.node);

    count_kind(effect);
    if (to < 0 || are_apart(from, (uint32_t)to) ||
        (net.nodes[from].links[to] == 0 && !can_dial(&effect->peer, (uint32_t)to))) {
        return;
    }
    if (!net.nodes[to].running) {
        struct network_event *event = new_event(from, OVERLAY_LINK_LOST, 1);

        net.nodes[from].links[to] = 0;
        event->event.node = net.nodes[to].id;
        event->event.refused = true;
        push_event(event);
        return;
    }
    if (net.nodes[from].links[to] == 0) {
        net.nodes[from].links[to] = ++net.link_number;
        report_link(from, (uint32_t)to, OVERLAY_LINK_UP);
    }
    if (effect->has_chunk && net.chunks_to_lose > 0) {
        net.chunks_to_lose--;
        net.nodes[from].links[to] = 0;
        report_link(from, (uint32_t)to, OVERLAY_LINK_LOST);
        return;
    }
    carry(from, (uint32_t)to, effect, true);
}

/* Not only answers: what is said to one who has dialled goes back on its link. */
HELPER void do_reply(uint32_t from, const struct overlay_effect *effect)
{
    count_kind(effect);
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

    if (effect->token != 0) {
        struct network_event *event = new_event(who, OVERLAY_STORED, 2);

        event->event.token = effect->token;
        event->event.failed = node->disk_full;
        push_event(event);
    }
    if (node->disk_full) {
        return;
    }
    for (uint32_t i = 0; i < node->blob_count; i++) {
        struct stored_blob *blob = &node->blobs[i];

        if (blob->kind == effect->blob.kind && id_equal(&blob->key, &effect->blob.key) &&
            blob->number == effect->blob.number) {
            place = blob;
        }
    }
    if (effect->blob.bytes.length_bytes == 0) { /* delete */
        if (place != NULL) {
            *place = node->blobs[--node->blob_count];
        }
        return;
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

HELPER void trace(uint32_t who, const struct overlay_effect *effect)
{
    if (getenv("TRACE") == NULL) {
        return;
    }
    if (effect->kind == OVERLAY_MEMBER) {
        printf("[%6llu] n%u member n%d -> %d\n", (unsigned long long)net.now_ms, who,
               find_node(&effect->node), (int)effect->state);
    } else {
        printf("[%6llu] n%u %.*s\n", (unsigned long long)net.now_ms, who,
               (int)effect->message.length_bytes, (const char *)effect->message.data);
    }
}

HELPER void do_hang_up(struct node *node, const struct overlay_effect *effect)
{
    int peer = find_node(&effect->peer.node);

    if (peer >= 0) {
        node->links[peer] = 0;
    }
}

HELPER void perform_one(uint32_t who, const struct overlay_effect *effect)
{
    struct node *node = &net.nodes[who];

    switch (effect->kind) {
    case OVERLAY_SEND:
        do_send(who, effect);
        break;
    case OVERLAY_REPLY:
        do_reply(who, effect);
        break;
    case OVERLAY_HANG_UP:
        do_hang_up(node, effect);
        break;
    case OVERLAY_STORE:
        do_store(who, effect);
        break;
    case OVERLAY_STORE_CHUNK:
        do_store_chunk(who, effect);
        break;
    case OVERLAY_WAKE:
        node->wake_ms = effect->wake_ms;
        break;
    case OVERLAY_TRACE:
        trace(who, effect);
        break;
    case OVERLAY_MEMBER:
        node->member_events++;
        node->down_events += effect->state == MEMBER_DOWN;
        trace(who, effect);
        break;
    case OVERLAY_ARC:
        node->arc_events++;
        cr_assert_gt(effect->arc_epoch, node->arc_epoch);
        node->arc_epoch = effect->arc_epoch;
        break;
    case OVERLAY_DONE:
        do_done(node, effect);
        break;
    case OVERLAY_DIAL_BACK:
        do_dial_back(who, effect);
        break;
    case OVERLAY_RELAY:
        do_relay(who, effect);
        break;
    case OVERLAY_RELAYED:
        do_relayed(who, effect);
        break;
    case OVERLAY_DROP_CHUNK:
    case OVERLAY_DELIVER:
    case OVERLAY_RECORD:
        break;
    }
}

/* A delivered question; effects are only borrowed until the answer's call. */
struct delivery {
    struct overlay_ask ask;
    char text[128];
};

enum { DELIVERIES_MAX = 64 };

HELPER uint32_t keep_deliveries(const struct overlay_effects *effects, struct delivery *kept)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < effects->count && count < DELIVERIES_MAX; i++) {
        const struct overlay_effect *effect = &effects->list[i];

        if (effect->kind == OVERLAY_DELIVER) {
            kept[count].ask = effect->ask;
            snprintf(kept[count++].text, sizeof(kept[0].text), "%.*s",
                     (int)effect->payload.length_bytes, (const char *)effect->payload.data);
        }
    }
    return count;
}

/* Performs all effects; the agent of these tests answers each question with "re: ...". */
HELPER void perform(uint32_t who)
{
    struct node *node = &net.nodes[who];
    struct overlay_effects *effects = &node->effects;
    struct delivery kept[DELIVERIES_MAX];
    uint32_t count = keep_deliveries(effects, kept);

    for (uint32_t i = 0; i < effects->count; i++) {
        perform_one(who, &effects->list[i]);
    }
    effects->count = 0;
    effects->arena_used_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
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

HELPER uint64_t later_of(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms > b_ms ? a_ms : b_ms;
}

/* What comes for a stalled process waits for it, in order. */
HELPER bool postpone(struct network_event *event)
{
    const struct node *node = &net.nodes[event->to];

    if (node->stalled_until_ms <= net.now_ms) {
        return false;
    }
    event->at_ms = node->stalled_until_ms;
    push_event(event);
    return true;
}

/* The next thing that happens, at most at until_ms. Returns false when there is none. */
HELPER bool step_once(uint64_t until_ms)
{
    uint64_t next_ms = net.event_count > 0 ? net.events[0]->at_ms : UINT64_MAX;
    int waker = -1;

    for (uint32_t i = 0; i < net.node_count; i++) {
        struct node *node = &net.nodes[i];

        if (node->running && node->wake_ms != 0 &&
            later_of(node->wake_ms, node->stalled_until_ms) < next_ms) {
            next_ms = later_of(node->wake_ms, node->stalled_until_ms);
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

        if (!postpone(event)) {
            handle(event);
            free_event(event);
        }
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
