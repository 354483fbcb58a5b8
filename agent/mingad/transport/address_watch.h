// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Hears from the kernel (rtnetlink) that an address or a route of this machine has changed: a new
 * lease, another network, a cable.
 */
#include <uv.h>

struct address_watch;

/* `changed` is called on the loop, half a second after the first of a row of changes. NULL when the
 * kernel does not tell, or without memory: then one has to look now and then. */
struct address_watch *address_watch_new(uv_loop_t *loop, void (*changed)(void *context),
                                        void *context);
/* Frees it when the loop has closed its handles. NULL is fine. */
void address_watch_close(struct address_watch *watch);
