// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/exec.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/internal.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/wire.h"
#include "overlay/signed.h"

static_assert(sizeof(((minga_ExecRequest *)NULL)->words.bytes) == EXEC_WORDS_BYTES_MAX,
              "what can be signed can be run");
static_assert((int)EXEC_SESSIONS_MAX > (int)EXECS_PER_NODE_MAX, "there is always room for a HELLO");

void execs_init(struct execs *execs, uint64_t seed)
{
    memset(execs, 0, sizeof(*execs));
    execs->seed = seed;
}

static bool refuse(minga_ExecAnswer *answer, const char *why)
{
    (void)text_copy(answer->refusal, sizeof(answer->refusal), why);
    return true;
}

/* ------------------------------------------------------------------ sessions */

static struct exec_session *find_session(struct execs *execs, const struct node_id *asker,
                                         const minga_ExecAsk *ask)
{
    for (uint32_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
        struct exec_session *session = &execs->sessions[i];

        if (session->state != EXEC_FREE && ask->session.size == EXEC_SESSION_BYTES &&
            id_equal(&session->asker.id, &asker->id) &&
            memcmp(session->id, ask->session.bytes, EXEC_SESSION_BYTES) == 0) {
            return session;
        }
    }
    return NULL;
}

/* The oldest one that is not open: of `asker`, or (NULL) of anybody. */
static struct exec_session *oldest_greeted(struct execs *execs, const struct node_id *asker,
                                           uint32_t *count_out)
{
    struct exec_session *oldest = NULL;

    *count_out = 0;
    for (uint32_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
        struct exec_session *session = &execs->sessions[i];

        if (session->state == EXEC_GREETED &&
            (asker == NULL || id_equal(&session->asker.id, &asker->id))) {
            (*count_out)++;
            oldest = oldest == NULL || session->heard_ms < oldest->heard_ms ? session : oldest;
        }
    }
    return oldest;
}

/* Whoever floods us with HELLOs loses its own first, then makes the others' early ones fail. */
static struct exec_session *session_place(struct execs *execs, const struct node_id *asker)
{
    uint32_t count = 0;
    struct exec_session *own = oldest_greeted(execs, asker, &count);

    if (count >= EXEC_HELLOS_PER_NODE) {
        return own;
    }
    for (uint32_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
        if (execs->sessions[i].state == EXEC_FREE) {
            return &execs->sessions[i];
        }
    }
    return oldest_greeted(execs, NULL, &count);
}

static bool hello(struct core *core, const struct exec_asker *asker, minga_ExecAnswer *answer)
{
    struct execs *execs = &core->execs;
    struct exec_session *session = session_place(execs, &asker->node);
    uint8_t seed[16 + ID_BYTES];
    struct wire_writer wire = wire_writer(seed, sizeof(seed));
    struct id id;

    CHECK(session != NULL); /* fewer can be open than there are */
    wire_put_u64(&wire, execs->seed);
    wire_put_u64(&wire, ++execs->last_number);
    wire_put_id(&wire, &core->around.node.id);
    CHECK(wire_ok(&wire));
    id = hash_of("minga exec session", (struct bytes){seed, sizeof(seed)});
    memset(session, 0, sizeof(*session));
    session->state = EXEC_GREETED;
    session->asker = asker->node;
    session->heard_ms = core->turn.now_ms;
    memcpy(session->id, id.bytes, EXEC_SESSION_BYTES);
    answer->data.size = EXEC_SESSION_BYTES;
    memcpy(answer->data.bytes, id.bytes, EXEC_SESSION_BYTES);
    return true;
}

/* ------------------------------------------------------------------ to the edge */

static struct exec_ask *ask_place(struct execs *execs)
{
    for (uint32_t i = 0; i < EXEC_ASKS_MAX; i++) {
        if (!execs->asks[i].used) {
            return &execs->asks[i];
        }
    }
    return NULL;
}

/* Returns false: the edge answers; true: it cannot be asked, *answer says why. */
static bool ask_edge(struct core *core, const struct exec_asker *asker,
                     const struct exec_session *session, const struct core_exec *exec,
                     uint64_t offset_bytes)
{
    struct exec_ask *place = ask_place(&core->execs);
    struct core_effect *effect;

    if (place == NULL) {
        return true;
    }
    *place = (struct exec_ask){
        .used = true, .is_local = asker->ask == NULL, .is_read = exec->what == EXEC_ASK_READ};
    if (asker->ask != NULL) {
        place->ask = *asker->ask;
    } else {
        place->local = *asker->local;
    }
    effect = core_emit(core, CORE_EXEC);
    effect->replica = session->replica;
    effect->offset_bytes = offset_bytes;
    effect->token = (uint64_t)(place - core->execs.asks) + 1;
    effect->exec = *exec;
    effect->exec.number = session->number;
    effect->exec.data = core_copy(core, exec->data);
    if (exec->data.length_bytes > 0 && effect->exec.data.length_bytes == 0) {
        place->used = false;
        core->effects->count--;
        return true;
    }
    return false;
}

