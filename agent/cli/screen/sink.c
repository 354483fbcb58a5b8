// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/sink.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/screen/text.h"

enum {
    PIECE_BYTES = 4096, /* PIPE_BUF: a pipe that is writable takes it at once */
    LINE_BYTES_MAX = 16384,
};

void sink_init(struct sink *sink, int fd, bool is_clean)
{
    *sink = (struct sink){.fd = fd, .is_clean = is_clean, .waiting = {.bytes_max = SINK_BYTES_MAX}};
}

void sink_init_into(struct sink *sink, enum sink_form form, struct sink *into, const char *name,
                    const char *stream)
{
    *sink = (struct sink){.form = form,
                          .fd = -1,
                          .into = into,
                          .stream = stream,
                          .waiting = {.bytes_max = SINK_BYTES_MAX}};
    (void)text_copy(sink->name, sizeof(sink->name), name);
}

void sink_done(struct sink *sink)
{
    buffer_done(&sink->waiting);
}

static void keep(struct sink *sink, const void *bytes, size_t length_bytes)
{
    size_t before = sink->waiting.length_bytes;

    if (sink->is_over || buffer_append(&sink->waiting, bytes, length_bytes) < 0) {
        sink->is_over = true;
        return;
    }
    if (sink->is_clean) {
        text_clean_output((char *)sink->waiting.data + before, length_bytes);
    }
}

static void put_line(struct sink *sink)
{
    static const char bar[] = " | ";

    keep(sink->into, sink->name, strlen(sink->name));
    keep(sink->into, bar, sizeof(bar) - 1);
    keep(sink->into, sink->waiting.data, sink->waiting.length_bytes);
    keep(sink->into, "\n", 1);
    sink->waiting.length_bytes = 0;
}

/* A line without end becomes several. */
static void put_lines(struct sink *sink, const char *text, size_t length)
{
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t part = end != NULL ? (size_t)(end - text) : length;

        keep(sink, text, part);
        if (end != NULL || sink->waiting.length_bytes >= LINE_BYTES_MAX) {
            put_line(sink);
        }
        part += end != NULL ? 1 : 0;
        text += part;
        length -= part;
    }
}

static void put_json(struct sink *sink, char *text, size_t length)
{
    char *line;
    json_t *document;

    text_clean_output(text, length);
    document = json_pack("{ss ss ss#}", "replica", sink->name, "stream", sink->stream, "text", text,
                         (int)length);
    line = json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (line != NULL) {
        keep(sink->into, line, strlen(line));
        keep(sink->into, "\n", 1);
    }
    free(line);
    json_decref(document);
}

void sink_put(struct sink *sink, const void *bytes, size_t length_bytes)
{
    if (length_bytes == 0) {
        return;
    }
    if (sink->form == SINK_LINES) {
        put_lines(sink, bytes, length_bytes);
    } else if (sink->form == SINK_JSON) {
        keep(sink, bytes, length_bytes);
        put_json(sink, (char *)sink->waiting.data, sink->waiting.length_bytes);
        sink->waiting.length_bytes = 0;
    } else if (sink->fd >= 0) {
        keep(sink, bytes, length_bytes);
    }
}

void sink_end(struct sink *sink)
{
    if (sink->form == SINK_LINES && sink->waiting.length_bytes > 0) {
        put_line(sink);
    }
}

static bool takes_more(int fd)
{
    struct pollfd polled = {fd, POLLOUT, 0};

    return poll(&polled, 1, 0) > 0;
}

static void flush_bytes(struct sink *sink)
{
    size_t done = 0;

    while (!sink->is_over && done < sink->waiting.length_bytes && takes_more(sink->fd)) {
        size_t left = sink->waiting.length_bytes - done;
        ssize_t count =
            write(sink->fd, sink->waiting.data + done, left < PIECE_BYTES ? left : PIECE_BYTES);

        if (count < 0 && errno != EINTR) {
            sink->is_over = errno != EAGAIN;
            break;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    if (sink->is_over) {
        sink->waiting.length_bytes = 0;
    } else if (done > 0) {
        sink->waiting.length_bytes -= done;
        memmove(sink->waiting.data, sink->waiting.data + done, sink->waiting.length_bytes);
    }
}

static const struct sink *written(const struct sink *sink)
{
    return sink->form == SINK_BYTES ? sink : sink->into;
}

void sink_flush(struct sink *sink)
{
    flush_bytes(sink->form == SINK_BYTES ? sink : sink->into);
}

bool sink_is_empty(const struct sink *sink)
{
    return written(sink)->waiting.length_bytes == 0;
}

bool sink_is_over(const struct sink *sink)
{
    return sink->is_over || written(sink)->is_over;
}

int sink_fd(const struct sink *sink)
{
    return written(sink)->fd;
}
