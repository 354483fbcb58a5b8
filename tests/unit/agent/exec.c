// SPDX-License-Identifier: GPL-3.0-or-later
/* Commands in replicas: whose they are, what a signature is good for, and when they end. */
#include "agent/core/exec.h"

#include "agent/core/internal.h"
#include "tests/unit/agent/alone.h"

static enum overlay_outcome ask(struct edge *edge, const minga_ExecAsk *what)
{
    uint8_t bytes[minga_ExecAsk_size];
    int length = signed_encode_body(minga_ExecAsk_fields, what, bytes, sizeof(bytes));
    struct core_request request = {.kind = CORE_ASK_EXEC,
                                   .node = overlay_self(core_overlay(edge->core)),
                                   .signed_bytes = {bytes, (size_t)length}};

    return outcome_of(edge, &request);
}

static minga_ExecAsk hello(struct edge *edge)
{
    minga_ExecAsk said = {.what = EXEC_ASK_HELLO};

    cr_assert_eq(ask(edge, &said), OVERLAY_OK, "%s", edge->answer.reason);
    cr_assert_eq(edge->answer.data.length_bytes, EXEC_SESSION_BYTES);
    said.session.size = EXEC_SESSION_BYTES;
    memcpy(said.session.bytes, edge->logs, EXEC_SESSION_BYTES);
    return said;
}

/* What the owner of the fixture's service signs to run "ls -l" in its replica. */
static minga_ExecRequest request_for(struct edge *edge, const minga_ExecAsk *session)
{
    minga_ExecRequest request = minga_ExecRequest_init_zero;
    struct node_id self = overlay_self(core_overlay(edge->core));
    struct core_replica replica;

    core_replica(edge->core, 0, edge->now_ms, &replica);
    memcpy(request.session, session->session.bytes, EXEC_SESSION_BYTES);
    memcpy(request.node, self.id.bytes, ID_BYTES);
    memcpy(request.service, replica.key.service.id.bytes, ID_BYTES);
    request.slot = replica.key.slot;
    request.incarnation = replica.key.incarnation;
    request.kind = EXEC_RUN;
    request.time_ms = 30000;
    request.words.size = 6;
    memcpy(request.words.bytes, "ls\0-l", 6);
    return request;
}

static enum overlay_outcome open_with(struct edge *edge, minga_ExecAsk *session,
                                      const minga_ExecRequest *request,
                                      const struct secret_key *key)
{
    minga_Signed envelope;
    int length;

    cr_assert_eq(signed_make(minga_ExecRequest_fields, request, PURPOSE_EXEC, key, &envelope), 0);
    length = signed_encode(&envelope, session->data.bytes, sizeof(session->data.bytes));
    cr_assert_gt(length, 0);
    session->data.size = (pb_size_t)length;
    session->what = EXEC_ASK_OPEN;
    return ask(edge, session);
}

static enum overlay_outcome say(struct edge *edge, const minga_ExecAsk *session,
                                enum exec_what what)
{
    minga_ExecAsk asked = {.what = what, .session = {EXEC_SESSION_BYTES, {0}}};

    memcpy(asked.session.bytes, session->session.bytes, EXEC_SESSION_BYTES);
    return ask(edge, &asked);
}

static minga_ExecAsk open_one(struct edge *edge)
{
    minga_ExecAsk session = hello(edge);
    minga_ExecRequest request = request_for(edge, &session);

    cr_assert_eq(open_with(edge, &session, &request, &edge->owner), OVERLAY_OK, "%s",
                 edge->answer.reason);
    return session;
}

Test(exec, the_owner_runs_a_command_in_its_replica)
{
    struct edge *edge = edge_running();
    minga_ExecAsk session = open_one(edge);
    struct exec_begin begin;

    cr_assert_eq(edge->exec.what, EXEC_ASK_OPEN);
    cr_assert_eq(edge->exec_replica.slot, 1);
    cr_assert_eq(exec_begin_decode(
                     (struct bytes){edge->exec_data + 4, edge->exec.data.length_bytes - 4}, &begin),
                 0);
    cr_assert_eq(begin.word_count, 2);
    cr_assert_str_eq(begin.words, "ls");
    cr_assert_eq(begin.time_ms, 30000);
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_OK);
    cr_assert_str_eq(edge->logs, "output");
    cr_assert(edge->answer.data_ended);
    cr_assert_eq(say(edge, &session, EXEC_ASK_CLOSE), OVERLAY_OK);
    cr_assert_eq(edge->exec.what, EXEC_ASK_CLOSE);
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_REFUSED);
    edge_free(edge);
}

