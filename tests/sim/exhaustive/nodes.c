// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/nodes.h"

#include "base/attributes.h"
#include "overlay/message.h"
#include "overlay/state.h"
#include "tests/sim/exhaustive/locals.h"
#include "tests/sim/exhaustive/names.h"
#include "tests/sim/inspect.h"
#include "tests/unit/overlay/network.h"

enum { SETTLE_MS = 8000 };

struct list { /* beside names: as many, of one size */
    uint32_t capacity;
    void *at;
};

static struct {
    uint32_t count;
    uint32_t firsts[NODES_COUNT_MAX]; /* what each knew before the search */
    bool remembers;
    struct names messages;
    struct names inputs;
    struct list outcomes; /* of the inputs */
    uint32_t op_count;
    struct list ops;
    struct names views_of;
    struct list views;
    struct overlay_effects effects;
    struct { /* by nodes_mark */
        struct locals_mark locals;
        uint32_t messages;
        uint32_t inputs;
        uint32_t ops;
        uint32_t views;
    } mark;
} all;

static void make_room(struct list *list, uint32_t count, size_t each_bytes)
{
    if (count > list->capacity) {
        list->capacity = 2 * count + 256;
        list->at = realloc(list->at, list->capacity * each_bytes);
        CHECK(list->at != NULL);
    }
}

/* ------------------------------------------------------------------ messages */

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

struct text { /* a message under its number: whether it is of the ring, then its bytes */
    uint8_t is_background;
    uint8_t bytes[MESSAGE_BYTES_MAX];
};

static uint32_t message_number(struct bytes bytes)
{
    static struct text text;

    CHECK(bytes.length_bytes > 0 && bytes.length_bytes <= sizeof(text.bytes));
    text.is_background = !is_of_ring(bytes);
    memcpy(text.bytes, bytes.data, bytes.length_bytes);
    return names_number(&all.messages, &text, offsetof(struct text, bytes) + bytes.length_bytes);
}

bool nodes_is_background(uint32_t message)
{
    return ((const struct text *)names_bytes(&all.messages, message, NULL))->is_background;
}

/* ------------------------------------------------------------------ steps */

struct course { /* of one step, with what the edge tells the node at once about what it asked for */
    const struct node_input *input;
    uint8_t linked;
    struct node_outcome outcome;
    uint32_t follow_count;
    struct overlay_event follow[64];
};

static uint32_t pair(uint32_t dialler, uint32_t dialled)
{
    return (uint32_t)1 << (dialler * NODES_COUNT_MAX + dialled);
}

/* Link numbers do not depend on the order in which different pairs dial. */
static uint64_t link_number(uint32_t dialler, uint32_t dialled, uint8_t link)
{
    if (link == LINK_BEFORE) {
        return net.nodes[dialler].links[dialled];
    }
    return (uint64_t)(dialler * NODES_COUNT_MAX + dialled + 1) << 32 | link;
}

/* Which of the connections to `dialled` has that number? False: it is not one of the scene. */
static bool find_link(uint64_t number, uint32_t dialled, uint32_t *dialler_out, uint8_t *link_out)
{
    for (uint32_t dialler = 0; dialler < all.count; dialler++) {
        *dialler_out = dialler;
        *link_out = (uint8_t)number;
        if (number >> 32 != 0 && link_number(dialler, dialled, *link_out) == number) {
            return true;
        }
        *link_out = LINK_BEFORE;
        if (number != 0 && net.nodes[dialler].links[dialled] == number) {
            return true;
        }
    }
    return false;
}

static void follow(struct course *course, struct overlay_event event)
{
    CHECK(course->follow_count < ARRAY_COUNT(course->follow));
    course->follow[course->follow_count++] = event;
}

static void add_op(struct course *course, struct node_op op)
{
    struct node_op *ops;

    make_room(&all.ops, all.op_count + 1, sizeof(*ops));
    ops = all.ops.at;
    ops[all.op_count++] = op;
    course->outcome.op_count++;
}

