// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/pump.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "sandbox/egress/backlog.h"
#include "sandbox/egress/confine.h"
#include "sandbox/egress/filter.h"
#include "sandbox/egress/packet.h"
#include "sandbox/egress/resolver.h"
#include "sandbox/egress/routes.h"
#include "sandbox/line.h"

enum {
    LENGTH_BYTES = 4,
    ETHERNET_BYTES = 14,
    FRAME_BYTES_MAX = ETHERNET_BYTES + EGRESS_PACKET_BYTES_MAX,
    PREFIX_BYTES = LENGTH_BYTES + ETHERNET_BYTES,
    STREAM_BYTES = 4 * (LENGTH_BYTES + FRAME_BYTES_MAX),
    PACKETS_PER_TURN = 32,
    LOOK_NS = 50000, /* at whether passt has read all */
    STACK_MS_MAX = 10000,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
};

/* There is nobody else on this cable, so any two addresses do; locally administered ones. */
static const uint8_t stack_mac[6] = {0x02, 0, 0, 0, 0, 1};
static const uint8_t own_mac[6] = {0x02, 0, 0, 0, 0, 2};

struct pump {
    struct egress_filter filter;
    struct egress_rules fresh;
    int tun_fd;
    int stack_fd;
    int watch_fd;
    int routes_fd;
    struct line line;
    bool is_alone, was_alone;  /* the frame in out[], and the one before */
    uint64_t waits_since_ms;   /* for passt to have read all; 0: it does not */
    size_t in_bytes;           /* of in[]: frames, the last perhaps not whole */
    size_t out_begin, out_end; /* of out[]: what the stack has not yet taken */
    uint8_t in[STREAM_BYTES];
    struct backlog backlog;
    uint8_t out[PREFIX_BYTES + EGRESS_PACKET_BYTES_MAX];
};

