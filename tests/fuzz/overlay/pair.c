// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Two valid nodes that know each other. Bytes become what happens between them: messages arrive,
 * late, twice, changed or not at all; links break; writes end or fail; time passes; their users ask
 * for things. After each step the invariants must hold, and, when all is well again for long
 * enough, each request has ended exactly once.
 *
 * Input: a row of [operation][argument].
 */
#include "overlay/state.h"
#include "tests/fuzz/overlay/papers.h"
#include "tests/fuzz/overlay/rewind.h"

enum {
    SIDES = 2,
    STEPS_MAX = 120,
    QUEUE_MAX = 32,
    TOKENS_MAX = 32,
    STORES_KEPT = 16,
    LINK = 7, /* each one's only inbound link */
    SETTLE_MS = 6000,
    END_MS = 150000, /* longer than any request may take: a chunk over a slow line */
    WALL_UNIX_S = 1790000000,
};

struct queued {
    bool is_reply;
    bool has_data;
    uint16_t length_bytes;
    uint8_t bytes[MESSAGE_BYTES_MAX];
};

struct side {
    uint64_t wake_ms;
    uint64_t stepped_ms;  /* an answer carries no time of its own */
    uint32_t queue_count; /* on the way to it */
    uint32_t store_count;
    struct {
        bool is_chunk;
        uint64_t token;
        struct chunk_id chunk;
    } stores[STORES_KEPT];
    uint64_t next_token;
    bool open[TOKENS_MAX];
    bool has_ask;
    struct overlay_ask ask;
};

struct world {
    uint64_t now_ms;
    bool was_altered; /* a message was, by its hash: a chunk may stay wrong */
    struct side sides[SIDES];
};

/* Beside what goes back with each input. */
static struct {
    struct overlay *overlays[SIDES];
    struct rewind rewinds[SIDES];
    struct node_id nodes[SIDES];
    uint8_t curve_keys[SIDES][32];
    struct world calm;
    struct queued queues[SIDES][QUEUE_MAX];
    uint8_t record[1024];
    size_t record_bytes;
    struct overlay_effects effects;
} pair;

static struct world world;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ------------------------------------------------------------------ effects */

static void enqueue(uint32_t to, const struct overlay_effect *effect)
{
    struct side *side = &world.sides[to];
    struct queued *queued;

    CHECK(effect->message.length_bytes <= MESSAGE_BYTES_MAX);
    if (side->queue_count == QUEUE_MAX || effect->message.length_bytes == 0) {
        return; /* as ZeroMQ at its high-water mark */
    }
    queued = &pair.queues[to][side->queue_count++];
    queued->is_reply = effect->kind == OVERLAY_REPLY;
    queued->has_data = effect->has_chunk;
    queued->length_bytes = (uint16_t)effect->message.length_bytes;
    memcpy(queued->bytes, effect->message.data, effect->message.length_bytes);
}

static void note_store(struct side *side, const struct overlay_effect *effect)
{
    if (effect->token != 0 && side->store_count < STORES_KEPT) {
        side->stores[side->store_count].is_chunk = effect->kind == OVERLAY_STORE_CHUNK;
        side->stores[side->store_count].token = effect->token;
        side->stores[side->store_count].chunk = effect->chunk;
        side->store_count++;
    }
}

static void take_effect(uint32_t index, const struct overlay_effect *effect)
{
    struct side *side = &world.sides[index];

    if (effect->kind == OVERLAY_SEND || effect->kind == OVERLAY_REPLY) {
        enqueue(1 - index, effect);
    } else if (effect->kind == OVERLAY_STORE || effect->kind == OVERLAY_STORE_CHUNK) {
        note_store(side, effect);
    } else if (effect->kind == OVERLAY_WAKE) {
        CHECK(effect->wake_ms > side->stepped_ms);
        side->wake_ms = effect->wake_ms;
    } else if (effect->kind == OVERLAY_DONE) {
        CHECK(effect->token > 0 && effect->token < TOKENS_MAX);
        CHECK(side->open[effect->token]); /* exactly one for each */
        side->open[effect->token] = false;
    } else if (effect->kind == OVERLAY_DELIVER && effect->ask.wants_answer) {
        side->ask = effect->ask;
        side->has_ask = true;
    }
}

