// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/scene.h"

#include <string.h>

#include "base/check.h"
#include "tests/sim/exhaustive/names.h"
#include "tests/sim/ring_shape.h"

enum {
    LINK_BITS = 8, /* of an item: the connection on which it came, below the message */
    ITEM_LOST = 0, /* no message: the connection broke */
    CROWDED = LINE_ITEMS_MAX / 2, /* a line that may fill up */
    ALL_NODES = (1 << NODES_COUNT_MAX) - 1,
};

static struct {
    struct names lines; /* of items; 0 is the empty one */
    uint32_t mark;
    struct ring_shape shape;                 /* positions are filled in once */
    bool is_right[1 << 4 * NODES_COUNT_MAX]; /* shapes that were looked at: 4 bits for each node */
} all;

uint64_t scene_hash(const struct scene *scene)
{
    return names_hash(scene, sizeof(*scene));
}

static bool runs(const struct scene *scene, uint32_t node)
{
    return (scene->running & 1 << node) != 0;
}

/* ------------------------------------------------------------------ lines */

static bool is_background(uint32_t item)
{
    return item != ITEM_LOST && nodes_is_background((item >> LINK_BITS) - 1);
}

enum { LINE_NUMBERS = NODES_COUNT_MAX * NODES_COUNT_MAX * CHANNELS };

struct line line_at(uint32_t number)
{
    CHECK(number < LINE_NUMBERS);
    return (struct line){number / CHANNELS / NODES_COUNT_MAX, number / CHANNELS % NODES_COUNT_MAX,
                         (enum node_channel)(number % CHANNELS)};
}

static uint64_t line_bit(struct line line)
{
    return (uint64_t)1 << ((line.from * NODES_COUNT_MAX + line.to) * CHANNELS + line.channel);
}

static uint32_t first_item(const struct scene *scene, struct line line)
{
    uint32_t item;

    memcpy(&item, names_bytes(&all.lines, scene->lines[line.from][line.to][line.channel], NULL),
           sizeof(item));
    return item;
}

/* After something was added, or taken. */
static void mark_line(struct scene *scene, struct line line)
{
    uint64_t bit = line_bit(line);

    scene->deliverable &= ~bit;
    scene->background &= ~bit;
    if (scene->lines[line.from][line.to][line.channel] != 0) {
        scene->deliverable |= bit;
        scene->background |= is_background(first_item(scene, line)) ? bit : 0;
    }
}

static void add(struct scene *scene, struct line line, uint32_t item, struct footprint *footprint)
{
    uint32_t *number = &scene->lines[line.from][line.to][line.channel];
    uint32_t items[LINE_ITEMS_MAX];
    size_t length_bytes;
    const void *bytes = names_bytes(&all.lines, *number, &length_bytes);

    if (length_bytes >= CROWDED * sizeof(items[0])) {
        footprint->touched = ALL_NODES; /* whether it fits depends on who takes from it */
    }
    if (length_bytes > 0 && is_background(item)) {
        footprint->waiting |= line_bit(line);
    }
    if (length_bytes < sizeof(items)) {
        memcpy(items, bytes, length_bytes);
        memcpy((uint8_t *)items + length_bytes, &item, sizeof(item));
        *number = names_number(&all.lines, items, length_bytes + sizeof(item));
        mark_line(scene, line);
    }
}

static uint32_t take(struct scene *scene, struct line line, struct footprint *footprint)
{
    uint32_t *number = &scene->lines[line.from][line.to][line.channel];
    uint32_t items[LINE_ITEMS_MAX];
    size_t length_bytes;
    const void *bytes = names_bytes(&all.lines, *number, &length_bytes);

    CHECK(length_bytes > 0);
    memcpy(items, bytes, length_bytes);
    *number = names_number(&all.lines, &items[1], length_bytes - sizeof(items[0]));
    footprint->taken |= line_bit(line);
    mark_line(scene, line);
    return items[0];
}

static uint32_t item_of(uint32_t message, uint8_t link)
{
    CHECK(message < UINT32_MAX >> LINK_BITS);
    return (message + 1) << LINK_BITS | link;
}

/* ------------------------------------------------------------------ what a step does */

static void do_send(struct scene *scene, uint32_t from, const struct node_op *op,
                    struct footprint *footprint)
{
    uint8_t *link = &scene->links[from][op->to];

    if (!runs(scene, op->to)) {
        *link = 0;
        add(scene, (struct line){op->to, from, CHANNEL_REPLIES}, ITEM_LOST, footprint);
        return;
    }
    if (*link == 0) {
        *link = ++scene->dial_counts[from][op->to];
        CHECK(*link < LINK_BEFORE);
    }
    add(scene, (struct line){from, op->to, CHANNEL_DIALLED}, item_of(op->message, *link),
        footprint);
}

