// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

struct world;

/*
 * Where nothing else happens, all hear within seconds of whoever was expelled, has come for the first
 * time, or has left. Call every 100 ms.
 */
void check_news(struct world *world);
