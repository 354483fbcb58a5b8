// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Who stands at the door. ZeroMQ accepts whoever dials and counts whole messages only; the gate
 * below it (transport_gate.h) holds it back until the loop, here, has looked. The router's monitor
 * tells each accepted descriptor. Nobody but ZeroMQ may close these, but shutdown(2) makes it do so.
 *
 * - One who has not greeted as a member yet is a stranger. Strangers have little time, may send
 *   little, and are few: when there are too many, or descriptors run short, the oldest of the
 *   newcomer's host has to go, so that a flood drives itself away. Members stay.
 * - A member may have two frames on their way, no more. One look must not decide: the loop itself
 *   may have been late with its messages. Who sends on is kept out for a while. The gate lets in
 *   twice as much meanwhile, on each of a member's links, which are few.
 *
 * A descriptor's number is the lowest free one: how high it is tells how many are in use. And a
 * message tells no more of its connection than this number, which may be another's by then. All that
 * came on the old connection waits in the router before the new one is told: so who has just been
 * accepted is nobody before the router was empty once, and gets no answer to its key until then.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/transport/transport_gate.h"
#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"

enum {
    EVENTS = ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED,
    EVENTS_PER_TURN = 256,
    CALLERS_MAX = GATE_FDS_MAX,
    STRANGERS_MAX = 256,     /* 30 KiB each inside ZeroMQ */
    STRANGERS_PER_HOST = 8,  /* from here on a host's own have to make room */
    STRANGER_MS_MAX = 10000, /* to greet in */
    MEMBER_LINKS_MAX = 4,    /* one, and those it has not noticed to be broken */
    BANNED_MAX = 8,
    BAN_MS = 20000,
    AWAY_AT_ONCE = 8, /* when descriptors run short */
    CROWDED_MS = 500,
    LOOK_MS = 100,
    EMPTIED_MS_MAX = 1000, /* a router that is never empty holds up nobody for longer */
    CALM_LOOK_MS = 500,    /* nobody is a stranger or a suspect: an idle node sleeps */
};
#define NEWCOMER_NONE UINT32_MAX

struct caller { /* an inbound connection */
    bool is_there;
    bool is_member;
    bool is_leaving; /* shut down; ZeroMQ will say when it is gone */
    bool is_suspect; /* looked as if its message never ended */
    bool has_key;
    uint8_t key[CURVE_KEY_BYTES];
    uint32_t host; /* a hash of its address */
    uint64_t number;
    uint64_t accepted_ms;
    uint64_t emptied_count; /* the door's, then */
    bool was_heard;         /* since the last look, a member */
    bool has_link;          /* a member's */
    uint64_t link;
};

struct ban {
    uint8_t key[CURVE_KEY_BYTES];
    uint64_t until_ms;
};

struct door {
    uv_timer_t timer;
    uint32_t look_ms; /* so often the timer looks */
    int listening_fd;
    uint32_t descriptors_max; /* an inbound connection's is below, or others have to go */
    uint64_t refused_count;   /* the gate's, when it was asked last */
    uint32_t top;             /* no caller's descriptor is at or above */
    uint32_t stranger_count;
    uint64_t next_number;
    uint64_t emptied_count; /* how often the router was */
    uint64_t waiting_ms;    /* since when somebody waits for that; 0: nobody */
    uint64_t crowded_until_ms;
    uint32_t next_ban;
    struct ban bans[BANNED_MAX];
    uint64_t turned_away_count;
    struct caller callers[CALLERS_MAX];
};

static void on_timer(uv_timer_t *timer);
static void settle_door(struct watch *watch);

static void look_each(struct door *door, uint32_t look_ms)
{
    if (door->look_ms != look_ms) {
        door->look_ms = look_ms;
        uv_timer_start(&door->timer, on_timer, look_ms, look_ms);
    }
}

/* ------------------------------------------------------------------ one caller */

static uint32_t hash_of_host(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    struct bytes host = {0};
    struct id id;
    uint32_t hash;

    if (getpeername(fd, (struct sockaddr *)&address, &length) < 0) {
        return 0;
    }
    if (address.ss_family == AF_INET) {
        host.data = (const uint8_t *)&((struct sockaddr_in *)&address)->sin_addr;
        host.length_bytes = sizeof(struct in_addr);
    } else { /* the network: a host has many IPv6 addresses */
        host.data = ((struct sockaddr_in6 *)&address)->sin6_addr.s6_addr;
        host.length_bytes = IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&address)->sin6_addr)
                                ? sizeof(struct in6_addr)
                                : sizeof(struct in6_addr) / 2;
    }
    id = hash_of("minga host", host);
    memcpy(&hash, id.bytes, sizeof(hash));
    return hash;
}

