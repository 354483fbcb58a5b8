// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/logs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

static const char magic[8] = {'m', 'i', 'n', 'g', 'a', 'l', 'o', 'g'};

static void put_header(uint8_t *header_out, uint64_t offset_bytes)
{
    memcpy(header_out, magic, sizeof(magic));
    for (unsigned i = 0; i < 8; i++) {
        header_out[8 + i] = (uint8_t)(offset_bytes >> (56 - 8 * i));
    }
}

/* Reads where a file's content begins in the stream. */
static bool read_header(int fd, uint64_t *offset_bytes_out)
{
    uint8_t header[LOGS_HEADER_BYTES];
    uint64_t offset_bytes = 0;

    if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        memcmp(header, magic, sizeof(magic)) != 0) {
        return false;
    }
    for (unsigned i = 0; i < 8; i++) {
        offset_bytes = offset_bytes << 8 | header[8 + i];
    }
    *offset_bytes_out = offset_bytes;
    return offset_bytes <= INT64_MAX;
}

static int write_at(int fd, const uint8_t *data, size_t length_bytes, uint64_t position)
{
    while (length_bytes > 0) {
        ssize_t count_bytes = pwrite(fd, data, length_bytes, (off_t)position);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes <= 0) {
            return count_bytes < 0 ? -errno : -ENOSPC;
        }
        data += count_bytes;
        length_bytes -= (size_t)count_bytes;
        position += (uint64_t)count_bytes;
    }
    return 0;
}

/* Empties the other file and goes on there. */
static int turn_over(struct logs_writer *writer)
{
    unsigned next = 1 - writer->current;
    uint8_t header[LOGS_HEADER_BYTES];

    put_header(header, writer->offset_bytes);
    if (ftruncate(writer->fds[next], 0) < 0) {
        return -errno;
    }
    int r = write_at(writer->fds[next], header, sizeof(header), 0);
    if (r < 0) {
        return r;
    }
    writer->current = next;
    writer->used_bytes = sizeof(header);
    return 0;
}

/* Where an earlier writer stopped: in the file that begins later. */
static bool go_on_behind(struct logs_writer *writer)
{
    uint64_t begin_bytes[2] = {0, 0};
    struct stat about;
    bool known[2];

    for (unsigned i = 0; i < 2; i++) {
        known[i] = read_header(writer->fds[i], &begin_bytes[i]);
    }
    if (!known[0] && !known[1]) {
        return false;
    }
    writer->current = known[1] && (!known[0] || begin_bytes[1] > begin_bytes[0]) ? 1 : 0;
    if (fstat(writer->fds[writer->current], &about) < 0 || about.st_size < LOGS_HEADER_BYTES) {
        return false;
    }
    writer->offset_bytes =
        begin_bytes[writer->current] + (uint64_t)about.st_size - LOGS_HEADER_BYTES;
    writer->used_bytes =
        (uint64_t)about.st_size < writer->half_bytes ? (uint64_t)about.st_size : writer->half_bytes;
    return true;
}

void logs_writer_init(struct logs_writer *writer, const int fds[2], uint64_t bytes_max,
                      uint64_t now_ms)
{
    CHECK(bytes_max >= 4UL * LOGS_HEADER_BYTES);
    *writer = (struct logs_writer){
        .fds = {fds[0], fds[1]},
        .current = 1,
        .half_bytes = bytes_max / 2,
        .credit_bytes = bytes_max,
        .credited_ms = now_ms,
    };
    /* Should this fail, the file counts as full and the first write tries again. */
    writer->used_bytes = writer->half_bytes;
    if (!go_on_behind(writer) && ftruncate(fds[1], 0) == 0) {
        (void)turn_over(writer);
    }
}

static void refill(struct logs_writer *writer, uint64_t now_ms)
{
    uint64_t bytes_max = 2 * writer->half_bytes;
    uint64_t passed_ms = now_ms > writer->credited_ms ? now_ms - writer->credited_ms : 0;
    uint64_t full_after_ms = 1000 * 1000 / LOGS_REFILL_PERMILLE;
    uint64_t earned_bytes;

    if (passed_ms >= full_after_ms) {
        writer->credit_bytes = bytes_max;
        writer->credited_ms = now_ms;
        return;
    }
    /* Not advancing the time when nothing is earned keeps fractions from being lost. */
    earned_bytes = bytes_max / full_after_ms * passed_ms +
                   bytes_max % full_after_ms * passed_ms / full_after_ms;
    if (earned_bytes == 0) {
        return;
    }
    writer->credited_ms = now_ms;
    writer->credit_bytes += earned_bytes;
    if (writer->credit_bytes > bytes_max) {
        writer->credit_bytes = bytes_max;
    }
}

