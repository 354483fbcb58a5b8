// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What one node knows, under a number: the bytes of its overlay, without holes (slots of tables that
 * are not in use, and the rest of a message's buffer behind the message): what an earlier message left
 * there makes no other state. Kept as the blocks that differ from how the node was at first, each of
 * them once.
 */
#include <stdint.h>

struct overlay;

/* As it is now it gets a number; which one, locals_number tells. */
void locals_watch(uint32_t node, struct overlay *overlay);
void locals_unwatch(void);

/* Empties the holes. */
uint32_t locals_number(uint32_t node, struct overlay *overlay);
void locals_load(uint32_t node, struct overlay *overlay, uint32_t number);

struct locals_mark {
    uint32_t blocks;
    uint32_t locals;
};
struct locals_mark locals_mark(void);
/* Those that came since then are no more, and none of them is loaded. */
void locals_forget(struct locals_mark mark);
uint32_t locals_count(void);
