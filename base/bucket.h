// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A token bucket: so many bytes a second on average, and a burst that was saved up while idle.
 *
 * Pure. What is taken may exceed what is there by one piece: pieces are large, and one that is
 * larger than the burst would never be let through. The debt is paid before the next one.
 */
#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t bytes_per_s; /* 0: no limit */
    uint64_t burst_bytes;
    int64_t level_bytes;
    uint64_t filled_ms;
    uint64_t fraction; /* of a byte, in thousandths, earned besides */
};

/* Begins full. */
void bucket_init(struct bucket *bucket, uint64_t bytes_per_s, uint64_t burst_bytes,
                 uint64_t now_ms);
/* Another rate from now on; what was saved up beyond the new burst is lost. */
void bucket_limit(struct bucket *bucket, uint64_t bytes_per_s, uint64_t burst_bytes,
                  uint64_t now_ms);
/* May something go now? */
bool bucket_is_open(struct bucket *bucket, uint64_t now_ms);
void bucket_take(struct bucket *bucket, uint64_t bytes);
/* What was taken and not needed after all. */
void bucket_give_back(struct bucket *bucket, uint64_t bytes);
/* How long until it opens; 0: it is open. */
uint64_t bucket_wait_ms(struct bucket *bucket, uint64_t now_ms);
