// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Commands and copies inside replicas on this node, for their owners, wherever those are.
 *
 *     asker's node                          the replica's node
 *     HELLO                                 a session: a number that was never used before
 *     OPEN: the owner has signed session,   checks the signature, that the replica is the one that
 *     node, replica and command             runs here, and opens a way into its sandbox
 *     READ, WRITE, KEEP, as often as it     bytes in order, each with its offset: what is repeated
 *     takes                                 or lost does no harm
 *     CLOSE, or EXEC_SILENT_MS of silence   what still runs is killed
 *
 * A signature opens one session, once: who has recorded it can do nothing with it, here or
 * elsewhere, and no clocks need to agree. A session belongs to the node that has opened it.
 *
 * Of a replica that is frozen, for its node is paused or a rule of its owner says so, what was said
 * before can still be read; then READ is refused, so that nobody waits for a thaw.
 *
 * Pure; part of the core. The bytes themselves are the edge's: CORE_EXEC asks it, CORE_EXEC_DONE
 * answers.
 */
#include <stdbool.h>

#include "agent/core/core.h"
#include "agent/core/message.h"
#include "agent/core/outbox.h"
#include "sandbox/exec_protocol.h"

struct executor;

enum {
    EXEC_SESSIONS_MAX = 64,    /* those said HELLO to, too */
    EXEC_HELLOS_PER_NODE = 16, /* of one asker, not opened yet: its oldest gives way */
    EXEC_HELLO_MS = 20000,     /* from HELLO to OPEN: the owner's key may need a passphrase */
    EXEC_SILENT_MS = 10000,    /* without a word of the asker */
    EXEC_ASKS_MAX = 256,       /* at the edge, outstanding */
    EXECS_PER_OWNER_MAX = 16,  /* of EXECS_PER_NODE_MAX */
};

enum exec_session_state { EXEC_FREE, EXEC_GREETED, EXEC_OPEN };

struct exec_session {
    enum exec_session_state state;
    uint8_t id[EXEC_SESSION_BYTES];
    struct node_id asker;
    uint64_t heard_ms;
    uint64_t number; /* for the edge; OPEN */
    struct replica_key replica;
    struct public_key owner_key;
};

struct exec_ask { /* at the edge: for another node, or for a request of ours */
    bool used;
    bool is_local;
    bool is_read;
    struct overlay_ask ask;
    struct ask local;
};

struct execs {
    uint64_t seed;
    uint64_t last_number;
    struct exec_session sessions[EXEC_SESSIONS_MAX];
    struct exec_ask asks[EXEC_ASKS_MAX];
};

/* `seed` is another one each time this node starts. */
void execs_init(struct execs *execs, uint64_t seed);

/* Who asks: another node, which proved it by the link, or a request of this node's API. */
struct exec_asker {
    struct node_id node;
    const struct overlay_ask *ask; /* NULL: `local` */
    const struct ask *local;
};
/* True: *answer_out is the answer; false: it comes by core_exec_done. */
bool core_exec_ask(struct core *core, const struct exec_asker *asker, const minga_ExecAsk *ask,
                   minga_ExecAnswer *answer_out);
/* CORE_EXEC_DONE */
void core_exec_done(struct core *core, const struct core_event *event);
/* Ends what nobody asks about any more. */
void core_exec_tick(struct core *core);
uint64_t core_exec_wake_ms(const struct core *core);
