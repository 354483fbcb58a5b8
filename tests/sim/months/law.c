// SPDX-License-Identifier: GPL-3.0-or-later
/* When people's machines are on. */
#include <math.h>

#include "tests/sim/months/months.h"

static double weibull_h(struct random *random, double shape, double scale_h)
{
    return scale_h * pow(-log(1 - random_unit(random)), 1 / shape);
}

static double normal(struct random *random)
{
    double radius = sqrt(-2 * log(1 - random_unit(random)));

    return radius * cos(2 * 3.14159265358979 * random_unit(random));
}

static double log_normal_h(struct random *random, double mu, double sigma)
{
    return exp(mu + sigma * normal(random));
}

static uint64_t after_hours(uint64_t now_s, double hours)
{
    double seconds = hours * HOUR_S;

    return now_s + (seconds < TICK_S ? TICK_S
                    : seconds > 1e9  ? UINT64_C(1000000000)
                                     : (uint64_t)seconds);
}

/* From about 22 h to about 8 h it sleeps; after every fifth night over a weekend, one in two. */
static uint64_t laptop_s(struct months *months, struct node *node)
{
    struct random *random = &months->life;
    uint64_t midnight_s = months->now_s / DAY_S * DAY_S;
    double hour = node->is_up ? 22 + normal(random) * 0.7 : 8 + normal(random) * 0.7;
    uint64_t next_s;

    if (!node->is_up) {
        node->nights++;
        if (node->nights % 5 == 0 && random_below(random, 2) == 0) {
            midnight_s += 2 * (uint64_t)DAY_S;
        }
    }
    next_s = midnight_s + (uint64_t)(hour * HOUR_S);
    while (next_s <= months->now_s + TICK_S) {
        next_s += DAY_S;
    }
    return next_s;
}

uint64_t law_next_s(struct months *months, struct node *node)
{
    struct random *random = &months->life;

    switch (node->law) {
    case LAW_LAPTOP:
        return laptop_s(months, node);
    case LAW_SETI:
        return after_hours(months->now_s, node->is_up ? weibull_h(random, 0.393, 2.964)
                                                      : log_normal_h(random, -0.586, 2.844));
    case LAW_IPFS:
        return after_hours(months->now_s, node->is_up ? weibull_h(random, 0.608, 3.656)
                                                      : log_normal_h(random, -0.586, 2.844));
    case LAW_ALWAYS: /* but for an update now and then */
        break;
    }
    return after_hours(months->now_s, node->is_up ? 24 * 7 * (0.5 + random_unit(random)) : 0.05);
}
