// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/scene.h"

#include "overlay/message.h"
#include "overlay/state.h"
#include "tests/sim/exhaustive/image.h"
#include "tests/sim/exhaustive/pages.h"
#include "tests/sim/inspect.h"
#include "tests/sim/ring_shape.h"
#include "tests/unit/overlay/network.h"

enum { ITEMS_MAX = 60000, POOL_BYTES_MAX = 1 << 24, SETTLE_MS = 8000 };

struct item {
    enum overlay_event_kind kind; /* RECEIVED or LINK_LOST */
    bool is_background;
    uint64_t link; /* RECEIVED on CHANNEL_DIALLED */
    uint64_t hash;
    uint32_t offset_bytes;
    uint32_t length_bytes;
};

static struct item items[ITEMS_MAX];
static uint8_t pool[POOL_BYTES_MAX];
static struct overlay_effects effects;

/* ------------------------------------------------------------------ hashes */

uint64_t scene_hash(const struct scene *scene)
{
    uint64_t hash = image_mix(scene->now_ms, (uint64_t)scene->asked << 1 | scene->answered);

    hash = image_mix(hash, image_hash_bytes(scene->running, sizeof(scene->running)));
    hash = image_mix(hash, image_hash_bytes(scene->wake_ms, sizeof(scene->wake_ms)));
    for (uint32_t node = 0; node < scene->count; node++) {
        hash = image_mix(hash, scene->running[node] ? scene->hashes[node] : 0);
        for (uint32_t to = 0; to < scene->count; to++) {
            hash = image_mix(hash, scene->links[node][to]);
            for (int channel = 0; channel < CHANNELS; channel++) {
                const struct line *line = &scene->lines[node][to][channel];

                hash = image_mix(hash, line->count);
                for (uint32_t i = 0; i < line->count; i++) {
                    hash = image_mix(hash, items[line->items[i]].hash);
                }
            }
        }
    }
    return hash;
}

/* ------------------------------------------------------------------ effects */

/* What joins, leaves, exchanges, looks up: these are delivered in every order. */
static bool is_of_ring(struct bytes bytes)
{
    static minga_Message message;

    CHECK(message_decode(bytes, &message) == 0);
    switch (message.which_kind) {
    case minga_Message_stabilise_tag:
    case minga_Message_stabilise_reply_tag:
    case minga_Message_lookup_tag:
    case minga_Message_lookup_reply_tag:
    case minga_Message_busy_tag:
    case minga_Message_goodbye_tag:
        return true;
    default:
        return false;
    }
}

static void line_add(struct scene *scene, struct line *line, const struct item *item,
                     struct bytes message)
{
    struct item *added = &items[scene->pool_count];

    if (line->count == LINE_ITEMS_MAX) {
        return;
    }
    CHECK(scene->pool_count < ITEMS_MAX);
    CHECK(message.length_bytes <= POOL_BYTES_MAX - scene->pool_bytes);
    *added = *item;
    added->offset_bytes = scene->pool_bytes;
    added->length_bytes = (uint32_t)message.length_bytes;
    if (message.length_bytes > 0) {
        memcpy(&pool[scene->pool_bytes], message.data, message.length_bytes);
    }
    added->is_background = item->kind == OVERLAY_RECEIVED && !is_of_ring(message);
    added->hash = image_mix(image_mix((uint64_t)item->kind, item->link),
                            image_hash_bytes(&pool[scene->pool_bytes], message.length_bytes));
    scene->pool_bytes += added->length_bytes;
    line->items[line->count++] = (uint16_t)scene->pool_count++;
}

static void step(struct scene *scene, uint32_t node, struct overlay_event *event);

/* Link numbers do not depend on the order in which different pairs dial. */
static uint64_t new_link(struct scene *scene, uint32_t from, uint32_t to)
{
    return (uint64_t)(from * SCENE_NODES_MAX + to + 1) << 32 | ++scene->dial_counts[from][to];
}

