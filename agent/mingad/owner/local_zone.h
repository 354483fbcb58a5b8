// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The local clock and its changes within the next days, as this machine's time zone has them. */
#include "agent/policy/hours.h"

void local_zone_look(uint64_t unix_s, struct local_zone *zone_out);
