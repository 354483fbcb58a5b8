// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A bundle's bytes as a plain tar stream: none, gzip, xz or zstd undone, told by their first
 * bytes, and nothing else (never a program found in PATH).
 *
 * gzip goes through zlib, because libarchive 3.6 does not compare the CRC at its end: one flipped
 * bit would pass. xz and zstd check themselves.
 */
#include <stddef.h>
#include <stdint.h>

struct stream;

/* Begins to read from fd. Ends the process with a message when it cannot. */
struct stream *stream_open(int fd);

/* Borrows the next bytes until the next call; 0 at the proper end. Refuses and ends otherwise. */
size_t stream_read(struct stream *stream, const void **data_out);

/*
 * Reads the rest, or stops when there are more than `bytes_max` in all. How many bytes there
 * were, and how many zeros at the very end.
 */
uint64_t stream_finish(struct stream *stream, uint64_t bytes_max, uint64_t *zeros_at_end_out);
