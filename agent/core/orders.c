// SPDX-License-Identifier: GPL-3.0-or-later
/* Requests by which a machine's owner says what may run here now, and a community's who is no member
 * any more: in force at once, and answered when they are still so after a restart. */
#include <errno.h>

#include "agent/core/internal.h"

void begin_owner(struct core *core, struct request *request, const struct core_request *from)
{
    if (from->kind == CORE_PAUSE) {
        executor_pause(core->executor, &core->turn, from);
    } else if (from->kind == CORE_RESUME) {
        executor_resume(core->executor, &core->turn);
    } else {
        executor_drain(core->executor, &core->turn, from->within_ms);
    }
    request->stage = STAGE_STORE;
    request->store_token = core_store_token(core);
    if (!executor_order_keep(core->executor, &core->turn, request->store_token)) {
        core_request_stored(core, request->store_token, true);
    }
}

static const char *untaken(enum core_request_kind kind, int result)
{
    if (kind == CORE_EXPEL) {
        return result == -ENOSPC ? "the community has as many expulsions as it can hold"
                                 : "the expulsion is not signed by this community";
    }
    return result == -ENOSPC ? "the community has as many revocations as it can hold, of "
                               "invitations that are valid or were until lately"
                             : "the revocation is not signed by this community";
}

void begin_ban(struct core *core, struct request *request, const struct core_request *from)
{
    int result;

    request->store_token = core_store_token(core);
    result = (from->kind == CORE_EXPEL ? overlay_expel : overlay_revoke)(
        core->overlay, &core->now, request->store_token, from->signed_bytes, &core->io);
    if (result < 0) {
        request_answer(core, request, OVERLAY_REFUSED, untaken(from->kind, result));
        return;
    }
    request->stage = STAGE_STORE;
}

static const char *unstored(enum core_request_kind kind)
{
    return kind == CORE_EXPEL || kind == CORE_REVOKE
               ? "who is up was told, but it is not on this disk: say it again, here or on another "
                 "member"
               : "it is in force, but not on disk: this agent forgets it when it restarts";
}

void core_request_stored(struct core *core, uint64_t token, bool failed)
{
    for (uint32_t i = 0; i < core->request_top; i++) {
        struct request *request = &core->requests[i];

        if (request->used && request->stage == STAGE_STORE && request->store_token == token) {
            request_answer(core, request, failed ? OVERLAY_FAILED : OVERLAY_OK,
                           failed ? unstored(request->kind) : "");
            return;
        }
    }
}

void begin_come_back(struct core *core, struct request *request, const struct core_request *from)
{
    (void)from;
    (void)executor_step_aside(core->executor, &core->turn, false);
    request_answer(core, request, OVERLAY_OK, "");
}

void begin_step_aside(struct core *core, struct request *request, const struct core_request *from)
{
    request->stage = STAGE_ASIDE;
    request->until_ms = core->turn.now_ms + from->within_ms;
    if (!executor_step_aside(core->executor, &core->turn, true)) {
        request_answer(core, request, OVERLAY_OK, "");
    }
}
