// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A replica's kept output: the last bytes of a stream, in two files of bounded size.
 *
 * Each file begins with a header that says at which offset of the stream its content begins. The
 * writer (minga-init) fills one; when that is full it truncates the other and goes on there. So
 * at least half of the bytes_max is always kept. Readers follow by stream offset and may read
 * while it is being written. At most bytes_max are kept, headers included.
 *
 * What comes faster than the ring can honestly keep (bytes_max at once, then LOGS_REFILL_PERMILLE
 * of it per second) is dropped and counted: a service can neither be stalled by its log nor wear
 * the volunteer's disk out.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOGS_HEADER_BYTES = 16, /* "mingalog" and the offset, big-endian */
    LOGS_REFILL_PERMILLE = 100,
    LOGS_LAST_BYTES = 65536, /* in which the last line is looked for */
};

struct logs_writer { /* memory: the caller's; descriptors: borrowed */
    int fds[2];
    unsigned current;      /* index in fds */
    uint64_t half_bytes;   /* a file's size, header included, is never above */
    uint64_t used_bytes;   /* of the current file, header included */
    uint64_t offset_bytes; /* of the stream: of the next byte */
    uint64_t credit_bytes; /* may be written now */
    uint64_t credited_ms;
    uint64_t lost_bytes; /* dropped since the beginning */
};

/*
 * Takes over two files and goes on behind what they keep; what is no log is emptied.
 * bytes_max >= 4 * LOGS_HEADER_BYTES.
 */
void logs_writer_init(struct logs_writer *writer, const int fds[2], uint64_t bytes_max,
                      uint64_t now_ms);
/* Keeps, or drops and counts. Never fails. */
void logs_write(struct logs_writer *writer, const uint8_t *data, size_t length_bytes,
                uint64_t now_ms);

/*
 * Reads from stream offset *offset_bytes (moved forward to the oldest kept byte if that is gone,
 * which a reader sees from the number). Returns the count of bytes, 0 when there is nothing new,
 * or -errno. *offset_bytes advances past what was read. Foreign files do no harm.
 */
int64_t logs_read(const int fds[2], uint64_t *offset_bytes, uint8_t *data_out,
                  size_t capacity_bytes);

/* The stream offset behind the newest kept byte: where a reader of only what comes begins. */
uint64_t logs_end(const int fds[2]);

/*
 * The last line kept (a line end counts only when something follows it), without what no terminal
 * should see, cut to the capacity (> 0); "" when there is none, or no log. Looks at the last
 * LOGS_LAST_BYTES only, however much is kept: its caller has others to serve.
 */
void logs_last_line(const int fds[2], char *text_out, size_t capacity_bytes);
