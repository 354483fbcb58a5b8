// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What the behaviours of the suite are written with; see disk_suite.h.
 *
 * Times are long enough for a busy machine where something must come, and what must not come is
 * looked for after it would have.
 */
#include "base/attributes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "tests/faults/disk_suite.h"

enum {
    PATIENCE_MS = 20000,
    RETRIED_MS = 1500, /* what failed is tried again each second */
    ROUNDS = 12,       /* of what chance has a part in */
};

struct behaviour {
    const char *name;
    void (*run)(void);
};

extern struct core_stand_in core;
extern struct held held; /* what was loaded last */

extern const struct behaviour disk_blobs[];
extern const uint32_t disk_blobs_count;
extern const struct behaviour disk_chunks[];
extern const uint32_t disk_chunks_count;

void expect(bool is_right, const char *format, ...) PRINTF_LIKE(2, 3);
void load(void);
void crash_and_load(enum disk_crash crash);
/* How many answers of a kind were there? */
uint32_t told(enum overlay_event_kind kind, uint64_t token);
/* The first one; NULL when it does not come. */
const struct overlay_event *wait_for(enum overlay_event_kind kind, uint64_t token);