/* Writes what fits into the current file. Returns the count of bytes, or -errno. */
static int64_t write_some(struct logs_writer *writer, const uint8_t *data, size_t length_bytes)
{
    uint64_t room_bytes;
    int r;

    if (writer->used_bytes >= writer->half_bytes) {
        r = turn_over(writer);
        if (r < 0) {
            return r;
        }
    }
    room_bytes = writer->half_bytes - writer->used_bytes;
    if (length_bytes > room_bytes) {
        length_bytes = (size_t)room_bytes;
    }
    r = write_at(writer->fds[writer->current], data, length_bytes, writer->used_bytes);
    if (r < 0) {
        return r;
    }
    writer->used_bytes += length_bytes;
    writer->offset_bytes += length_bytes;
    writer->credit_bytes -= length_bytes;
    return (int64_t)length_bytes;
}

void logs_write(struct logs_writer *writer, const uint8_t *data, size_t length_bytes,
                uint64_t now_ms)
{
    CHECK(writer->used_bytes <= writer->half_bytes);
    refill(writer, now_ms);
    if (length_bytes > writer->credit_bytes) {
        writer->lost_bytes += length_bytes - writer->credit_bytes;
        length_bytes = (size_t)writer->credit_bytes;
    }
    while (length_bytes > 0) {
        int64_t count_bytes = write_some(writer, data, length_bytes);

        if (count_bytes < 0) {
            writer->lost_bytes += length_bytes;
            return;
        }
        data += count_bytes;
        length_bytes -= (size_t)count_bytes;
    }
}

/*
 * Which file holds the byte at `offset_bytes`, or the next one that is kept? The files are
 * adjacent pieces of the stream: the one that begins later is the current one.
 */
static int find_file(const int fds[2], uint64_t offset_bytes, uint64_t *begin_bytes_out)
{
    uint64_t begin_bytes[2] = {0, 0};
    bool known[2];

    for (unsigned i = 0; i < 2; i++) {
        known[i] = read_header(fds[i], &begin_bytes[i]);
    }
    if (!known[0] && !known[1]) {
        return -1;
    }
    unsigned newer = known[1] && (!known[0] || begin_bytes[1] > begin_bytes[0]) ? 1 : 0;
    unsigned older = known[1 - newer] ? 1 - newer : newer;
    unsigned found = offset_bytes >= begin_bytes[newer] ? newer : older;

    *begin_bytes_out = begin_bytes[found];
    return fds[found];
}

int64_t logs_read(const int fds[2], uint64_t *offset_bytes, uint8_t *data_out,
                  size_t capacity_bytes)
{
    /* A writer may turn over between two reads: then look again, a few times. */
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        uint64_t begin_bytes = 0;
        uint64_t still_bytes = 0;
        int fd = find_file(fds, *offset_bytes, &begin_bytes);

        if (fd < 0) {
            return 0;
        }
        uint64_t start_bytes = *offset_bytes < begin_bytes ? begin_bytes : *offset_bytes;
        ssize_t count_bytes = pread(fd, data_out, capacity_bytes,
                                    (off_t)(start_bytes - begin_bytes + LOGS_HEADER_BYTES));
        if (count_bytes < 0) {
            return -errno;
        }
        if (read_header(fd, &still_bytes) && still_bytes == begin_bytes) {
            *offset_bytes = start_bytes + (uint64_t)count_bytes;
            return count_bytes;
        }
    }
    return 0;
}

uint64_t logs_end(const int fds[2])
{
    uint64_t end_bytes = 0;

    for (unsigned i = 0; i < 2; i++) {
        struct stat status;
        uint64_t begin_bytes = 0;

        if (!read_header(fds[i], &begin_bytes) || fstat(fds[i], &status) < 0 ||
            status.st_size < LOGS_HEADER_BYTES) {
            continue;
        }
        begin_bytes += (uint64_t)status.st_size - LOGS_HEADER_BYTES;
        end_bytes = begin_bytes > end_bytes ? begin_bytes : end_bytes;
    }
    return end_bytes;
}

/* The newest line so far. */
struct last_words {
    char *text;
    size_t capacity_bytes;
    size_t length_bytes;
    bool ended;
};

/* Leaves out what no terminal should see, and what is too long. */
static void line_add(struct last_words *line, char c)
{
    if (c == '\n') {
        line->ended = true;
        return;
    }
    if (line->ended) {
        line->length_bytes = 0;
        line->ended = false;
    }
    if (c >= ' ' && c <= '~' && line->length_bytes + 1 < line->capacity_bytes) {
        line->text[line->length_bytes++] = c;
    }
    line->text[line->length_bytes] = '\0';
}

void logs_last_line(const int fds[2], char *text_out, size_t capacity_bytes)
{
    struct last_words line = {.text = text_out, .capacity_bytes = capacity_bytes};
    uint64_t end_bytes = logs_end(fds);
    uint64_t offset_bytes = end_bytes > LOGS_LAST_BYTES ? end_bytes - LOGS_LAST_BYTES : 0;
    uint8_t window[LOGS_LAST_BYTES];
    int64_t count_bytes;

    CHECK(capacity_bytes > 0);
    text_out[0] = '\0';
    while ((count_bytes = logs_read(fds, &offset_bytes, window, sizeof(window))) > 0) {
        for (int64_t i = 0; i < count_bytes; i++) {
            line_add(&line, (char)window[i]);
        }
    }
}
