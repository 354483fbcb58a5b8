// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A replica's part of the machine's line: how much may pass now, and how much has.
 *
 * minga-sandboxd writes the rates into a small file of the replica, which minga-init (for its
 * published ports) and minga-egress (for the way out) have mapped; they hold themselves to them and
 * count beside. Neither asks for anything, so rates change at once and survive either daemon. A file
 * is one replica's alone: whoever took over its minga-init could cheat for this one, as it could
 * without, and reach no other one.
 *
 * Each of the two processes has a bucket of its own for each direction; minga-sandboxd divides.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bucket.h"

enum line_direction { LINE_UP, LINE_DOWN, LINE_DIRECTIONS };
enum line_part { LINE_PORTS, LINE_EGRESS, LINE_PARTS };

enum {
    LINE_PIECE_BYTES_MIN = 4096,
    LINE_PIECE_BYTES_MAX = 1 << 18,
    LINE_BURST_BYTES_MIN = 16384,
    LINE_DATAGRAM_BYTES = 28, /* of headers: an empty one is no less on the line */
    LINE_LOOK_MS = 100,       /* at most until the rate is looked at again */
};

struct line_cell {
    _Atomic uint64_t bytes_per_s;  /* 0: no limit */
    _Atomic uint64_t passed_bytes; /* since the replica's start */
    _Atomic uint64_t held_count;   /* how often something had to wait, or was lost */
};

struct line_file { /* what the file holds */
    struct line_cell cells[LINE_PARTS][LINE_DIRECTIONS];
};

struct line_gate {
    struct line_cell *cell;
    struct bucket bucket;
    bool streams_wait;  /* the streams' own word, for datagrams to heed */
    bool datagram_last; /* was the last to pass */
};

struct line {
    struct line_gate gates[LINE_DIRECTIONS];
    struct line_cell own[LINE_DIRECTIONS]; /* when there is no file */
};

/* Without a file: no limit, and nobody reads what is counted. */
void line_init(struct line *line);
/* With the file, which may be closed then. Returns 0 or -errno. */
int line_map(struct line *line, int fd, enum line_part part);

/* CLOCK_BOOTTIME. */
uint64_t line_now_ms(void);
static inline bool line_is_limited(const struct line_gate *gate)
{
    return atomic_load_explicit(&gate->cell->bytes_per_s, memory_order_relaxed) != 0;
}
/* How much of a stream may pass now; 0: nothing yet. UINT64_MAX: there is no limit. */
uint64_t line_room_bytes(struct line_gate *gate);
/*
 * May a datagram pass now? It counts LINE_DATAGRAM_BYTES more than it has. If not, it is lost, and counted. While streams wait, not two in a row:
 * what is lost does not wait, and would always be first.
 */
bool line_passes_datagram(struct line_gate *gate, uint64_t length_bytes);
void line_passed(struct line_gate *gate, uint64_t count_bytes);
/* Something has to wait. */
void line_held(struct line_gate *gate);
/* How long it has to, at most LINE_LOOK_MS and, for the clock's sake, at least 1 unless it is open. */
uint64_t line_wait_ms(struct line_gate *gate);
