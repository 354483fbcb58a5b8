// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Strings of bytes under numbers: equal ones have the same number, from 0 on in the order in which they
 * came. What is numbered is compared, hashed, and copied as one word.
 */
#include <stddef.h>
#include <stdint.h>

uint64_t names_mix(uint64_t hash, uint64_t word);
uint64_t names_hash(const void *bytes, size_t length_bytes);

struct names {
    uint32_t count;
    uint32_t capacity;
    struct name *list;
    uint32_t slot_count; /* a power of two */
    uint32_t *slots;     /* number + 1; 0: free */
    size_t used_bytes;
    size_t capacity_bytes;
    uint8_t *bytes;
};

/* Memory comes as it is needed, and the program ends without. All zero: empty. */
void names_done(struct names *names);
uint32_t names_number(struct names *names, const void *bytes, size_t length_bytes);
/* Valid until the next names_number. `length_bytes_out` may be NULL. */
const void *names_bytes(const struct names *names, uint32_t number, size_t *length_bytes_out);
/* All that came after the first `count` have not been. */
void names_forget(struct names *names, uint32_t count);
