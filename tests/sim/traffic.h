// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What kinds of messages are sent, and how many of each: for the reader of a failure. */
#include <stdint.h>

#include "base/bytes.h"

enum { TRAFFIC_KINDS_MAX = 128 };

struct traffic {
    uint64_t counts[TRAFFIC_KINDS_MAX];
};

/* Returns the kind: the field number in `Message`, 0 when there is none. */
uint32_t traffic_count(struct traffic *traffic, struct bytes message);
/* The kind that was sent most often since `before`. */
uint32_t traffic_most(const struct traffic *traffic, const struct traffic *before,
                      uint64_t *count_out);