static bool do_scene_send(struct scene *scene, uint32_t from, const struct overlay_effect *effect)
{
    int to = find_node(&effect->peer.node);
    bool dials;

    if (to < 0) {
        return false;
    }
    if (!scene->running[to]) {
        scene->links[from][to] = 0;
        line_add(scene, &scene->lines[to][from][CHANNEL_REPLIES],
                 &(struct item){.kind = OVERLAY_LINK_LOST}, (struct bytes){NULL, 0});
        return false;
    }
    dials = scene->links[from][to] == 0;
    if (dials) {
        scene->links[from][to] = new_link(scene, from, (uint32_t)to);
    }
    line_add(scene, &scene->lines[from][to][CHANNEL_DIALLED],
             &(struct item){.kind = OVERLAY_RECEIVED, .link = scene->links[from][to]},
             effect->message);
    return dials;
}

static void do_scene_reply(struct scene *scene, uint32_t from, const struct overlay_effect *effect)
{
    for (uint32_t to = 0; to < scene->count; to++) {
        if (scene->running[to] && effect->link != 0 && scene->links[to][from] == effect->link) {
            line_add(scene, &scene->lines[from][to][CHANNEL_REPLIES],
                     &(struct item){.kind = OVERLAY_RECEIVED}, effect->message);
        }
    }
}

struct follow_up { /* what the edge tells a node at once about what it has just asked for */
    uint32_t count;
    struct overlay_event events[32];
};

static void follow(struct follow_up *follow_up, struct overlay_event event)
{
    CHECK(follow_up->count < ARRAY_COUNT(follow_up->events));
    follow_up->events[follow_up->count++] = event;
}

static void take_effect(struct scene *scene, uint32_t node, const struct overlay_effect *effect,
                        struct follow_up *follow_up)
{
    switch ((int)effect->kind) {
    case OVERLAY_SEND:
        if (do_scene_send(scene, node, effect)) {
            follow(follow_up,
                   (struct overlay_event){.kind = OVERLAY_LINK_UP, .node = effect->peer.node});
        }
        break;
    case OVERLAY_REPLY:
        do_scene_reply(scene, node, effect);
        break;
    case OVERLAY_HANG_UP:
        if (find_node(&effect->peer.node) >= 0) {
            scene->links[node][find_node(&effect->peer.node)] = 0;
        }
        break;
    case OVERLAY_STORE:
        if (effect->token != 0) {
            follow(follow_up,
                   (struct overlay_event){.kind = OVERLAY_STORED, .token = effect->token});
        }
        break;
    case OVERLAY_WAKE:
        scene->wake_ms[node] = effect->wake_ms;
        break;
    case OVERLAY_DONE:
        scene->answered = scene->answered || effect->token == SCENE_LOOKUP_TOKEN;
        break;
    default:
        break;
    }
}

static void take_effects(struct scene *scene, uint32_t node)
{
    struct follow_up follow_up = {0};

    for (uint32_t i = 0; i < effects.count; i++) {
        take_effect(scene, node, &effects.list[i], &follow_up);
    }
    effects.count = 0;
    effects.arena_used_bytes = 0;
    for (uint32_t i = 0; i < follow_up.count; i++) {
        step(scene, node, &follow_up.events[i]);
    }
}

static void rehash(struct scene *scene, uint32_t node)
{
    if (!scene->is_unhashed) {
        scene->hashes[node] = image_hash(node, net.nodes[node].overlay);
    }
}

static void stamp(const struct scene *scene, struct overlay_event *event)
{
    event->now_ms = scene->now_ms;
    event->wall_unix_s = net.wall_unix_s;
}

static void step(struct scene *scene, uint32_t node, struct overlay_event *event)
{
    stamp(scene, event);
    overlay_step(net.nodes[node].overlay, event, &effects);
    take_effects(scene, node);
}

/* ------------------------------------------------------------------ steps */

