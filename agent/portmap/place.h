// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Where a UPnP router may be spoken with: at its own numeric address and nowhere else. Whoever in
 * the local network answers a search, or writes the description, names places freely; without this
 * they could have us knock at other doors, this machine's own among them. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

/* http://, a numeric IPv4 host, a port or none, a path; plain characters, of bounded length. */
bool place_is_plain(const char *url);
/* Is it plain, and its host this one? */
bool place_is_at(const char *url, const char *host);
