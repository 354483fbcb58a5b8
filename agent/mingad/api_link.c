// SPDX-License-Identifier: GPL-3.0-or-later
/* The control API on our loop, and what it needs of us. */
#include <errno.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "agent/mingad/owner/keeper.h"
#include "base/check.h"
#include "overlay/signed.h"

/*
 * When descriptors run out, MHD stops listening, and begins again only when it is run: which its
 * own descriptor and timeout never ask for.
 */
enum { LOOK_AGAIN_MS = 1000 };

static void host_request(void *self, const struct core_request *request)
{
    struct edge *edge = self;

    if (request->kind == CORE_LEAVE) {
        edge->leave_token = request->token;
    }
    edge_request(edge, request);
}

static void host_push_chunk(void *self, const struct core_request *request, struct bytes bytes)
{
    chunk_jobs_push(self, request, bytes);
}

static const struct core *host_core(void *self)
{
    return ((struct edge *)self)->core;
}

static uint64_t host_now_ms(void *self)
{
    (void)self;
    return clock_now_ms();
}

static const struct public_key *host_node_key(void *self)
{
    return &((struct edge *)self)->node_public;
}

static void peer_of_member(const struct overlay_member *member, struct overlay_peer *peer_out)
{
    const minga_NodeRecord *record = &member->record;

    *peer_out = (struct overlay_peer){.node = member->node, .key = member->key};
    for (size_t i = 0; i < record->addresses_count && i < ADDRESSES_MAX; i++) {
        (void)text_copy(peer_out->addresses[i], sizeof(peer_out->addresses[i]),
                        record->addresses[i]);
        peer_out->address_count++;
    }
}

static uint32_t host_contacts(void *self, struct overlay_peer *peers_out, uint32_t count_max)
{
    struct edge *edge = self;
    const struct overlay *overlay = core_overlay(edge->core);
    uint32_t count = 0;

    if (count_max > 0 && edge->addresses.count > 0) {
        struct overlay_peer *own = &peers_out[count++];

        *own = (struct overlay_peer){.node = keys_node_id(&edge->node_public),
                                     .key = edge->node_public,
                                     .address_count = edge->addresses.count};
        for (size_t i = 0; i < edge->addresses.count; i++) {
            (void)text_copy(own->addresses[i], sizeof(own->addresses[i]), edge->addresses.list[i]);
        }
    }
    for (uint32_t i = 0; i < overlay_member_count(overlay) && count < count_max; i++) {
        const struct overlay_member *member = overlay_member(overlay, i);

        if (!member->is_self && member->state == MEMBER_UP && member->record.addresses_count > 0) {
            peer_of_member(member, &peers_out[count++]);
        }
    }
    return count;
}

static struct signature host_sign_admission(void *self, struct bytes request)
{
    return keys_sign(&((struct edge *)self)->node_key, PURPOSE_ADMISSION, request);
}

static const char *host_node_name(void *self)
{
    const struct edge *edge = self;

    return edge->config.name[0] != '\0' ? edge->config.name : edge->machine.host_name;
}

static struct api_room host_room(void *self)
{
    struct chunk_room room = own_disk_room(self);

    return (struct api_room){room.free_bytes, room.refuses};
}

static const struct plan *host_port_mapping(void *self, bool is_ipv6)
{
    const struct edge *edge = self;

    return portmap_plan(is_ipv6 ? edge->portmap_ipv6 : edge->portmap);
}

static bool host_is_freezing(void *self)
{
    return sandbox_link_is_freezing(((struct edge *)self)->sandbox);
}

static void host_line(void *self, struct owner_line_report *report_out)
{
    keeper_report(((struct edge *)self)->keeper, report_out);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct edge *edge = poll->data;

    (void)status;
    (void)events;
    api_run(edge->api);
}

static void on_timer(uv_timer_t *timer)
{
    struct edge *edge = timer->data;

    api_run(edge->api);
}

int api_link_open(struct edge *edge, int control_fd, struct err *err)
{
    struct api_config config = {
        .listen_fd = control_fd,
        .group = edge->api_group,
        .host = {.self = edge,
                 .request = host_request,
                 .push_chunk = host_push_chunk,
                 .core = host_core,
                 .now_ms = host_now_ms,
                 .node_key = host_node_key,
                 .contacts = host_contacts,
                 .sign_admission = host_sign_admission,
                 .node_name = host_node_name,
                 .room = host_room,
                 .port_mapping = host_port_mapping,
                 .is_freezing = host_is_freezing,
                 .line = host_line},
    };
    int r = api_new(&config, &edge->api, err);

    if (r < 0) {
        return r;
    }
    r = uv_poll_init(&edge->loop, &edge->api_poll, api_fd(edge->api));
    if (r < 0) {
        api_free(edge->api);
        edge->api = NULL;
        return err_set(err, r, "control API: %s", uv_strerror(r));
    }
    uv_timer_init(&edge->loop, &edge->api_timer);
    edge->api_poll.data = edge;
    edge->api_timer.data = edge;
    uv_poll_start(&edge->api_poll, UV_READABLE, on_ready);
    uv_timer_start(&edge->api_timer, on_timer, LOOK_AGAIN_MS, LOOK_AGAIN_MS);
    return 0;
}

bool api_link_reply(struct edge *edge)
{
    if (edge->api == NULL || !api_has_replies(edge->api)) {
        return false;
    }
    api_run(edge->api);
    return true;
}

void api_link_settle(struct edge *edge)
{
    if (edge->api == NULL) {
        return;
    }
    /* Out of descriptors, libmicrohttpd stops accepting until it is run again. */
    if (transport_is_crowded(edge->transport)) {
        api_run(edge->api);
    }
    int timeout_ms = api_timeout_ms(edge->api);

    if (timeout_ms >= 0 && timeout_ms < LOOK_AGAIN_MS) {
        uv_update_time(&edge->loop);
        uv_timer_start(&edge->api_timer, on_timer, (uint64_t)timeout_ms, LOOK_AGAIN_MS);
    }
}

void api_link_close(struct edge *edge)
{
    struct api *api = edge->api;

    if (api == NULL) {
        return;
    }
    edge->api = NULL; /* answers that still come go nowhere */
    uv_poll_stop(&edge->api_poll);
    uv_close((uv_handle_t *)&edge->api_poll, NULL);
    uv_timer_stop(&edge->api_timer);
    uv_close((uv_handle_t *)&edge->api_timer, NULL);
    api_free(api);
}
