// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What is on disks: whoever is told that something is kept on so many can count on it, and in the end
 * each member has written down what holds for those who were away.
 */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/overlay.h"

struct client_service;
struct core_answer;
struct disk;
struct pending;
struct world;

/* The sequence of the service's record, or of its latest version's, on this disk; 0: none. */
uint64_t check_durable_sequence(const struct disk *disk, const struct client_service *service,
                                minga_RecordKind kind);
/* An owner is told that a record, or a chunk, is kept. Call before the service goes on. */
void check_durable_answered(struct world *world, const struct pending *pending,
                            const struct core_answer *answer);
/* A node that answers for keys does so by an epoch that it cannot use again after a crash. */
void check_durable_epochs(struct world *world);
/* Part of what has converged. */
bool check_durable_bans(struct world *world);
/* Has its disk refused anything, or been tampered with? Then it may lack what others know. */
bool check_durable_may_lack(const struct world *world, uint32_t node);
