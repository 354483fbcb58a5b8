// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"
#include "tests/sim/exhaustive/pages.h"

struct hole {
    size_t begin;
    size_t end;
};

struct holes { /* in order */
    uint32_t count;
    struct hole list[REQUESTS_MAX + CACHED_ANSWERS_MAX + 1];
};

struct image {
    struct holes holes;
    uint8_t bytes[sizeof(struct overlay)];
};

/* ------------------------------------------------------------------ parts */

static void add_hole(struct holes *holes, size_t begin, size_t end)
{
    CHECK(holes->count < sizeof(holes->list) / sizeof(holes->list[0]));
    if (begin < end) {
        holes->list[holes->count++] = (struct hole){begin, end};
    }
}

static void find_holes(const struct overlay *overlay, struct holes *holes_out)
{
    size_t requests = offsetof(struct overlay, requests.list);
    size_t answers = offsetof(struct overlay, answers);

    _Static_assert(offsetof(struct overlay, requests) < offsetof(struct overlay, answers),
                   "holes are in order");
    _Static_assert(offsetof(struct request, kind) == 0, "a free slot is a kind, and a hole");
    holes_out->count = 0;
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        const struct request *request = &overlay->requests.list[i];
        size_t begin = requests + i * sizeof(*request);
        size_t used = offsetof(struct request, bytes) + request->length_bytes;

        if (i >= overlay->requests.top || request->kind == REQUEST_FREE) {
            used = sizeof(request->kind);
        }
        add_hole(holes_out, begin + used, begin + sizeof(*request));
    }
    for (uint32_t i = 0; i < CACHED_ANSWERS_MAX; i++) {
        const struct cached_answer *answer = &overlay->answers[i];
        size_t begin = answers + i * sizeof(*answer);

        add_hole(holes_out, begin + offsetof(struct cached_answer, bytes) + answer->length_bytes,
                 begin + sizeof(*answer));
    }
}

struct part { /* a run of bytes in no hole, on pages that change; all zero to begin with */
    size_t page_begin;
    size_t page_end;
    size_t begin;
    size_t end;
    uint32_t hole; /* the next one */
};

static bool next_part(uint32_t object, const struct holes *holes, struct part *part)
{
    do {
        part->begin = part->end;
        if (part->begin >= part->page_end) {
            if (!pages_next(object, &part->page_begin, &part->page_end)) {
                return false;
            }
            part->begin = part->page_begin;
        }
        while (part->hole < holes->count && holes->list[part->hole].end <= part->begin) {
            part->hole++;
        }
        part->end = part->page_end;
        if (part->hole < holes->count && holes->list[part->hole].begin < part->end) {
            const struct hole *hole = &holes->list[part->hole];

            if (hole->begin > part->begin) {
                part->end = hole->begin;
            } else {
                part->begin = part->end = hole->end < part->end ? hole->end : part->end;
            }
        }
    } while (part->begin >= part->end);
    return true;
}

/* ------------------------------------------------------------------ hashes */

uint64_t image_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
    return hash ^ hash >> 29;
}

/*
 * Tens of thousands of bytes are hashed at each step: eight lanes, each with one multiplication of 32
 * by 32 bits, which the compiler turns into vector instructions.
 */
uint64_t image_hash_bytes(const void *bytes, size_t length_bytes)
{
    const uint8_t *at = bytes;
    uint64_t lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t words[8];
    uint64_t block = 0x9e3779b97f4a7c15U;
    uint64_t hash = length_bytes;

    for (; length_bytes >= sizeof(words); length_bytes -= sizeof(words), at += sizeof(words)) {
        memcpy(words, at, sizeof(words));
        block += 0xbf58476d1ce4e5b9U; /* where in the bytes the words stand counts, too */
        for (int i = 0; i < 8; i++) {
            uint64_t word = words[i] ^ (block + (uint64_t)i * 0x94d049bb133111ebU);

            lanes[i] += (word & UINT32_MAX) * (word >> 32) + (words[i] << 17 | words[i] >> 47);
        }
    }
    memset(words, 0, sizeof(words));
    memcpy(words, at, length_bytes);
    for (int i = 0; i < 8; i++) {
        hash = image_mix(image_mix(hash, words[i]), lanes[i]);
    }
    return hash;
}

uint64_t image_hash(uint32_t object, const struct overlay *overlay)
{
    const uint8_t *bytes = (const uint8_t *)overlay;
    size_t counters = offsetof(struct overlay, counters); /* at the end: nothing depends on them */
    struct holes holes;
    struct part part = {0};
    uint64_t hash = 0;

    find_holes(overlay, &holes);
    add_hole(&holes, counters, sizeof(*overlay));
    while (next_part(object, &holes, &part)) {
        hash = image_mix(hash, part.begin);
        hash = image_mix(hash, image_hash_bytes(&bytes[part.begin], part.end - part.begin));
    }
    return hash;
}

/* ------------------------------------------------------------------ keeping */

struct image *image_new(void)
{
    return malloc(sizeof(struct image));
}

static void copy(uint32_t object, const struct holes *holes, const uint8_t *from, uint8_t *to)
{
    struct part part = {0};

    while (next_part(object, holes, &part)) {
        memcpy(&to[part.begin], &from[part.begin], part.end - part.begin);
    }
}

void image_keep(struct image *image, uint32_t object, const struct overlay *overlay)
{
    find_holes(overlay, &image->holes);
    copy(object, &image->holes, (const uint8_t *)overlay, image->bytes);
}

void image_restore(const struct image *image, uint32_t object, struct overlay *overlay)
{
    copy(object, &image->holes, image->bytes, (uint8_t *)overlay);
}
