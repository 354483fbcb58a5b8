// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/unpack/stream.h"

#include <archive.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/check.h"
#include "base/limits.h"
#include "images/unpack/say.h"

enum { BLOCK_BYTES = 65536, MAGIC_BYTES = 6, GZIP_WINDOW = 15 + 16 /* zlib: gzip only */ };

/* Room for headers and padding of as many entries as there may be. */
#define STREAM_BYTES_MAX (BUNDLE_BYTES_MAX + (uint64_t)BUNDLE_ENTRIES_MAX * 4096)

struct stream {
    int fd;
    bool peeked; /* input has bytes that were read to see the kind, and not used yet */
    size_t input_bytes;
    uint64_t output_bytes;
    uint64_t zeros_at_end;
    size_t (*read)(struct stream *stream, const void **data_out);
    struct archive *archive; /* xz, zstd */
    z_stream zlib;           /* gzip */
    bool gzip_ended;         /* between two members, or at the end */
    uint8_t input[BLOCK_BYTES];
    uint8_t output[BLOCK_BYTES];
};

/* Fills `input` as far as possible; 0 at the end. */
static size_t fill(struct stream *stream)
{
    stream->input_bytes = 0;
    while (stream->input_bytes < sizeof(stream->input)) {
        ssize_t count_bytes = read(stream->fd, stream->input + stream->input_bytes,
                                   sizeof(stream->input) - stream->input_bytes);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            say_failed(NULL, "read the archive: %m");
        }
        if (count_bytes == 0) {
            break;
        }
        stream->input_bytes += (size_t)count_bytes;
    }
    return stream->input_bytes;
}

static size_t next_input(struct stream *stream)
{
    if (stream->peeked) {
        stream->peeked = false;
        return stream->input_bytes;
    }
    return fill(stream);
}

static size_t read_plain(struct stream *stream, const void **data_out)
{
    *data_out = stream->input;
    return next_input(stream);
}

/* Feeds zlib; true when there is nothing left to feed. */
static bool gzip_feed(struct stream *stream)
{
    if (stream->zlib.avail_in > 0) {
        return false;
    }
    stream->zlib.avail_in = (uInt)next_input(stream);
    stream->zlib.next_in = stream->input;
    return stream->zlib.avail_in == 0;
}

static size_t read_gzip(struct stream *stream, const void **data_out)
{
    z_stream *zlib = &stream->zlib;

    zlib->next_out = stream->output;
    zlib->avail_out = sizeof(stream->output);
    *data_out = stream->output;
    while (zlib->avail_out > 0) {
        bool at_end = gzip_feed(stream);
        int r;

        if (at_end && !stream->gzip_ended) {
            say_refused(NULL, "archive is cut: gzip stream without its end");
        }
        if (at_end) {
            break;
        }
        if (stream->gzip_ended && inflateReset(zlib) != Z_OK) {
            say_failed(NULL, "zlib cannot be used");
        }
        stream->gzip_ended = false;
        r = inflate(zlib, Z_NO_FLUSH);
        if (r == Z_STREAM_END) {
            stream->gzip_ended = true;
        } else if (r != Z_OK && r != Z_BUF_ERROR) {
            say_refused(NULL, "archive is corrupt: gzip: %s",
                        zlib->msg == NULL ? "no valid stream" : zlib->msg);
        }
    }
    return sizeof(stream->output) - zlib->avail_out;
}

static la_ssize_t feed_archive(struct archive *archive, void *context, const void **data_out)
{
    struct stream *stream = context;

    (void)archive;
    *data_out = stream->input;
    return (la_ssize_t)next_input(stream);
}

/* libarchive as a decompressor: the raw "format" hands the bytes through. */
static size_t read_filtered(struct stream *stream, const void **data_out)
{
    la_ssize_t count_bytes =
        archive_read_data(stream->archive, stream->output, sizeof(stream->output));

    if (count_bytes < 0) {
        const char *text = archive_error_string(stream->archive);

        say_refused(NULL, "archive is corrupt: %s", text == NULL ? "unknown" : text);
    }
    *data_out = stream->output;
    return (size_t)count_bytes;
}

static void open_filtered(struct stream *stream)
{
    struct archive_entry *entry = NULL;

    stream->archive = archive_read_new();
    if (stream->archive == NULL || archive_read_support_filter_xz(stream->archive) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(stream->archive) != ARCHIVE_OK ||
        archive_read_support_format_raw(stream->archive) != ARCHIVE_OK) {
        say_failed(NULL, "this libarchive cannot undo xz and zstd by itself");
    }
    if (archive_read_open(stream->archive, stream, NULL, feed_archive, NULL) != ARCHIVE_OK ||
        archive_read_next_header(stream->archive, &entry) != ARCHIVE_OK) {
        const char *text = archive_error_string(stream->archive);

        say_refused(NULL, "archive is corrupt: %s", text == NULL ? "unknown" : text);
    }
}

static bool begins_with(const struct stream *stream, const char *magic, size_t length_bytes)
{
    CHECK(length_bytes <= MAGIC_BYTES);
    return stream->input_bytes >= length_bytes && memcmp(stream->input, magic, length_bytes) == 0;
}

struct stream *stream_open(int fd)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL) {
        say_failed(NULL, "out of memory");
    }
    stream->fd = fd;
    stream->peeked = true;
    if (fill(stream) == 0) {
        say_refused(NULL, "archive is empty");
    }
    if (begins_with(stream, "\x1f\x8b", 2)) {
        stream->read = read_gzip;
        if (inflateInit2(&stream->zlib, GZIP_WINDOW) != Z_OK) {
            say_failed(NULL, "out of memory");
        }
    } else if (begins_with(stream,
                           "\xfd"
                           "7zXZ\0",
                           6) ||
               begins_with(stream, "\x28\xb5\x2f\xfd", 4)) {
        stream->read = read_filtered;
        open_filtered(stream);
    } else {
        stream->read = read_plain;
    }
    return stream;
}

static void count_zeros(struct stream *stream, const uint8_t *data, size_t length_bytes)
{
    size_t zero_count = 0;

    while (zero_count < length_bytes && data[length_bytes - 1 - zero_count] == 0) {
        zero_count++;
    }
    stream->zeros_at_end =
        zero_count == length_bytes ? stream->zeros_at_end + length_bytes : zero_count;
}

size_t stream_read(struct stream *stream, const void **data_out)
{
    size_t length_bytes = stream->read(stream, data_out);

    stream->output_bytes += length_bytes;
    if (stream->output_bytes > STREAM_BYTES_MAX) {
        say_refused(NULL, "archive is too large in total");
    }
    count_zeros(stream, *data_out, length_bytes);
    return length_bytes;
}

uint64_t stream_finish(struct stream *stream, uint64_t bytes_max, uint64_t *zeros_at_end_out)
{
    const void *data = NULL;

    while (stream->output_bytes <= bytes_max && stream_read(stream, &data) > 0) {
    }
    *zeros_at_end_out = stream->zeros_at_end;
    return stream->output_bytes;
}
