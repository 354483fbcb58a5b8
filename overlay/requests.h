// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Requests that wait for a reply: id, whom, until when, when to repeat. Pure.
 *
 * zmq_send promises nothing, so each request is repeated until its deadline. The encoded message
 * is kept for that. Which reply belongs to what is decided by id and by who answers.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/ids.h"
#include "base/limits.h"

enum request_kind {
    REQUEST_FREE,
    REQUEST_PING,
    REQUEST_PROBE_VIA,
    REQUEST_PROBE_FOR, /* a ping on behalf of another member, see asker */
    REQUEST_JOIN,      /* this node's own */
    REQUEST_JOIN_RELAY,
    REQUEST_SYNC,
    REQUEST_STABILISE,
    REQUEST_ASK,   /* the agent's, to one member */
    REQUEST_ROUTE, /* the agent's, to whoever is responsible */
    REQUEST_ROUTE_RELAY,
    REQUEST_LOCAL, /* the agent's, delivered to itself */
    REQUEST_LOOKUP,
    REQUEST_LOOKUP_RELAY,
    REQUEST_GOODBYE,
    REQUEST_RECORD_PUT,  /* to the responsible node */
    REQUEST_RECORD_READ, /* for a get */
    REQUEST_PUT_READ,    /* before a put */
    REQUEST_RECORD_COPY,
    REQUEST_CHUNK_OFFER,
    REQUEST_CHUNK_DATA,
    REQUEST_CHUNK_GET,
    REQUEST_WHO,
    REQUEST_BROADCAST,
    REQUEST_CHUNK_OFFERS,
    REQUEST_SEEK,
    REQUEST_COMPARE, /* of chunks */
    REQUEST_DIAL_BACK,
    REQUEST_RELAY,
    REQUEST_KINDS_COUNT,
};

/* Whom to answer when a reply comes for somebody else. */
struct asker {
    bool inbound;
    uint64_t link;
    struct node_id node;
    uint64_t request;
};

struct request {
    enum request_kind kind;
    uint64_t id;
    uint64_t token; /* the agent's, or an operation's number */
    struct node_id to;
    uint8_t purpose;  /* STABILISE: the pace that was asked for */
    bool is_measured; /* sent once, on a link that was up: its answer tells the round trip */
    bool has_other;   /* a second one was asked as well, when the first was silent */
    struct node_id other;
    bool has_way; /* `to` was looked up with care: the next message goes there */
    bool reroute; /* `to` is looked up again from `key` at each repetition */
    struct ring_key key;
    bool is_image; /* `key` is an image of a record's key; see images.c */
    struct asker asker;
    uint64_t sent_ms;
    uint64_t deadline_ms;
    uint64_t repeat_ms;       /* 0: never */
    uint64_t repeat_every_ms; /* doubles */
    uint32_t busy_count;
    size_t length_bytes;
    uint8_t bytes[MESSAGE_BYTES_MAX];
};

struct requests {
    uint64_t last_id;
    uint32_t used_count;
    uint32_t top; /* no slot at or above is in use */
    struct request list[REQUESTS_MAX];
};

/* Is it answered at once by whoever receives it? */
bool request_is_prompt(enum request_kind kind);
/* Does an answer by `node` belong to it? */
bool request_is_to(const struct request *request, const struct node_id *node);
/* May one more wait on behalf of `asker`? Of all that wait for others, half of the table is the most,
 * and a quarter of it for one. */
bool requests_may_ask_for(const struct requests *requests, const struct asker *asker);
/* A new one with an id; kind and the rest is the caller's to fill. NULL when the table is full. */
struct request *requests_new(struct requests *requests, enum request_kind kind);
struct request *requests_find(struct requests *requests, uint64_t id);
void requests_end(struct requests *requests, struct request *request);
/* The earliest deadline or repetition, or 0. */
uint64_t requests_wake(const struct requests *requests);
