// SPDX-License-Identifier: GPL-3.0-or-later
/* Requests by which a machine's owner says what may run here now. */
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

/* An order is in force at once, and answered when it is still so after a restart. */
void core_request_stored(struct core *core, uint64_t token, bool failed)
{
    for (uint32_t i = 0; i < core->request_top; i++) {
        struct request *request = &core->requests[i];

        if (request->used && request->stage == STAGE_STORE && request->store_token == token) {
            request_answer(
                core, request, failed ? OVERLAY_FAILED : OVERLAY_OK,
                failed ? "it is in force, but not on disk: this agent forgets it when it restarts"
                       : "");
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