Test(exec, nobody_but_the_owner_may)
{
    struct edge *edge = edge_running();
    struct secret_key other = key_of(77);
    minga_ExecAsk session = hello(edge);
    minga_ExecRequest request = request_for(edge, &session);

    cr_assert_eq(open_with(edge, &session, &request, &other), OVERLAY_REFUSED);
    cr_assert_str_eq(edge->answer.reason, "the service is somebody else's");
    cr_assert_eq(edge->exec_count, 0);
    /* The session is used up by that. */
    cr_assert_eq(open_with(edge, &session, &request, &edge->owner), OVERLAY_REFUSED);
    cr_assert_eq(edge->exec_count, 0);
    edge_free(edge);
}

Test(exec, a_signature_is_good_for_what_it_names_only)
{
    struct edge *edge = edge_running();

    for (int i = 0; i < 7; i++) {
        minga_ExecAsk session = hello(edge);
        minga_ExecRequest request = request_for(edge, &session);

        request.session[0] ^= i == 0 ? 1 : 0;
        request.node[5] ^= i == 1 ? 1 : 0;
        request.service[9] ^= i == 2 ? 1 : 0;
        request.slot += i == 3 ? 1 : 0;
        request.incarnation += i == 4 ? 1 : 0;
        request.kind = i == 5 ? EXEC_KIND_COUNT : request.kind;
        request.words.bytes[5] = i == 6 ? 'x' : '\0';
        cr_assert_eq(open_with(edge, &session, &request, &edge->owner), OVERLAY_REFUSED, "%d", i);
    }
    cr_assert_eq(edge->exec_count, 0);
    edge_free(edge);
}

Test(exec, a_recorded_signature_opens_nothing_again)
{
    struct edge *edge = edge_running();
    minga_ExecAsk first = open_one(edge);
    minga_ExecAsk second;

    cr_assert_eq(ask(edge, &first), OVERLAY_REFUSED); /* the same once more */
    second = hello(edge);
    second.what = EXEC_ASK_OPEN;
    second.data.size = first.data.size;
    memcpy(second.data.bytes, first.data.bytes, first.data.size);
    cr_assert_eq(ask(edge, &second), OVERLAY_REFUSED); /* in another session */
    cr_assert_eq(say(edge, &first, EXEC_ASK_CLOSE), OVERLAY_OK);
    cr_assert_eq(ask(edge, &first), OVERLAY_REFUSED); /* after the first is over */
    cr_assert_eq(edge->exec_count, 2);                /* OPEN and CLOSE of the first */
    edge_free(edge);
}

Test(exec, an_altered_signature_is_none)
{
    struct edge *edge = edge_running();
    minga_ExecAsk session = hello(edge);
    minga_ExecRequest request = request_for(edge, &session);
    minga_Signed envelope;

    cr_assert_eq(
        signed_make(minga_ExecRequest_fields, &request, PURPOSE_EXEC, &edge->owner, &envelope), 0);
    envelope.body.bytes[envelope.body.size - 2] ^= 1;
    session.what = EXEC_ASK_OPEN;
    session.data.size =
        (pb_size_t)signed_encode(&envelope, session.data.bytes, sizeof(session.data.bytes));
    cr_assert_eq(ask(edge, &session), OVERLAY_REFUSED);
    cr_assert_str_eq(edge->answer.reason, "the signature is not valid");
    /* Nor is one that was made for something else. */
    session = hello(edge);
    request = request_for(edge, &session);
    cr_assert_eq(
        signed_make(minga_ExecRequest_fields, &request, PURPOSE_RECORD, &edge->owner, &envelope),
        0);
    session.what = EXEC_ASK_OPEN;
    session.data.size =
        (pb_size_t)signed_encode(&envelope, session.data.bytes, sizeof(session.data.bytes));
    cr_assert_eq(ask(edge, &session), OVERLAY_REFUSED);
    edge_free(edge);
}

