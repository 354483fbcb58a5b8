// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A few large objects of which a search changes little: which of their pages it changes is found out by
 * write-protecting them. The others are as they were when the watch began.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGES_OBJECTS_MAX = 8 };

/* From here on `bytes` is watched as that object; pages that other objects share with it count as
 * written. Aborts when the kernel refuses. */
void pages_watch(uint32_t object, void *bytes, size_t length_bytes);
/* All may be written, and freed, again. */
void pages_unwatch(void);

/* The next run of bytes, from *end_out on (0 to begin with), on pages that may have been written. */
bool pages_next(uint32_t object, size_t *begin_out, size_t *end_out);
/* The object as it was when the watch began. */
const uint8_t *pages_first(uint32_t object);
