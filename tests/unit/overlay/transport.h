// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A transport in virtual time, for tests: shuttles effects between overlays, with links that come
 * up, break, and carry messages in order. Everything static: each test is one program.
 */
#include "dials.h"
#include "spoken.h"

HELPER bool is_lost(void)
{
    return net.loss_percent > 0 && random_below(&net.random, 100) < net.loss_percent;
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
    event->event.message = spoken(from, effect->message);
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

    net.epochs_count += effect->blob.kind == BLOB_SELF;
    if (effect->token != 0) {
        struct network_event *event =
            new_event(who, OVERLAY_STORED, effect->is_unhurried ? UNHURRIED_MS : 2);

        net.unhurried_count += effect->is_unhurried;
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
    } else if (node->chunks_to_fail > 0) {
        node->chunks_to_fail--;
        event->event.outcome = OVERLAY_CHUNK_FAILED;
    } else if (node->disk_full) {
        event->event.outcome = OVERLAY_CHUNK_REFUSED;
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
    done->copies = effect->copies;
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

    if (peer >= 0 && node->links[peer] != 0) {
        report_caller_lost((uint32_t)peer, node->links[peer]);
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
        node->dropped_count++;
        break;
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

/* A member says what its overlay would not. */
HELPER void say_to(uint32_t from, uint32_t to, const minga_Message *message)
{
    struct network_event *event = new_event(to, OVERLAY_RECEIVED, 1);
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length = message_encode(message, bytes, sizeof(bytes));

    cr_assert_gt(length, 0);
    event->from = from;
    event->event.message = copy_bytes((struct bytes){bytes, (size_t)length});
    event->event.source.inbound = true;
    event->event.source.link = net.nodes[from].links[to];
    memcpy(event->event.source.curve_key, net.nodes[from].curve.public_bytes, 32);
    host_of(from, event->event.source.host);
    push_event(event);
}
