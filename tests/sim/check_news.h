// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdint.h>

#include "base/bytes.h"

struct world;

/*
 * Where nothing else happens, all hear within seconds of whoever was expelled, has come for the first
 * time, or has left. Call every 100 ms.
 */
void check_news(struct world *world);
/* Who knows that another one was expelled has nothing to say to it but that. */
void check_news_message(struct world *world, uint32_t node, uint32_t to, struct bytes message);