void scene_deliver(struct scene *scene, uint32_t from, uint32_t to, enum scene_channel channel)
{
    struct line *line = &scene->lines[from][to][channel];
    const struct item *item = &items[line->items[0]];
    struct overlay_event event = {.kind = item->kind, .node = net.nodes[from].id};

    CHECK(line->count > 0 && scene->running[to]);
    line->count--;
    memmove(&line->items[0], &line->items[1], line->count * sizeof(line->items[0]));
    event.message = (struct bytes){&pool[item->offset_bytes], item->length_bytes};
    event.source.inbound = channel == CHANNEL_DIALLED;
    event.source.link = item->link;
    event.source.node = net.nodes[from].id;
    memcpy(event.source.curve_key, net.nodes[from].curve.public_bytes, 32);
    step(scene, to, &event);
    rehash(scene, to);
}

bool scene_is_background(const struct scene *scene, uint32_t from, uint32_t to,
                         enum scene_channel channel)
{
    const struct line *line = &scene->lines[from][to][channel];

    return line->count > 0 && items[line->items[0]].is_background;
}

void scene_tick(struct scene *scene, uint32_t node)
{
    struct overlay_event event = {.kind = OVERLAY_TICK};

    if (scene->wake_ms[node] > scene->now_ms) {
        scene->now_ms = scene->wake_ms[node];
    }
    scene->wake_ms[node] = 0;
    step(scene, node, &event);
    rehash(scene, node);
}

void scene_start(struct scene *scene, uint32_t node)
{
    CHECK(!scene->running[node]);
    scene->running[node] = true;
    overlay_start(net.nodes[node].overlay, scene->now_ms, net.wall_unix_s, &effects);
    take_effects(scene, node);
    rehash(scene, node);
}

void scene_lookup(struct scene *scene, uint32_t node, const struct ring_key *key)
{
    struct overlay_event now = {.kind = OVERLAY_TICK};

    stamp(scene, &now);
    scene->asked = true;
    scene->asker = node;
    overlay_lookup(net.nodes[node].overlay, &now, SCENE_LOOKUP_TOKEN, key, &effects);
    take_effects(scene, node);
}

void scene_crash(struct scene *scene, uint32_t node)
{
    scene->running[node] = false;
    scene->asked = scene->asked && scene->asker != node;
    scene->wake_ms[node] = 0;
    for (uint32_t other = 0; other < scene->count; other++) {
        for (int channel = 0; channel < CHANNELS; channel++) {
            scene->lines[other][node][channel].count = 0;
        }
        scene->links[node][other] = 0;
        if (scene->links[other][node] != 0) {
            scene->links[other][node] = 0;
            line_add(scene, &scene->lines[node][other][CHANNEL_REPLIES],
                     &(struct item){.kind = OVERLAY_LINK_LOST}, (struct bytes){NULL, 0});
        }
    }
}

uint32_t scene_next_wake(const struct scene *scene)
{
    uint32_t next = scene->count;

    for (uint32_t node = 0; node < scene->count; node++) {
        if (scene->running[node] && scene->wake_ms[node] != 0 &&
            (next == scene->count || scene->wake_ms[node] < scene->wake_ms[next])) {
            next = node;
        }
    }
    return next;
}

void scene_keep(uint32_t node, struct image *kept)
{
    image_keep(kept, node, net.nodes[node].overlay);
}

void scene_restore(uint32_t node, const struct image *kept)
{
    image_restore(kept, node, net.nodes[node].overlay);
}

struct ring_key scene_position(uint32_t node)
{
    return keys_position(&net.nodes[node].key, 0);
}

/* ------------------------------------------------------------------ making one */

/* As start_node() of network.h, without the start. */
static void load_node(uint32_t index)
{
    struct node *node = &net.nodes[index];

    node->config.seed += 1000;
    node->overlay = overlay_new(&node->config);
    CHECK(node->overlay != NULL);
    for (uint32_t i = node->blob_count; i > 0; i--) {
        struct stored_blob *blob = &node->blobs[i - 1];
        struct overlay_blob loaded = {
            blob->kind, blob->key, blob->number, {blob->bytes, blob->length_bytes}};

        CHECK(overlay_load(node->overlay, &loaded) == 0);
    }
}

