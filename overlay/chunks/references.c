// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/references.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"

enum { REFERENCE_FORM = 1 };

uint16_t references_find(const struct references *references, const struct service_id *service,
                         const struct tree_id *tree)
{
    for (uint32_t i = 0; i < references->top; i++) {
        const struct reference *reference = &references->list[i];

        if (reference->used && id_equal(&reference->tree.id, &tree->id) &&
            id_equal(&reference->service.id, &service->id)) {
            return (uint16_t)i;
        }
    }
    return REFERENCE_NONE;
}

static struct reference *take_place(struct references *references, uint32_t place)
{
    CHECK(place < REFERENCES_MAX && !references->list[place].used);
    references->count++;
    if (place >= references->top) {
        references->top = place + 1;
    }
    memset(&references->list[place], 0, sizeof(references->list[place]));
    references->list[place].used = true;
    return &references->list[place];
}

uint16_t references_add(struct references *references, const struct service_id *service,
                        const struct tree_id *tree, uint64_t now_s)
{
    uint16_t found = references_find(references, service, tree);
    struct reference *reference;

    if (found != REFERENCE_NONE) {
        return found;
    }
    for (uint32_t i = 0; i < REFERENCES_MAX; i++) {
        if (!references->list[i].used) {
            reference = take_place(references, i);
            reference->service = *service;
            reference->tree = *tree;
            reference->touched_s = now_s;
            reference->check_s = now_s + COLLECT_FIRST_S;
            return (uint16_t)i;
        }
    }
    return REFERENCE_NONE;
}

void references_remove(struct references *references, uint16_t place)
{
    CHECK(place < REFERENCES_MAX && references->list[place].used);
    CHECK(references->list[place].chunk_count == 0);
    references->list[place].used = false;
    references->count--;
    while (references->top > 0 && !references->list[references->top - 1].used) {
        references->top--;
    }
}

uint16_t references_due(const struct references *references, uint64_t now_s)
{
    for (uint32_t i = 0; i < references->top; i++) {
        if (references->list[i].used && now_s >= references->list[i].check_s) {
            return (uint16_t)i;
        }
    }
    return REFERENCE_NONE;
}

uint64_t references_next_s(const struct references *references)
{
    uint64_t next_s = 0;

    for (uint32_t i = 0; i < references->top; i++) {
        if (references->list[i].used && (next_s == 0 || references->list[i].check_s < next_s)) {
            next_s = references->list[i].check_s;
        }
    }
    return next_s;
}

/* How long it is left alone after it was last pushed or fetched; UINT64_MAX: for good. */
static uint64_t grace_s(const struct reference *reference, enum reference_finding finding,
                        bool is_among_many)
{
    switch (finding) {
    case FOUND_REMOVED:
        return COLLECT_GRACE_S;
    case FOUND_SUPERSEDED: /* or never finished */
        return reference->is_confirmed ? COLLECT_GRACE_S : COLLECT_FAILED_S;
    case FOUND_NOTHING: /* of what was there once, it is no proof */
        return reference->is_confirmed || !is_among_many ? UINT64_MAX : COLLECT_FAILED_S;
    case FOUND_LIVE:
    case FOUND_UNKNOWN:
        break;
    }
    return UINT64_MAX;
}

bool reference_judge(struct reference *reference, enum reference_finding finding,
                     bool is_among_many, uint64_t now_s)
{
    uint64_t grace = grace_s(reference, finding, is_among_many);
    uint64_t age_s = now_s > reference->touched_s ? now_s - reference->touched_s : 0;

    CHECK(reference->used && !reference->is_dead);
    if (finding == FOUND_LIVE) {
        reference->is_confirmed = true;
    }
    if (age_s >= grace) {
        reference->is_dead = true;
        reference->check_s = now_s + COLLECT_DEAD_S;
        return true;
    }
    if (!reference->is_confirmed && age_s < COLLECT_FIRST_S) {
        reference->check_s = now_s + COLLECT_FIRST_S;
    } else if (finding == FOUND_UNKNOWN) {
        reference->check_s = now_s + COLLECT_AGAIN_S;
    } else if (!reference->is_confirmed) {
        reference->check_s = now_s + COLLECT_AGAIN_S; /* the push may be finished any moment */
    } else if (grace != UINT64_MAX) {
        reference->check_s = now_s + (grace - age_s);
    } else {
        reference->check_s = now_s + COLLECT_CHECK_S;
    }
    return false;
}

void reference_encode(const struct reference *reference, uint8_t bytes_out[REFERENCE_BYTES])
{
    struct wire_writer wire = wire_writer(bytes_out, REFERENCE_BYTES);

    wire_put_u8(&wire, REFERENCE_FORM);
    wire_put_id(&wire, &reference->service.id);
    wire_put_u64(&wire, reference->touched_s);
    wire_put_u64(&wire, reference->version);
    wire_put_bool(&wire, reference->is_confirmed);
    CHECK(wire_ok(&wire) && wire.written_bytes == REFERENCE_BYTES);
}

int references_load(struct references *references, uint64_t place, const struct tree_id *tree,
                    struct bytes bytes)
{
    struct wire_reader wire = wire_reader(bytes);
    struct reference loaded = {.used = true, .tree = *tree};
    uint8_t form = wire_u8(&wire);

    wire_id(&wire, &loaded.service.id);
    loaded.touched_s = wire_u64(&wire);
    loaded.version = wire_u64(&wire);
    loaded.is_confirmed = wire_bool(&wire);
    loaded.check_s = loaded.touched_s + COLLECT_FIRST_S;
    if (!wire_done(&wire) || form != REFERENCE_FORM || place >= REFERENCES_MAX ||
        references->list[place].used ||
        references_find(references, &loaded.service, tree) != REFERENCE_NONE) {
        return -EBADMSG;
    }
    *take_place(references, (uint32_t)place) = loaded;
    return 0;
}
