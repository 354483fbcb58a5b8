// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/pass.h"

#include <string.h>

#include "agent/core/internal.h"
#include "base/check.h"
#include "base/wire.h"

#define PURPOSE_PASS "minga pass"

enum { PASS_BYTES = 2 * ID_BYTES + 4 + 8 + 2 + 8 + 8 };

static_assert((int)RELAY_SECRET_BYTES == (int)(sizeof(((minga_PassAnswer *)NULL)->secret.bytes)),
              "the secret travels whole");

void pass_secret(const struct core *core, const struct pass *pass,
                 uint8_t secret_out[RELAY_SECRET_BYTES])
{
    uint8_t bytes[PASS_BYTES];
    struct wire_writer wire = wire_writer(bytes, sizeof(bytes));

    wire_put_id(&wire, &pass->member.id);
    wire_put_id(&wire, &pass->replica.service.id);
    wire_put_u32(&wire, pass->replica.slot);
    wire_put_u64(&wire, pass->replica.incarnation);
    wire_put_u16(&wire, pass->host_port);
    wire_put_u64(&wire, pass->until_ms);
    /* Its clock begins again with the machine; what was given before is not to be good again. */
    wire_put_u64(&wire, core->config.overlay.seed);
    CHECK(wire_ok(&wire) && wire.written_bytes == sizeof(bytes));
    overlay_secret(core->overlay, PURPOSE_PASS, (struct bytes){bytes, sizeof(bytes)}, secret_out);
}

void core_pass_ask(struct core *core, const struct node_id *asker, const minga_PassAsk *ask,
                   minga_PassAnswer *answer_out)
{
    struct pass pass = {.member = *asker, .until_ms = core->turn.now_ms + PASS_MS};
    const char *fault = executor_pass_fault(core->executor, ask, &pass);

    if (fault != NULL) {
        (void)text_copy(answer_out->refusal, sizeof(answer_out->refusal), fault);
        return;
    }
    answer_out->until = pass.until_ms;
    answer_out->secret.size = RELAY_SECRET_BYTES;
    pass_secret(core, &pass, answer_out->secret.bytes);
}
