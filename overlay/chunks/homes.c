// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/homes.h"

#include "base/check.h"

enum home_life homes_life(uint64_t away_ms, bool is_gone)
{
    if (away_ms < HOMES_RESTART_MS) {
        return HOME_UP;
    }
    if (away_ms < HOMES_LATELY_MS) {
        return HOME_WENT;
    }
    return is_gone ? HOME_IS_GONE : HOME_AWAY;
}

bool homes_done(const struct homes_walk *walk)
{
    uint32_t up = walk->up + (walk->went == 1 ? 1 : 0);
    bool are_steady = walk->steady >= HOMES_UP || walk->counted >= HOMES_UNSTEADY_MAX;

    return (walk->counted >= CHUNK_COPIES && up >= HOMES_UP && are_steady) ||
           walk->counted == HOMES_MAX;
}

bool homes_take(struct homes_walk *walk, enum home_life life, bool is_steady)
{
    CHECK(!homes_done(walk));
    if (life == HOME_IS_GONE) {
        walk->gone++;
        return false;
    }
    walk->counted++;
    walk->up += life == HOME_UP ? 1 : 0;
    walk->went += life == HOME_WENT ? 1 : 0;
    walk->steady += is_steady ? 1 : 0;
    return true;
}

enum home_why homes_why(const struct homes_walk *walk)
{
    CHECK(walk->counted > 0);
    if (walk->counted > CHUNK_COPIES) {
        return HOME_FEW_UP;
    }
    /* Without those who are gone it would have been further behind. */
    return walk->counted + walk->gone > CHUNK_COPIES ? HOME_GONE : HOME_LACKS;
}