static void take_send(struct course *course, const struct overlay_effect *effect)
{
    uint32_t from = course->input->node;
    int to = find_node(&effect->peer.node);
    uint8_t bit = (uint8_t)(to < 0 ? 0 : 1 << to);

    if (to < 0) {
        return;
    }
    add_op(course, (struct node_op){.kind = OP_SEND,
                                    .to = (uint8_t)to,
                                    .message = message_number(effect->message)});
    if ((course->input->running & bit) == 0) {
        course->linked &= (uint8_t)~bit;
        course->outcome.footprint.changed |= pair(from, (uint32_t)to);
    } else if ((course->linked & bit) == 0) {
        course->linked |= bit;
        course->outcome.footprint.changed |= pair(from, (uint32_t)to);
        follow(course, (struct overlay_event){.kind = OVERLAY_LINK_UP, .node = effect->peer.node});
    }
}

static void take_reply(struct course *course, const struct overlay_effect *effect)
{
    uint32_t dialler;
    uint8_t link;

    if (!find_link(effect->link, course->input->node, &dialler, &link)) {
        return;
    }
    add_op(course, (struct node_op){.kind = OP_REPLY,
                                    .to = (uint8_t)dialler,
                                    .link = link,
                                    .message = message_number(effect->message)});
    course->outcome.footprint.replied |= pair(dialler, course->input->node);
}

static void take_hang_up(struct course *course, const struct overlay_effect *effect)
{
    int to = find_node(&effect->peer.node);

    if (to >= 0) {
        course->linked &= (uint8_t) ~(1 << to);
        add_op(course, (struct node_op){.kind = OP_HANG_UP, .to = (uint8_t)to});
        course->outcome.footprint.changed |= pair(course->input->node, (uint32_t)to);
    }
}

static void take_effect(struct course *course, const struct overlay_effect *effect)
{
    switch ((int)effect->kind) {
    case OVERLAY_SEND:
        take_send(course, effect);
        break;
    case OVERLAY_REPLY:
        take_reply(course, effect);
        break;
    case OVERLAY_HANG_UP:
        take_hang_up(course, effect);
        break;
    case OVERLAY_STORE:
        if (effect->token != 0) {
            follow(course, (struct overlay_event){.kind = OVERLAY_STORED, .token = effect->token});
        }
        break;
    case OVERLAY_WAKE:
        course->outcome.has_wake = true;
        course->outcome.wake_ms = effect->wake_ms;
        break;
    case OVERLAY_DONE:
        course->outcome.answered = course->outcome.answered || effect->token == NODES_LOOKUP_TOKEN;
        break;
    default:
        break;
    }
}

static void take_effects(struct course *course)
{
    for (uint32_t i = 0; i < all.effects.count; i++) {
        take_effect(course, &all.effects.list[i]);
    }
    all.effects.count = 0;
    all.effects.arena_used_bytes = 0;
}

static void step(struct course *course, struct overlay_event *event)
{
    event->now_ms = course->input->now_ms;
    event->wall_unix_s = net.wall_unix_s;
    overlay_step(net.nodes[course->input->node].overlay, event, &all.effects);
    take_effects(course);
}

static void take_message(struct course *course)
{
    static uint8_t bytes[MESSAGE_BYTES_MAX]; /* numbers are given while it is read */
    const struct node_input *input = course->input;
    const struct node *from = &net.nodes[input->from];
    struct overlay_event event = {.kind = OVERLAY_RECEIVED, .node = from->id};
    size_t length_bytes;
    const struct text *text = names_bytes(&all.messages, input->message, &length_bytes);

    length_bytes -= offsetof(struct text, bytes);
    memcpy(bytes, text->bytes, length_bytes);
    event.message = (struct bytes){bytes, length_bytes};
    event.source.inbound = input->channel == CHANNEL_DIALLED;
    event.source.link = input->link == 0 ? 0 : link_number(input->from, input->node, input->link);
    event.source.node = from->id;
    memcpy(event.source.curve_key, from->curve.public_bytes, 32);
    step(course, &event);
}