/* Is this descriptor one of our port's? The caller's may be closed, and its number another's. */
static bool is_inbound(const struct transport *transport, int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    uint16_t port = 0;

    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        return false;
    }
    if (address.ss_family == AF_INET) {
        port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    } else if (address.ss_family == AF_INET6) {
        port = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    }
    return port != 0 && port == transport->port;
}

static void turn_away(struct transport *transport, uint32_t fd)
{
    struct caller *caller = &transport->door->callers[fd];

    caller->is_leaving = true;
    transport->door->turned_away_count++;
    if (is_inbound(transport, (int)fd)) {
        (void)shutdown((int)fd, SHUT_RDWR);
    }
}

static void forget(struct transport *transport, uint32_t fd)
{
    struct door *door = transport->door;
    struct caller *caller = &door->callers[fd];

    if (!caller->is_there) {
        return;
    }
    if (caller->has_link) {
        inbound_lost(transport, caller->link);
    }
    if (!caller->is_member) {
        CHECK(door->stranger_count > 0);
        door->stranger_count--;
    }
    *caller = (struct caller){0};
    while (door->top > 0 && !door->callers[door->top - 1].is_there) {
        door->top--;
    }
}

static bool is_member(const struct transport *transport, const struct caller *caller)
{
    return transport->is_member == NULL ||
           (caller->has_key && transport->is_member(transport->context, caller->key));
}

/* ------------------------------------------------------------------ too many */

static bool is_older(const struct door *door, uint32_t fd, uint32_t than)
{
    return than == NEWCOMER_NONE || door->callers[fd].number < door->callers[than].number;
}

/* The oldest stranger of the newcomer's host, if it has many; else the oldest of all. */
static uint32_t who_has_to_go(const struct door *door, uint32_t newcomer)
{
    uint32_t host = newcomer == NEWCOMER_NONE ? 0 : door->callers[newcomer].host;
    uint32_t of_host = NEWCOMER_NONE;
    uint32_t of_all = NEWCOMER_NONE;
    uint32_t host_count = 0;

    for (uint32_t fd = 0; fd < door->top; fd++) {
        const struct caller *caller = &door->callers[fd];

        if (!caller->is_there || caller->is_member || caller->is_leaving) {
            continue;
        }
        if (is_older(door, fd, of_all)) {
            of_all = fd;
        }
        if (caller->host == host) {
            host_count++;
            of_host = is_older(door, fd, of_host) ? fd : of_host;
        }
    }
    return host_count >= STRANGERS_PER_HOST ? of_host : of_all;
}

static void send_off(struct transport *transport, uint32_t newcomer)
{
    uint32_t fd = who_has_to_go(transport->door, newcomer);

    if (fd != NEWCOMER_NONE) {
        turn_away(transport, fd);
    }
}

/* Descriptors run short: ZeroMQ would take the last ones. */
static void on_crowd(struct transport *transport, uint32_t newcomer)
{
    transport->door->crowded_until_ms = clock_now_ms() + CROWDED_MS;
    for (int i = 0; i < AWAY_AT_ONCE; i++) {
        send_off(transport, newcomer);
    }
}

static void on_accepted(struct transport *transport, uint32_t fd)
{
    struct door *door = transport->door;

    if (fd >= CALLERS_MAX) {
        return;
    }
    forget(transport, fd); /* its end was not told: no harm */
    if (transport->is_member == NULL) {
        gate_trust((int)fd);
    }
    door->callers[fd] = (struct caller){.is_there = true,
                                        .is_member = transport->is_member == NULL,
                                        .host = hash_of_host((int)fd),
                                        .number = door->next_number++,
                                        .accepted_ms = clock_now_ms(),
                                        .emptied_count = door->emptied_count};
    if (transport->router.socket != NULL) {
        door->waiting_ms = door->waiting_ms != 0 ? door->waiting_ms : clock_now_ms();
        watch_mark(&transport->router);
    }
    door->top = fd >= door->top ? fd + 1 : door->top;
    door->stranger_count += !door->callers[fd].is_member;
    look_each(door, LOOK_MS);
    if (fd >= door->descriptors_max) {
        on_crowd(transport, fd);
    } else if (door->stranger_count > STRANGERS_MAX) {
        send_off(transport, fd);
    }
}

/* ------------------------------------------------------------------ too much, too long */

static bool is_of(const struct caller *caller, const uint8_t key[CURVE_KEY_BYTES])
{
    return caller->is_there && !caller->is_leaving && caller->has_key &&
           memcmp(caller->key, key, CURVE_KEY_BYTES) == 0;
}

