// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/traffic.h"

/* The oneof is the only field of a Message with a length: the first tag of wire type 2. */
static uint32_t kind_of(struct bytes message)
{
    size_t at = 0;

    while (at < message.length_bytes) {
        uint64_t tag = 0;
        unsigned shift = 0;

        do {
            tag |= (uint64_t)(message.data[at] & 0x7f) << shift;
            shift += 7;
        } while ((message.data[at++] & 0x80) != 0 && at < message.length_bytes && shift < 35);
        if (tag % 8 == 2) {
            return tag / 8 < TRAFFIC_KINDS_MAX ? (uint32_t)(tag / 8) : 0;
        }
        while (at < message.length_bytes && (message.data[at++] & 0x80) != 0) {
        }
    }
    return 0;
}

uint32_t traffic_count(struct traffic *traffic, struct bytes message)
{
    uint32_t kind = kind_of(message);

    traffic->counts[kind]++;
    return kind;
}

uint32_t traffic_most(const struct traffic *traffic, const struct traffic *before,
                      uint64_t *count_out)
{
    uint32_t most = 0;

    *count_out = 0;
    for (uint32_t kind = 0; kind < TRAFFIC_KINDS_MAX; kind++) {
        uint64_t count = traffic->counts[kind] - before->counts[kind];

        if (count > *count_out) {
            *count_out = count;
            most = kind;
        }
    }
    return most;
}