static void check_invariants(uint32_t index)
{
    const struct overlay *overlay = pair.overlays[index];
    struct overlay_ring_view view;

    CHECK(overlay_member_count(overlay) == SIDES); /* nobody else has papers */
    overlay_ring(overlay, &view);
    CHECK(view.successor_count <= SIDES - 1);
    CHECK(overlay_chunk_bytes(overlay) <= 1 << 20);
    CHECK(overlay_member(overlay, 0)->state != MEMBER_EXPELLED &&
          overlay_member(overlay, 1)->state != MEMBER_EXPELLED);
}

static void take_effects(uint32_t index)
{
    struct overlay_effects *effects = &pair.effects;

    CHECK(effects->count <= OVERLAY_EFFECTS_MAX);
    for (uint32_t i = 0; i < effects->count; i++) {
        take_effect(index, &effects->list[i]);
    }
    effects->count = 0;
    effects->arena_used_bytes = 0;
    check_invariants(index);
}

/* ------------------------------------------------------------------ events */

static struct overlay_event event_of(enum overlay_event_kind kind)
{
    return (struct overlay_event){
        .kind = kind, .now_ms = world.now_ms, .wall_unix_s = WALL_UNIX_S + world.now_ms / 1000};
}

static void step(uint32_t index, const struct overlay_event *event)
{
    world.sides[index].stepped_ms = world.now_ms;
    overlay_step(pair.overlays[index], event, &pair.effects);
    take_effects(index);
}

static void tick(uint32_t index)
{
    struct overlay_event event = event_of(OVERLAY_TICK);

    world.sides[index].wake_ms = 0;
    step(index, &event);
}

static void deliver(uint32_t index, const struct queued *queued)
{
    static const uint8_t data[100] = "chunk";
    struct overlay_event event = event_of(OVERLAY_RECEIVED);

    event.message = (struct bytes){queued->bytes, queued->length_bytes};
    event.source.inbound = !queued->is_reply;
    if (queued->is_reply) {
        event.source.node = pair.nodes[1 - index];
    } else {
        event.source.link = LINK;
        memcpy(event.source.curve_key, pair.curve_keys[1 - index], 32);
    }
    if (queued->has_data) {
        event.data = (struct bytes){data, sizeof(data)};
    }
    step(index, &event);
}

static void unqueue(struct side *side, struct queued *queue, uint32_t which)
{
    side->queue_count--;
    memmove(&queue[which], &queue[which + 1], (side->queue_count - which) * sizeof(queue[0]));
}

static void link_event(uint32_t index, bool up)
{
    struct overlay_event event = event_of(up ? OVERLAY_LINK_UP : OVERLAY_LINK_LOST);

    event.node = pair.nodes[1 - index];
    step(index, &event);
}

static void end_store(uint32_t index, uint32_t outcome)
{
    struct side *side = &world.sides[index];
    struct overlay_event event;

    if (side->store_count == 0) {
        return;
    }
    side->store_count--;
    event =
        event_of(side->stores[side->store_count].is_chunk ? OVERLAY_CHUNK_STORED : OVERLAY_STORED);
    event.token = side->stores[side->store_count].token;
    event.chunk = side->stores[side->store_count].chunk;
    event.chunk_bytes = 100;
    event.failed = outcome % 3 == 2;
    event.outcome = (enum overlay_chunk_outcome)(outcome % 3);
    step(index, &event);
}

