// SPDX-License-Identifier: GPL-3.0-or-later
/* The core's effects, for real. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/owner/keeper.h"
#include "agent/mingad/replicas/ports.h"
#include "agent/mingad/replicas/replica_log.h"
#include "base/attributes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"

/* ------------------------------------------------------------------ the overlay's */

static void perform_send(struct edge *edge, const struct overlay_effect *effect)
{
    if (effect->has_chunk) {
        upload_send(edge, effect);
    } else if (effect->kind == OVERLAY_SEND) {
        transport_send(edge->transport, &effect->peer, effect->message, (struct transport_data){0});
    } else {
        transport_reply(edge->transport, effect->link, effect->message, (struct transport_data){0});
    }
}

static void perform_hang_up(struct edge *edge, const struct overlay_effect *effect)
{
    transport_hang_up(edge->transport, &effect->peer.node);
}

static void perform_store(struct edge *edge, const struct overlay_effect *effect)
{
    if (effect->is_unhurried) {
        store_writer_put_unhurried(edge->writer, &effect->blob, effect->token);
    } else {
        store_writer_put(edge->writer, &effect->blob, effect->token);
    }
}

static void perform_drop_chunk(struct edge *edge, const struct overlay_effect *effect)
{
    chunk_jobs_drop(edge, &effect->chunk);
}

static void perform_overlay_wake(struct edge *edge, const struct overlay_effect *effect)
{
    loop_wake(edge, EDGE_WAKER_OVERLAY, effect->wake_ms);
}

static void perform_overlay_trace(struct edge *edge, const struct overlay_effect *effect)
{
    (void)edge;
    log_debug("overlay: %.*s", (int)effect->message.length_bytes,
              (const char *)effect->message.data);
}

static void perform_dial_back(struct edge *edge, const struct overlay_effect *effect)
{
    transport_say_once(edge->transport, &effect->peer, effect->message);
}

static void perform_relay(struct edge *edge, const struct overlay_effect *effect)
{
    relays_pass_on(edge->relays, &effect->peer.node, &effect->relay);
}

static void perform_relayed(struct edge *edge, const struct overlay_effect *effect)
{
    relays_be_passed_on(edge->relays, &effect->peer, &effect->relay);
}

static void perform_io(struct edge *edge, const struct core_effect *effect)
{
    static void (*const performers[])(struct edge *, const struct overlay_effect *) = {
        [OVERLAY_SEND] = perform_send,
        [OVERLAY_REPLY] = perform_send,
        [OVERLAY_HANG_UP] = perform_hang_up,
        [OVERLAY_STORE] = perform_store,
        [OVERLAY_STORE_CHUNK] = chunk_jobs_store,
        [OVERLAY_DROP_CHUNK] = perform_drop_chunk,
        [OVERLAY_WAKE] = perform_overlay_wake,
        [OVERLAY_TRACE] = perform_overlay_trace,
        [OVERLAY_DIAL_BACK] = perform_dial_back,
        [OVERLAY_RELAY] = perform_relay,
        [OVERLAY_RELAYED] = perform_relayed,
    };

    CHECK(effect->overlay != NULL && effect->overlay->kind < ARRAY_COUNT(performers));
    performers[effect->overlay->kind](edge, effect->overlay);
}

/* ------------------------------------------------------------------ the agent's */

static void perform_answer(struct edge *edge, const struct core_effect *effect)
{
    struct core_answer answer = effect->answer;

    if ((answer.token & API_TOKEN_BIT) == 0) {
        stop_answered(edge, &answer);
        return;
    }
    chunk_jobs_answered(edge, &answer);
    if (edge->api != NULL) {
        api_answer(edge->api, &answer);
        if (effect->answer.token == edge->leave_token) {
            stop_left(edge, &effect->answer);
        }
    }
}

static void perform_scan(struct edge *edge, const struct core_effect *effect)
{
    trees_scan(edge, &effect->tree);
}

static void perform_build(struct edge *edge, const struct core_effect *effect)
{
    trees_build(edge, &effect->tree);
}

static void perform_drop_tree(struct edge *edge, const struct core_effect *effect)
{
    trees_drop(edge, &effect->tree);
}

/* Any port that cannot be had is answered by choosing another one, whatever the reason. */
static void refuse_port(struct edge *edge, const struct sandbox_spec *spec, uint16_t host_port,
                        int code)
{
    struct core_event event = {
        .kind = CORE_PORTS_REFUSED, .replica = spec->key, .host_port = host_port};

    snprintf(event.reason, sizeof(event.reason), "port %u on %s: %s", host_port, edge->config.bind,
             err_text(code));
    replica_log(edge, &spec->key, LOG_LEVEL_INFO, "port-refused", "%s", event.reason);
    edge_event(edge, &event);
}