static uint64_t now_ms(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- out --- */

/*
 * See egress_goes_alone. What passt has not read for so long it will not read any more: then it is
 * to be started again.
 */
static bool has_its_turn(struct pump *pump)
{
    int unread_bytes = 0;

    if (pump->out_begin > 0 || !(pump->is_alone || pump->was_alone)) {
        return true;
    }
    if (ioctl(pump->stack_fd, SIOCOUTQ, &unread_bytes) < 0) {
        _exit(PUMP_BROKEN);
    }
    if (unread_bytes == 0) {
        pump->waits_since_ms = 0;
        return true;
    }
    if (pump->waits_since_ms == 0) {
        pump->waits_since_ms = now_ms();
    } else if (now_ms() - pump->waits_since_ms > STACK_MS_MAX) {
        _exit(PUMP_BROKEN);
    }
    return false;
}

/* Sends what is left of a frame. Returns whether all of it is gone. */
static bool flush(struct pump *pump)
{
    if (pump->out_begin < pump->out_end && !has_its_turn(pump)) {
        return false;
    }
    while (pump->out_begin < pump->out_end) {
        ssize_t sent_bytes = send(pump->stack_fd, pump->out + pump->out_begin,
                                  pump->out_end - pump->out_begin, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent_bytes < 0 && errno == EAGAIN) {
            return false;
        }
        if (sent_bytes < 0 && errno != EINTR) {
            _exit(PUMP_BROKEN);
        }
        pump->out_begin += sent_bytes > 0 ? (size_t)sent_bytes : 0;
    }
    return true;
}

static void refuse(struct pump *pump, const uint8_t *packet, size_t length_bytes)
{
    uint8_t answer[EGRESS_REFUSAL_BYTES_MAX];
    size_t answer_bytes = egress_refusal(packet, length_bytes, answer);

    if (answer_bytes > 0 && write(pump->tun_fd, answer, answer_bytes) < 0) {
        return; /* a full queue: the program hears nothing, as of any lost packet */
    }
}

/* One packet of the replica. Returns whether there may be more, and room for it. */
static bool carry_out(struct pump *pump)
{
    uint8_t *packet = pump->out + PREFIX_BYTES;
    ssize_t count_bytes = read(pump->tun_fd, packet, EGRESS_PACKET_BYTES_MAX);

    if (count_bytes <= 0) {
        if (count_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
            return false;
        }
        _exit(PUMP_BROKEN); /* the replica's network is gone */
    }
    line_passed(&pump->line.gates[LINE_UP], (uint64_t)count_bytes);
    if (!egress_out(&pump->filter, packet, (size_t)count_bytes, now_ms())) {
        refuse(pump, packet, (size_t)count_bytes);
        return true;
    }
    uint32_t frame_bytes = ETHERNET_BYTES + (uint32_t)count_bytes;
    uint8_t *frame = pump->out + LENGTH_BYTES;

    packet_put_u16(pump->out, (uint16_t)(frame_bytes >> 16));
    packet_put_u16(pump->out + 2, (uint16_t)frame_bytes);
    memcpy(frame, stack_mac, sizeof(stack_mac));
    memcpy(frame + sizeof(stack_mac), own_mac, sizeof(own_mac));
    packet_put_u16(frame + 12, packet[0] >> 4 == 4 ? TYPE_IPV4 : TYPE_IPV6);
    pump->out_begin = 0;
    pump->out_end = LENGTH_BYTES + frame_bytes;
    pump->was_alone = pump->is_alone;
    pump->is_alone = egress_goes_alone(packet, (size_t)count_bytes);
    return flush(pump);
}

/* --- in --- */

static void deliver(struct pump *pump, const uint8_t *packet, size_t packet_bytes)
{
    line_passed(&pump->line.gates[LINE_DOWN], packet_bytes);
    if (write(pump->tun_fd, packet, packet_bytes) < 0 && errno != EAGAIN && errno != EINVAL) {
        _exit(PUMP_BROKEN);
    }
}

/* Those that waited, as far as the line has room. */
static void deliver_backlog(struct pump *pump)
{
    while (!backlog_is_empty(&pump->backlog) && line_room_bytes(&pump->line.gates[LINE_DOWN]) > 0) {
        const uint8_t *packet;
        size_t packet_bytes = backlog_take(&pump->backlog, &packet);

        deliver(pump, packet, packet_bytes);
    }
    if (!backlog_is_empty(&pump->backlog)) {
        line_held(&pump->line.gates[LINE_DOWN]);
    }
}

static void take_frame(struct pump *pump, uint8_t *frame, size_t frame_bytes)
{
    uint8_t *packet = frame + ETHERNET_BYTES;
    size_t packet_bytes = frame_bytes - ETHERNET_BYTES;
    uint16_t type = packet_u16(frame + 12);

    if ((type != TYPE_IPV4 && type != TYPE_IPV6) ||
        !egress_in(&pump->filter, packet, packet_bytes, now_ms())) {
        return;
    }
    if (backlog_is_passed_by(packet, packet_bytes) ||
        (backlog_is_empty(&pump->backlog) && line_room_bytes(&pump->line.gates[LINE_DOWN]) > 0)) {
        deliver(pump, packet, packet_bytes);
    } else {
        backlog_add(&pump->backlog, packet, packet_bytes);
    }
}

/* As far as there is room for them; the rest waits, and passt behind it. */
static void take_frames(struct pump *pump)
{
    size_t at = 0;

    while (pump->in_bytes - at >= LENGTH_BYTES && backlog_has_room(&pump->backlog)) {
        size_t frame_bytes =
            (size_t)packet_u16(pump->in + at) << 16 | packet_u16(pump->in + at + 2);

        if (frame_bytes < ETHERNET_BYTES || frame_bytes > FRAME_BYTES_MAX) {
            _exit(PUMP_BROKEN);
        }
        if (frame_bytes > pump->in_bytes - at - LENGTH_BYTES) {
            break;
        }
        take_frame(pump, pump->in + at + LENGTH_BYTES, frame_bytes);
        at += LENGTH_BYTES + frame_bytes;
    }
    memmove(pump->in, pump->in + at, pump->in_bytes - at);
    pump->in_bytes -= at;
}

static void carry_in(struct pump *pump)
{
    ssize_t count_bytes = recv(pump->stack_fd, pump->in + pump->in_bytes,
                               sizeof(pump->in) - pump->in_bytes, MSG_DONTWAIT);

    if (count_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count_bytes <= 0) {
        _exit(PUMP_BROKEN);
    }
    pump->in_bytes += (size_t)count_bytes;
    take_frames(pump);
}

/* --- what the host's networks are --- */

static void look_at_routes(struct pump *pump, bool first)
{
    (void)routes_load(pump->routes_fd, &pump->fresh);
    if (!first && (pump->fresh.has_default4 != pump->filter.rules.has_default4 ||
                   pump->fresh.has_default6 != pump->filter.rules.has_default6)) {
        _exit(PUMP_CHANGED);
    }
    pump->filter.rules = pump->fresh;
}

static void begin(struct pump *pump, const struct pump_plan *plan)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        _exit(PUMP_BROKEN);
    }
    egress_filter_init(&pump->filter, plan->udp_first, seed);
    resolver_families(&pump->filter.dns4, &pump->filter.dns6);
    pump->tun_fd = plan->tun_fd;
    pump->stack_fd = plan->stack_fd;
    pump->watch_fd = routes_watch(); /* first: no change slips through between the two */
    pump->routes_fd = routes_open();
    line_init(&pump->line);
    if (pump->watch_fd < 0 || pump->routes_fd < 0 ||
        line_map(&pump->line, plan->line_fd, LINE_EGRESS) < 0 || confine_pump() < 0) {
        fprintf(stderr, "minga-egress: cannot be confined, or see the routes or the line\n");
        _exit(PUMP_BROKEN);
    }
    look_at_routes(pump, true);
}

