// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Around the shipped ring: its questions and answers as messages, the watch over its neighbours,
 * and what a node without a membership must do besides: it drops successors that its keeper's list
 * does not name any more.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/ring/neighbourhood.h"
#include "overlay/ring/ring_internal.h"
#include "tests/sim/rings/rings.h"

/* The first predecessor speaks so often, */
static uint64_t before_period_ms(const struct host *host)
{
    return (uint64_t)STABILISE_MS * host->ring.first_pace;
}

/* and unheard for so long it is lost. */
static uint64_t absent_ms(const struct host *host)
{
    return before_period_ms(host) + ABSENT_MS;
}

/* Who asks us though another is our predecessor, as far as we know, stands before that one: once it
 * is lost, our arc may begin there. */
static uint64_t period_ms_max(const struct host *host)
{
    return (uint64_t)STABILISE_MS * host->ring.paces;
}

static void fill_other(const struct world *world, const struct host *host, struct ring_event *event)
{
    event->has_other =
        host->asker_ms != 0 && world->now_ms - host->asker_ms < 2 * period_ms_max(host);
    event->other = host->asker;
}

void neighbours_ping(struct world *world, struct host *host, const struct ring_node *to)
{
    world_send(world, host, to, &(struct message){.kind = PING});
}

/* Whatever it says, it is there. */
static void hear(struct world *world, struct host *host, const struct ring_node *node)
{
    if (ring_same(&host->before, node)) {
        host->before_heard_ms = world->now_ms;
    }
    lost_hear(world, host, node);
}

static void close_question(struct host *host, const struct ring_node *to)
{
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        if (host->questions[i].is_open && ring_same(&host->questions[i].to, to)) {
            host->questions[i].is_open = false;
        }
    }
}

static void lose(struct world *world, struct host *host, const struct ring_node *node)
{
    struct ring_event event = {.kind = RING_LOST, .node = *node};

    event.lost_ms = world->now_ms;
    fill_other(world, host, &event);
    world->lost_alive += world_is_current(world, node) && !world->is_cut;
    close_question(host, node);
    lost_note(host, node);
    host_learn(host, &(struct fingers_event){.kind = FINGERS_LOST, .node = *node});
    neighbours_step(world, host, &event, NULL);
}

/* ------------------------------------------------------------------ questions */

static void send_question(struct world *world, struct host *host, struct question *question)
{
    const struct ring *ring = &host->ring;
    struct ring_payload payload = {.joining = ring->phase != RING_IN,
                                   .lapsed = ring->phase == RING_IN &&
                                             !ring_is_leased(ring, world->now_ms),
                                   .version = question->version,
                                   .epoch = ring->epoch,
                                   .pace = question->pace,
                                   .answer.paces = ring->paces};
    struct message message = {.kind = RING_QUESTION, .number = question->number, .ring = &payload};

    if (id_equal(&host->list_from.id, &question->to.node.id)) {
        payload.known = host->list.version;
    }
    payload.has_list = !id_equal(&ring->acked_by.id, &question->to.node.id) ||
                       ring->acked_version != question->version;
    if (payload.has_list) {
        payload.list_count = ring_before(ring, payload.list);
    }
    question->known = payload.known;
    question->repeat_ms = world->now_ms + DIRECT_MS;
    world_send(world, host, &question->to, &message);
}

static struct question *new_question(struct host *host, const struct ring_node *to)
{
    struct question *oldest = &host->questions[0];

    close_question(host, to);
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        if (!host->questions[i].is_open) {
            return &host->questions[i];
        }
        if (host->questions[i].first_ms < oldest->first_ms) {
            oldest = &host->questions[i];
        }
    }
    return oldest;
}

/* Effects name a node by its id: it is one of those that the ring knows. */
bool neighbours_find(const struct host *host, const struct node_id *id, struct ring_node *node_out)
{
    for (uint32_t i = 0; i < host->ring.successor_count; i++) {
        if (id_equal(&host->ring.successors[i].node.id, &id->id)) {
            *node_out = host->ring.successors[i];
            return true;
        }
    }
    return false;
}

static void ask(struct world *world, struct host *host, const struct node_id *id)
{
    uint32_t version = ring_before_version(&host->ring);
    struct question *question;
    struct ring_node to;

    if (!neighbours_find(host, id, &to)) {
        return;
    }
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        question = &host->questions[i];
        if (question->is_open && question->version == version && ring_same(&question->to, &to)) {
            return; /* it is repeated */
        }
    }
    question = new_question(host, &to);
    *question = (struct question){.is_open = true,
                                  .to = to,
                                  .number = ++host->question_number,
                                  .version = version,
                                  .pace = host->ring.pace,
                                  .first_ms = world->now_ms};
    send_question(world, host, question);
}

/* ------------------------------------------------------------------ the ring's step */

static void note_joined(struct world *world, struct host *host)
{
    if (!host->has_joined && ring_is_leased(&host->ring, world->now_ms)) {
        host->has_joined = true;
        world->joined_count++;
        world->join_ms += world->now_ms - host->born_ms;
    }
}

