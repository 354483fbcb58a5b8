// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The bytes that make up what a node knows: hashed, kept, put back. Left out are pages that the search
 * does not change (pages.h), and holes: slots of tables that are not in use, and the rest of a message's
 * buffer behind the message. What an earlier message left there makes no other state.
 */
#include <stddef.h>
#include <stdint.h>

struct overlay;

uint64_t image_mix(uint64_t hash, uint64_t word);
uint64_t image_hash_bytes(const void *bytes, size_t length_bytes);

/* `object`: as it was given to pages_watch. */
uint64_t image_hash(uint32_t object, const struct overlay *overlay);

struct image;
/* NULL: no memory. Freed with free(). */
struct image *image_new(void);
void image_keep(struct image *image, uint32_t object, const struct overlay *overlay);
void image_restore(const struct image *image, uint32_t object, struct overlay *overlay);
