// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Messages between nodes, over ZeroMQ with CURVE.
 *
 * One inbound ROUTER that every peer dials, one outbound DEALER per peer that we dial. Replies go
 * back on the link of the request. Nothing is promised: a send may vanish, and what finds a full
 * queue is dropped and counted; the overlay repeats.
 *
 * A message is one frame, optionally followed by one with a chunk's data. Whatever else arrives
 * (more frames, longer ones, a peer that claims a routing id) is dropped and counted.
 *
 * A stranger's key is admitted by CURVE and told to the overlay with every message, which decides
 * (HELLO compares it with the sender's Ed25519 key).
 *
 * A sender who fills the memory is met by closing all inbound links; strangers then wait a minute.
 *
 * ZeroMQ's descriptors are edge-triggered: after whatever was sent or received a socket may be
 * readable without its descriptor saying so. Hence transport_settle, once per turn of the loop.
 */
#include <stdatomic.h>
#include <uv.h>

#include "base/err.h"
#include "base/keys.h"
#include "overlay/overlay.h"

struct transport;

/* RECEIVED, LINK_UP, LINK_LOST; without times. Borrowed for the call. */
typedef void transport_event(void *context, const struct overlay_event *event);

/* Has the owner of this X25519 key greeted as a member, and is it not expelled? */
typedef bool transport_is_member(void *context, const uint8_t curve_key[32]);

struct transport_config {
    uv_loop_t *loop;
    const struct secret_key *node_key; /* read during transport_open only */
    const char *listen_host;           /* "*", or a numeric address */
    uint16_t listen_port;              /* 0: any free one, for tests */
    transport_event *event;
    transport_is_member *is_member; /* NULL: strangers are never kept out */
    void *context;
};

struct transport_counters {
    uint64_t received_messages;
    uint64_t sent_messages;
    uint64_t dropped_inbound;  /* against the form */
    uint64_t dropped_outbound; /* queue full, no such link */
    uint32_t link_count;       /* outbound */
};

/* A chunk's bytes, malloc'ed; the transport takes them, whatever happens. */
struct transport_data {
    uint8_t *data; /* NULL: no second frame */
    size_t length_bytes;
    atomic_size_t
        *unsent_bytes; /* or NULL: counts them too while ZeroMQ holds them, in its thread */
};

/* Binds. -EADDRINUSE when another has the port. */
int transport_open(const struct transport_config *config, struct transport **transport_out,
                   struct err *err);
/* Closes all links at once. The loop must run on until its handles are closed. */
void transport_close(struct transport *transport);
/* After the loop has ended. */
void transport_free(struct transport *transport);

uint16_t transport_port(const struct transport *transport);

/* The numeric form of a "host:port", whoever said it; `which` from 0, for a name may have one of each
 * family. Returns 0, -EAGAIN while the name is looked up, or -EHOSTUNREACH: there are not so many,
 * or it is no host and port. */
enum { TRANSPORT_HOSTS_MAX = 2, TRANSPORT_ADDRESS_BYTES_MAX = ADDRESS_CHARS_MAX + 64 };
int transport_numeric(struct transport *transport, const char *address, size_t which,
                      char address_out[TRANSPORT_ADDRESS_BYTES_MAX]);

/* Sends to a peer, dialling it if there is no link yet. */
void transport_send(struct transport *transport, const struct overlay_peer *peer,
                    struct bytes message, struct transport_data data);
/* Sends back on an inbound link. */
void transport_reply(struct transport *transport, uint64_t link, struct bytes message,
                     struct transport_data data);
/* Dials the peer on a link of its own, says the message, and hangs up; nobody hears what comes of
 * it. */
void transport_say_once(struct transport *transport, const struct overlay_peer *peer,
                        struct bytes message);
void transport_hang_up(struct transport *transport, const struct node_id *node);

/*
 * Receives what is waiting, a bounded share per socket. Returns true when there is more: the
 * caller then must not block before calling again.
 */
bool transport_settle(struct transport *transport);
/* Closes links unused for some minutes; now and then. */
void transport_tidy(struct transport *transport, uint64_t now_ms);
/* Do those who dial in use up the descriptors? Then whoever else accepts connections should try
 * again soon. */
bool transport_is_crowded(const struct transport *transport);
/* Of chunks' data that ZeroMQ still holds. */
uint64_t transport_unsent_bytes(const struct transport *transport);
struct transport_counters transport_counters(const struct transport *transport);
