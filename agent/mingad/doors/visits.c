// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/doors/visits.h"

struct tally { /* of one member */
    uint32_t visit_count;
    uint32_t flow_count;
};

static bool is_in(const struct pipe *pipe)
{
    return pipe->phase == PIPE_IDLE || pipe->phase == PIPE_OPEN;
}

uint32_t visits_count(const struct pipe *pipes, const struct node_id *member)
{
    uint32_t count = 0;

    for (const struct pipe *pipe = pipes; pipe != NULL; pipe = pipe->next) {
        count += is_in(pipe) && (member == NULL || id_equal(&pipe->other.id, &member->id));
    }
    return count;
}

/* What waits to be let in is a visit already, but no flow yet. */
static struct tally tally_of(const struct pipe *pipes, const struct node_id *member)
{
    struct tally tally = {0};

    for (const struct pipe *pipe = pipes; pipe != NULL; pipe = pipe->next) {
        if (is_in(pipe) && id_equal(&pipe->other.id, &member->id)) {
            tally.visit_count++;
            tally.flow_count += pipe->has_packets;
        }
    }
    return tally;
}

static bool is_silent(const struct pipe *pipe, uint64_t now_ms)
{
    return pipe->phase == PIPE_OPEN && pipe->has_packets &&
           now_ms - pipe->used_ms >= VISITS_YIELD_MS;
}

bool visits_may_yield(const struct pipe *pipes, const struct node_id *member, uint64_t now_ms)
{
    for (const struct pipe *pipe = pipes; pipe != NULL; pipe = pipe->next) {
        if (id_equal(&pipe->other.id, &member->id) && is_silent(pipe, now_ms)) {
            return true;
        }
    }
    return false;
}

struct pipe *visits_to_yield(struct pipe *pipes, const struct pipe *newest, bool of_its_own,
                             uint64_t now_ms)
{
    const struct tally own = tally_of(pipes, &newest->other);
    struct pipe *yields = NULL;
    uint32_t most = 0;

    for (struct pipe *pipe = pipes; pipe != NULL; pipe = pipe->next) {
        bool is_own = id_equal(&pipe->other.id, &newest->other.id);
        struct tally tally;

        if (!is_silent(pipe, now_ms) || (of_its_own && !is_own)) {
            continue;
        }
        tally = is_own ? own : tally_of(pipes, &pipe->other);
        /* With the newest one its member has one flow more, or a connection, which weighs more. */
        if (!is_own &&
            (tally.flow_count <= own.flow_count || tally.visit_count < own.visit_count)) {
            continue;
        }
        if (tally.flow_count > most ||
            (tally.flow_count == most && yields != NULL && pipe->used_ms <= yields->used_ms)) {
            most = tally.flow_count;
            yields = pipe;
        }
    }
    return yields;
}
