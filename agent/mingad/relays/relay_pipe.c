// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/relays/relay_pipe.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "base/attributes.h"
#include "base/check.h"
#include "sandbox/init/udp.h"

enum {
    QUEUE_BYTES_MAX = 256 << 10,
    FRAMES_PER_TURN_MAX = 64, /* small ones cost the loop more than their bytes tell */
};

struct write {
    uv_write_t request;
    size_t length_bytes;
    uint8_t bytes[];
};

static uv_stream_t *sealed_of(struct pipe *pipe)
{
    return (uv_stream_t *)&pipe->sealed;
}

struct pipe *pipe_new(const struct pipe_owner *owner, bool is_leaf)
{
    struct pipe *pipe = calloc(1, sizeof(*pipe));

    if (pipe != NULL) {
        pipe->owner = owner;
        pipe->is_leaf = is_leaf;
        pipe->sealed.data = pipe;
        pipe->handle_count = 1;
        pipe->since_ms = clock_now_ms();
    }
    return pipe;
}

/* ------------------------------------------------------------------ closing */

static void on_closed(uv_handle_t *handle)
{
    struct pipe *pipe = handle->data;

    pipe->handle_count--;
    if (pipe->handle_count > 0) {
        return;
    }
    pipe->owner->gone(pipe->owner->self, pipe);
    sodium_memzero(&pipe->seal, sizeof(pipe->seal));
    free(pipe);
}

void pipe_close(struct pipe *pipe)
{
    if (pipe->phase == PIPE_CLOSING) {
        return;
    }
    pipe->phase = PIPE_CLOSING;
    if (pipe->plain != NULL) {
        if (!pipe->is_shut) {
            plain_reset(pipe->plain);
        }
        pipe->plain->data = NULL; /* what is still to be told of it concerns nobody */
        plain_close(pipe->plain);
        pipe->plain = NULL;
    }
    uv_close((uv_handle_t *)&pipe->sealed, on_closed);
    if (pipe->handle_count > 1) { /* it has begun */
        uv_close((uv_handle_t *)&pipe->next_turn, on_closed);
    }
    pipe->owner->changed(pipe->owner->self, pipe);
}

static void set_phase(struct pipe *pipe, enum pipe_phase phase)
{
    pipe->phase = phase;
    pipe->since_ms = clock_now_ms();
    pipe->owner->changed(pipe->owner->self, pipe);
}

/* ------------------------------------------------------------------ writing */

static void start_reading(struct pipe *pipe);

/* Both sides have said all, and have been told so. */
static bool is_over(const struct pipe *pipe)
{
    return pipe->plain_ended && pipe->is_shut &&
           uv_stream_get_write_queue_size((const uv_stream_t *)&pipe->sealed) == 0;
}

static size_t *queued_to(struct pipe *pipe, const uv_stream_t *to)
{
    return to == sealed_of(pipe) ? &pipe->sealed_queued_bytes : &pipe->plain_queued_bytes;
}

/* What it costs here to keep it: of a small one not its bytes. */
static size_t cost_bytes(size_t length_bytes)
{
    return sizeof(struct write) + length_bytes;
}

static void on_written(uv_write_t *request, int status)
{
    struct write *write = (struct write *)request;
    struct pipe *pipe = request->handle->data;
    size_t written_bytes = cost_bytes(write->length_bytes);
    const uv_stream_t *to = request->handle;
    size_t *queued_bytes;

    free(write);
    if (pipe == NULL || pipe->phase == PIPE_CLOSING) {
        return;
    }
    queued_bytes = queued_to(pipe, to);
    CHECK(*queued_bytes >= written_bytes);
    *queued_bytes -= written_bytes;
    if (status < 0 || is_over(pipe)) {
        pipe_close(pipe);
    } else {
        start_reading(pipe);
    }
}