void neighbours_step(struct world *world, struct host *host, struct ring_event *event,
                     struct ring_answer *answer_out)
{
    struct ring_effects effects;
    const struct ring *ring = &host->ring;

    event->now_ms = world->now_ms;
    ring_step(&host->ring, event, &effects);
    if (answer_out != NULL) {
        *answer_out = effects.answer;
    }
    for (uint32_t i = 0; i < effects.count; i++) {
        if (effects.list[i].kind == RING_ASK) {
            ask(world, host, &effects.list[i].to);
        }
    }
    if (ring->predecessor_count > 0 && !ring_same(&ring->predecessors[0], &host->before)) {
        host->before = ring->predecessors[0];
        host->before_heard_ms = world->now_ms;
    }
    note_joined(world, host);
    neighbours_plan(world, host);
}

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static bool watches(const struct host *host)
{
    return host->ring.phase == RING_IN && host->ring.lost_ms == 0 && !ring_is_alone(&host->ring);
}

void neighbours_plan(struct world *world, struct host *host)
{
    uint64_t extend_ms = keeper_extend_ms(&host->ring);
    uint64_t due_ms = host->redial_ms;

    if (host->ring.phase != RING_OUT) {
        due_ms = sooner(due_ms, host->ring.next_ms);
    }
    if (extend_ms != 0) {
        due_ms = sooner(due_ms, extend_ms);
    }
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        if (host->questions[i].is_open) {
            due_ms = sooner(due_ms, host->questions[i].repeat_ms);
        }
    }
    if (watches(host)) {
        due_ms = sooner(due_ms,
                        host->before_heard_ms + before_period_ms(host) + PROBE_MS - STABILISE_MS);
    }
    if (due_ms <= world->now_ms) {
        due_ms = world->now_ms + (watches(host) ? DIRECT_MS / 3 : 1);
    }
    if (host->timer_ms <= world->now_ms || due_ms < host->timer_ms) {
        host->timer_ms = due_ms;
        world_timer(world, TIMER_RING, due_ms, host->index, host->generation);
    }
}

static void repeat_questions(struct world *world, struct host *host)
{
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        struct question *question = &host->questions[i];

        if (!question->is_open || world->now_ms < question->repeat_ms) {
            continue;
        }
        if (world->now_ms - question->first_ms >= ABSENT_MS) {
            struct ring_node node = question->to;

            lose(world, host, &node);
        } else {
            send_question(world, host, question);
        }
    }
}

static void watch_before(struct world *world, struct host *host)
{
    uint64_t silence_ms = world->now_ms - host->before_heard_ms;

    if (!watches(host)) {
        return;
    }
    if (silence_ms >= absent_ms(host)) {
        struct ring_node node = host->before;

        lose(world, host, &node);
    } else if (silence_ms >= before_period_ms(host) + PROBE_MS - STABILISE_MS &&
               world->now_ms >= host->before_ping_ms) {
        host->before_ping_ms = world->now_ms + DIRECT_MS;
        neighbours_ping(world, host, &host->before);
    }
}

void neighbours_tick(struct world *world, struct host *host)
{
    struct ring_event event = {.kind = RING_TICK};

    if (host->ring.phase == RING_JOINING && host->ring.successor_count == 0) {
        /* Its only contact is gone. Others are there: it must look for its place once more, and
         * not begin a ring of its own. */
        event.kind = RING_LEAVE;
        neighbours_step(world, host, &event, NULL);
        return;
    }
    fill_other(world, host, &event);
    repeat_questions(world, host);
    watch_before(world, host);
    lost_redial(world, host);
    neighbours_step(world, host, &event, NULL);
}

/* ------------------------------------------------------------------ messages */

static void take_list(struct host *host, const struct ring_payload *payload,
                      struct ring_event *event)
{
    event->has_list = payload->has_list;
    for (uint32_t i = 0; i < payload->list_count; i++) {
        if (!lost_has(host, &payload->list[i])) {
            event->list[event->list_count++] = payload->list[i];
        } else if (i == 0) {
            event->is_partial = event->kind != RING_ANSWERED;
        }
    }
}

static void on_question(struct world *world, struct host *host, const struct message *message)
{
    const struct ring_payload *question = message->ring;
    struct ring_payload reply = {0};
    struct ring_event event = {.kind = RING_ASKED,
                               .node = message->from_node,
                               .joined = !question->joining,
                               .leased = !question->joining && !question->lapsed,
                               .epoch = question->epoch,
                               .version = question->version,
                               .pace = question->pace,
                               .paces = question->answer.paces};

    event.has_list = question->has_list;
    event.list_count = question->list_count;
    memcpy(event.list, question->list, sizeof(event.list));
    hear(world, host, &message->from_node);
    neighbours_step(world, host, &event, &reply.answer);
    if (reply.answer.verdict == RING_OTHER) {
        host->asker = message->from_node;
        host->asker_ms = world->now_ms;
    }
    lists_fill(host, question->known, &reply);
    world_send(world, host, &message->from_node,
               &(struct message){.kind = RING_REPLY, .number = message->number, .ring = &reply});
}