/* A command in a frozen replica neither goes on nor is ended: whoever waits for it is told. */
static bool is_standing_still(const struct core *core, const struct exec_ask *asked,
                              const struct core_event *event)
{
    return asked->is_read && event->logs.length_bytes == 0 && !event->logs_ended &&
           executor_is_paused(core->executor);
}

void core_exec_done(struct core *core, const struct core_event *event)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_ExecAnswer *answer = &message.body.exec_answer;
    size_t length = event->logs.length_bytes;
    struct exec_ask *place;

    if (event->token == 0 || event->token > EXEC_ASKS_MAX ||
        !core->execs.asks[event->token - 1].used) {
        return;
    }
    place = &core->execs.asks[event->token - 1];
    place->used = false;
    message.which_body = minga_AgentMessage_exec_answer_tag;
    if (event->failed) {
        (void)refuse(answer, event->reason[0] != '\0' ? event->reason : "it failed");
    } else if (is_standing_still(core, place, event)) {
        (void)refuse(answer, "the replica was frozen: its node is paused");
    }
    length = length < EXEC_WINDOW_BYTES_MAX ? length : EXEC_WINDOW_BYTES_MAX;
    if (length > 0) {
        memcpy(answer->data.bytes, event->logs.data, length);
    }
    answer->data.size = (pb_size_t)length;
    answer->offset_bytes = event->logs_offset_bytes;
    answer->ended = event->logs_ended;
    if (place->is_local) {
        core_answered(core, &place->local, &message);
    } else {
        core_reply(core, &place->ask, &message);
    }
}

/* ------------------------------------------------------------------ opening */

/* NULL, or why the session is not opened. */
static const char *request_fault(const struct core *core, const struct exec_session *session,
                                 const minga_ExecRequest *request, struct exec_begin *begin_out)
{
    const struct bytes words = {request->words.bytes, request->words.size};

    if (memcmp(request->session, session->id, EXEC_SESSION_BYTES) != 0 ||
        memcmp(request->node, core->around.node.id.bytes, ID_BYTES) != 0) {
        return "the signature is for another session or node";
    }
    memset(begin_out, 0, sizeof(*begin_out));
    begin_out->word_count = exec_count_words(words);
    if (request->kind >= EXEC_KIND_COUNT || begin_out->word_count == 0 || request->time_ms == 0 ||
        request->time_ms > EXEC_MS_MAX) {
        return "what is to be run is not readable";
    }
    begin_out->kind = (enum exec_kind)request->kind;
    begin_out->time_ms = request->time_ms;
    memcpy(begin_out->words, words.data, words.length_bytes);
    return NULL;
}

static bool is_same(const struct replica_key *a, const struct replica_key *b)
{
    return a->slot == b->slot && a->incarnation == b->incarnation &&
           id_equal(&a->service.id, &b->service.id);
}

static const char *room_fault(const struct execs *execs, const struct replica_key *replica,
                              const struct public_key *owner_key)
{
    uint32_t open_count = 0;
    uint32_t replica_count = 0;
    uint32_t owner_count = 0;

    for (uint32_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
        const struct exec_session *session = &execs->sessions[i];

        if (session->state == EXEC_OPEN) {
            open_count++;
            replica_count += is_same(&session->replica, replica) ? 1 : 0;
            owner_count +=
                memcmp(session->owner_key.bytes, owner_key->bytes, PUBLIC_KEY_BYTES) == 0 ? 1 : 0;
        }
    }
    if (replica_count >= EXECS_PER_REPLICA_MAX) {
        return "too many commands run in this replica already";
    }
    return open_count >= EXECS_PER_NODE_MAX || owner_count >= EXECS_PER_OWNER_MAX
               ? "too many commands run on its node already"
               : NULL;
}