/* All its links at once. */
void door_ban(struct transport *transport, const uint8_t key[CURVE_KEY_BYTES], uint64_t now_ms)
{
    struct door *door = transport->door;
    struct ban *entry = &door->bans[door->next_ban++ % BANNED_MAX];

    memcpy(entry->key, key, CURVE_KEY_BYTES);
    entry->until_ms = now_ms + BAN_MS;
    for (uint32_t fd = 0; fd < door->top; fd++) {
        if (is_of(&door->callers[fd], key)) {
            turn_away(transport, fd);
        }
    }
    log_warning("a member sends a message that never ends: it is kept out for %d s", BAN_MS / 1000);
}

bool door_is_banned(const struct transport *transport, const uint8_t key[CURVE_KEY_BYTES])
{
    const struct door *door = transport->door;
    uint64_t now_ms = clock_now_ms();

    for (uint32_t i = 0; i < BANNED_MAX; i++) {
        if (door->bans[i].until_ms > now_ms &&
            memcmp(door->bans[i].key, key, CURVE_KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static void look_at_stranger(struct transport *transport, uint32_t fd, uint64_t now_ms)
{
    if (now_ms - transport->door->callers[fd].accepted_ms > STRANGER_MS_MAX) {
        turn_away(transport, fd);
    }
}

static void look_at_member(struct transport *transport, uint32_t fd, uint64_t now_ms)
{
    struct caller *caller = &transport->door->callers[fd];

    if (caller->was_heard) { /* then no message was under way all the time */
        caller->was_heard = false;
        return;
    }
    if (gate_taken_bytes((int)fd) <= MEMBER_BYTES_MAX) {
        return;
    }
    if (!caller->is_suspect) {
        caller->is_suspect = true;
    } else if (caller->has_key) {
        door_ban(transport, caller->key, now_ms);
    }
}

static void look_at(struct transport *transport, uint32_t fd, uint64_t now_ms)
{
    struct caller *caller = &transport->door->callers[fd];

    if (!caller->is_there || caller->is_leaving) {
        return;
    }
    if (caller->is_member && !is_member(transport, caller)) { /* expelled */
        caller->is_member = false;
        caller->accepted_ms = now_ms;
        transport->door->stranger_count++;
        gate_distrust((int)fd);
    }
    if (caller->is_member) {
        look_at_member(transport, fd, now_ms);
    } else {
        look_at_stranger(transport, fd, now_ms);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct transport *transport = timer->data;
    struct door *door = transport->door;
    uint64_t now_ms = clock_now_ms();
    bool is_calm = links_look(transport, now_ms) && door->stranger_count == 0;

    if (gate_refused_count() != door->refused_count) {
        door->refused_count = gate_refused_count();
        on_crowd(transport, NEWCOMER_NONE);
        is_calm = false;
    }
    for (uint32_t fd = 0; fd < door->top; fd++) {
        look_at(transport, fd, now_ms);
        is_calm = is_calm && !door->callers[fd].is_suspect;
    }
    guard_look(transport);
    gate_allow_accepts(door->listening_fd); /* an accepted one may have gone unannounced */
    look_each(door, is_calm ? CALM_LOOK_MS : LOOK_MS);
}

/* Each of its links may hold memory. The oldest will be the broken one. */
static void limit_links(struct transport *transport, const uint8_t key[CURVE_KEY_BYTES])
{
    const struct door *door = transport->door;
    uint32_t oldest = NEWCOMER_NONE;
    uint32_t count = 0;

    for (uint32_t fd = 0; fd < door->top; fd++) {
        if (is_of(&door->callers[fd], key)) {
            count++;
            oldest = is_older(door, fd, oldest) ? fd : oldest;
        }
    }
    if (count > MEMBER_LINKS_MAX) {
        turn_away(transport, oldest);
    }
}

static struct caller *caller_of(const struct transport *transport, struct frames *frames,
                                uint32_t *fd_out)
{
    const char *text =
        frames->count > 0 ? zmq_msg_gets(&frames->list[frames->count - 1], "__fd") : NULL;
    unsigned long fd = text == NULL ? CALLERS_MAX : strtoul(text, NULL, 10);

    if (fd >= CALLERS_MAX || !transport->door->callers[fd].is_there) {
        return NULL;
    }
    *fd_out = (uint32_t)fd;
    return &transport->door->callers[fd];
}

/* A message that is read now: or may it be of who had the descriptor before? */
static bool is_its_own(const struct door *door, const struct caller *caller)
{
    return caller->emptied_count != door->emptied_count ||
           clock_now_ms() - caller->accepted_ms >= EMPTIED_MS_MAX;
}

void door_router_is_empty(struct transport *transport)
{
    transport->door->emptied_count++;
    transport->door->waiting_ms = 0;
}

bool door_answers(struct transport *transport)
{
    const struct door *door = transport->door;

    if (transport->door_watch.socket != NULL) {
        settle_door(&transport->door_watch); /* whoever asks has been accepted */
    }
    return door->waiting_ms == 0 || clock_now_ms() - door->waiting_ms >= EMPTIED_MS_MAX;
}

void door_heard(struct transport *transport, struct frames *frames,
                const uint8_t key[CURVE_KEY_BYTES], uint64_t link)
{
    uint32_t fd;
    struct caller *caller = caller_of(transport, frames, &fd);

    if (caller == NULL || !is_its_own(transport->door, caller)) {
        return;
    }
    if (!caller->has_key) {
        caller->has_key = true;
        memcpy(caller->key, key, CURVE_KEY_BYTES);
    } else if (memcmp(caller->key, key, CURVE_KEY_BYTES) != 0) {
        return; /* a message of the one who had the descriptor before */
    }
    if (!caller->is_member && is_member(transport, caller)) {
        caller->is_member = true;
        CHECK(transport->door->stranger_count > 0);
        transport->door->stranger_count--;
        gate_trust((int)fd);
        limit_links(transport, key);
    }
    if (caller->is_member) { /* a stranger's messages add up */
        caller->is_suspect = false;
        caller->was_heard = true;
        caller->has_link = true;
        caller->link = link;
        gate_give_back((int)fd, frames->wire_bytes);
    } else {
        gate_note_heard((int)fd);
    }
}

/* ------------------------------------------------------------------ the monitor */

static void on_monitored(struct transport *transport, const struct monitor_event *event)
{
    if (event->number == ZMQ_EVENT_ACCEPTED) {
        on_accepted(transport, event->value);
    } else if (event->number != ZMQ_EVENT_LISTENING && event->value < CALLERS_MAX) {
        forget(transport, event->value);
    }
}

static void settle_door(struct watch *watch)
{
    struct transport *transport = watch->transport;
    struct monitor_event event;

    for (int i = 0; i < EVENTS_PER_TURN; i++) {
        if (watch->is_closed) {
            return;
        }
        if (monitor_receive(watch, &event) < 0) {
            gate_allow_accepts(transport->door->listening_fd);
            return;
        }
        on_monitored(transport, &event);
    }
    watch_mark(watch);
}

int door_watch(struct transport *transport, void *router)
{
    struct door *door = transport->door;

    while (door->top > 0) { /* it was bound before: all of those are gone */
        forget(transport, door->top - 1);
    }
    door->listening_fd = -1;
    door->waiting_ms = 0;
    return monitor_watch(transport, router, EVENTS, &transport->door_watch, settle_door);
}

void door_listening(struct transport *transport)
{
    struct monitor_event event;

    while (transport->door->listening_fd < 0 &&
           monitor_receive(&transport->door_watch, &event) == 0) {
        if (event.number == ZMQ_EVENT_LISTENING && event.value < CALLERS_MAX) {
            transport->door->listening_fd = (int)event.value;
        }
    }
    gate_end_listening(transport->door->listening_fd);
}

/* ------------------------------------------------------------------ life */

uint32_t door_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > CALLERS_MAX) {
        return CALLERS_MAX;
    }
    return (uint32_t)limit.rlim_cur;
}

int door_open(struct transport *transport)
{
    struct door *door = calloc(1, sizeof(*door));
    uint32_t descriptors = door_descriptors();

    if (door == NULL) {
        return -ENOMEM;
    }
    door->descriptors_max =
        descriptors > 2 * DESCRIPTORS_KEPT ? descriptors - DESCRIPTORS_KEPT : descriptors / 2;
    /* Some are left for the loop when all others are taken. */
    gate_limit_descriptors(door->descriptors_max + DESCRIPTORS_KEPT / 2);
    door->refused_count = gate_refused_count();
    door->listening_fd = -1;
    uv_timer_init(transport->loop, &door->timer);
    door->timer.data = transport;
    transport->door = door;
    look_each(door, LOOK_MS);
    return 0;
}

void door_close(struct transport *transport)
{
    if (transport->door != NULL) {
        uv_close((uv_handle_t *)&transport->door->timer, NULL);
    }
}

bool transport_is_crowded(const struct transport *transport)
{
    return clock_now_ms() < transport->door->crowded_until_ms;
}

uint32_t door_stranger_count(const struct transport *transport)
{
    return transport->door->stranger_count;
}

uint64_t door_turned_away(const struct transport *transport)
{
    return transport->door->turned_away_count + gate_cut_count();
}