/* One millisecond-exact stretch of time in which everything works. */
static void run_well(uint64_t ms)
{
    uint64_t end_ms = world.now_ms + ms;

    while (world.now_ms < end_ms) {
        uint64_t next_ms = end_ms;

        for (uint32_t i = 0; i < SIDES; i++) {
            struct side *side = &world.sides[i];

            while (side->queue_count > 0 || side->store_count > 0) {
                if (side->store_count > 0) {
                    end_store(i, 0);
                    continue;
                }
                struct queued first = pair.queues[i][0];

                unqueue(side, pair.queues[i], 0);
                deliver(i, &first);
            }
        }
        for (uint32_t i = 0; i < SIDES; i++) {
            uint64_t wake_ms = world.sides[i].wake_ms;

            next_ms = wake_ms != 0 && wake_ms < next_ms ? wake_ms : next_ms;
            next_ms = world.sides[i].queue_count > 0 ? world.now_ms + 1 : next_ms;
        }
        world.now_ms = next_ms > world.now_ms ? next_ms : world.now_ms + 1;
        for (uint32_t i = 0; i < SIDES; i++) {
            if (world.sides[i].wake_ms != 0 && world.sides[i].wake_ms <= world.now_ms) {
                tick(i);
            }
        }
    }
}

/* ------------------------------------------------------------------ the user's wishes */

static void wish(uint32_t index, uint8_t argument)
{
    struct side *side = &world.sides[index];
    struct overlay *overlay = pair.overlays[index];
    struct overlay_event now = event_of(OVERLAY_TICK);
    struct ring_key key = {{{argument, 1}}};
    struct chunk_id chunk = {{{(uint8_t)(argument & 0x1f)}}};
    struct bytes payload = {key.id.bytes, 32};
    struct record_key record =
        record_key(&(struct service_id){key.id}, minga_RecordKind_RECORD_SERVICE, 0);
    uint64_t token = side->next_token + 1;

    if (token >= TOKENS_MAX) {
        return;
    }
    side->next_token = token;
    side->stepped_ms = world.now_ms;
    side->open[token] = true;
    switch (argument >> 5) {
    case 0:
        overlay_ask(overlay, &now, &pair.nodes[argument & 1],
                    (struct overlay_question){token, payload}, &pair.effects);
        break;
    case 1:
        overlay_route(overlay, &now, &key, (struct overlay_question){token, payload},
                      &pair.effects);
        break;
    case 2:
        overlay_lookup(overlay, &now, token, &key, &pair.effects);
        break;
    case 3:
        overlay_record_put(overlay, &now, token, (struct bytes){pair.record, pair.record_bytes},
                           &pair.effects);
        break;
    case 4:
        overlay_record_get(overlay, &now, token, &record, &pair.effects);
        break;
    case 5:
        now.kind = OVERLAY_CHUNK_STORED; /* as the edge does before */
        now.chunk = chunk;
        now.chunk_bytes = 100;
        overlay_step(overlay, &now, &pair.effects);
        overlay_chunk_put(overlay, &now, token, &(struct overlay_spread){.chunk = chunk},
                          &pair.effects);
        break;
    default:
        overlay_chunk_get(
            overlay, &now, token,
            &(struct overlay_wanted){chunk, &pair.nodes[1 - index], 1, {{{{0}}}, {{{0}}}}},
            &pair.effects);
        break;
    }
    take_effects(index);
}

static void answer(uint32_t index, uint8_t argument)
{
    struct side *side = &world.sides[index];
    uint8_t bytes[4] = {argument};

    if (side->has_ask) {
        side->has_ask = false;
        overlay_answer(pair.overlays[index], &side->ask, (struct bytes){bytes, sizeof(bytes)},
                       &pair.effects);
        take_effects(index);
    }
}

/* ------------------------------------------------------------------ the input */

/* What happens to a message on its way: 0, 1, 2 it arrives, 3 twice, 4 never, 5 changed. */
static void carry(uint32_t index, uint8_t how, const uint8_t *change)
{
    struct side *side = &world.sides[index];
    uint32_t which = side->queue_count == 0 ? 0 : (how >> 4) % side->queue_count;
    struct queued queued;

    if (side->queue_count == 0) {
        return;
    }
    queued = pair.queues[index][which];
    if ((how & 7) != 3) {
        unqueue(side, pair.queues[index], which);
    }
    if ((how & 7) == 5) {
        size_t place = (size_t)change[0] | (size_t)change[1] << 8;

        queued.bytes[place % queued.length_bytes] ^= change[2];
        world.was_altered = true;
    }
    if ((how & 7) != 4) {
        deliver(index, &queued);
    }
}

