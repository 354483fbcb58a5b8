// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What transport.h and dials.h have in common: the nodes, and the events between them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "overlay/message.h"
#include "overlay/overlay.h"
#include "overlay/signed.h"

enum {
    NODES_MAX = 24,
    EVENTS_MAX = 65536,
    BLOBS_MAX = 2048,
    TOKENS_MAX = 512,
    CHUNKS_KEPT = 256,
    KINDS_MAX = 96
};

#define HELPER __attribute__((unused)) static

struct stored_blob {
    enum overlay_blob_kind kind;
    struct id key;
    uint64_t number;
    size_t length_bytes;
    uint8_t bytes[3400];
};

struct done {
    bool ended;
    enum overlay_outcome outcome;
    char reason[REASON_CHARS_MAX + 1];
    bool is_new;
    uint32_t copies;
    struct overlay_lookup lookup;
    size_t length_bytes;
    uint8_t bytes[4096];
};

struct kept_chunk {
    struct chunk_id id;
    size_t length_bytes;
    uint8_t bytes[4096];
};

struct node {
    struct overlay *overlay;
    struct overlay_config config;
    struct public_key key;
    struct node_id id;
    struct curve_keypair curve;
    bool running;
    uint32_t life; /* events of an earlier life are dropped */
    uint64_t wake_ms;
    uint64_t stalled_until_ms; /* it gets no time before */
    uint32_t down_events;      /* members that it counted as down */
    uint32_t side;             /* of a partition */
    uint64_t links[NODES_MAX]; /* outbound: number, 0: none */
    struct overlay_effects effects;
    uint32_t blob_count;
    struct stored_blob *blobs;
    uint32_t chunk_count;
    struct kept_chunk chunks[CHUNKS_KEPT];
    struct done done[TOKENS_MAX];
    uint32_t delivered_count;
    char delivered[256];
    uint32_t member_events;
    uint32_t arc_events;
    uint64_t arc_epoch;
    bool lies; /* sends wrong chunk data */
    bool disk_full;
    uint32_t chunks_to_fail;      /* so many are too much at once for the edge */
    uint32_t dropped_count;       /* files of chunks */
    bool is_closed;               /* nobody can dial it */
    const char *router;           /* the host that others see it behind; NULL: its own */
    uint16_t router_port;         /* of that host: leads here; 0: none does */
    uint32_t dial_back_count;     /* that it did for others */
    struct overlay_peer dialled;  /* the last of them */
    struct overlay_relay passing; /* the last one that it passes on for ... */
    struct node_id passing_for;   /* ... and whom */
};

struct network_event {
    uint64_t at_ms;
    uint64_t order;
    uint32_t to;
    uint32_t life;
    struct overlay_event event;
    uint32_t from;
    bool carried; /* dropped when the two are apart */
};

struct network {
    uint64_t now_ms;
    uint64_t wall_unix_s;
    uint64_t order;
    uint64_t link_number;
    uint32_t chunks_to_lose; /* with the link that they are on */
    uint32_t node_count;
    struct node nodes[NODES_MAX];
    uint32_t event_count;
    struct network_event *events[EVENTS_MAX];
    struct secret_key community_key;
    uint8_t community[512];
    size_t community_bytes;
    struct random random;
    uint32_t loss_percent;
    bool finds_reach;                                   /* of nodes added from now on */
    bool is_cut[NODES_MAX][NODES_MAX];                  /* nothing gets from one to the other */
    void (*lie)(uint32_t from, minga_Message *message); /* changes what a member says; or NULL */
    uint32_t sent_count[KINDS_MAX]; /* of each kind of message, replies not counted */
    uint32_t unhurried_count;       /* writes of records that nobody waits for */
    uint32_t epochs_count;          /* stretches of epochs that were written */
};

static struct network net;

HELPER bool is_before(const struct network_event *a, const struct network_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

HELPER void push_event(struct network_event *event)
{
    uint32_t i = net.event_count++;

    cr_assert_lt(i, EVENTS_MAX);
    event->order = net.order++;
    while (i > 0 && is_before(event, net.events[(i - 1) / 2])) {
        net.events[i] = net.events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    net.events[i] = event;
}

HELPER struct network_event *pop_event(void)
{
    struct network_event *first = net.events[0];
    struct network_event *last = net.events[--net.event_count];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= net.event_count) {
            break;
        }
        if (child + 1 < net.event_count && is_before(net.events[child + 1], net.events[child])) {
            child++;
        }
        if (!is_before(net.events[child], last)) {
            break;
        }
        net.events[i] = net.events[child];
        i = child;
    }
    net.events[i] = last;
    return first;
}

HELPER struct network_event *new_event(uint32_t to, enum overlay_event_kind kind, uint64_t delay_ms)
{
    struct network_event *event = calloc(1, sizeof(*event));

    event->to = to;
    event->life = net.nodes[to].life;
    event->at_ms = net.now_ms + delay_ms;
    event->event.kind = kind;
    return event;
}

HELPER int find_node(const struct node_id *id)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        if (id_equal(&net.nodes[i].id.id, &id->id)) {
            return (int)i;
        }
    }
    return -1;
}

HELPER bool are_apart(uint32_t a, uint32_t b)
{
    return net.nodes[a].side != net.nodes[b].side;
}

HELPER struct bytes copy_bytes(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.length_bytes + 1);

    if (bytes.length_bytes > 0) {
        memcpy(copy, bytes.data, bytes.length_bytes);
    }
    return (struct bytes){copy, bytes.length_bytes};
}

HELPER struct kept_chunk *find_chunk(struct node *node, const struct chunk_id *id)
{
    for (uint32_t i = 0; i < node->chunk_count; i++) {
        if (id_equal(&node->chunks[i].id.id, &id->id)) {
            return &node->chunks[i];
        }
    }
    return NULL;
}

HELPER void host_of(uint32_t node, char host_out[HOST_CHARS_MAX + 1])
{
    const char *address = net.nodes[node].router != NULL
                              ? net.nodes[node].router
                              : net.nodes[node].config.description.addresses[0];

    snprintf(host_out, HOST_CHARS_MAX + 1, "%.*s", (int)strcspn(address, ":"), address);
}

HELPER void report_link(uint32_t who, uint32_t peer, enum overlay_event_kind kind)
{
    struct network_event *event = new_event(who, kind, 1);

    event->event.node = net.nodes[peer].id;
    push_event(event);
}

/* To who was dialled. */
HELPER void report_caller_lost(uint32_t who, uint64_t link)
{
    struct network_event *event = new_event(who, OVERLAY_CALLER_LOST, 1);

    event->event.source.link = link;
    push_event(event);
}