/* At once what the socket takes; a copy of the rest waits, and so does all that comes behind it. */
static void send_bytes(struct pipe *pipe, uv_stream_t *to, struct bytes bytes)
{
    uv_buf_t buffer =
        uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.length_bytes); /* only read */
    int written = uv_try_write(to, &buffer, 1);
    struct write *write;

    if (written >= 0 && (size_t)written == bytes.length_bytes) {
        if (is_over(pipe)) {
            pipe_close(pipe);
        }
        return;
    }
    if (written < 0 && written != UV_EAGAIN) {
        pipe_close(pipe);
        return;
    }
    bytes.data += written > 0 ? written : 0;
    bytes.length_bytes -= written > 0 ? (size_t)written : 0;
    write = malloc(sizeof(*write) + bytes.length_bytes);
    if (write == NULL) {
        pipe_close(pipe);
        return;
    }
    write->length_bytes = bytes.length_bytes;
    memcpy(write->bytes, bytes.data, bytes.length_bytes);
    buffer = uv_buf_init((char *)write->bytes, (unsigned)bytes.length_bytes);
    if (uv_write(&write->request, to, &buffer, 1, on_written) < 0) {
        free(write);
        pipe_close(pipe);
        return;
    }
    *queued_to(pipe, to) += cost_bytes(bytes.length_bytes);
}

static void send_frame(struct pipe *pipe, enum relay_frame type, struct bytes body)
{
    uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length_bytes = relay_seal_frame(&pipe->seal, type, body, frame);

    send_bytes(pipe, sealed_of(pipe), (struct bytes){frame, length_bytes});
}

/* Its peer's border of datagrams is the packet's. */
static void put_packet(struct pipe *pipe, struct bytes datagram)
{
    static const uint8_t mark[UDP_PACKET_MARK_BYTES];
    uv_buf_t buffers[] = {
        uv_buf_init((char *)(uintptr_t)mark, sizeof(mark)), /* only read, as is the other */
        uv_buf_init((char *)(uintptr_t)datagram.data, (unsigned)datagram.length_bytes)};
    int written = uv_try_write(pipe->plain, buffers, ARRAY_COUNT(buffers));

    pipe->used_ms = clock_now_ms();
    if (written < 0 && written != UV_EAGAIN) {
        pipe_close(pipe);
    }
}

/* What the plain side has said. */
static void send_on(struct pipe *pipe, struct bytes bytes)
{
    if (!pipe->has_packets) {
        send_frame(pipe, RELAY_DATA, bytes);
    } else if (bytes.length_bytes <= UDP_PACKET_BYTES_MAX && bytes.data[0] == 0) {
        bytes.data += UDP_PACKET_MARK_BYTES;
        bytes.length_bytes -= UDP_PACKET_MARK_BYTES;
        pipe->used_ms = clock_now_ms();
        send_frame(pipe, RELAY_DATAGRAM, bytes);
    } else {
        pipe_close(pipe);
    }
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct pipe *pipe = request->handle->data;

    (void)status;
    free(request);
    if (pipe == NULL || pipe->phase == PIPE_CLOSING) {
        return;
    }
    pipe->is_shut = true;
    if (is_over(pipe)) {
        pipe_close(pipe);
    }
}

/* The other side has said all: so has the plain one's peer been told, when this is written. */
static void end_plain(struct pipe *pipe)
{
    uv_shutdown_t *request = malloc(sizeof(*request));

    pipe->sealed_ended = true;
    if (request == NULL || uv_shutdown(request, pipe->plain, on_shut) < 0) {
        free(request);
        pipe_close(pipe);
    }
}

/* ------------------------------------------------------------------ reading */

static void on_plain_alloc(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested_bytes;
    *buffer = uv_buf_init(malloc(RELAY_BODY_BYTES_MAX), RELAY_BODY_BYTES_MAX);
    if (buffer->base == NULL) {
        buffer->len = 0;
    }
}

static void on_sealed_alloc(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer)
{
    struct pipe *pipe = handle->data;

    (void)suggested_bytes;
    *buffer = uv_buf_init((char *)pipe->in + pipe->in_bytes,
                          (unsigned)(sizeof(pipe->in) - pipe->in_bytes));
}

static bool sealed_is_full(const struct pipe *pipe)
{
    return pipe->sealed_queued_bytes > QUEUE_BYTES_MAX;
}

static bool plain_is_full(const struct pipe *pipe)
{
    return pipe->plain_queued_bytes > QUEUE_BYTES_MAX;
}

