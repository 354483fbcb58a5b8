// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A large block of memory that goes back to what it was, at the price of the pages touched since:
 * its pages become a private mapping of a file that holds the moment to go back to.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

enum { REWIND_PAGE = 4096 };

struct rewind {
    uint8_t *block;
    size_t block_bytes;
    uint8_t *pages; /* those wholly within the block */
    size_t pages_bytes;
    uint8_t edges[2 * REWIND_PAGE]; /* what lies before and behind them */
};

static inline void rewind_edges(struct rewind *rewind, bool back)
{
    size_t head = (size_t)(rewind->pages - rewind->block);
    size_t tail = rewind->block_bytes - head - rewind->pages_bytes;
    uint8_t *end = rewind->pages + rewind->pages_bytes;

    if (back) {
        memcpy(rewind->block, rewind->edges, head);
        memcpy(end, rewind->edges + REWIND_PAGE, tail);
    } else {
        memcpy(rewind->edges, rewind->block, head);
        memcpy(rewind->edges + REWIND_PAGE, end, tail);
    }
}

/* Notes the present moment. */
static inline void rewind_note(struct rewind *rewind, void *block, size_t block_bytes)
{
    uintptr_t first = ((uintptr_t)block + REWIND_PAGE - 1) & ~(uintptr_t)(REWIND_PAGE - 1);
    uintptr_t end = ((uintptr_t)block + block_bytes) & ~(uintptr_t)(REWIND_PAGE - 1);
    int fd = memfd_create("rewind", MFD_CLOEXEC);

    CHECK(end > first && fd >= 0);
    rewind->block = block;
    rewind->block_bytes = block_bytes;
    rewind->pages = (uint8_t *)block + (first - (uintptr_t)block);
    rewind->pages_bytes = end - first;
    rewind_edges(rewind, false);
    CHECK(ftruncate(fd, (off_t)rewind->pages_bytes) == 0);
    for (size_t at = 0; at < rewind->pages_bytes;) {
        ssize_t count = pwrite(fd, rewind->pages + at, rewind->pages_bytes - at, (off_t)at);

        CHECK(count > 0);
        at += (size_t)count;
    }
    CHECK(mmap(rewind->pages, rewind->pages_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
               fd, 0) == (void *)rewind->pages);
    close(fd);
}

static inline void rewind_back(struct rewind *rewind)
{
    CHECK(madvise(rewind->pages, rewind->pages_bytes, MADV_DONTNEED) == 0);
    rewind_edges(rewind, true);
}