static void do_op(struct scene *scene, uint32_t node, const struct node_op *op,
                  struct footprint *footprint)
{
    switch ((enum node_op_kind)op->kind) {
    case OP_SEND:
        do_send(scene, node, op, footprint);
        break;
    case OP_REPLY:
        if (runs(scene, op->to) && scene->links[op->to][node] == op->link) {
            add(scene, (struct line){node, op->to, CHANNEL_REPLIES}, item_of(op->message, 0),
                footprint);
        }
        break;
    case OP_HANG_UP:
        scene->links[node][op->to] = 0;
        break;
    }
}

static void add_footprint(struct footprint *footprint, const struct footprint *more)
{
    footprint->changed |= more->changed;
    footprint->replied |= more->replied;
    footprint->touched |= more->touched;
}

static void step(struct scene *scene, struct node_input *input, struct footprint *footprint)
{
    uint32_t node = input->node;
    const struct node_outcome *outcome;
    const struct node_op *ops;

    input->now_ms = scene->now_ms;
    input->local = scene->locals[node];
    input->running = scene->running;
    for (uint32_t to = 0; to < scene->count; to++) {
        input->linked |= (uint8_t)(scene->links[node][to] != 0 ? 1 << to : 0);
    }
    outcome = nodes_step(input);
    ops = nodes_ops(outcome);
    add_footprint(footprint, &outcome->footprint);
    scene->locals[node] = outcome->local;
    scene->answered = scene->answered || outcome->answered;
    if (outcome->has_wake) {
        scene->wake_ms[node] = outcome->wake_ms;
    }
    for (uint32_t i = 0; i < outcome->op_count; i++) {
        do_op(scene, node, &ops[i], footprint);
    }
}

/* ------------------------------------------------------------------ steps */

void scene_deliver(struct scene *scene, struct line line, struct footprint *footprint)
{
    uint32_t item = take(scene, line, footprint);
    struct node_input input = {
        .kind = INPUT_LOST, .node = (uint8_t)line.to, .from = (uint8_t)line.from};

    CHECK(runs(scene, line.to));
    if (item != ITEM_LOST) {
        input.kind = INPUT_MESSAGE;
        input.message = (item >> LINK_BITS) - 1;
        input.channel = (uint8_t)line.channel;
        input.link = (uint8_t)item;
    }
    step(scene, &input, footprint);
}

void scene_tick(struct scene *scene, uint32_t node, struct footprint *footprint)
{
    struct node_input input = {.kind = INPUT_TIME, .node = (uint8_t)node};

    if (scene->wake_ms[node] > scene->now_ms) {
        scene->now_ms = scene->wake_ms[node];
    }
    scene->wake_ms[node] = 0;
    step(scene, &input, footprint);
    footprint->touched = ALL_NODES;
}

void scene_start(struct scene *scene, uint32_t node, struct footprint *footprint)
{
    struct node_input input = {.kind = INPUT_START, .node = (uint8_t)node};

    CHECK((scene->absent & 1 << node) != 0);
    scene->absent &= (uint8_t) ~(1 << node);
    scene->running |= (uint8_t)(1 << node);
    step(scene, &input, footprint);
    footprint->touched = ALL_NODES;
}

void scene_crash(struct scene *scene, uint32_t node, struct footprint *footprint)
{
    scene->running &= (uint8_t) ~(1 << node);
    scene->asked = scene->asked && scene->asker != node;
    scene->wake_ms[node] = 0;
    scene->locals[node] = 0;
    footprint->touched = ALL_NODES;
    for (uint32_t other = 0; other < scene->count; other++) {
        for (int channel = 0; channel < CHANNELS; channel++) {
            scene->lines[other][node][channel] = 0;
            mark_line(scene, (struct line){other, node, (enum node_channel)channel});
        }
        scene->links[node][other] = 0;
        if (scene->links[other][node] != 0) {
            scene->links[other][node] = 0;
            add(scene, (struct line){node, other, CHANNEL_REPLIES}, ITEM_LOST, footprint);
        }
    }
}

/*
 * Different nodes step, which read and change only what is theirs, take from the fronts of queues and
 * add to their backs. What is left: a reply is lost when its connection is no more; and what arrives
 * at once does so only at the front.
 */