static void apply(uint8_t operation, uint8_t argument, const uint8_t *next)
{
    uint32_t index = operation & 1;

    switch ((operation >> 1) % 8) {
    case 0:
    case 1:
    case 2:
        carry(index, argument, next);
        break;
    case 3:
        world.now_ms += 1 + (uint64_t)argument * 8;
        tick(index);
        break;
    case 4:
        end_store(index, argument);
        break;
    case 5:
        wish(index, argument);
        break;
    case 6:
        link_event(index, (argument & 1) != 0);
        break;
    default:
        answer(index, argument);
        break;
    }
}

static void make_record(const struct papers *papers)
{
    minga_Record record = minga_Record_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key = keys_public(&papers->nodes[0]);

    record.kind = minga_RecordKind_RECORD_SERVICE;
    memcpy(record.owner_key, key.bytes, PUBLIC_KEY_BYTES);
    memcpy(record.name, "web", 4);
    record.sequence = 1;
    CHECK(signed_make(minga_Record_fields, &record, PURPOSE_RECORD, &papers->nodes[0], &envelope) ==
          0);
    pair.record_bytes = papers_encode(&envelope, pair.record, sizeof(pair.record));
}

static void make_pair(void)
{
    const struct papers *papers = papers_made();

    make_record(papers);
    world.now_ms = 1000;
    for (uint32_t i = 0; i < SIDES; i++) {
        struct public_key key = keys_public(&papers->nodes[i]);

        pair.nodes[i] = keys_node_id(&key);
        CHECK(keys_curve_public(&key, pair.curve_keys[i]) == 0);
        pair.overlays[i] = papers_node(papers, i, SIDES);
    }
    for (uint32_t i = 0; i < SIDES; i++) {
        minga_Message hello;
        struct queued *queued = &pair.queues[i][0];

        /* Each has an address of the other from its greeting. */
        papers_hello(papers, 1 - i, &hello);
        overlay_start(pair.overlays[i], world.now_ms, WALL_UNIX_S, &pair.effects);
        take_effects(i);
        world.sides[i].queue_count = 1;
        *queued = (struct queued){0};
        queued->length_bytes =
            (uint16_t)message_encode(&hello, queued->bytes, sizeof(queued->bytes));
    }
    run_well(SETTLE_MS);
    CHECK(overlay_member(pair.overlays[0], 1)->state == MEMBER_UP);
    CHECK(overlay_member(pair.overlays[1], 0)->state == MEMBER_UP);
    for (uint32_t i = 0; i < SIDES; i++) {
        rewind_note(&pair.rewinds[i], pair.overlays[i], sizeof(*pair.overlays[i]));
    }
    pair.calm = world;
}

/* Has all ended, and is the other one there? */
static bool is_well(void)
{
    for (uint32_t i = 0; i < SIDES; i++) {
        for (uint64_t token = 1; token <= world.sides[i].next_token; token++) {
            if (world.sides[i].open[token]) {
                return false;
            }
        }
        if (overlay_member(pair.overlays[i], 1 - i)->state != MEMBER_UP) {
            return false;
        }
    }
    return true;
}

static void check_ends(void)
{
    for (uint32_t i = 0; i < SIDES; i++) {
        link_event(i, true);
    }
    for (uint64_t ms = 0; ms < END_MS && !is_well(); ms += SETTLE_MS / 2) {
        run_well(SETTLE_MS / 2);
    }
    CHECK(is_well());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t no_change[3] = {1, 0, 1};

    if (pair.overlays[0] == NULL) {
        make_pair();
    }
    for (uint32_t i = 0; i < SIDES; i++) {
        rewind_back(&pair.rewinds[i]);
    }
    world = pair.calm;
    pair.effects.count = 0;
    pair.effects.arena_used_bytes = 0;
    for (size_t at = 0; at + 1 < size && at < 2 * (size_t)STEPS_MAX; at += 2) {
        apply(data[at], data[at + 1], at + 4 < size ? data + at + 2 : no_change);
    }
    if (size % 64 == 17) { /* dear: not each time */
        check_ends();
    }
    return 0;
}
