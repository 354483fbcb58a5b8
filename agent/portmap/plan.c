// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/portmap/plan.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"

static struct portmap_port *find(struct portmap_port *ports, uint32_t count,
                                 const struct portmap_port *port)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ports[i].inside == port->inside && ports[i].is_udp == port->is_udp) {
            return &ports[i];
        }
    }
    return NULL;
}

static bool has(const struct portmap_port *ports, uint32_t count, const struct portmap_port *port)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ports[i].inside == port->inside && ports[i].is_udp == port->is_udp) {
            return true;
        }
    }
    return false;
}

void plan_init(struct plan *plan, bool is_ipv6)
{
    *plan = (struct plan){.is_ipv6 = is_ipv6, .method = PORTMAP_NONE};
}

void plan_allow(struct plan *plan, bool is_allowed, uint64_t now_ms)
{
    if (plan->is_allowed != is_allowed) {
        plan->is_allowed = is_allowed;
        plan->failed_count = 0;
        plan->next_ms = now_ms;
    }
}

void plan_want(struct plan *plan, const struct portmap_port *ports, uint32_t count, uint64_t now_ms)
{
    bool is_more = false;

    count = count < PORTMAP_PORTS_MAX ? count : (uint32_t)PORTMAP_PORTS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        is_more = is_more || !has(plan->wanted, plan->wanted_count, &ports[i]);
    }
    memcpy(plan->wanted, ports, count * sizeof(*ports));
    plan->wanted_count = count;
    if (is_more && plan->failed_count == 0) { /* else there is nobody to ask for the present */
        plan->next_ms = now_ms;
    }
}

void plan_look_again(struct plan *plan, uint64_t now_ms)
{
    plan->failed_count = 0;
    plan->asks_any = true;
    plan->epoch = (struct router_epoch){0};
    plan->next_ms = now_ms;
}

/* It has forgotten everything: all is asked for again at once, though not by who cries wolf. */
static void note_loss(struct plan *plan, uint64_t now_ms)
{
    if (plan->lost_ms == 0 || now_ms - plan->lost_ms >= PLAN_LOST_MS) {
        plan->lost_ms = now_ms;
        plan->next_ms = now_ms;
    }
}

static void take_epoch(struct plan *plan, const struct portmap_answer *answer, uint64_t now_ms)
{
    bool is_lost;

    if (!answer->has_epoch) {
        plan->epoch = (struct router_epoch){0};
        return;
    }
    is_lost = !epoch_goes_on(&plan->epoch, answer->epoch_s, now_ms);
    plan->epoch = (struct router_epoch){true, answer->epoch_s, now_ms};
    if (is_lost) {
        note_loss(plan, now_ms);
    }
}

/* Only answers to what was asked change what is known; this at most makes it ask sooner. */
void plan_announced(struct plan *plan, uint32_t router_s, uint64_t now_ms)
{
    bool is_missed = plan->failed_count > 0 && plan->open_count == 0;

    if (is_missed || (plan->epoch.is_known && !epoch_goes_on(&plan->epoch, router_s, now_ms))) {
        note_loss(plan, now_ms);
    }
}

/* ------------------------------------------------------------------ jobs */

static void fill_job(const struct plan *plan, enum plan_kind kind, struct plan_job *job)
{
    *job = (struct plan_job){
        .kind = kind, .is_ipv6 = plan->is_ipv6, .by = plan->asks_any ? PORTMAP_NONE : plan->method};
    memcpy(job->place, plan->place, sizeof(job->place));
}

/* What is open though nobody wants it. */
static bool close_some(const struct plan *plan, struct plan_job *job)
{
    fill_job(plan, PLAN_UNMAP, job);
    for (uint32_t i = 0; i < plan->open_count; i++) {
        if (!plan->is_allowed || !has(plan->wanted, plan->wanted_count, &plan->open[i])) {
            job->ports[job->port_count++] = plan->open[i];
        }
    }
    return job->port_count > 0;
}

/* Others may have been given another port last time: the same again. */
static void ask_for_all(struct plan *plan, struct plan_job *job)
{
    fill_job(plan, PLAN_MAP, job);
    if (plan->failed_count > 0) {
        job->by = PORTMAP_NONE;
    }
    for (uint32_t i = 0; i < plan->wanted_count; i++) {
        const struct portmap_port *open = find(plan->open, plan->open_count, &plan->wanted[i]);

        job->ports[i] = plan->wanted[i];
        job->ports[i].outside = open != NULL ? open->outside : plan->wanted[i].inside;
    }
    job->port_count = plan->wanted_count;
}

bool plan_next(struct plan *plan, uint64_t now_ms, struct plan_job *job_out)
{
    if (plan->is_running || (plan->began_ms != 0 && now_ms - plan->began_ms < PLAN_PAUSE_MS)) {
        return false;
    }
    if (!close_some(plan, job_out)) {
        if (!plan->is_allowed || plan->wanted_count == 0 || now_ms < plan->next_ms) {
            return false;
        }
        ask_for_all(plan, job_out);
    }
    plan->is_running = true;
    plan->job = *job_out;
    plan->began_ms = now_ms;
    return true;
}