/* --- the loop --- */

struct round {          /* what it waits for */
    bool waits;         /* a frame for the stack is not gone yet */
    bool looks;         /* at whether the stack has read all */
    bool reads;         /* what the stack has, as there is room for it */
    bool sends;         /* what the replica has, as the line has room for it */
    uint64_t within_ms; /* the line is looked at again; UINT64_MAX: nothing waits for it */
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Where the line has no room for what is sent the kernel's queue tells whoever sends. */
static struct round begin_round(struct pump *pump)
{
    struct line_gate *up = &pump->line.gates[LINE_UP];
    struct round round = {.waits = !flush(pump), .within_ms = UINT64_MAX};

    deliver_backlog(pump);
    take_frames(pump); /* those for which there was no room */
    round.looks = round.waits && pump->waits_since_ms != 0;
    round.sends = line_room_bytes(up) > 0;
    round.reads = backlog_has_room(&pump->backlog);
    if (!backlog_is_empty(&pump->backlog)) {
        round.within_ms = line_wait_ms(&pump->line.gates[LINE_DOWN]);
    }
    if (!round.sends) {
        struct pollfd something = {pump->tun_fd, POLLIN, 0};

        round.within_ms = earlier(round.within_ms, line_wait_ms(up));
        if (poll(&something, 1, 0) > 0) {
            line_held(up);
        }
    }
    return round;
}

/* Returns NULL when it is to wait for something to happen, however long. */
static const struct timespec *wait_of(const struct round *round, struct timespec *wait_out)
{
    const uint64_t millisecond_ns = 1000000;
    uint64_t wait_ns = round->looks ? LOOK_NS : UINT64_MAX;

    if (round->within_ms != UINT64_MAX) {
        wait_ns = earlier(wait_ns, round->within_ms * millisecond_ns);
    }
    if (wait_ns == UINT64_MAX) {
        return NULL;
    }
    *wait_out = (struct timespec){.tv_nsec = (long)wait_ns}; /* less than a second */
    return wait_out;
}

_Noreturn void pump_run(const struct pump_plan *plan)
{
    static struct pump pump;

    begin(&pump, plan);
    for (;;) {
        const struct round round = begin_round(&pump);
        struct timespec wait;
        struct pollfd fds[] = {
            {pump.tun_fd, round.waits || !round.sends ? 0 : POLLIN, 0},
            {pump.stack_fd, round.reads ? POLLIN : 0, 0},
            {pump.watch_fd, POLLIN, 0},
        };

        if (round.waits && !round.looks) {
            fds[1].events |= POLLOUT;
        }
        if (ppoll(fds, sizeof(fds) / sizeof(fds[0]), wait_of(&round, &wait), NULL) < 0 &&
            errno != EINTR) {
            _exit(PUMP_BROKEN);
        }
        if (fds[2].revents != 0) {
            routes_seen(pump.watch_fd);
            look_at_routes(&pump, false);
        }
        if (fds[1].revents != 0 && (round.reads || (fds[1].revents & ~POLLOUT) != 0)) {
            carry_in(&pump);
        }
        for (unsigned i = 0; fds[0].revents != 0 && !round.waits && i < PACKETS_PER_TURN; i++) {
            if (line_room_bytes(&pump.line.gates[LINE_UP]) == 0 || !carry_out(&pump)) {
                break;
            }
        }
    }
}
