// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/locals.h"

#include <string.h>

#include "base/check.h"
#include "overlay/state.h"
#include "tests/sim/exhaustive/names.h"
#include "tests/sim/exhaustive/pages.h"

enum {
    BLOCK_BYTES = 256,
    BLOCKS_MAX = sizeof(struct overlay) / BLOCK_BYTES + 1,
};

struct part { /* a block that differs from the first one there */
    uint32_t index;
    uint32_t block;
};

struct local {
    uint32_t node;
    uint32_t part_count;
    struct part parts[BLOCKS_MAX];
};

static struct {
    struct names blocks;
    struct names locals;
    bool is_loaded[PAGES_OBJECTS_MAX];
    uint32_t loaded[PAGES_OBJECTS_MAX];
    struct local scratch;
} all;

/* ------------------------------------------------------------------ holes */

/* Writing makes a page one that changes: only where it must be. */
static void empty(uint8_t *bytes, size_t begin, size_t end)
{
    if (begin < end &&
        (bytes[begin] != 0 || memcmp(&bytes[begin], &bytes[begin + 1], end - begin - 1) != 0)) {
        memset(&bytes[begin], 0, end - begin);
    }
}

static void empty_holes(struct overlay *overlay)
{
    uint8_t *bytes = (uint8_t *)overlay;
    size_t requests = offsetof(struct overlay, requests.list);
    size_t answers = offsetof(struct overlay, answers);

    _Static_assert(offsetof(struct request, kind) == 0, "a free slot is a kind, and a hole");
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        const struct request *request = &overlay->requests.list[i];
        size_t begin = requests + i * sizeof(*request);
        size_t used = offsetof(struct request, bytes) + request->length_bytes;

        if (i >= overlay->requests.top || request->kind == REQUEST_FREE) {
            used = sizeof(request->kind);
        }
        empty(bytes, begin + used, begin + sizeof(*request));
    }
    for (uint32_t i = 0; i < CACHED_ANSWERS_MAX; i++) {
        const struct cached_answer *answer = &overlay->answers[i];
        size_t begin = answers + i * sizeof(*answer);

        empty(bytes, begin + offsetof(struct cached_answer, bytes) + answer->length_bytes,
              begin + sizeof(*answer));
    }
    /* at the end: nothing depends on them */
    empty(bytes, offsetof(struct overlay, counters), sizeof(*overlay));
}

/* ------------------------------------------------------------------ numbers */

static size_t block_bytes(uint32_t index)
{
    size_t left = sizeof(struct overlay) - (size_t)index * BLOCK_BYTES;

    return left < BLOCK_BYTES ? left : BLOCK_BYTES;
}

void locals_watch(uint32_t node, struct overlay *overlay)
{
    empty_holes(overlay);
    pages_watch(node, overlay, sizeof(*overlay));
    all.is_loaded[node] = false;
}

void locals_unwatch(void)
{
    pages_unwatch();
    names_done(&all.blocks);
    names_done(&all.locals);
    memset(all.is_loaded, 0, sizeof(all.is_loaded));
}

static void add_part(struct local *local, uint32_t node, const uint8_t *bytes, uint32_t index)
{
    size_t at = (size_t)index * BLOCK_BYTES;
    size_t length_bytes = block_bytes(index);

    if (memcmp(&bytes[at], &pages_first(node)[at], length_bytes) != 0) {
        local->parts[local->part_count++] =
            (struct part){index, names_number(&all.blocks, &bytes[at], length_bytes)};
    }
}

uint32_t locals_number(uint32_t node, struct overlay *overlay)
{
    struct local *local = &all.scratch;
    uint32_t index = 0;
    size_t begin;
    size_t end = 0;

    empty_holes(overlay);
    local->node = node;
    local->part_count = 0;
    while (pages_next(node, &begin, &end)) {
        /* two runs can share a block */
        index = begin / BLOCK_BYTES > index ? (uint32_t)(begin / BLOCK_BYTES) : index;
        for (; (size_t)index * BLOCK_BYTES < end; index++) {
            add_part(local, node, (const uint8_t *)overlay, index);
        }
    }
    all.is_loaded[node] = true;
    all.loaded[node] =
        names_number(&all.locals, local,
                     offsetof(struct local, parts) + local->part_count * sizeof(local->parts[0]));
    return all.loaded[node];
}

static const struct local *local_at(uint32_t node, uint32_t number)
{
    const struct local *local = names_bytes(&all.locals, number, NULL);

    CHECK(local->node == node);
    return local;
}

void locals_load(uint32_t node, struct overlay *overlay, uint32_t number)
{
    const struct local *local = local_at(node, number);
    uint8_t *bytes = (uint8_t *)overlay;

    if (all.is_loaded[node] && all.loaded[node] == number) {
        return;
    }
    if (all.is_loaded[node]) {
        const struct local *before = local_at(node, all.loaded[node]);

        for (uint32_t i = 0; i < before->part_count; i++) {
            size_t at = (size_t)before->parts[i].index * BLOCK_BYTES;

            memcpy(&bytes[at], &pages_first(node)[at], block_bytes(before->parts[i].index));
        }
    }
    for (uint32_t i = 0; i < local->part_count; i++) {
        uint32_t index = local->parts[i].index;

        memcpy(&bytes[(size_t)index * BLOCK_BYTES],
               names_bytes(&all.blocks, local->parts[i].block, NULL), block_bytes(index));
    }
    all.is_loaded[node] = true;
    all.loaded[node] = number;
}

struct locals_mark locals_mark(void)
{
    return (struct locals_mark){all.blocks.count, all.locals.count};
}

void locals_forget(struct locals_mark mark)
{
    for (uint32_t node = 0; node < PAGES_OBJECTS_MAX; node++) {
        CHECK(!all.is_loaded[node] || all.loaded[node] < mark.locals);
    }
    names_forget(&all.locals, mark.locals);
    names_forget(&all.blocks, mark.blocks);
}

uint32_t locals_count(void)
{
    return all.locals.count;
}
