// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Does the write-ahead log hold commits behind a frame that is not whole? SQLite ends at such a frame
 * and says nothing: right for what a crash has torn, which nobody was told to be durable. But each
 * commit is on the disk before the next one is written, so that where two of them lie behind it, what
 * was durable has been damaged.
 *
 * The form is that of SQLite's file format, "The Write-Ahead Log": numbers are big-endian, and sums run
 * on from the header over all frames, in the byte order that the magic number says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/mingad/store/store_internal.h"
#include "base/cleanup.h"

enum {
    HEADER_BYTES = 32,
    HEADER_SUMMED_BYTES = 24,
    FRAME_BYTES = 24,
    FRAME_SUMMED_BYTES = 8,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 65536,
};
static const uint32_t magic_little = 0x377f0682;
static const uint32_t magic_big = 0x377f0683;

struct log_sum {
    bool is_big_endian;
    uint32_t first;
    uint32_t second;
};

static uint32_t big_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t little_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

static void add_to_sum(struct log_sum *sum, const uint8_t *bytes, size_t length_bytes)
{
    uint32_t (*read_u32)(const uint8_t *) = sum->is_big_endian ? big_u32 : little_u32;

    for (size_t i = 0; i < length_bytes; i += 8) {
        sum->first += read_u32(bytes + i) + sum->second;
        sum->second += read_u32(bytes + i + 4) + sum->first;
    }
}

static bool is_sum(const struct log_sum *sum, const uint8_t *bytes)
{
    return sum->first == big_u32(bytes) && sum->second == big_u32(bytes + 4);
}

/* Commits behind the first frame that is not whole, two at most. */
static uint32_t count_commits(int fd, const uint8_t *header, struct log_sum sum)
{
    static uint8_t frame[FRAME_BYTES + PAGE_BYTES_MAX]; /* at the start of mingad only */
    uint32_t page_bytes = big_u32(header + 8);
    size_t length_bytes = FRAME_BYTES + page_bytes;
    off_t offset = HEADER_BYTES;
    uint32_t count = 0;
    bool is_whole = true;

    while (count < 2 && pread(fd, frame, length_bytes, offset) == (ssize_t)length_bytes) {
        bool is_of_now = memcmp(frame + 8, header + 16, 8) == 0; /* the salts */
        bool is_commit = big_u32(frame + 4) != 0;

        offset += (off_t)length_bytes;
        if (is_whole) {
            add_to_sum(&sum, frame, FRAME_SUMMED_BYTES);
            add_to_sum(&sum, frame + FRAME_BYTES, page_bytes);
            is_whole = is_of_now && is_sum(&sum, frame + 16);
        }
        count += !is_whole && is_of_now && is_commit ? 1 : 0;
    }
    return count;
}

bool store_log_is_damaged(const char *path)
{
    char log_path[STORE_PATH_BYTES_MAX + 8];
    uint8_t header[HEADER_BYTES];
    struct log_sum sum = {0};

    (void)snprintf(log_path, sizeof(log_path), "%s-wal", path);

    CLEANUP(cleanup_close) int fd = open(log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return false;
    }
    uint32_t page_bytes = big_u32(header + 8);

    sum.is_big_endian = big_u32(header) == magic_big;
    if ((!sum.is_big_endian && big_u32(header) != magic_little) || page_bytes < PAGE_BYTES_MIN ||
        page_bytes > PAGE_BYTES_MAX || page_bytes % 8 != 0) {
        return false;
    }
    add_to_sum(&sum, header, HEADER_SUMMED_BYTES);
    return count_commits(fd, header, sum) >= 2;
}
