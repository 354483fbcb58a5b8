// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/homes.h"

#include "base/check.h"

bool homes_done(const struct homes_walk *walk)
{
    return (walk->counted >= CHUNK_COPIES && walk->up >= HOMES_UP) || walk->counted == HOMES_MAX;
}

bool homes_take(struct homes_walk *walk, enum home_life life)
{
    CHECK(!homes_done(walk));
    if (life == HOME_IS_GONE) {
        walk->gone++;
        return false;
    }
    walk->counted++;
    walk->up += life == HOME_UP ? 1 : 0;
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
