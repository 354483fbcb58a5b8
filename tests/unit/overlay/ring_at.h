// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Nodes by where they stand on the ring, told in two bytes: each has its place for its id. */
#include <string.h>

#include "overlay/ring/ring.h"

static inline struct ring_node at(uint16_t position)
{
    struct ring_node node;

    memset(&node, 0, sizeof(node));
    node.position.id.bytes[0] = (uint8_t)(position >> 8);
    node.position.id.bytes[1] = (uint8_t)(position & 0xff);
    node.node.id = node.position.id;
    return node;
}
