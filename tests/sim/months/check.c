// SPDX-License-Identifier: GPL-3.0-or-later
/* What must hold all the time, and at the end. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/months/months.h"

static uint32_t count_up(const struct months *months, const struct copies *chunk)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < chunk->count; i++) {
        count += months->nodes[chunk->holders[i]].is_up ? 1 : 0;
    }
    return count;
}

static void check_rates(struct months *months)
{
    const struct options *options = &months->options;
    /* The last piece may go into debt, which the next hour pays. */
    uint64_t bytes_max = options->upload_bytes_per_s * (HOUR_S + BURST_S) + options->chunk_bytes;

    for (uint32_t i = 0; i < options->node_count; i++) {
        struct node *node = &months->nodes[i];

        if (options->upload_bytes_per_s > 0 && node->sent_bytes > bytes_max) {
            months->over_rate_count++;
        }
        node->sent_bytes = 0;
    }
}

void check_hour(struct months *months)
{
    check_rates(months);
    for (uint32_t i = 0; i < months->chunk_count; i++) {
        uint32_t up_count = count_up(months, &months->chunks[i]);

        months->samples++;
        months->unread_samples += up_count == 0 ? 1 : 0;
        months->scarce_samples += up_count == 1 ? 1 : 0;
    }
}

static uint32_t up_in_all(const struct months *months)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < months->options.node_count; i++) {
        count += months->nodes[i].is_up ? 1 : 0;
    }
    return count;
}

/* Where two are up at all, every chunk that somebody who is up has is up twice. */
static uint64_t count_short(const struct months *months)
{
    uint32_t wanted = up_in_all(months) < HOMES_UP ? up_in_all(months) : (uint32_t)HOMES_UP;
    uint64_t count = 0;

    for (uint32_t i = 0; i < months->chunk_count; i++) {
        const struct copies *chunk = &months->chunks[i];

        count += chunk->count > 0 && count_up(months, chunk) < wanted ? 1 : 0;
    }
    return count;
}

static void say(struct months *months, bool is_bad, const char *what)
{
    if (is_bad) {
        printf("FAILED: %s\n", what);
        months->has_failed = true;
    }
}

static void check_spread(struct months *months)
{
    const struct options *options = &months->options;
    double less = months->excess_bytes == 0
                      ? 0
                      : (double)(months->moved_bytes - months->excess_from_bytes) /
                            (double)months->excess_bytes;

    printf("stored over given, highest to mean: %.3f on the worst day; %u changes of positions",
           months->load_worst, months->change_count);
    if (months->excess_bytes > 0) {
        printf("; moved %.2f times what one had too much", less);
    }
    printf("\n");
    say(months, months->load_worst * 100 > options->load_percent_max,
        "somebody stores too much for what it gives");
    say(months, less * 100 > options->less_percent_max, "too much moved when one gave less");
}

void check_end(struct months *months)
{
    const struct options *options = &months->options;
    uint64_t stored_bytes = (uint64_t)months->chunk_count * CHUNK_COPIES * options->chunk_bytes;
    uint64_t moved_permille = stored_bytes == 0 ? 0 : months->moved_bytes * 1000 / stored_bytes;
    uint64_t short_count = count_short(months);
    uint64_t copy_count = 0;

    for (uint32_t i = 0; i < months->chunk_count; i++) {
        copy_count += months->chunks[i].count;
    }
    printf("%u nodes, %u days, %u chunks with %.2f copies; moved %.2f %% of what is stored from day"
           " %u on, %.2f %% before; %" PRIu64 " evicted\n",
           options->node_count, options->days, months->chunk_count,
           months->chunk_count == 0 ? 0.0 : (double)copy_count / months->chunk_count,
           (double)months->moved_bytes * 100 / (double)stored_bytes, options->from_day,
           (double)months->learning_bytes * 100 / (double)stored_bytes, months->evicted_count);
    printf("chunk-hours without a copy up %.5f %%, with one %.5f %%; lost %" PRIu64
           ", their holders all dead %" PRIu64 "; short at the end %" PRIu64
           "; hours beyond the upload share %" PRIu64 "\n",
           (double)months->unread_samples * 100 / (double)months->samples,
           (double)months->scarce_samples * 100 / (double)months->samples, months->lost_count,
           months->unavoidable_count, short_count, months->over_rate_count);
    if (options->skew > 0) {
        check_spread(months);
    }
    say(months, months->lost_count > 0, "a write was lost, and one of its holders never was");
    say(months, short_count > 0, "copies have not returned to their number");
    say(months, months->over_rate_count > 0, "a node sent more than its upload share");
    say(months, moved_permille > options->moved_permille_max, "more was moved than allowed");
}
