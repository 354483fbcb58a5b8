// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/policy/line.h"

#include <string.h>

#include "agent/policy/rules.h"

uint64_t owner_line_limit(uint64_t configured_bytes_per_s, uint64_t allowed_bytes_per_s)
{
    if (allowed_bytes_per_s == OWNER_NO_LIMIT || allowed_bytes_per_s == 0) {
        return configured_bytes_per_s;
    }
    return configured_bytes_per_s == 0 || allowed_bytes_per_s < configured_bytes_per_s
               ? allowed_bytes_per_s
               : configured_bytes_per_s;
}

static bool differs(uint64_t before, uint64_t now, uint64_t least)
{
    return (before > now ? before - now : now - before) > least;
}

/*
 * What nobody waits for is the replicas': people wait for what they send and receive, while chunks
 * have saved up for their next transfer.
 */
static void prefer_replicas(struct share shares[OWNER_USERS])
{
    for (int user = 0; user < OWNER_USERS; user++) {
        if (shares[user].wants_more) {
            return;
        }
    }
    shares[OWNER_REPLICAS].wants_more = true;
}

/* Returns whether anybody's part is noticeably another one. */
static bool divide(struct owner_line *line, enum owner_way way,
                   const struct share uses[OWNER_USERS], uint64_t given_out[OWNER_USERS])
{
    const uint64_t total_bytes_per_s = line->limit_bytes_per_s[way];
    struct share shares[OWNER_USERS];
    bool any = false;

    memcpy(shares, uses, sizeof(shares));
    prefer_replicas(shares);
    if (total_bytes_per_s > 0) {
        shares_divide(total_bytes_per_s, shares, OWNER_USERS);
    }
    for (int user = 0; user < OWNER_USERS; user++) {
        given_out[user] = total_bytes_per_s > 0 ? shares[user].given_bytes_per_s : 0;
        any = any || differs(line->given_bytes_per_s[way][user], given_out[user],
                             total_bytes_per_s / OWNER_LINE_STEP_DIVISOR);
    }
    return any;
}

bool owner_line_divide(struct owner_line *line, const uint64_t limit_bytes_per_s[OWNER_WAYS],
                       const struct share uses[OWNER_WAYS][OWNER_USERS])
{
    uint64_t given[OWNER_WAYS][OWNER_USERS];
    bool any =
        memcmp(line->limit_bytes_per_s, limit_bytes_per_s, sizeof(line->limit_bytes_per_s)) != 0;

    memcpy(line->limit_bytes_per_s, limit_bytes_per_s, sizeof(line->limit_bytes_per_s));
    for (int way = 0; way < OWNER_WAYS; way++) {
        any = divide(line, (enum owner_way)way, uses[way], given[way]) || any;
    }
    if (any) {
        memcpy(line->given_bytes_per_s, given, sizeof(given));
    }
    return any;
}
