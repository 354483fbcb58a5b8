// SPDX-License-Identifier: GPL-3.0-or-later
/* Before the machine sleeps or is switched off: the core hands over, and logind waits for it. */
#include "agent/mingad/edge.h"
#include "agent/mingad/owner/inhibitor.h"
#include "base/log.h"

static void on_aside(void *context, uint64_t within_ms)
{
    struct edge *edge = context;
    struct core_request request = {
        .kind = CORE_STEP_ASIDE, .token = TOKEN_STEP_ASIDE, .within_ms = within_ms};

    if (edge->phase == EDGE_RUNNING) { /* else it hands over already, and goes */
        log_event(LOG_LEVEL_INFO, "sleep",
                  "this machine is about to sleep or stop: replicas are handed over");
        edge_request(edge, &request);
    }
}

static void on_back(void *context)
{
    struct edge *edge = context;
    struct core_request request = {.kind = CORE_COME_BACK, .token = TOKEN_COME_BACK};

    if (edge->phase == EDGE_RUNNING) {
        log_event(LOG_LEVEL_INFO, "awake", "this machine goes on");
        edge_request(edge, &request);
    }
}

void aside_answered(struct edge *edge, const struct core_answer *answer)
{
    if (answer->outcome != OVERLAY_OK) {
        log_warning("not every replica was taken elsewhere in time");
    } else {
        log_event(LOG_LEVEL_INFO, "aside", "no replica is left here: this machine may go");
    }
    if (edge->inhibitor != NULL) {
        inhibitor_release(edge->inhibitor);
    }
}

void aside_open(struct edge *edge)
{
    const struct inhibitor_events events = {.context = edge, .aside = on_aside, .back = on_back};

    edge->inhibitor = inhibitor_new(&edge->loop, &events);
}

void aside_close(struct edge *edge)
{
    inhibitor_close(edge->inhibitor);
    edge->inhibitor = NULL;
}
