// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Shared by transport*.c; not for other modules. */
#include <stdatomic.h>
#include <stdbool.h>
#include <zmq.h>

#include "agent/mingad/transport/transport.h"

enum {
    LINKS_MAX = MEMBERS_MAX + 64, /* outbound; members, and contacts while joining */
    LINK_BUCKETS = 256,           /* a power of two */
    QUEUE_MESSAGES_MAX = 128,     /* per link and direction */
    BATCH_MESSAGES_MAX = 64,      /* received per socket and turn */
    /* Long: on a busy machine a handshake that is given up is only begun again. Who never finishes one
     * is the doorman's to turn away. */
    HANDSHAKE_MS_MAX = 8000,
    CONNECT_MS_MAX = 2000,
    RECONNECT_MS = 50, /* a refused second attempt shows soon that a process has ended */
    RECONNECT_MS_MAX = 2000,
    /* Unacknowledged for so long, a connection is broken: without it, a cable that comes back
     * would wait for TCP's doubled retransmission times. */
    UNACKNOWLEDGED_MS_MAX = 5000,
    BACKLOG_MAX = 100,
    UNUSED_MS_MAX = 300000,
    LOST_CALLERS_MAX = 64,    /* told in one turn; of more nothing is said */
    HELD_MAX = 8,             /* messages, while the peer's name is looked up */
    SAY_ONCE_MS = 2500,       /* for a link that carries one message */
    SOCKETS_MAX = 4096,       /* three per link: DEALER and both ends of its monitor */
    DESCRIPTORS_KEPT = 80,    /* for the control API, files, outbound links */
    DESCRIPTORS_PER_LINK = 4, /* the connection, and one for each socket */
    LINKS_MIN = 16,
    ENDPOINT_BYTES_MAX = TRANSPORT_ADDRESS_BYTES_MAX + 8, /* tcp:// */
    CURVE_KEY_BYTES = 32,
    MEMBER_BYTES_MAX = 2 * FRAME_BYTES_MAX, /* on a link, beyond its whole messages */
    CURVE_KEY_HEX_CHARS = 64,
};

/* A ZeroMQ socket on the loop. */
struct watch {
    uv_poll_t poll; /* first */
    void *socket;
    void (*settle)(struct watch *watch); /* receives what is waiting */
    struct watch *next_dirty;
    bool is_dirty;  /* in the list: settle is due */
    bool is_closed; /* no more calls */
    struct transport *transport;
    struct link *link; /* whose it is; NULL for the router */
};

struct link { /* to one peer that we dial */
    struct watch dealer;
    struct watch monitor;
    struct link *next; /* in its bucket */
    struct overlay_peer peer;
    size_t way;         /* the one that is dialled: TRANSPORT_HOSTS_MAX for each address */
    uint32_t way_count; /* that can be dialled, as far as is known */
    char endpoint[ENDPOINT_BYTES_MAX];
    uint64_t used_ms;
    uint64_t dialled_ms; /* the attempt that is under way; 0: it has failed at once, or none is */
    uint32_t refused_count; /* addresses in a row that refused */
    bool awaits_name;       /* nothing is dialled: of no address the host is known yet */
    struct held *held;      /* what was said meanwhile, the last first */
    uint32_t held_count;
    bool is_up;
    int fd;                /* of its connection, while it is up; else -1 */
    bool was_heard;        /* since the last look */
    bool is_suspect;       /* looked as if its message never ended */
    bool is_redialling;    /* after a break ZeroMQ announces its next attempt as one that failed */
    uint32_t handle_count; /* open handles; freed with the last */
};

struct held {
    struct held *next;
    size_t length_bytes;
    uint8_t bytes[];
};

struct door;  /* transport_door.c */
struct names; /* transport_names.c */

struct transport {
    uv_loop_t *loop;
    void *zmq;
    struct watch router;
    struct watch zap;
    struct watch door_watch;
    struct door *door;
    struct names *names;
    struct curve_keypair curve;
    char listen_host[ADDRESS_CHARS_MAX + 1];
    uint16_t port; /* 0 before the first binding: any */
    uv_timer_t guard_timer;
    int statm_fd;
    bool is_rebinding; /* the router is closed, and its port not bound again yet */
    bool is_over;
    uint64_t resident_mib_min; /* since the guard acted last; 0: not measured yet */
    uint64_t strict_until_ms;  /* only members are let in until then */
    uint32_t relieved_count;   /* how often the router was closed: which one a link is of */
    uint32_t monitor_number;   /* of the next monitor's endpoint */
    uint64_t lost_callers[LOST_CALLERS_MAX]; /* links; told when what came on them has been read */
    uint32_t lost_caller_count;
    struct watch *dirty; /* to be settled */
    struct watch *dirty_last;
    uint32_t dirty_count;
    struct link *links[LINK_BUCKETS];
    atomic_size_t unsent_bytes; /* ZeroMQ's thread subtracts what it has sent */
    transport_event *event;
    transport_is_member *is_member;
    void *context;
    struct transport_counters counters;
};

/* ------------------------------------------------------------------ transport_watch.c */

/* Watches socket's descriptor. */
int watch_open(struct transport *transport, struct watch *watch, void *socket,
               void (*settle)(struct watch *watch));