/* What its owner is told of a frame, or a packet. */
static size_t passed_bytes(const struct pipe *pipe, size_t length_bytes)
{
    return pipe->has_packets && length_bytes < PIPE_PACKET_COST_BYTES ? PIPE_PACKET_COST_BYTES
                                                                      : length_bytes;
}

static void count(struct pipe *pipe, size_t count_bytes)
{
    if (!pipe->owner->count(pipe->owner->self, pipe, count_bytes)) {
        pipe->is_waiting = true;
        pipe->waits_since_ns = uv_hrtime();
        uv_read_stop(sealed_of(pipe));
        if (pipe->plain != NULL) {
            uv_read_stop(pipe->plain);
        }
    }
}

static void on_plain_read(uv_stream_t *stream, ssize_t read_bytes, const uv_buf_t *buffer)
{
    struct pipe *pipe = stream->data;

    if (pipe == NULL || pipe->phase != PIPE_OPEN || read_bytes == 0) {
        free(buffer->base);
        return;
    }
    if (read_bytes > 0) {
        send_on(pipe, (struct bytes){(const uint8_t *)buffer->base, (size_t)read_bytes});
    } else if (read_bytes == UV_EOF && !pipe->has_packets &&
               (pipe->sealed_ended || !plain_was_cut(stream))) {
        uv_read_stop(stream);
        pipe->plain_ended = true;
        send_frame(pipe, RELAY_END, (struct bytes){0});
    } else {
        pipe_close(pipe);
    }
    free(buffer->base);
    if (pipe->phase != PIPE_OPEN || read_bytes < 0) {
        return;
    }
    if (sealed_is_full(pipe)) {
        uv_read_stop(stream);
    }
    count(pipe, passed_bytes(pipe, (size_t)read_bytes));
}

static void on_sealed_read(uv_stream_t *stream, ssize_t read_bytes, const uv_buf_t *buffer);
static void on_next_turn(uv_idle_t *idle);

static void start_reading(struct pipe *pipe)
{
    if (pipe->is_waiting || pipe->phase == PIPE_CLOSING) {
        return;
    }
    if (pipe->plain != NULL && pipe->plain_connected && !pipe->plain_ended &&
        !sealed_is_full(pipe)) {
        uv_read_start(pipe->plain, on_plain_alloc, on_plain_read);
    }
    /* Before the plain side is connected nothing but its end could come. */
    if (!pipe->is_pausing && (pipe->plain == NULL || !plain_is_full(pipe))) {
        uv_read_start(sealed_of(pipe), on_sealed_alloc, on_sealed_read);
    }
}

void pipe_resume(struct pipe *pipe)
{
    pipe->is_waiting = false;
    if (pipe->is_pausing) {
        uv_idle_start(&pipe->next_turn, on_next_turn);
    }
    start_reading(pipe);
}

/* ------------------------------------------------------------------ what the other side says */

static size_t take_hello(struct pipe *pipe, struct bytes in)
{
    struct relay_hello hello;
    uint8_t secret[RELAY_SECRET_BYTES];

    if (in.length_bytes < RELAY_HELLO_BYTES) {
        return 0;
    }
    if (!relay_hello_read(in.data, &hello)) {
        pipe_close(pipe);
        return 0;
    }
    pipe->other = hello.leaf;
    if (!pipe->owner->secret(pipe->owner->self, pipe, &hello, secret)) {
        pipe_close(pipe);
        return 0;
    }
    relay_seal_init(&pipe->seal, secret, (struct relay_nonces){hello.nonce, pipe->nonce}, false);
    sodium_memzero(secret, sizeof(secret));
    send_bytes(pipe, sealed_of(pipe), (struct bytes){pipe->nonce, sizeof(pipe->nonce)});
    if (pipe->phase == PIPE_CONNECTING) {
        set_phase(pipe, PIPE_GREETING);
    }
    return RELAY_HELLO_BYTES;
}