void scene_make(struct scene *scene, uint32_t count, uint32_t absent_count)
{
    CHECK(count <= SCENE_NODES_MAX && absent_count < count);
    make_members(count);
    run_for(SETTLE_MS);
    for (uint32_t node = count - absent_count; node < count; node++) {
        kill_node(node, false);
    }
    run_for(SETTLE_MS);
    *scene = (struct scene){.now_ms = net.now_ms, .count = count};
    while (net.event_count > 0) {
        free_event(pop_event());
    }
    for (uint32_t node = 0; node < count; node++) {
        scene->running[node] = net.nodes[node].running;
        scene->wake_ms[node] = scene->running[node] ? net.nodes[node].wake_ms : 0;
        for (uint32_t to = 0; to < count && scene->running[node]; to++) {
            scene->links[node][to] = net.nodes[to].running ? net.nodes[node].links[to] : 0;
        }
        if (!scene->running[node]) {
            load_node(node);
        }
    }
}

void scene_watch(struct scene *scene)
{
    for (uint32_t node = 0; node < scene->count; node++) {
        pages_watch(node, net.nodes[node].overlay, sizeof(struct overlay));
        scene->hashes[node] = image_hash(node, net.nodes[node].overlay);
    }
}

void scene_rewind(struct scene *scene)
{
    pages_rewind();
    for (uint32_t node = 0; node < scene->count; node++) {
        scene->hashes[node] = image_hash(node, net.nodes[node].overlay);
    }
}

void scene_done(struct scene *scene)
{
    (void)scene;
    pages_unwatch();
    end_network();
}

/* ------------------------------------------------------------------ what must hold */

static bool is_in(const struct scene *scene, uint32_t node)
{
    return scene->running[node] && inspect_in_ring(net.nodes[node].overlay);
}

/* Positions part the ring into arcs: whoever answers for one answers for all up to it. */
static uint32_t owner_count(const struct scene *scene, uint32_t position)
{
    struct ring_key key = scene_position(position);
    uint32_t owners = 0;

    for (uint32_t node = 0; node < scene->count; node++) {
        owners += scene->running[node] &&
                  overlay_responsible(net.nodes[node].overlay, &key, scene->now_ms);
    }
    return owners;
}

static uint32_t best_of(const struct scene *scene, uint32_t node)
{
    struct overlay_ring_view view;

    overlay_ring(net.nodes[node].overlay, &view);
    for (uint32_t i = 0; i < view.successor_count; i++) {
        int next = find_node(&view.successors[i]);

        if (next >= 0 && is_in(scene, (uint32_t)next)) {
            return (uint32_t)next;
        }
    }
    return scene->count;
}

static const char *shape_problem(const struct scene *scene)
{
    struct ring_shape shape = {.count = scene->count};
    uint32_t whose;

    for (uint32_t node = 0; node < scene->count; node++) {
        struct overlay_ring_view view;

        overlay_ring(net.nodes[node].overlay, &view);
        /* A newcomer that knows one node yet depends on it: no failure of all successors at once,
         * says Zave; the list comes with the next stabilisation. */
        shape.in[node] =
            is_in(scene, node) && (view.successor_count > 1 || best_of(scene, node) < scene->count);
        shape.positions[node] = scene_position(node).id;
        shape.best[node] = shape.in[node] ? best_of(scene, node) : scene->count;
    }
    return ring_shape_problem(&shape, &whose);
}

const char *scene_problem(const struct scene *scene, bool is_calm)
{
    const char *problem = shape_problem(scene);

    for (uint32_t node = 0; node < scene->count && problem == NULL; node++) {
        uint32_t owners = owner_count(scene, node);

        if (owners > 1) {
            problem = "two nodes answer for a key";
        } else if (is_calm && owners == 0) {
            problem = "nobody answers for a key when all is over";
        } else if (is_calm && scene->running[node] && !is_in(scene, node)) {
            problem = "a node is not in the ring when all is over";
        } else if (scene->running[node]) {
            problem = inspect_tables(net.nodes[node].overlay, scene->now_ms);
        }
    }
    if (problem == NULL && is_calm && scene->asked && !scene->answered) {
        problem = "a lookup never ends";
    }
    return problem;
}
