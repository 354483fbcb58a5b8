// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A few large objects of which a search changes little: which of their pages it changes is found out by
 * write-protecting them. Pages that were never written are neither kept nor hashed nor restored.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGES_OBJECTS_MAX = 8 };

/* From here on `bytes` is watched as that object, as it is now; pages that other objects share with
 * it count as written. Aborts when the kernel refuses. */
void pages_watch(uint32_t object, void *bytes, size_t length_bytes);
/* All may be written, and freed, again. */
void pages_unwatch(void);

/* The next run of bytes, from *end_out on (0 to begin with), on pages that may have been written. */
bool pages_next(uint32_t object, size_t *begin_out, size_t *end_out);

/* Has a page been written since that pages_next did not name? What was kept before lacks it. */
bool pages_grew(void);
/* Then either it is one of those that pages_next names from now on, and every object is as it was
 * when the watch began; or it is as it was, and those that pages_next names have been seen to. */
void pages_rewind(void);
void pages_undo(void);
