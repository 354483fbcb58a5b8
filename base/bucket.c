// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/bucket.h"

#include "base/check.h"

enum { IDLE_MS_MAX = 3600 * 1000 }; /* longer idling fills no more: products stay small */

void bucket_init(struct bucket *bucket, uint64_t bytes_per_s, uint64_t burst_bytes, uint64_t now_ms)
{
    CHECK(burst_bytes <= INT64_MAX / 2);
    *bucket = (struct bucket){bytes_per_s, burst_bytes, (int64_t)burst_bytes, now_ms, 0};
}

/* In thousandths of a byte; a rate beyond all measure fills at once. */
static uint64_t earned(const struct bucket *bucket, uint64_t passed_ms)
{
    if (bucket->bytes_per_s > (UINT64_MAX - 1000) / IDLE_MS_MAX) {
        return passed_ms == 0 ? bucket->fraction : UINT64_MAX;
    }
    return bucket->bytes_per_s * passed_ms + bucket->fraction;
}

static void fill(struct bucket *bucket, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms > bucket->filled_ms ? now_ms - bucket->filled_ms : 0;
    uint64_t room_bytes = (uint64_t)((int64_t)bucket->burst_bytes - bucket->level_bytes);
    uint64_t thousandths = earned(bucket, passed_ms < IDLE_MS_MAX ? passed_ms : IDLE_MS_MAX);

    if (thousandths / 1000 >= room_bytes) {
        bucket->level_bytes = (int64_t)bucket->burst_bytes;
        bucket->fraction = 0;
    } else {
        bucket->level_bytes += (int64_t)(thousandths / 1000);
        bucket->fraction = thousandths % 1000;
    }
    if (now_ms > bucket->filled_ms) {
        bucket->filled_ms = now_ms;
    }
}

void bucket_limit(struct bucket *bucket, uint64_t bytes_per_s, uint64_t burst_bytes,
                  uint64_t now_ms)
{
    CHECK(burst_bytes <= INT64_MAX / 4);
    if (bucket->bytes_per_s == 0) {
        bucket_init(bucket, bytes_per_s, burst_bytes, now_ms);
        return;
    }
    fill(bucket, now_ms);
    bucket->bytes_per_s = bytes_per_s;
    bucket->burst_bytes = burst_bytes;
    if (bucket->level_bytes > (int64_t)burst_bytes) {
        bucket->level_bytes = (int64_t)burst_bytes;
    }
}

bool bucket_is_open(struct bucket *bucket, uint64_t now_ms)
{
    if (bucket->bytes_per_s == 0) {
        return true;
    }
    fill(bucket, now_ms);
    return bucket->level_bytes > 0;
}

void bucket_take(struct bucket *bucket, uint64_t bytes)
{
    CHECK(bytes <= INT64_MAX / 4);
    if (bucket->bytes_per_s != 0 && bucket->level_bytes > -(INT64_MAX / 4)) {
        bucket->level_bytes -= (int64_t)bytes;
    }
}

void bucket_give_back(struct bucket *bucket, uint64_t bytes)
{
    uint64_t room_bytes = (uint64_t)((int64_t)bucket->burst_bytes - bucket->level_bytes);

    if (bucket->bytes_per_s != 0) {
        bucket->level_bytes += (int64_t)(bytes < room_bytes ? bytes : room_bytes);
    }
}

uint64_t bucket_wait_ms(struct bucket *bucket, uint64_t now_ms)
{
    uint64_t missing_bytes;

    if (bucket_is_open(bucket, now_ms)) {
        return 0;
    }
    missing_bytes = (uint64_t)(1 - bucket->level_bytes);
    if (missing_bytes / bucket->bytes_per_s >= IDLE_MS_MAX / 1000) {
        return IDLE_MS_MAX;
    }
    return missing_bytes * 1000 / bucket->bytes_per_s + 1;
}
