// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Well-formed messages that say something else. */
#include <stdint.h>

#include "overlay/protocol.pb.h"

struct world;

/* Changes one or two fields, of whatever kind the message is: other members, other numbers, longer
 * and shorter lists. The schema's own description of itself says what there is to change. */
void lie_about(const struct world *world, uint32_t node, uint64_t number, minga_Message *message);