static size_t take_nonce(struct pipe *pipe, struct bytes in)
{
    uint8_t secret[RELAY_SECRET_BYTES];

    if (in.length_bytes < RELAY_NONCE_BYTES) {
        return 0;
    }
    if (!pipe->owner->secret(pipe->owner->self, pipe, NULL, secret)) {
        pipe_close(pipe);
        return 0;
    }
    relay_seal_init(&pipe->seal, secret, (struct relay_nonces){pipe->nonce, in.data}, true);
    sodium_memzero(secret, sizeof(secret));
    send_frame(pipe, RELAY_READY, (struct bytes){0});
    if (pipe->phase == PIPE_GREETING) {
        set_phase(pipe, PIPE_IDLE);
    }
    return RELAY_NONCE_BYTES;
}

static bool passes_bytes(const struct pipe *pipe)
{
    return pipe->phase == PIPE_OPEN && pipe->plain != NULL && !pipe->has_packets &&
           !pipe->sealed_ended;
}

static void on_frame(struct pipe *pipe, const struct relay_opened *opened)
{
    struct bytes body = relay_body(opened);

    if (opened->type == RELAY_READY && !pipe->is_leaf && pipe->phase == PIPE_GREETING) {
        set_phase(pipe, PIPE_IDLE);
    } else if (opened->type == RELAY_OPEN && pipe->is_leaf && pipe->phase == PIPE_IDLE &&
               body.length_bytes == 2) {
        set_phase(pipe, PIPE_OPEN);
        pipe->owner->wanted(pipe->owner->self, pipe, (uint16_t)(body.data[0] << 8 | body.data[1]));
    } else if (opened->type == RELAY_DATA && passes_bytes(pipe) && body.length_bytes > 0) {
        send_bytes(pipe, pipe->plain, body);
    } else if (opened->type == RELAY_END && passes_bytes(pipe)) {
        end_plain(pipe);
    } else if (opened->type == RELAY_DATAGRAM && pipe->phase == PIPE_OPEN && pipe->has_packets &&
               body.length_bytes <= UDP_MEMBERS_BYTES_MAX) {
        put_packet(pipe, body);
    } else if (opened->type == RELAY_FLOWS && pipe->is_leaf && pipe->phase == PIPE_IDLE &&
               body.length_bytes == 0) {
        set_phase(pipe, PIPE_FLOWS);
    } else if (opened->type == RELAY_DATAGRAM && pipe->phase == PIPE_FLOWS) {
        pipe->owner->datagram(pipe->owner->self, pipe, body);
    } else {
        pipe_close(pipe);
    }
}

/* Returns how many bytes were taken; 0: more is needed, or it is over. */
static size_t take(struct pipe *pipe, struct bytes in)
{
    struct relay_opened opened;
    int taken;

    if (pipe->phase == PIPE_CONNECTING) {
        return pipe->is_leaf ? 0 : take_hello(pipe, in);
    }
    if (pipe->phase == PIPE_GREETING && pipe->is_leaf) {
        return take_nonce(pipe, in);
    }
    taken = relay_open_frame(&pipe->seal, in, &opened);
    if (taken < 0) {
        pipe_close(pipe);
    } else if (taken > 0) {
        on_frame(pipe, &opened);
    }
    return taken > 0 ? (size_t)taken : 0;
}

/* Of what was read, as much as one turn of the loop bears. The rest waits for the next one, and
 * nothing is read until then: so others have their turn. */
static void take_some(struct pipe *pipe)
{
    size_t from = 0;
    size_t taken = 1;
    size_t cost = 0;

    while (taken > 0 && pipe->turn_frame_count < FRAMES_PER_TURN_MAX) {
        taken = take(pipe, (struct bytes){pipe->in + from, pipe->in_bytes - from});
        from += taken;
        if (pipe->phase == PIPE_CLOSING) {
            return;
        }
        pipe->turn_frame_count += taken > 0;
        cost += taken > 0 ? passed_bytes(pipe, taken) : 0;
    }
    CHECK(from <= pipe->in_bytes);
    pipe->in_bytes -= from;
    if (from > 0) {
        memmove(pipe->in, pipe->in + from, pipe->in_bytes);
    }
    if (pipe->turn_frame_count == FRAMES_PER_TURN_MAX && !pipe->is_pausing) {
        pipe->is_pausing = true;
        uv_read_stop(sealed_of(pipe));
        uv_idle_start(&pipe->next_turn, on_next_turn);
    }
    if (pipe->has_packets && cost > 0) {
        count(pipe, cost);
    }
}

