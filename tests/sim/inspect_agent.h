// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What managers write and say to executors, read from outside. */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "agent/core/message.h"
#include "base/bytes.h"

/* Is this message a manager's request to start a replica? Then which. */
bool inspect_ask_start(struct bytes message, struct replica_key *key_out);
/* Does this manager record (a BLOB_MANAGER) know of that placement, or of a later one in its slot? */
bool inspect_knows_placement(struct bytes record, const struct replica_key *key);

/* Which placements of a service a manager record stands for; records follow each other by epoch, then
 * revision. False: it is none. */
struct inspect_record {
    struct service_id service;
    struct epoch epoch;
    uint64_t revision;
};
bool inspect_record(struct bytes record, struct inspect_record *record_out);
/* The replica at `index` of the executor's table, and the highest epoch that was obeyed for it. */
bool inspect_obeyed(const struct core *core, uint32_t index, struct replica_key *key_out,
                    struct epoch *epoch_out);