bool plan_farewell(const struct plan *plan, struct plan_job *job_out)
{
    fill_job(plan, PLAN_UNMAP, job_out);
    memcpy(job_out->ports, plan->open, sizeof(job_out->ports));
    job_out->port_count = plan->open_count;
    /* What is just being asked for may be open by now, too. */
    for (uint32_t i = 0; plan->is_running && plan->job.kind == PLAN_MAP &&
                         i < plan->job.port_count && job_out->port_count < PORTMAP_PORTS_MAX;
         i++) {
        if (!has(plan->open, plan->open_count, &plan->job.ports[i])) {
            job_out->ports[job_out->port_count++] = plan->job.ports[i];
        }
    }
    return job_out->port_count > 0;
}

/* ------------------------------------------------------------------ answers */

/* Closed, or to end with its lease: asking again and again helps nobody. */
static void forget_closed(struct plan *plan)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < plan->open_count; i++) {
        if (!has(plan->job.ports, plan->job.port_count, &plan->open[i])) {
            plan->open[count++] = plan->open[i];
        }
    }
    plan->open_count = count;
}

/* What is wanted since the job began waits for no renewal. */
static bool has_unasked(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->wanted_count; i++) {
        if (!has(plan->job.ports, plan->job.port_count, &plan->wanted[i])) {
            return true;
        }
    }
    return false;
}

static void take_open(struct plan *plan, const struct portmap_answer *answer, uint64_t now_ms)
{
    uint64_t lease_ms = 1000 * (uint64_t)(answer->lease_s == 0 ? PLAN_LEASE_S : answer->lease_s);

    plan->failed_count = 0;
    plan->method = answer->method;
    plan->asks_any = false;
    memcpy(plan->host, answer->host, sizeof(plan->host));
    memcpy(plan->place, answer->place, sizeof(plan->place));
    plan->why[0] = '\0';
    plan->open_count = 0;
    for (uint32_t i = 0; i < answer->port_count; i++) {
        if (answer->ports[i].outside != 0) {
            plan->open[plan->open_count++] = answer->ports[i];
        }
    }
    plan->until_ms = answer->lease_s == 0 ? UINT64_MAX : now_ms + lease_ms;
    plan->next_ms =
        now_ms + (lease_ms / 2 > PLAN_AGAIN_MS_MIN ? lease_ms / 2 : (uint64_t)PLAN_AGAIN_MS_MIN);
    /* What was lost, not refused, is no answer for half a lease. */
    if (answer->port_count < plan->job.port_count && plan->next_ms > now_ms + PLAN_SILENT_MS) {
        plan->next_ms = now_ms + PLAN_SILENT_MS;
    }
    if (has_unasked(plan)) {
        plan->next_ms = now_ms;
    }
}

static void take_failure(struct plan *plan, const struct portmap_answer *answer, uint64_t now_ms)
{
    uint64_t wait_ms = (uint64_t)PLAN_FAILED_MS
                       << (plan->failed_count < 4 ? plan->failed_count : 4);

    memcpy(plan->why, answer->why, sizeof(plan->why));
    /* The way that once worked was tried alone: now all of them. */
    plan->next_ms = plan->job.by != PORTMAP_NONE ? now_ms : now_ms + wait_ms;
    plan->failed_count++;
    static_assert(PLAN_FAILED_MS << 4 == PLAN_FAILED_MS_MAX, "four doublings");
}

void plan_done(struct plan *plan, const struct portmap_answer *answer, uint64_t now_ms)
{
    CHECK(plan->is_running && answer->port_count <= PORTMAP_PORTS_MAX);
    plan->is_running = false;
    plan->began_ms = now_ms;
    if (plan->job.kind == PLAN_UNMAP) {
        forget_closed(plan);
    } else if (answer->method != PORTMAP_NONE) {
        take_open(plan, answer, now_ms);
    } else {
        take_failure(plan, answer, now_ms);
    }
    if (answer->method != PORTMAP_NONE) {
        take_epoch(plan, answer, now_ms);
    }
}

/* ------------------------------------------------------------------ what is told */

static bool tell_open(struct plan *plan, struct portmap_port *port_out)
{
    for (uint32_t i = 0; i < plan->open_count; i++) {
        struct portmap_port *told = find(plan->told, plan->told_count, &plan->open[i]);

        if (told != NULL && told->outside == plan->open[i].outside) {
            continue;
        }
        if (told == NULL && plan->told_count == PORTMAP_PORTS_MAX) {
            continue; /* until others were told of as closed */
        }
        if (told == NULL) {
            told = &plan->told[plan->told_count++];
        }
        *told = plan->open[i];
        *port_out = plan->open[i];
        return true;
    }
    return false;
}

static bool tell_closed(struct plan *plan, struct portmap_port *port_out)
{
    for (uint32_t i = 0; i < plan->told_count; i++) {
        if (!has(plan->open, plan->open_count, &plan->told[i])) {
            *port_out = plan->told[i];
            port_out->outside = 0;
            plan->told[i] = plan->told[--plan->told_count];
            return true;
        }
    }
    return false;
}

bool plan_news(struct plan *plan, uint64_t now_ms, struct portmap_port *port_out)
{
    if (plan->open_count > 0 && now_ms >= plan->until_ms) {
        plan->open_count = 0;
    }
    return tell_closed(plan, port_out) || tell_open(plan, port_out);
}

enum plan_state plan_state_of(const struct plan *plan)
{
    if (!plan->is_allowed) {
        return PLAN_OFF;
    }
    if (plan->open_count > 0) {
        return PLAN_OPEN;
    }
    if (plan->wanted_count == 0) {
        return PLAN_IDLE;
    }
    return plan->failed_count > 0 ? PLAN_NONE : PLAN_ASKING;
}
