// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who reads a record, wherever it asks, gets what was acknowledged before it asked, or newer: while
 * nobody comes and goes at all times, and in the end always.
 */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/overlay.h"

struct world;
struct pending;
struct core_answer;

enum {
    READS_MAX = 16,
    READ_SERVICE = 500, /* of a pending request: from here on, READS_MAX of them, it is a read */
};

struct read_check {
    bool used;
    uint32_t service;
    minga_RecordKind kind;
    uint64_t sequence; /* that it must have at least */
};

/* Asks now and then; call every 100 ms. */
void check_reads_tick(struct world *world);
void check_reads_answered(struct world *world, const struct pending *pending,
                          const struct core_answer *answer);
/* The asked node is gone. */
void check_reads_dropped(struct world *world, const struct pending *pending);
