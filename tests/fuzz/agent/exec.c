// SPDX-License-Identifier: GPL-3.0-or-later
/* Whatever members ask about commands in replicas: without an owner's signature nothing is run. */
#include <stdlib.h>
#include <string.h>

#include "agent/core/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

static struct core *make_core(struct core_effects **effects_out)
{
    static const uint8_t seed[KEY_SEED_BYTES] = {7};
    static struct core_config config;
    struct core *core;

    config.port_first = config.port_last = 31000;
    config.overlay.seed = 7;
    keys_from_seed(seed, &config.overlay.node_key);
    core = core_new(&config);
    *effects_out = calloc(1, sizeof(**effects_out));
    CHECK(core != NULL && *effects_out != NULL);
    return core;
}

/* One question: a byte of time, whose it is, then its bytes; a HELLO's session may be used. */
static void ask_one(struct core *core, const uint8_t *data, size_t length_bytes)
{
    static uint8_t session[EXEC_SESSION_BYTES];
    struct overlay_ask question = {.direct = true, .wants_answer = true};
    struct exec_asker asker = {.ask = &question};
    minga_ExecAnswer answer = minga_ExecAnswer_init_zero;
    minga_ExecAsk ask;

    core->turn.now_ms += data[0] * 100U;
    asker.node.id.bytes[0] = data[1] % 3;
    if (signed_decode_body(minga_ExecAsk_fields, (struct bytes){data + 2, length_bytes - 2}, &ask) <
        0) {
        return;
    }
    if (ask.session.size == 1) {
        ask.session.size = EXEC_SESSION_BYTES;
        memcpy(ask.session.bytes, session, EXEC_SESSION_BYTES);
    }
    CHECK(core_exec_ask(core, &asker, &ask, &answer));
    if (ask.what == EXEC_ASK_HELLO) {
        CHECK(answer.data.size == EXEC_SESSION_BYTES);
        memcpy(session, answer.data.bytes, EXEC_SESSION_BYTES);
    }
    core_exec_tick(core);
    CHECK(core->effects->count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    static struct core *core;
    static struct core_effects *effects;

    if (core == NULL) {
        core = make_core(&effects);
        core->turn.now_ms = 1000;
        core->effects = effects;
    }
    while (length_bytes >= 3) {
        size_t part = 1 + (size_t)data[0] % 64;

        part = part + 1 < length_bytes ? part : length_bytes - 1;
        if (part >= 2) {
            ask_one(core, data + 1, part);
        }
        data += part + 1;
        length_bytes -= part + 1;
    }
    return 0;
}
