// SPDX-License-Identifier: GPL-3.0-or-later
/* One event after the other into the core. */
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "agent/mingad/recorder.h"
#include "base/check.h"
#include "base/log.h"

enum { QUEUE_MAX = 4096 };

/* A copy of an event and of all that it points to. */
struct queued_event {
    struct queued_event *next;
    struct core_event event;
    struct overlay_event overlay;
    struct core_request request;
    struct overlay_join join;
    minga_NodeRecord description;
    struct sandbox_event sandbox;
    uint8_t *place; /* where the next bytes go */
    uint8_t bytes[];
};

static size_t bytes_to_copy(const struct core_event *event)
{
    size_t count_bytes = event->logs.length_bytes;

    if (event->overlay != NULL) {
        count_bytes += event->overlay->message.length_bytes + event->overlay->data.length_bytes;
    }
    if (event->request != NULL) {
        const struct core_request *request = event->request;

        count_bytes += request->community.length_bytes + request->admission.length_bytes +
                       request->signed_bytes.length_bytes;
        if (request->join != NULL) {
            count_bytes +=
                request->join->community.length_bytes + request->join->request.length_bytes;
        }
    }
    return count_bytes;
}

/* Replaces borrowed bytes by a copy of ours. */
static void adopt(struct queued_event *queued, struct bytes *bytes)
{
    if (bytes->length_bytes > 0) {
        memcpy(queued->place, bytes->data, bytes->length_bytes);
        bytes->data = queued->place;
        queued->place += bytes->length_bytes;
    }
}

static void adopt_request(struct queued_event *queued, const struct core_request *request)
{
    queued->request = *request;
    queued->event.request = &queued->request;
    adopt(queued, &queued->request.community);
    adopt(queued, &queued->request.admission);
    adopt(queued, &queued->request.signed_bytes);
    if (request->description != NULL) {
        queued->description = *request->description;
        queued->request.description = &queued->description;
    }
    if (request->join != NULL) {
        queued->join = *request->join;
        queued->request.join = &queued->join;
        adopt(queued, &queued->join.community);
        adopt(queued, &queued->join.request);
    }
}

static struct queued_event *copy_of(const struct core_event *event)
{
    struct queued_event *queued = malloc(sizeof(*queued) + bytes_to_copy(event));

    if (queued == NULL) {
        return NULL;
    }
    queued->next = NULL;
    queued->event = *event;
    queued->place = queued->bytes;
    adopt(queued, &queued->event.logs);
    if (event->overlay != NULL) {
        queued->overlay = *event->overlay;
        queued->event.overlay = &queued->overlay;
        adopt(queued, &queued->overlay.message);
        adopt(queued, &queued->overlay.data);
    }
    if (event->request != NULL) {
        adopt_request(queued, event->request);
    }
    if (event->sandbox != NULL) {
        queued->sandbox = *event->sandbox;
        queued->event.sandbox = &queued->sandbox;
    }
    return queued;
}

static void enqueue(struct edge *edge, const struct core_event *event)
{
    struct queued_event *queued = edge->queue_count < QUEUE_MAX ? copy_of(event) : NULL;

    if (queued == NULL) {
        edge->queue_dropped++;
        log_error("an event is lost: %s",
                  edge->queue_count < QUEUE_MAX ? "out of memory" : "the queue is full");
        return;
    }
    *edge->queue_end = queued;
    edge->queue_end = &queued->next;
    edge->queue_count++;
}

static struct queued_event *dequeue(struct edge *edge)
{
    struct queued_event *queued = edge->queue;

    if (queued != NULL) {
        edge->queue = queued->next;
        edge->queue_count--;
        if (edge->queue == NULL) {
            edge->queue_end = &edge->queue;
        }
    }
    return queued;
}

static void perform_all(struct edge *edge)
{
    for (uint32_t i = 0; i < edge->effects->count; i++) {
        perform(edge, &edge->effects->list[i]);
    }
}

static void step(struct edge *edge, struct core_event *event)
{
    const struct overlay_event *given = event->overlay;
    struct overlay_event overlay;

    event->now_ms = clock_now_ms();
    event->wall_unix_s = clock_wall_unix_s();
    if (given != NULL) {
        overlay = *given;
        overlay.now_ms = event->now_ms;
        overlay.wall_unix_s = event->wall_unix_s;
        event->overlay = &overlay;
    }
    edge->effects->count = 0;
    recorder_event(edge->recorder, event);
    core_step(edge->core, event, edge->effects);
    recorder_done(edge->recorder, edge->effects);
    event->overlay = given;
    say_changes(edge); /* before what follows from it */
    perform_all(edge);
    if (event->kind == CORE_SANDBOX) { /* a replica lives, or does not any more */
        doors_review(edge->doors);
    }
}

static void drain(struct edge *edge)
{
    struct queued_event *queued;

    while ((queued = dequeue(edge)) != NULL) {
        step(edge, &queued->event);
        free(queued);
    }
}

void edge_event(struct edge *edge, const struct core_event *event)
{
    struct core_event copy;

    if (edge->phase == EDGE_CLOSING) {
        return;
    }
    if (edge->is_stepping) {
        enqueue(edge, event);
        return;
    }
    edge->is_stepping = true;
    copy = *event;
    step(edge, &copy);
    drain(edge);
    edge->is_stepping = false;
}

void edge_overlay_event(struct edge *edge, const struct overlay_event *event)
{
    struct core_event wrapped = {.kind = CORE_OVERLAY, .overlay = event};

    edge_event(edge, &wrapped);
}

void edge_request(struct edge *edge, const struct core_request *request)
{
    struct core_event wrapped = {.kind = CORE_REQUEST, .request = request};

    CHECK(request->token != 0);
    edge_event(edge, &wrapped);
}

void edge_start_core(struct edge *edge)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t wall_unix_s = clock_wall_unix_s();

    CHECK(!edge->is_stepping);
    edge->is_stepping = true;
    edge->effects->count = 0;
    recorder_start(edge->recorder, now_ms, wall_unix_s);
    core_start(edge->core, now_ms, wall_unix_s, edge->effects);
    recorder_done(edge->recorder, edge->effects);
    perform_all(edge);
    drain(edge);
    edge->is_stepping = false;
}

void events_clear(struct edge *edge)
{
    struct queued_event *queued;

    while ((queued = dequeue(edge)) != NULL) {
        free(queued);
    }
}
