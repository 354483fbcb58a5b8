// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Bytes become events for an admitted node with three neighbours, who may send anything; an odd
 * number of bytes for one that keeps only a part of the membership; an even one that four do not
 * divide for one that has to find out whether it can be dialled, and passes on for others. After each event the
 * invariants must hold; nothing that others send may hit a CHECK.
 *
 * Input: a row of [operation][argument][length low][length high][length bytes].
 */
#include "overlay/state.h"
#include "tests/fuzz/overlay/papers.h"
#include "tests/fuzz/overlay/rewind.h"

enum { NEIGHBOURS = 3, STEPS_MAX = 64, TOKENS_MAX = 64 };

struct run {
    struct overlay *overlay;
    uint64_t now_ms;
    uint64_t stores[8]; /* tokens of the last store effects */
    uint32_t store_count;
    uint64_t next_token;
    bool open[TOKENS_MAX];
    struct overlay_ask ask;
    bool has_ask;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const struct overlay_effect *effect)
{
    minga_Message message = minga_Message_init_zero;

    CHECK(effect->message.length_bytes <= MESSAGE_BYTES_MAX);
    if (effect->message.length_bytes > 0) {
        CHECK(message_decode(effect->message, &message) == 0);
    }
}

static void take_effects(struct run *run, struct overlay_effects *effects)
{
    CHECK(effects->count <= OVERLAY_EFFECTS_MAX);
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct overlay_effect *effect = &effects->list[i];

        if (effect->kind == OVERLAY_SEND || effect->kind == OVERLAY_REPLY) {
            check_message(effect);
        } else if ((effect->kind == OVERLAY_STORE || effect->kind == OVERLAY_STORE_CHUNK) &&
                   effect->token != 0) {
            run->stores[run->store_count++ % 8] = effect->token;
        } else if (effect->kind == OVERLAY_DONE) {
            CHECK(effect->token > 0 && effect->token < TOKENS_MAX);
            CHECK(run->open[effect->token]); /* exactly one DONE for each */
            run->open[effect->token] = false;
        } else if (effect->kind == OVERLAY_WAKE) {
            CHECK(effect->wake_ms > run->now_ms);
        } else if (effect->kind == OVERLAY_DELIVER) {
            run->ask = effect->ask;
            run->has_ask = true;
        }
    }
    effects->count = 0;
    effects->arena_used_bytes = 0;
}

static void check_invariants(const struct run *run)
{
    const struct overlay *overlay = run->overlay;
    struct overlay_ring_view view;
    struct ring_key key = {{{0}}};
    struct node_id nodes[RECORD_COPIES];

    CHECK(overlay_member_count(overlay) <= NEIGHBOURS + 1);
    CHECK(overlay_member_by_id(overlay, &(struct node_id){overlay_self(overlay).id}) != NULL);
    overlay_ring(overlay, &view);
    CHECK(view.successor_count <= NEIGHBOURS);
    CHECK(overlay_replica_set(overlay, &key, RECORD_COPIES, nodes) <= NEIGHBOURS + 1);
    CHECK(overlay_chunk_bytes(overlay) <= (1 << 20));
}

static struct overlay_event event_at(const struct run *run, enum overlay_event_kind kind)
{
    return (struct overlay_event){
        .kind = kind, .now_ms = run->now_ms, .wall_unix_s = 1790000000 + run->now_ms / 1000};
}

static void greet(struct run *run, uint32_t neighbour, struct overlay_effects *effects)
{
    const struct papers *papers = papers_made();
    struct overlay_event event = event_at(run, OVERLAY_RECEIVED);
    struct public_key key = keys_public(&papers->nodes[neighbour]);
    minga_Message message;
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length;

    /* With an address, so that the neighbour can be sent to. */
    papers_hello(papers, neighbour, &message);
    length = message_encode(&message, bytes, sizeof(bytes));
    CHECK(length > 0);
    event.message = (struct bytes){bytes, (size_t)length};
    event.source.inbound = true;
    event.source.link = neighbour;
    CHECK(keys_curve_public(&key, event.source.curve_key) == 0);
    overlay_step(run->overlay, &event, effects);
    take_effects(run, effects);
}

