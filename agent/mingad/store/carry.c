// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/carry.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static void drop(struct carry *carry, struct carried **place)
{
    struct carried *carried = *place;

    CHECK(carry->bytes >= carried->length_bytes);
    carry->bytes -= carried->length_bytes;
    *place = carried->next;
    free(carried);
}

/* Of those that nobody waits for. */
static bool drop_oldest(struct carry *carry)
{
    for (struct carried **place = &carry->first; *place != NULL; place = &(*place)->next) {
        if ((*place)->token == 0) {
            drop(carry, place);
            return true;
        }
    }
    return false;
}

bool carry_add(struct carry *carry, const struct carry_new *new_one, uint64_t now_ms)
{
    size_t length_bytes = new_one->data.length_bytes;
    struct carried **end = &carry->first;
    struct carried *carried;

    CHECK(new_one->token != 0 && length_bytes <= CHUNK_BYTES_MAX);
    while (carry->bytes + length_bytes > CARRIED_BYTES_MAX) {
        if (!drop_oldest(carry)) {
            return false;
        }
    }
    carried = malloc(sizeof(*carried) + length_bytes);
    if (carried == NULL) {
        return false;
    }
    *carried = (struct carried){.token = new_one->token,
                                .since_ms = now_ms,
                                .chunk = new_one->chunk,
                                .result = new_one->result,
                                .length_bytes = length_bytes};
    memcpy(carried->data, new_one->data.data, length_bytes);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = carried;
    carry->bytes += length_bytes;
    return true;
}

const struct carried *carry_find(const struct carry *carry, const struct chunk_id *chunk)
{
    const struct carried *carried = carry->first;

    while (carried != NULL && !id_equal(&carried->chunk.id, &chunk->id)) {
        carried = carried->next;
    }
    return carried;
}

bool carry_end(struct carry *carry, uint64_t token, bool is_late, int *result_out)
{
    CHECK(token != 0);
    for (struct carried **place = &carry->first; *place != NULL; place = &(*place)->next) {
        if ((*place)->token == token) {
            *result_out = (*place)->result;
            (*place)->token = 0;
            if (!is_late) {
                drop(carry, place);
            }
            return true;
        }
    }
    return false;
}

void carry_tidy(struct carry *carry, uint64_t now_ms)
{
    while (carry->first != NULL && now_ms - carry->first->since_ms >= CARRIED_MS) {
        drop(carry, &carry->first);
    }
}

void carry_clear(struct carry *carry)
{
    while (carry->first != NULL) {
        drop(carry, &carry->first);
    }
}