static void look_up(struct course *course)
{
    struct ring_key key = keys_position(&net.nodes[all.count - 1].key, 0);
    struct overlay_event now = {.now_ms = course->input->now_ms, .wall_unix_s = net.wall_unix_s};

    overlay_lookup(net.nodes[course->input->node].overlay, &now, NODES_LOOKUP_TOKEN, &key,
                   &all.effects);
    take_effects(course);
}

static void run(struct course *course)
{
    const struct node_input *input = course->input;
    struct overlay *overlay = net.nodes[input->node].overlay;

    switch ((enum node_input_kind)input->kind) {
    case INPUT_MESSAGE:
        take_message(course);
        break;
    case INPUT_LOST:
        step(course,
             &(struct overlay_event){.kind = OVERLAY_LINK_LOST, .node = net.nodes[input->from].id});
        break;
    case INPUT_TIME:
        step(course, &(struct overlay_event){.kind = OVERLAY_TICK});
        break;
    case INPUT_START:
        overlay_start(overlay, input->now_ms, net.wall_unix_s, &all.effects);
        take_effects(course);
        break;
    case INPUT_LOOKUP:
        look_up(course);
        break;
    }
    /* a list that grows while it is gone through: what follows can have effects as well */
    for (uint32_t i = 0; i < course->follow_count; i++) {
        step(course, &course->follow[i]);
    }
}

static struct node_outcome compute(const struct node_input *input)
{
    struct course course = {.input = input, .linked = input->linked};
    struct overlay *overlay = net.nodes[input->node].overlay;

    course.outcome.op_first = all.op_count;
    course.outcome.footprint.touched = (uint8_t)(1 << input->node);
    locals_load(input->node, overlay, input->local);
    run(&course);
    course.outcome.local = locals_number(input->node, overlay);
    return course.outcome;
}

static void check_same(const struct node_outcome *a, const struct node_outcome *b)
{
    const struct node_op *ops = all.ops.at;

    CHECK(a->local == b->local && a->op_count == b->op_count && a->answered == b->answered);
    CHECK(a->has_wake == b->has_wake && a->wake_ms == b->wake_ms);
    for (uint32_t i = 0; i < a->op_count; i++) {
        const struct node_op *one = &ops[a->op_first + i];
        const struct node_op *other = &ops[b->op_first + i];

        CHECK(one->kind == other->kind && one->to == other->to && one->link == other->link &&
              one->message == other->message);
    }
}

const struct node_outcome *nodes_step(const struct node_input *input)
{
    uint32_t known_count = all.inputs.count;
    uint32_t number = names_number(&all.inputs, input, sizeof(*input));
    struct node_outcome *outcomes;

    make_room(&all.outcomes, all.inputs.count, sizeof(*outcomes));
    outcomes = all.outcomes.at;
    if (number == known_count) {
        outcomes[number] = compute(input);
    } else if (!all.remembers) {
        struct node_outcome again = compute(input);

        check_same(&outcomes[number], &again);
        all.op_count = again.op_first;
    }
    return &outcomes[number];
}

const struct node_op *nodes_ops(const struct node_outcome *outcome)
{
    return (const struct node_op *)all.ops.at + outcome->op_first;
}

void nodes_set_memory(bool remembers)
{
    all.remembers = remembers;
}

uint32_t nodes_step_count(void)
{
    return all.inputs.count;
}

/* ------------------------------------------------------------------ views */

static struct node_view look_at(uint32_t node, uint32_t local, uint64_t now_ms)
{
    struct overlay *overlay = net.nodes[node].overlay;
    struct node_view view = {0};
    struct overlay_ring_view ring;

