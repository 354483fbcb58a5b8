// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The machine's line, divided among the replicas that use it: sandbox/line.h says how each is told.
 *
 * What all have together is never more than root wrote into the limits' file, nor than mingad asked
 * for. Looked at four times a second while something passes, once a second else; not at all where
 * there is no limit.
 */
#include "sandbox/helper/helper.h"

enum { LINES_BUSY_MS = 250 };

/* At most so much from now on; 0: as much as root's file says. */
void lines_limit(struct helper *helper, uint64_t upload_bytes_per_s, uint64_t download_bytes_per_s);
/* Makes the file of a replica that is being launched, with its part. */
int lines_add(struct helper *helper, struct replica *replica, struct err *err);
/* Opens that of an adopted one; without it (of an older version) it has no limit. */
void lines_adopt(const struct helper *helper, struct replica *replica);
void lines_tick(struct helper *helper, uint64_t at_ms);
/* How much has passed since it started, and whether it was held back lately. */
void lines_measure(struct helper *helper, struct replica *replica,
                   struct sandbox_activity *activity_out);