static bool is_listed(const struct ring_event *event, const struct ring_node *node)
{
    for (uint32_t i = 0; i < event->list_count; i++) {
        if (ring_same(&event->list[i], node)) {
            return true;
        }
    }
    return false;
}

/* The keeper's list is newer than ours: who is not in it has gone from between. */
static void reconcile(struct world *world, struct host *host, const struct ring_event *event)
{
    struct ring ring = host->ring;
    const struct ring_node *last = &event->list[0];

    for (uint32_t i = 1; i < event->list_count; i++) {
        last = ring_between(last, &host->node, &event->list[i]) ? &event->list[i] : last;
    }
    for (uint32_t i = 0; i < ring.successor_count; i++) {
        const struct ring_node *node = &ring.successors[i];

        if (ring_between(node, &event->node, last) && !is_listed(event, node)) {
            struct ring_event lost = {.kind = RING_LOST, .node = *node};

            neighbours_step(world, host, &lost, NULL);
        }
    }
}

/* Those who were never heard of must be asked for, to be dialled. */
static void count_contacts(struct world *world, struct host *host, struct host *from,
                           const struct ring_payload *event)
{
    struct ring_payload unknown = {.has_list = true};

    for (uint32_t i = 0; !event->is_change && i < event->list_count; i++) {
        struct ring_node node;

        if (!neighbours_find(host, &event->list[i].node, &node) &&
            !ring_same(&event->list[i], &host->node)) {
            unknown.list[unknown.list_count++] = event->list[i];
        }
    }
    if (unknown.list_count > 0) {
        world_count(world, host, &(struct message){.kind = WHO, .ring = &unknown});
        world_count(world, from, &(struct message){.kind = CONTACTS, .ring = &unknown});
    }
}

static void on_reply(struct world *world, struct host *host, const struct message *message)
{
    struct question *question = NULL;
    struct ring_event event = {
        .kind = RING_ANSWERED, .node = message->from_node, .answer = message->ring->answer};

    hear(world, host, &message->from_node);
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        if (host->questions[i].is_open && host->questions[i].number == message->number) {
            question = &host->questions[i];
        }
    }
    if (question == NULL) {
        return;
    }
    question->is_open = false;
    event.sent_ms = question->first_ms;
    event.pace = question->pace;
    event.has_other = (event.answer.is_handed || event.answer.verdict == RING_OTHER) &&
                      !lost_has(host, &event.answer.other);
    lists_hear(host, question->known, message);
    if (host->list.version == message->ring->version) {
        struct ring_payload whole = {.has_list = message->ring->has_list,
                                     .list_count = host->list.count};

        memcpy(whole.list, host->told, sizeof(whole.list));
        take_list(host, &whole, &event);
    }
    if (event.has_list) {
        count_contacts(world, host, &world->hosts[message->from], message->ring);
    }
    neighbours_step(world, host, &event, NULL);
    if (event.has_list && event.list_count > 0 && host->ring.phase == RING_IN &&
        ring_keeper(&host->ring) != NULL &&
        ring_same(ring_keeper(&host->ring), &message->from_node)) {
        reconcile(world, host, &event);
    }
}

static void on_goodbye(struct world *world, struct host *host, const struct message *message)
{
    struct ring_event event = {
        .kind = RING_HANDED, .node = message->from_node, .epoch = message->ring->epoch};

    event.has_list = true;
    event.list_count = message->ring->list_count;
    memcpy(event.list, message->ring->list, sizeof(event.list));
    neighbours_step(world, host, &event, NULL);
    event = (struct ring_event){.kind = RING_LOST, .node = message->from_node, .is_gone = true};
    neighbours_step(world, host, &event, NULL);
}

void neighbours_leave(struct world *world, struct host *host)
{
    const struct ring *ring = &host->ring;
    const struct ring_node *keeper = ring_keeper(ring);
    struct ring_payload payload = {.epoch = ring->epoch, .has_list = true};

    if (ring->phase == RING_IN && keeper != NULL && !ring_is_alone(ring)) {
        payload.list_count = ring->predecessor_count;
        memcpy(payload.list, ring->predecessors, sizeof(ring->predecessors));
        world_send(world, host, keeper, &(struct message){.kind = RING_GOODBYE, .ring = &payload});
    }
}

void neighbours_on_message(struct world *world, struct host *host, const struct message *message)
{
    switch (message->kind) {
    case RING_QUESTION:
        on_question(world, host, message);
        break;
    case RING_REPLY:
        on_reply(world, host, message);
        break;
    case RING_GOODBYE:
        on_goodbye(world, host, message);
        break;
    case PING:
        hear(world, host, &message->from_node);
        world_send(world, host, &message->from_node, &(struct message){.kind = PONG});
        break;
    case CONTACTS:
        hear(world, host, &message->from_node);
        lost_on_near(world, host, message);
        break;
    case SEEK_NEXT:
    case SEEK_REPLY:
    case PONG:
    case WHO:
    case KINDS:
        hear(world, host, &message->from_node);
        break;
    }
    neighbours_plan(world, host);
}
