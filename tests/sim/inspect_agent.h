// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What managers write and say to executors, read from outside. */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "base/bytes.h"

/* Is this message a manager's request to start a replica? Then which. */
bool inspect_ask_start(struct bytes message, struct replica_key *key_out);
/* Does this manager record (a BLOB_MANAGER) know of that placement, or of a later one in its slot? */
bool inspect_knows_placement(struct bytes record, const struct replica_key *key);