static void on_next_turn(uv_idle_t *idle)
{
    struct pipe *pipe = idle->data;

    if (pipe->is_waiting) { /* pipe_resume() goes on */
        uv_idle_stop(idle);
        return;
    }
    pipe->turn_frame_count = 0;
    take_some(pipe);
    if (pipe->phase != PIPE_CLOSING && pipe->turn_frame_count < FRAMES_PER_TURN_MAX) {
        pipe->is_pausing = false;
        uv_idle_stop(idle);
        start_reading(pipe);
    }
}

static void on_sealed_read(uv_stream_t *stream, ssize_t read_bytes, const uv_buf_t *buffer)
{
    struct pipe *pipe = stream->data;

    (void)buffer;
    if (read_bytes < 0) {
        pipe_close(pipe);
    }
    if (read_bytes <= 0 || pipe->phase == PIPE_CLOSING) {
        return;
    }
    pipe->in_bytes += (size_t)read_bytes;
    take_some(pipe);
    if (pipe->phase == PIPE_CLOSING || (pipe->plain == NULL && pipe->phase != PIPE_FLOWS)) {
        return;
    }
    if (pipe->plain != NULL && plain_is_full(pipe)) {
        uv_read_stop(stream);
    }
    if (!pipe->has_packets) {
        count(pipe, (size_t)read_bytes);
    }
}

/* ------------------------------------------------------------------ beginning */

void pipe_begin(struct pipe *pipe)
{
    struct relay_hello hello;
    uint8_t bytes[RELAY_HELLO_BYTES];

    pipe_tune(&pipe->sealed);
    uv_idle_init(pipe->sealed.loop, &pipe->next_turn); /* never fails */
    pipe->next_turn.data = pipe;
    pipe->handle_count++;
    randombytes_buf(pipe->nonce, sizeof(pipe->nonce));
    if (pipe->is_leaf) {
        pipe->owner->fill_hello(pipe->owner->self, &hello);
        memcpy(hello.nonce, pipe->nonce, sizeof(hello.nonce));
        relay_hello_write(&hello, bytes);
        set_phase(pipe, PIPE_GREETING);
        send_bytes(pipe, sealed_of(pipe), (struct bytes){bytes, sizeof(bytes)});
    }
    start_reading(pipe);
}

void pipe_pass(struct pipe *pipe, uv_stream_t *plain, uint16_t port_at_leaf)
{
    uint8_t body[2] = {(uint8_t)(port_at_leaf >> 8), (uint8_t)port_at_leaf};

    CHECK(pipe->phase == PIPE_IDLE && pipe->plain == NULL && !pipe->is_leaf);
    pipe->plain = plain;
    plain->data = pipe;
    pipe->plain_connected = true;
    set_phase(pipe, PIPE_OPEN);
    send_frame(pipe, RELAY_OPEN, (struct bytes){body, sizeof(body)});
    start_reading(pipe);
}

void pipe_pass_packets(struct pipe *pipe, uv_stream_t *plain, uint16_t port)
{
    pipe->has_packets = true;
    pipe->used_ms = clock_now_ms();
    pipe_pass(pipe, plain, port);
}

void pipe_carry_flows(struct pipe *pipe)
{
    CHECK(pipe->phase == PIPE_IDLE && pipe->plain == NULL && !pipe->is_leaf);
    set_phase(pipe, PIPE_FLOWS);
    send_frame(pipe, RELAY_FLOWS, (struct bytes){0});
}

bool pipe_send_datagram(struct pipe *pipe, struct bytes body)
{
    CHECK(pipe->phase == PIPE_FLOWS);
    if (sealed_is_full(pipe)) {
        return false;
    }
    send_frame(pipe, RELAY_DATAGRAM, body);
    return true;
}

void pipe_plain_connected(struct pipe *pipe, bool ok)
{
    if (pipe->phase == PIPE_CLOSING) {
        return;
    }
    if (!ok) {
        pipe_close(pipe);
        return;
    }
    pipe->plain_connected = true;
    start_reading(pipe);
}
