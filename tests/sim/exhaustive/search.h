// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Every order in which messages can arrive, with nodes that start and one that crashes at any moment.
 * Depth first, with the states that were come to before left out; from some of the ends the community
 * must still come to rest. See docs/simulator.md.
 */
#include <stdbool.h>
#include <stdint.h>

struct scenario {
    const char *name;
    uint32_t node_count;
    uint32_t absent_count; /* of them, that may start at any moment */
    uint32_t crash_count;  /* 1 at most */
    uint32_t early_count;  /* a timer runs out though messages are under way */
    bool looks_up;
    uint32_t goal; /* so many arrivals in every order in `./dev soak exhaustive` */
};

struct search_options {
    bool all_kinds;    /* of messages in every order, not only those of the ring */
    bool is_unreduced; /* nothing sleeps, and no step is looked up */
    double until_s;    /* of processor time */
};

struct search_result {
    uint64_t state_count;
    uint64_t digest; /* of the set of states */
    uint64_t step_count;
    uint64_t end_count; /* that were run to their rest */
    bool is_out_of_time;
    bool has_failed; /* and what, was printed */
};

/* Between these two, search_run any number of times. So many bytes are for the states come to; those
 * that find no room there are searched as often as they are come to. */
void search_begin(const struct scenario *scenario, uint64_t memory_bytes);
void search_end(void);
/* With so many arrivals at most, of messages and of the news that a connection broke. */
void search_run(const struct search_options *options, uint32_t arrivals_max,
                struct search_result *result_out);
double search_spent_s(void);