    locals_load(node, overlay, local);
    overlay_ring(overlay, &ring);
    view.is_in = inspect_in_ring(overlay);
    view.is_led = ring.successor_count > 1;
    for (uint32_t i = 0; i < ring.successor_count; i++) {
        int successor = find_node(&ring.successors[i]);

        if (successor >= 0) {
            CHECK(view.successor_count < NODES_COUNT_MAX);
            view.successors[view.successor_count++] = (uint8_t)successor;
        }
    }
    /* Positions part the ring into arcs: whoever answers for one answers for all up to it. */
    for (uint32_t other = 0; other < all.count; other++) {
        struct ring_key key = keys_position(&net.nodes[other].key, 0);

        view.owned |= (uint8_t)(overlay_responsible(overlay, &key, now_ms) ? 1 << other : 0);
    }
    view.problem = inspect_tables(overlay, now_ms);
    return view;
}

const struct node_view *nodes_view(uint32_t node, uint32_t local, uint64_t now_ms)
{
    const uint64_t of[3] = {now_ms, local, node};
    uint32_t known_count = all.views_of.count;
    uint32_t number = names_number(&all.views_of, of, sizeof(of));
    struct node_view *views;

    make_room(&all.views, all.views_of.count, sizeof(*views));
    views = all.views.at;
    if (number == known_count) {
        views[number] = look_at(node, local, now_ms);
    }
    return &views[number];
}

struct id nodes_position(uint32_t node)
{
    return keys_position(&net.nodes[node].key, 0).id;
}

/* ------------------------------------------------------------------ making them */

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

void nodes_make(uint32_t count, uint32_t absent_count)
{
    CHECK(count <= NODES_COUNT_MAX && absent_count < count);
    make_members(count);
    run_for(SETTLE_MS);
    for (uint32_t node = count - absent_count; node < count; node++) {
        kill_node(node, false);
    }
    run_for(SETTLE_MS);
    while (net.event_count > 0) {
        free_event(pop_event());
    }
    all.count = count;
    all.remembers = true;
    for (uint32_t node = 0; node < count; node++) {
        if (!net.nodes[node].running) {
            load_node(node);
        }
        locals_watch(node, net.nodes[node].overlay);
        all.firsts[node] = locals_number(node, net.nodes[node].overlay);
    }
}

struct nodes_begun nodes_begun(uint32_t index)
{
    const struct node *node = &net.nodes[index];
    struct nodes_begun begun = {.now_ms = net.now_ms, .is_running = node->running};

    begun.local = all.firsts[index];
    begun.wake_ms = node->running ? node->wake_ms : 0;
    for (uint32_t to = 0; to < all.count && node->running; to++) {
        begun.linked |= (uint8_t)(net.nodes[to].running && node->links[to] != 0 ? 1 << to : 0);
    }
    return begun;
}

static void forget_all(void)
{
    names_done(&all.messages);
    names_done(&all.inputs);
    names_done(&all.views_of);
    free(all.outcomes.at);
    free(all.ops.at);
    free(all.views.at);
    memset(&all, 0, sizeof(all));
}

void nodes_done(void)
{
    locals_unwatch();
    end_network();
    forget_all();
}

void nodes_mark(void)
{
    all.mark.locals = locals_mark();
    all.mark.messages = all.messages.count;
    all.mark.inputs = all.inputs.count;
    all.mark.ops = all.op_count;
    all.mark.views = all.views_of.count;
}

void nodes_forget(void)
{
    names_forget(&all.messages, all.mark.messages);
    names_forget(&all.inputs, all.mark.inputs);
    names_forget(&all.views_of, all.mark.views);
    all.op_count = all.mark.ops;
    for (uint32_t node = 0; node < all.count; node++) {
        locals_load(node, net.nodes[node].overlay, all.firsts[node]);
    }
    locals_forget(all.mark.locals);
}