/* Stops watching and closes the socket; `closed` is called when the handle is gone. */
void watch_close(struct watch *watch, uv_close_cb closed);
/* Its socket may have something to receive. */
void watch_mark(struct watch *watch);
/* The one that waits for longest; there must be one. */
struct watch *watch_take_dirty(struct transport *transport);

int socket_set_int(void *socket, int option, int value);
/* What routers and dealers have in common. Returns 0 or -errno. */
int socket_set_common(void *socket);

/* Sends one or two frames, taking the data over. Returns 0, -EAGAIN, -EHOSTUNREACH ... */
int frames_send(struct watch *watch, struct bytes message, struct transport_data data);
/* Frees data that could not be sent. */
void frames_discard(struct transport_data data);

enum { FRAMES_MAX = 3 };
struct frames { /* one received message */
    int count;
    bool is_overlong;  /* had more; they have been thrown away */
    size_t wire_bytes; /* all of them, and at least what CURVE and ZMTP add */
    zmq_msg_t list[FRAMES_MAX];
};
/* Returns 0, or -EAGAIN when nothing is waiting. frames_done in any case of 0. */
int frames_receive(void *socket, struct frames *frames_out);
void frames_done(struct frames *frames);
struct bytes frame_bytes(struct frames *frames, int index);
/* Where the message came from, as a numeric address; "" when that is not known. */
void frame_host(struct frames *frames, int index, char host_out[HOST_CHARS_MAX + 1]);

/* ------------------------------------------------------------------ others */

/* transport_zap.c: the judge of CURVE keys, on inproc://zeromq.zap.01. */
int zap_open(struct transport *transport, struct err *err);

/* transport_inbound.c */
int inbound_open(struct transport *transport, struct err *err);
/* A link on which a member has spoken is gone. */
void inbound_lost(struct transport *transport, uint64_t link);

/* transport_guard.c: see there. The timer is initialised already. */
int guard_open(struct transport *transport, struct err *err);
void guard_close(struct transport *transport);
/* The door calls it each time it looks. */
void guard_look(struct transport *transport);
/* Closes all inbound links and binds again; strangers wait. */
void guard_relieve(struct transport *transport);
bool guard_admits(struct transport *transport, const uint8_t key[CURVE_KEY_BYTES]);

/* transport_names.c: see there. */
int names_open(struct transport *transport);
void names_close(struct transport *transport);
/* As transport_numeric(), for ZeroMQ. */
int names_endpoint(struct transport *transport, const char *address, size_t which,
                   char endpoint_out[ENDPOINT_BYTES_MAX]);

/* transport_link.c */
struct link *link_find(struct transport *transport, const struct node_id *node);
/* Makes and dials a link. NULL when full, or when the peer has no usable key or address. */
struct link *link_open(struct transport *transport, const struct overlay_peer *peer);
void link_close(struct transport *transport, struct link *link);
/* Takes newer addresses over; they are tried when the present one fails. */
void link_update(struct link *link, const struct overlay_peer *peer);
/* Closes those that were not used for longest until one more may be opened. */
void link_make_room(struct transport *transport);
/* transport_monitor.c */
int monitor_open(struct transport *transport, struct link *link);
struct monitor_event {
    unsigned number;
    uint32_t value; /* a descriptor, an errno */
};
/* Watches `events` of a socket. */
int monitor_watch(struct transport *transport, void *socket, int events, struct watch *watch,
                  void (*settle)(struct watch *watch));
/* Returns 0, or -EAGAIN when nothing is waiting. */
int monitor_receive(struct watch *watch, struct monitor_event *event_out);

/* transport_door.c: see there. */
int door_open(struct transport *transport);
/* Before the router is bound. */
int door_watch(struct transport *transport, void *router);
/* The loop runs on until its timer is closed. */
void door_close(struct transport *transport);
/* After it was bound, or could not be; gate_begin_listening stands before. */
void door_listening(struct transport *transport);
/* A message has been handled that came from the owner of this key, on this link. */
void door_heard(struct transport *transport, struct frames *frames,
                const uint8_t key[CURVE_KEY_BYTES], uint64_t link);
/* All that has come on connections that are gone has been read. */
void door_router_is_empty(struct transport *transport);
/* May those who have proved their keys be let in now? Else very soon. */
bool door_answers(struct transport *transport);
/* Keeps the owner of this key out for a while, and cuts its links to us. */
void door_ban(struct transport *transport, const uint8_t key[CURVE_KEY_BYTES], uint64_t now_ms);
/* Has the owner of this key misused its links lately? */
bool door_is_banned(const struct transport *transport, const uint8_t key[CURVE_KEY_BYTES]);
/* How many this process may have. */
uint32_t door_descriptors(void);
uint32_t door_stranger_count(const struct transport *transport);
uint64_t door_turned_away(const struct transport *transport);

void link_try_next_address(struct link *link);
/* Sends, or holds it while nothing is dialled. Takes the data over. Returns 0 or -errno. */
int link_send(struct link *link, struct bytes message, struct transport_data data);
/* A name that was awaited has been looked up. */
void links_named(struct transport *transport);
/* Looks for peers that send messages without an end on the links that we dialled. */
bool links_look(struct transport *transport, uint64_t now_ms);