enum variant { SMALL, LARGE, REACHED, VARIANTS };

/* LARGE: more members than it keeps in full; see overlay/large/book.c. */
static void start(struct run *run, enum variant variant, struct overlay_effects *effects)
{
    bool large = variant == LARGE;
    struct overlay_event tick;

    run->overlay = papers_node_of(papers_made(), 0, NEIGHBOURS + 1, large ? 1 : 0);
    run->now_ms = 1000;
    if (variant == REACHED) {
        run->overlay->reach.is_used = true;
        run->overlay->reach.described.relays = true;
        run->overlay->reach.described.addresses_count = 1;
        memcpy(run->overlay->reach.described.addresses[0], "10.0.0.1:7400",
               sizeof("10.0.0.1:7400"));
        run->overlay->relaying.port_first = 32000;
        run->overlay->relaying.port_count = 5;
    }
    overlay_start(run->overlay, run->now_ms, 1790000000, effects);
    take_effects(run, effects);
    for (uint32_t i = 1; i <= NEIGHBOURS; i++) {
        greet(run, i, effects);
    }
    run->now_ms += 2000;
    tick = event_at(run, OVERLAY_TICK);
    overlay_step(run->overlay, &tick, effects);
    take_effects(run, effects);
    CHECK(overlay_knows_all(run->overlay) == !large);
}

/* Replies need the id of a request: the low bits of the message's own id choose a recent one. */
static void receive(struct run *run, uint8_t argument, struct bytes bytes,
                    struct overlay_effects *effects)
{
    struct overlay_event event = event_at(run, OVERLAY_RECEIVED);
    const struct papers *papers = papers_made();
    uint32_t neighbour = 1 + argument % NEIGHBOURS;
    struct public_key key = keys_public(&papers->nodes[neighbour]);

    event.message = bytes;
    event.source.inbound = (argument & 0x40) == 0;
    (void)text_copy(event.source.host, sizeof(event.source.host),
                    (argument & 3) == 3 ? "127.0.0.1" : "2001:db8::7");
    if (event.source.inbound) {
        event.source.link = (argument & 0x20) != 0 ? 99 : neighbour;
        CHECK(keys_curve_public(&key, event.source.curve_key) == 0);
    } else if ((argument & 0x10) != 0 && run->overlay->contacts[argument & 3].used) {
        event.source.node = run->overlay->contacts[argument & 3].peer.node; /* dialled, unknown */
    } else {
        event.source.node = keys_node_id(&key);
    }
    if ((argument & 0x80) != 0) {
        event.data = bytes;
    }
    overlay_step(run->overlay, &event, effects);
}

static void request(struct run *run, uint8_t argument, struct bytes bytes,
                    struct overlay_effects *effects)
{
    struct overlay_event now = event_at(run, OVERLAY_TICK);
    struct ring_key key = {{{argument}}};
    struct chunk_id chunk = {key.id};
    struct record_key record;
    struct node_id to = overlay_member(run->overlay, argument % (NEIGHBOURS + 1))->node;
    uint64_t token = ++run->next_token;

    if (token >= TOKENS_MAX) {
        return;
    }
    run->open[token] = true;
    if (bytes.length_bytes > PAYLOAD_BYTES_MAX) {
        bytes.length_bytes = PAYLOAD_BYTES_MAX;
    }
    switch (argument >> 4) {
    case 0:
        overlay_ask(run->overlay, &now, &to, (struct overlay_question){token, bytes}, effects);
        break;
    case 1:
        overlay_route(run->overlay, &now, &key, (struct overlay_question){token, bytes}, effects);
        break;
    case 2:
        overlay_lookup(run->overlay, &now, token, &key, effects);
        break;
    case 3:
        overlay_record_put(run->overlay, &now, token, bytes, effects);
        break;
    case 4:
        record = record_key(&(struct service_id){key.id}, minga_RecordKind_RECORD_SERVICE, 0);
        overlay_record_get(run->overlay, &now, token, &record, effects);
        break;
    case 5:
        overlay_chunk_put(run->overlay, &now, token, &(struct overlay_spread){.chunk = chunk},
                          effects);
        break;
    default:
        overlay_chunk_get(run->overlay, &now, token,
                          &(struct overlay_wanted){chunk, &to, 1, {{{{0}}}, {{{0}}}}}, effects);
        break;
    }
}

