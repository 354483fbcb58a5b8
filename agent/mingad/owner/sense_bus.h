// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What logind and NetworkManager say, over the system bus: for the worker pool, since it may take
 * a second. Where they are not there nothing is known.
 */
#include "agent/policy/rules.h"

struct sense_bus {
    bool is_used;                /* a session of a person is not idle */
    uint64_t idle_since_unix_ms; /* of the session that was used last; 0: there is none */
    enum owner_truth metered;
};

/* Names of connections are added to `senses`. */
void sense_bus(bool asks_input, bool asks_network, struct sense_bus *bus_out,
               struct owner_senses *senses);
