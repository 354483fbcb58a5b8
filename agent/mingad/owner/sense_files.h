// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What the kernel says about this machine, in small files below `root` ("" for the real ones).
 *
 * Read-only and without privileges. What is missing or cannot be read is as if it were not there:
 * a machine without a battery is not on battery. Slow (a scan of /proc): for the worker pool.
 */
#include "agent/policy/rules.h"

enum { SENSE_ROOT_BYTES_MAX = 256 };

struct sense_cpu { /* since the machine started */
    uint64_t busy_ticks;
    uint64_t all_ticks;
};

/* Whether it is on battery, and how full that is. */
void sense_power(const char *root, struct owner_senses *senses_out);
void sense_heat(const char *root, struct owner_senses *senses_out);
/* The interfaces that lead to everywhere (default routes). */
void sense_interfaces(const char *root, struct owner_senses *senses_out);
/* Adds a name, once, while there is room. */
void sense_add_network(struct owner_senses *senses, const char *name);
/* A program that rules name runs: noted under the names that they give it. */
void sense_note_program(const struct owner_rules *rules, const char *name,
                        struct owner_senses *senses);
/* Which of the programs that the rules name run. */
void sense_programs(const char *root, const struct owner_rules *rules,
                    struct owner_senses *senses_out);
/* When a terminal was last read from, in ms since 1970; 0: never. */
uint64_t sense_terminals_unix_ms(const char *root);
/* A count of interrupts of keyboards and the like: it grows while they are used. */
uint64_t sense_input_count(const char *root);
struct sense_cpu sense_cpu(const char *root);
/* Can the processes of others be seen? */
bool sense_sees_programs(const char *root);