/* What makes a session somebody's: the signature of the service's owner over it. */
static const char *open_fault(struct core *core, struct exec_session *session,
                              const minga_ExecAsk *ask, struct exec_begin *begin_out)
{
    minga_ExecRequest request;
    minga_Signed signed_thing;
    const char *fault;

    if (session->state != EXEC_GREETED) {
        return "the session is open already";
    }
    if (signed_decode((struct bytes){ask->data.bytes, ask->data.size}, &signed_thing) < 0 ||
        signed_open(&signed_thing, PURPOSE_EXEC, minga_ExecRequest_fields, &request) < 0) {
        return "the signature is not valid";
    }
    fault = request_fault(core, session, &request, begin_out);
    if (fault != NULL) {
        return fault;
    }
    memcpy(session->owner_key.bytes, signed_thing.key, PUBLIC_KEY_BYTES);
    memcpy(session->replica.service.id.bytes, request.service, ID_BYTES);
    session->replica.slot = request.slot;
    session->replica.incarnation = request.incarnation;
    fault = executor_exec_fault(core->executor, &session->replica, &session->owner_key);
    return fault != NULL ? fault : room_fault(&core->execs, &session->replica, &session->owner_key);
}

static bool open_session(struct core *core, const struct exec_asker *asker,
                         struct exec_session *session, const minga_ExecAsk *ask,
                         minga_ExecAnswer *answer)
{
    uint8_t bytes[EXEC_BEGIN_BYTES_MAX];
    struct core_exec exec = {.what = EXEC_ASK_OPEN};
    struct exec_begin begin;
    const char *fault = open_fault(core, session, ask, &begin);

    if (fault != NULL) {
        if (session->state == EXEC_GREETED) { /* one try */
            session->state = EXEC_FREE;
        }
        return refuse(answer, fault);
    }
    exec.data = (struct bytes){bytes, exec_begin_encode(&begin, bytes)};
    session->state = EXEC_OPEN;
    session->number = ++core->execs.last_number;
    if (ask_edge(core, asker, session, &exec, 0)) {
        session->state = EXEC_FREE;
        return refuse(answer, "its node is too busy");
    }
    return false;
}

static void close_session(struct core *core, struct exec_session *session)
{
    if (session->state == EXEC_OPEN) {
        struct core_effect *effect = core_emit(core, CORE_EXEC);

        effect->replica = session->replica;
        effect->exec.what = EXEC_ASK_CLOSE;
        effect->exec.number = session->number;
    }
    session->state = EXEC_FREE;
}

/* ------------------------------------------------------------------ what members ask */

static bool in_session(struct core *core, const struct exec_asker *asker,
                       struct exec_session *session, const minga_ExecAsk *ask,
                       minga_ExecAnswer *answer)
{
    struct core_exec exec = {.what = (enum exec_what)ask->what,
                             .taken_bytes = ask->taken_bytes,
                             .wait = ask->wait,
                             .data = {ask->data.bytes, ask->data.size}};

    switch (ask->what) {
    case EXEC_ASK_OPEN:
        return open_session(core, asker, session, ask, answer);
    case EXEC_ASK_READ:
    case EXEC_ASK_WRITE:
        if (session->state != EXEC_OPEN) {
            return refuse(answer, "the session is not open");
        }
        return ask_edge(core, asker, session, &exec, ask->offset_bytes) &&
               refuse(answer, "its node is too busy");
    case EXEC_ASK_CLOSE:
        close_session(core, session);
        return true;
    default: /* KEEP */
        return true;
    }
}

bool core_exec_ask(struct core *core, const struct exec_asker *asker, const minga_ExecAsk *ask,
                   minga_ExecAnswer *answer_out)
{
    struct exec_session *session;

    CHECK((asker->ask == NULL) != (asker->local == NULL));
    if (ask->what == EXEC_ASK_HELLO) {
        return hello(core, asker, answer_out);
    }
    session = find_session(&core->execs, &asker->node, ask);
    if (session == NULL) {
        return refuse(answer_out, "there is no such session, or not any more");
    }
    session->heard_ms = core->turn.now_ms;
    return in_session(core, asker, session, ask, answer_out);
}

/* ------------------------------------------------------------------ time */

static uint64_t over_ms(const struct exec_session *session)
{
    return session->heard_ms +
           (uint64_t)(session->state == EXEC_OPEN ? EXEC_SILENT_MS : EXEC_HELLO_MS);
}

void core_exec_tick(struct core *core)
{
    for (uint32_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
        struct exec_session *session = &core->execs.sessions[i];

        if (session->state != EXEC_FREE && core->turn.now_ms >= over_ms(session)) {
            close_session(core, session);
        }
    }
}

uint64_t core_exec_wake_ms(const struct core *core)
{
    uint64_t wake_ms = UINT64_MAX;

    for (uint32_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
        const struct exec_session *session = &core->execs.sessions[i];

        if (session->state != EXEC_FREE && over_ms(session) < wake_ms) {
            wake_ms = over_ms(session);
        }
    }
    return wake_ms;
}
