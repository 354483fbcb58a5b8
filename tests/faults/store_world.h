// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A process that uses the store and the chunks as mingad does, told what happens to it, and what
 * must be there afterwards: everything that it has acknowledged.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
    WORLD_RECORDS = 24,
    WORLD_CHUNKS = 6,
    WORLD_ROUNDS_ENDLESS = 1 << 20,
};

struct world { /* shared between the process that works and the one that looks */
    uint32_t tried[WORLD_RECORDS];        /* the newest version that was handed to the store */
    uint32_t acknowledged[WORLD_RECORDS]; /* the newest that it said to have */
    bool has_chunk[WORLD_CHUNKS];
    uint32_t errors; /* that were said, each with a text */
    char text[600];  /* the last one */
};

/* A world in shared memory; NULL without memory. */
struct world *world_new(void);
/* Works in `folder` for so many rounds, and says in `world` what is acknowledged. Returns 0, or 1
 * when the store cannot be opened (and said why), or 2 when something is as it must never be. */
int world_work(struct world *world, const char *folder, uint32_t rounds);
/* Opens what is there: all acknowledged must be. Returns NULL or what is wrong. */
const char *world_look(const struct world *world, const char *folder, bool may_be_mended);