Test(exec, a_session_belongs_to_the_node_that_opened_it)
{
    struct edge *edge = edge_running();
    minga_ExecAsk session = open_one(edge);
    struct overlay_ask question = {.direct = true, .wants_answer = true};
    struct exec_asker other = {.ask = &question};
    minga_ExecAnswer answer = minga_ExecAnswer_init_zero;

    other.node.id.bytes[3] = 42;
    session.what = EXEC_ASK_READ;
    session.data.size = 0;
    cr_assert(core_exec_ask(edge->core, &other, &session, &answer));
    cr_assert_str_neq(answer.refusal, "");
    session.what = EXEC_ASK_CLOSE;
    cr_assert(core_exec_ask(edge->core, &other, &session, &answer));
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_OK);
    edge_free(edge);
}

Test(exec, what_nobody_asks_about_any_more_is_ended)
{
    struct edge *edge = edge_running();
    minga_ExecAsk session = open_one(edge);

    run(edge, EXEC_SILENT_MS - 100);
    cr_assert_eq(edge->exec.what, EXEC_ASK_OPEN);
    cr_assert_eq(say(edge, &session, EXEC_ASK_KEEP), OVERLAY_OK);
    run(edge, EXEC_SILENT_MS - 100);
    cr_assert_eq(edge->exec.what, EXEC_ASK_OPEN);
    run(edge, 200);
    cr_assert_eq(edge->exec.what, EXEC_ASK_CLOSE);
    cr_assert_eq(say(edge, &session, EXEC_ASK_KEEP), OVERLAY_REFUSED);
    edge_free(edge);
}

Test(exec, hellos_without_end_take_no_open_session_away)
{
    struct edge *edge = edge_running();
    minga_ExecAsk session = open_one(edge);
    minga_ExecAsk last = session;

    for (int i = 0; i < EXEC_SESSIONS_MAX + 30; i++) {
        minga_ExecAsk next = hello(edge);

        cr_assert_neq(memcmp(next.session.bytes, last.session.bytes, EXEC_SESSION_BYTES), 0);
        last = next;
    }
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_OK);
    edge_free(edge);
}

Test(exec, as_many_run_in_one_replica_as_are_allowed)
{
    struct edge *edge = edge_running();
    minga_ExecAsk session;
    minga_ExecRequest request;

    for (int i = 0; i < EXECS_PER_REPLICA_MAX; i++) {
        session = open_one(edge);
    }
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_OK);
    minga_ExecAsk more = hello(edge);
    request = request_for(edge, &more);
    cr_assert_eq(open_with(edge, &more, &request, &edge->owner), OVERLAY_REFUSED);
    cr_assert_eq(say(edge, &session, EXEC_ASK_CLOSE), OVERLAY_OK);
    (void)open_one(edge);
    edge_free(edge);
}

Test(exec, a_paused_node_runs_nothing)
{
    struct edge *edge = edge_running();
    struct core_request pause = {.kind = CORE_PAUSE};
    minga_ExecAsk session = hello(edge);
    minga_ExecRequest request = request_for(edge, &session);

    cr_assert_eq(outcome_of(edge, &pause), OVERLAY_OK);
    cr_assert_eq(open_with(edge, &session, &request, &edge->owner), OVERLAY_REFUSED);
    cr_assert_eq(edge->exec_count, 0);
    edge_free(edge);
}

Test(exec, who_reads_of_a_frozen_replica_is_told_so_once_nothing_comes_any_more)
{
    struct edge *edge = edge_running();
    struct core_request pause = {.kind = CORE_PAUSE};
    struct core_request resume = {.kind = CORE_RESUME};
    minga_ExecAsk session = open_one(edge);

    edge->exec_is_silent = true;
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_OK, "it has nothing to say yet");
    cr_assert_eq(outcome_of(edge, &pause), OVERLAY_OK);
    cr_assert_eq(say(edge, &session, EXEC_ASK_WRITE), OVERLAY_OK, "input may wait");
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_REFUSED);
    cr_assert(strstr(edge->answer.reason, "frozen") != NULL, "%s", edge->answer.reason);
    edge->exec_is_silent = false;
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_OK, "what it said before is not lost");
    cr_assert(edge->answer.data_ended);
    edge->exec_is_silent = true;
    cr_assert_eq(outcome_of(edge, &resume), OVERLAY_OK);
    cr_assert_eq(say(edge, &session, EXEC_ASK_READ), OVERLAY_OK);
    edge_free(edge);
}
