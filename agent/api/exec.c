// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Commands in replicas: what `minga exec` and `minga cp` say to a replica's node, passed on. One
 * request carries several windows of output or input, asked for at the same time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/limits.h"
#include "agent/api/route.h"
#include "base/attributes.h"
#include "base/check.h"
#include "overlay/signed.h"

static_assert((int)API_EXEC_BYTES_MAX == API_EXEC_WINDOWS_MAX * (int)EXEC_WINDOW_BYTES_MAX,
              "the API's windows are the core's");
static_assert((int)API_EXEC_WINDOWS_MAX <= (int)API_WINDOW_MAX, "one request's share");

struct window {
    bool is_done;
    bool has_ended;
    uint64_t offset_bytes;
    size_t length_bytes;
    uint8_t bytes[EXEC_WINDOW_BYTES_MAX];
};

struct work {
    minga_ExecAsk ask;
    struct node_id node;
    uint64_t size_bytes; /* READ: wanted at most */
    uint32_t count;
    uint32_t done_count;
    struct window windows[API_EXEC_WINDOWS_MAX];
};

static const struct {
    const char *name;
    enum exec_what what;
} words[] = {
    {"hello", EXEC_ASK_HELLO}, {"open", EXEC_ASK_OPEN}, {"read", EXEC_ASK_READ},
    {"write", EXEC_ASK_WRITE}, {"keep", EXEC_ASK_KEEP}, {"close", EXEC_ASK_CLOSE},
};

/* READ: what follows without a gap. WRITE: how far it got. */
static void finish(struct exchange *exchange)
{
    const struct work *work = exchange->work;
    uint64_t end = work->ask.offset_bytes;

    exchange->bytes.bytes_max = API_EXEC_BYTES_MAX;
    for (uint32_t i = 0; i < work->count; i++) {
        const struct window *window = &work->windows[i];

        if (work->ask.what == EXEC_ASK_WRITE) {
            end = window->offset_bytes > end ? window->offset_bytes : end;
            continue;
        }
        if (window->offset_bytes != end && work->ask.what == EXEC_ASK_READ) {
            break;
        }
        if (buffer_append(&exchange->bytes, window->bytes, window->length_bytes) < 0) {
            exchange_fail(exchange, 500, "exec", "out of memory", "");
            return;
        }
        end += window->length_bytes;
        exchange->bytes_ended = window->has_ended;
    }
    exchange->bytes_offset = work->ask.what == EXEC_ASK_WRITE ? end : work->ask.offset_bytes;
    if (exchange->status == 0) {
        exchange->status = 200; /* bytes, no document */
    }
}

static void on_answer(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    struct work *work = exchange->work;
    struct window *window = &work->windows[context];
    size_t length = answer->data.length_bytes;

    if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "exec", answer);
        return;
    }
    CHECK(context < work->count && !window->is_done && length <= sizeof(window->bytes));
    window->is_done = true;
    window->has_ended = answer->data_ended;
    window->offset_bytes = answer->data_offset_bytes;
    window->length_bytes = length;
    if (length > 0) {
        memcpy(window->bytes, answer->data.data, length);
    }
    if (++work->done_count == work->count) {
        finish(exchange);
    }
}

/* The index-th window: its part of what is read or written. */
static int ask_window(struct exchange *exchange, struct work *work, uint32_t index)
{
    struct bytes body = buffer_bytes(&exchange->body);
    size_t start = (size_t)index * EXEC_WINDOW_BYTES_MAX;
    size_t length = start < body.length_bytes ? body.length_bytes - start : 0;
    uint8_t encoded[minga_ExecAsk_size];
    struct core_request request = {.kind = CORE_ASK_EXEC, .node = work->node};
    minga_ExecAsk ask = work->ask;
    int encoded_bytes;

    length = length < EXEC_WINDOW_BYTES_MAX ? length : EXEC_WINDOW_BYTES_MAX;
    ask.offset_bytes += start;
    ask.wait = index == 0; /* the others would hold up what the first has got */
    ask.data.size = (pb_size_t)length;
    if (length > 0) {
        memcpy(ask.data.bytes, body.data + start, length);
    }
    encoded_bytes = signed_encode_body(minga_ExecAsk_fields, &ask, encoded, sizeof(encoded));
    CHECK(encoded_bytes >= 0);
    request.signed_bytes = (struct bytes){encoded, (size_t)encoded_bytes};
    return exchange_request(exchange, &request, on_answer, index);
}

static int read_session(struct exchange *exchange, minga_ExecAsk *ask)
{
    const char *text = exchange_query(exchange, "session");
    size_t length = text == NULL ? 0 : strlen(text);

    if (length == 0) {
        return 0;
    }
    if (length != 2 * EXEC_SESSION_BYTES ||
        bytes_from_hex(text, ask->session.bytes, EXEC_SESSION_BYTES) < 0) {
        exchange_fail(exchange, 400, "session", "not what hello was answered with", "");
        return -EINVAL;
    }
    ask->session.size = EXEC_SESSION_BYTES;
    return 0;
}

static int read_what(struct exchange *exchange, minga_ExecAsk *ask)
{
    const char *text = exchange_query(exchange, "what");

    for (size_t i = 0; text != NULL && i < ARRAY_COUNT(words); i++) {
        if (strcmp(words[i].name, text) == 0) {
            ask->what = words[i].what;
            return 0;
        }
    }
    exchange_fail(exchange, 400, "what", "is hello, open, read, write, keep or close", "");
    return -EINVAL;
}

static int read_query(struct exchange *exchange, struct work *work)
{
    return exchange_parameter_id(exchange, 0, &work->node.id) < 0 ||
                   read_what(exchange, &work->ask) < 0 || read_session(exchange, &work->ask) < 0 ||
                   exchange_query_number(exchange, "offset", 0, &work->ask.offset_bytes) < 0 ||
                   exchange_query_number(exchange, "taken", 0, &work->ask.taken_bytes) < 0 ||
                   exchange_query_number(exchange, "size", EXEC_WINDOW_BYTES_MAX,
                                         &work->size_bytes) < 0
               ? -EINVAL
               : 0;
}

static uint32_t count_windows(const struct exchange *exchange, const struct work *work)
{
    uint64_t bytes = work->ask.what == EXEC_ASK_READ    ? work->size_bytes
                     : work->ask.what == EXEC_ASK_WRITE ? exchange->body.length_bytes
                                                        : 1;
    uint64_t count = (bytes + EXEC_WINDOW_BYTES_MAX - 1) / EXEC_WINDOW_BYTES_MAX;

    return count == 0 ? 1 : count < API_EXEC_WINDOWS_MAX ? (uint32_t)count : API_EXEC_WINDOWS_MAX;
}

void handle_exec(struct exchange *exchange)
{
    struct work *work = calloc(1, sizeof(*work));

    if (work == NULL) {
        exchange_fail(exchange, 500, "exec", "out of memory", "");
        return;
    }
    exchange->work = work;
    exchange->work_free = free;
    if (read_query(exchange, work) < 0) {
        return;
    }
    if (work->ask.what != EXEC_ASK_WRITE && exchange->body.length_bytes > EXEC_WINDOW_BYTES_MAX) {
        exchange_fail(exchange, 413, "exec", "too long", "");
        return;
    }
    work->count = count_windows(exchange, work);
    for (uint32_t i = 0; i < work->count && exchange->status == 0; i++) {
        if (ask_window(exchange, work, i) < 0) {
            return;
        }
    }
}