static int open_doors(struct edge *edge, const struct sandbox_spec *spec, uint16_t *refused_out)
{
    for (uint32_t i = 0; i < spec->port_count; i++) {
        const enum sandbox_protocol protocol = spec->ports[i].protocol;
        const struct door_place place = {spec->key, spec->ports[i].host_port,
                                         sandbox_is_udp(protocol), true};
        int r = sandbox_is_for_members(protocol) ? doors_open(edge->doors, &place) : 0;

        if (r < 0) {
            *refused_out = place.host_port;
            return r;
        }
    }
    return 0;
}

/* A port that is given out is nobody else's, but its last one's door may stand open still. */
static void leave_doors(struct edge *edge, const struct sandbox_spec *spec)
{
    for (uint32_t i = 0; i < spec->port_count; i++) {
        if (spec->ports[i].protocol == SANDBOX_TCP) {
            doors_leave(edge->doors, spec->ports[i].host_port);
        }
    }
}

static void perform_start(struct edge *edge, const struct core_effect *effect)
{
    const struct sandbox_spec *spec = effect->spec;
    const struct ports_where where = {edge->config.bind, doors_folder(edge->doors)};
    uint16_t refused_port = 0;
    struct ports ports;
    int r;

    leave_doors(edge, spec);
    r = ports_bind(spec, &where, &ports, &refused_port);
    if (r == 0) {
        r = open_doors(edge, spec, &refused_port);
        if (r < 0) {
            ports_close(&ports);
        }
    }

    if (r < 0) {
        refuse_port(edge, spec, refused_port, r);
        return;
    }
    replica_log(edge, &spec->key, LOG_LEVEL_INFO, "starting", "is started");
    sandbox_link_start_replica(edge->sandbox, spec, ports.fds);
    ports_close(&ports); /* minga-init holds them now */
}

static void perform_sandbox(struct edge *edge, const struct core_effect *effect)
{
    static const enum sandbox_link_request requests[] = {
        [CORE_STOP] = SANDBOX_LINK_STOP,
        [CORE_FREEZE] = SANDBOX_LINK_FREEZE,
        [CORE_THAW] = SANDBOX_LINK_THAW,
        [CORE_STATS] = SANDBOX_LINK_STATS,
    };

    CHECK(effect->kind < ARRAY_COUNT(requests));
    replica_log_wish(edge, effect);
    sandbox_link_ask(edge->sandbox, requests[effect->kind], &effect->replica);
}

static void perform_renew(struct edge *edge, const struct core_effect *effect)
{
    (void)effect;
    sandbox_link_renew(edge->sandbox);
}

static void perform_logs(struct edge *edge, const struct core_effect *effect)
{
    /* The core's window, which fits one message. */
    sandbox_link_logs(edge->sandbox, effect->token, &effect->replica, effect->offset_bytes,
                      LOGS_WINDOW_BYTES_MAX);
}

static void perform_exec(struct edge *edge, const struct core_effect *effect)
{
    execs_ask(edge, effect);
}

static void perform_allow(struct edge *edge, const struct core_effect *effect)
{
    edge->allowed = effect->allowed;
    keeper_review(edge->keeper);
}

static void perform_wake(struct edge *edge, const struct core_effect *effect)
{
    loop_wake(edge, EDGE_WAKER_CORE, effect->wake_ms);
}

static void perform_trace(struct edge *edge, const struct core_effect *effect)
{
    (void)edge;
    log_debug("%.*s", (int)sizeof(effect->text), effect->text);
}

static void perform_unready(struct edge *edge, const struct core_effect *effect)
{
    replica_log(edge, &effect->replica, LOG_LEVEL_WARNING, "unready", "is not started here: %.*s",
                (int)sizeof(effect->text), effect->text);
}

void perform(struct edge *edge, const struct core_effect *effect)
{
    static void (*const performers[])(struct edge *, const struct core_effect *) = {
        [CORE_IO] = perform_io,
        [CORE_ANSWER] = perform_answer,
        [CORE_SCAN_TREE] = perform_scan,
        [CORE_BUILD_TREE] = perform_build,
        [CORE_DROP_TREE] = perform_drop_tree,
        [CORE_START] = perform_start,
        [CORE_STOP] = perform_sandbox,
        [CORE_FREEZE] = perform_sandbox,
        [CORE_THAW] = perform_sandbox,
        [CORE_RENEW] = perform_renew,
        [CORE_STATS] = perform_sandbox,
        [CORE_READ_LOGS] = perform_logs,
        [CORE_EXEC] = perform_exec,
        [CORE_ALLOW] = perform_allow,
        [CORE_WAKE] = perform_wake,
        [CORE_TRACE] = perform_trace,
        [CORE_UNREADY] = perform_unready,
    };

    CHECK(effect->kind < ARRAY_COUNT(performers));
    performers[effect->kind](edge, effect);
}