bool footprints_independent(const struct footprint *a, const struct footprint *b)
{
    return (a->touched & b->touched) == 0 && (a->changed & b->replied) == 0 &&
           (b->changed & a->replied) == 0 && (a->waiting & b->taken) == 0 &&
           (b->waiting & a->taken) == 0;
}

uint32_t scene_next_wake(const struct scene *scene)
{
    uint32_t next = scene->count;

    for (uint32_t node = 0; node < scene->count; node++) {
        if (runs(scene, node) && scene->wake_ms[node] != 0 &&
            (next == scene->count || scene->wake_ms[node] < scene->wake_ms[next])) {
            next = node;
        }
    }
    return next;
}

/* ------------------------------------------------------------------ making one */

void scene_make(struct scene *scene, uint32_t count, uint32_t absent_count, bool looks_up)
{
    struct footprint footprint = {0};

    CHECK(absent_count <= ABSENT_MAX);
    nodes_make(count, absent_count);
    CHECK(names_number(&all.lines, "", 0) == 0);
    memset(scene, 0, sizeof(*scene));
    scene->count = (uint8_t)count;
    all.shape.count = count;
    for (uint32_t node = 0; node < count; node++) {
        struct nodes_begun begun = nodes_begun(node);

        all.shape.positions[node] = nodes_position(node);
        scene->now_ms = begun.now_ms;
        scene->locals[node] = begun.local;
        scene->wake_ms[node] = begun.wake_ms;
        scene->running |= (uint8_t)(begun.is_running ? 1 << node : 0);
        scene->absent |= (uint8_t)(begun.is_running ? 0 : 1 << node);
        for (uint32_t to = 0; to < count; to++) {
            scene->links[node][to] = (begun.linked & 1 << to) != 0 ? LINK_BEFORE : 0;
        }
    }
    if (looks_up) {
        scene->asked = true;
        step(scene, &(struct node_input){.kind = INPUT_LOOKUP}, &footprint);
    }
}

void scene_done(void)
{
    nodes_done();
    names_done(&all.lines);
    memset(&all, 0, sizeof(all));
}

void scene_mark(void)
{
    nodes_mark();
    all.mark = all.lines.count;
}

void scene_forget(void)
{
    nodes_forget();
    names_forget(&all.lines, all.mark);
}

/* ------------------------------------------------------------------ what must hold */

struct views {
    const struct scene *scene;
    struct node_view list[NODES_COUNT_MAX];
};

static uint32_t best_of(const struct views *views, uint32_t node)
{
    const struct node_view *view = &views->list[node];

    for (uint32_t i = 0; i < view->successor_count; i++) {
        if (views->list[view->successors[i]].is_in) {
            return view->successors[i];
        }
    }
    return views->scene->count;
}

static const char *shape_problem(const struct views *views)
{
    struct ring_shape *shape = &all.shape;
    uint32_t count = views->scene->count;
    uint32_t number = 0;
    const char *problem;
    uint32_t whose;

    for (uint32_t node = 0; node < count; node++) {
        const struct node_view *view = &views->list[node];
        uint32_t best = view->is_in ? best_of(views, node) : count;

        /* A newcomer that knows one node yet depends on it: no failure of all successors at once,
         * says Zave; the list comes with the next stabilisation. */
        shape->in[node] = view->is_in && (view->is_led || best < count);
        shape->best[node] = shape->in[node] ? best : count;
        number = number << 4 | best << 1 | shape->in[node];
    }
    if (all.is_right[number]) {
        return NULL;
    }
    problem = ring_shape_problem(shape, &whose);
    all.is_right[number] = problem == NULL;
    return problem;
}

const char *scene_problem(const struct scene *scene, bool is_calm)
{
    struct views views = {.scene = scene};
    const char *problem = NULL;
    uint8_t owned = 0;
    uint8_t owned_twice = 0;

    for (uint32_t node = 0; node < scene->count; node++) {
        struct node_view *view = &views.list[node];

        if (runs(scene, node)) {
            *view = *nodes_view(node, scene->locals[node], scene->now_ms);
            owned_twice |= owned & view->owned;
            owned |= view->owned;
            problem = problem != NULL ? problem : view->problem;
            if (is_calm && !view->is_in) {
                problem = "a node is not in the ring when all is over";
            }
        }
    }
    if (owned_twice != 0) {
        problem = "two nodes answer for a key";
    } else if (is_calm && owned + 1 != 1 << scene->count) {
        problem = "nobody answers for a key when all is over";
    } else if (is_calm && scene->asked && !scene->answered) {
        problem = "a lookup never ends";
    }
    return problem != NULL ? problem : shape_problem(&views);
}
