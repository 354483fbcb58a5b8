// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/line.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"

enum {
    BURSTS_PER_S = 8, /* saved up while idle: an eighth of a second's */
    PIECES_PER_S = 64,
};
static const uint64_t rate_bytes_per_s_max = (uint64_t)1 << 40; /* products stay small */

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least) {
        return least;
    }
    return value > most ? most : value;
}

void line_init(struct line *line)
{
    *line = (struct line){0};
    for (int i = 0; i < LINE_DIRECTIONS; i++) {
        line->gates[i].cell = &line->own[i];
    }
}

int line_map(struct line *line, int fd, enum line_part part)
{
    struct stat status;
    struct line_file *file;

    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    if (status.st_size < (off_t)sizeof(*file)) {
        return -EBADMSG; /* what lies beyond a file's end cannot be touched */
    }
    file = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED) {
        return -errno;
    }
    for (int i = 0; i < LINE_DIRECTIONS; i++) {
        line->gates[i].cell = &file->cells[part][i];
    }
    return 0;
}

uint64_t line_now_ms(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Brings the bucket to the present rate, which is returned; 0: no limit. */
static uint64_t heed(struct line_gate *gate, uint64_t now_ms)
{
    uint64_t rate = atomic_load_explicit(&gate->cell->bytes_per_s, memory_order_relaxed);

    rate = rate > rate_bytes_per_s_max ? rate_bytes_per_s_max : rate;
    if (rate != gate->bucket.bytes_per_s) {
        bucket_limit(&gate->bucket, rate,
                     within(rate / BURSTS_PER_S, LINE_BURST_BYTES_MIN, INT64_MAX / 4), now_ms);
    }
    return rate;
}

uint64_t line_room_bytes(struct line_gate *gate)
{
    if (!line_is_limited(gate) && gate->bucket.bytes_per_s == 0) {
        return UINT64_MAX;
    }
    uint64_t now_ms = line_now_ms();
    uint64_t rate = heed(gate, now_ms);

    if (rate == 0) {
        return UINT64_MAX;
    }
    return bucket_is_open(&gate->bucket, now_ms)
               ? within(rate / PIECES_PER_S, LINE_PIECE_BYTES_MIN, LINE_PIECE_BYTES_MAX)
               : 0;
}

void line_passed(struct line_gate *gate, uint64_t count_bytes)
{
    uint64_t passed_bytes = atomic_load_explicit(&gate->cell->passed_bytes, memory_order_relaxed);

    bucket_take(&gate->bucket, count_bytes);
    gate->datagram_last = false;
    atomic_store_explicit(&gate->cell->passed_bytes, passed_bytes + count_bytes,
                          memory_order_relaxed);
}

void line_held(struct line_gate *gate)
{
    uint64_t held_count = atomic_load_explicit(&gate->cell->held_count, memory_order_relaxed);

    atomic_store_explicit(&gate->cell->held_count, held_count + 1, memory_order_relaxed);
}

bool line_passes_datagram(struct line_gate *gate, uint64_t length_bytes)
{
    uint64_t room_bytes = line_room_bytes(gate);

    if (room_bytes == 0 ||
        (room_bytes != UINT64_MAX && gate->streams_wait && gate->datagram_last)) {
        line_held(gate);
        return false;
    }
    line_passed(gate, length_bytes + LINE_DATAGRAM_BYTES);
    gate->datagram_last = true;
    return true;
}

uint64_t line_wait_ms(struct line_gate *gate)
{
    uint64_t now_ms = line_now_ms();

    return heed(gate, now_ms) == 0 ? 0
                                   : within(bucket_wait_ms(&gate->bucket, now_ms), 0, LINE_LOOK_MS);
}