static void apply(struct run *run, uint8_t operation, uint8_t argument, struct bytes bytes,
                  struct overlay_effects *effects)
{
    struct overlay_event event = event_at(run, OVERLAY_TICK);

    switch (operation % 8) {
    case 0:
        run->now_ms += (uint64_t)argument * 10;
        event.now_ms = run->now_ms;
        overlay_step(run->overlay, &event, effects);
        break;
    case 1:
    case 2:
    case 3:
        receive(run, argument, bytes, effects);
        break;
    case 4:
        event.kind = (argument & 1) != 0 ? OVERLAY_LINK_UP : OVERLAY_LINK_LOST;
        event.refused = (argument & 2) != 0;
        event.node = overlay_member(run->overlay, (argument >> 1) % (NEIGHBOURS + 1))->node;
        if ((argument & 0x80) != 0) {
            event.kind = (argument & 0x40) != 0 ? OVERLAY_PORT_REFUSED
                         : (argument & 1) != 0  ? OVERLAY_RELAY_UP
                                                : OVERLAY_RELAY_DOWN;
            event.port = (uint16_t)(32000 + argument % 8);
            if ((argument & 0x60) == 0x60) { /* 0: where the overlay listens */
                event.kind = OVERLAY_PORT_MAPPED;
                event.port = argument % 4 == 0 ? 0 : event.port;
                event.outside_port = (uint16_t)(argument % 3 * 7400);
            }
        }
        if ((argument & 0x8c) == 0x0c) {
            event.kind = OVERLAY_CALLER_LOST;
            event.source.link = argument % (NEIGHBOURS + 1);
        }
        overlay_step(run->overlay, &event, effects);
        break;
    case 5:
        event.kind = (argument & 1) != 0         ? OVERLAY_STORED
                     : (argument & 0x82) == 0x82 ? OVERLAY_CHUNK_READ
                                                 : OVERLAY_CHUNK_STORED;
        event.token = run->stores[(argument >> 1) % 8];
        event.failed = (argument & 0x10) != 0;
        event.outcome = (enum overlay_chunk_outcome)((argument >> 5) % 4);
        event.chunk.id.bytes[0] = argument & 0x1c;
        event.chunk_bytes = 100;
        overlay_step(run->overlay, &event, effects);
        break;
    case 6:
        request(run, argument, bytes, effects);
        break;
    default:
        if (run->has_ask && bytes.length_bytes <= PAYLOAD_BYTES_MAX) {
            overlay_answer(run->overlay, &run->ask, bytes, effects);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct overlay_effects effects; /* a megabyte, emptied after each call */
    static struct rewind rewinds[VARIANTS];
    static struct run starts[VARIANTS];
    enum variant variant = size % 2 == 1 ? LARGE : size % 4 == 2 ? REACHED : SMALL;
    struct run *started = &starts[variant];
    struct rewind *rewind = &rewinds[variant];
    struct run run;

    effects.count = 0;
    effects.arena_used_bytes = 0;
    if (started->overlay == NULL) {
        start(started, variant, &effects);
        rewind_note(rewind, started->overlay, sizeof(*started->overlay));
    }
    rewind_back(rewind);
    run = *started;
    for (uint32_t step = 0; step < STEPS_MAX && size >= 4; step++) {
        size_t length_bytes = (size_t)data[2] | (size_t)data[3] << 8;

        if (length_bytes > size - 4) {
            length_bytes = size - 4;
        }
        apply(&run, data[0], data[1], (struct bytes){data + 4, length_bytes}, &effects);
        take_effects(&run, &effects);
        check_invariants(&run);
        data += 4 + length_bytes;
        size -= 4 + length_bytes;
    }
    return 0;
}
