// SPDX-License-Identifier: GPL-3.0-or-later
/* The link against a helper that this test plays itself, on the same loop. */
#include "agent/mingad/replicas/sandbox_link.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "sandbox/request.h"

enum { ASKED_MAX = 64, ROUNDS_MAX = 4000 };

struct fixture {
    uv_loop_t loop;
    char folder[32];
    char path[64];
    int listen_fd;
    int helper_fd;
    struct sandbox_link *link;
    enum helper_request_kind asked[ASKED_MAX];
    uint32_t asked_count;
    struct helper_request last;
    uint32_t up_count;
    uint32_t listed_count;
    uint32_t down_count;
    char down_reason[REASON_CHARS_MAX + 1];
    uint32_t event_count;
    struct sandbox_event event;
    uint32_t logs_count;
    uint64_t logs_tokens[8];
    char logs_text[64];
    bool logs_ended;
    uint32_t programs_count;
    struct sandbox_programs programs;
};

static void on_up(void *context)
{
    ((struct fixture *)context)->up_count++;
}

static void on_listed(void *context)
{
    ((struct fixture *)context)->listed_count++;
}

static void on_down(void *context, const char *reason)
{
    struct fixture *fixture = context;

    (void)snprintf(fixture->down_reason, sizeof(fixture->down_reason), "%s", reason);
    fixture->down_count++;
}

static void on_event(void *context, const struct sandbox_event *event)
{
    struct fixture *fixture = context;

    fixture->event_count++;
    fixture->event = *event;
}

static void on_logs(void *context, uint64_t token, struct bytes bytes, uint64_t offset_bytes,
                    bool ended)
{
    struct fixture *fixture = context;

    (void)offset_bytes;
    fixture->logs_tokens[fixture->logs_count++] = token;
    memcpy(fixture->logs_text, bytes.data == NULL ? (const uint8_t *)"" : bytes.data,
           bytes.length_bytes);
    fixture->logs_text[bytes.length_bytes] = '\0';
    fixture->logs_ended = ended;
}

static void on_programs(void *context, const struct sandbox_programs *running)
{
    struct fixture *fixture = context;

    fixture->programs_count++;
    fixture->programs = *running;
}

static void listen_as_helper(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    unlink(fixture->path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
    fixture->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(fixture->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fixture->listen_fd, 4), 0);
}

static struct fixture *set_up(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    strcat(fixture->folder, "/tmp/minga-link-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/sock", fixture->folder);
    uv_loop_init(&fixture->loop);
    fixture->helper_fd = -1;
    fixture->listen_fd = -1;
    struct sandbox_link_config config = {.loop = &fixture->loop,
                                         .socket_path = fixture->path,
                                         .down_reason = "no helper",
                                         .events = {.context = fixture,
                                                    .up = on_up,
                                                    .listed = on_listed,
                                                    .down = on_down,
                                                    .event = on_event,
                                                    .logs = on_logs,
                                                    .programs = on_programs}};

    fixture->link = sandbox_link_new(&config);
    cr_assert_not_null(fixture->link);
    return fixture;
}

static void close_helper(struct fixture *fixture)
{
    close(fixture->helper_fd);
    fixture->helper_fd = -1;
}

static void tear_down(struct fixture *fixture)
{
    sandbox_link_close(fixture->link);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&fixture->loop), 0);
    sandbox_link_free(fixture->link);
    close(fixture->helper_fd);
    close(fixture->listen_fd);
    unlink(fixture->path);
    rmdir(fixture->folder);
    free(fixture);
}

/* One turn of the loop, and of the helper that only listens. */
static void turn(struct fixture *fixture)
{
    uint8_t packet[HELPER_MESSAGE_BYTES_MAX];
    ssize_t length_bytes;

    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    if (fixture->helper_fd < 0 && fixture->listen_fd >= 0) {
        fixture->helper_fd = accept4(fixture->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    while (fixture->helper_fd >= 0 &&
           (length_bytes = recv(fixture->helper_fd, packet, sizeof(packet), 0)) > 0) {
        cr_assert_eq(
            helper_request_decode((struct bytes){packet, (size_t)length_bytes}, &fixture->last), 0);
        fixture->asked[fixture->asked_count++] = fixture->last.kind;
    }
    usleep(500);
}

static void wait_for(struct fixture *fixture, const uint32_t *counter, uint32_t count)
{
    for (int i = 0; i < ROUNDS_MAX && *counter < count; i++) {
        turn(fixture);
    }
    cr_assert_geq(*counter, count, "not in time");
}

static void say(struct fixture *fixture, const struct helper_answer *answer)
{
    uint8_t packet[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(answer, packet, sizeof(packet));

    cr_assert_gt(length_bytes, 0);
    cr_assert_eq(send(fixture->helper_fd, packet, (size_t)length_bytes, MSG_NOSIGNAL),
                 length_bytes);
}

static void say_event(struct fixture *fixture, enum sandbox_event_kind kind, uint32_t slot)
{
    struct helper_answer answer = {
        .kind = ANSWER_EVENT, .event = {.kind = kind, .key = {.slot = slot, .incarnation = 1}}};

    say(fixture, &answer);
}

static void say_ready(struct fixture *fixture)
{
    say(fixture, &(struct helper_answer){.kind = ANSWER_READY, .version = HELPER_PROTOCOL_VERSION});
}

static void connect_ready(struct fixture *fixture)
{
    listen_as_helper(fixture);
    sandbox_link_start(fixture->link);
    wait_for(fixture, &fixture->asked_count, 2);
    say_ready(fixture);
    wait_for(fixture, &fixture->up_count, 1);
}

TestSuite(sandbox_link, .timeout = 60);

Test(sandbox_link, after_connecting_it_greets_and_asks_what_lives)
{
    struct fixture *fixture = set_up();

    connect_ready(fixture);
    cr_assert_eq(fixture->asked[0], REQUEST_HELLO);
    cr_assert_eq(fixture->asked[1], REQUEST_LIST);
    say_event(fixture, SANDBOX_LISTED, 3);
    say(fixture, &(struct helper_answer){.kind = ANSWER_LIST_END});
    wait_for(fixture, &fixture->listed_count, 1);
    cr_assert_eq(fixture->event_count, 1);
    cr_assert_eq(fixture->event.key.slot, 3);
    tear_down(fixture);
}

Test(sandbox_link, which_programs_run_is_asked_without_naming_any)
{
    struct fixture *fixture = set_up();
    struct helper_answer answer = {.kind = ANSWER_PROGRAMS, .programs = {1, {"blender"}}};

    sandbox_link_programs(fixture->link); /* nobody is there: nothing happens */
    connect_ready(fixture);
    sandbox_link_programs(fixture->link);
    wait_for(fixture, &fixture->asked_count, 3);
    cr_assert_eq(fixture->last.kind, REQUEST_PROGRAMS);
    say(fixture, &answer);
    wait_for(fixture, &fixture->programs_count, 1);
    cr_assert_eq(fixture->programs.count, 1);
    cr_assert_str_eq(fixture->programs.names[0], "blender");
    tear_down(fixture);
}

Test(sandbox_link, only_what_lives_is_renewed)
{
    struct fixture *fixture = set_up();

    connect_ready(fixture);
    say_event(fixture, SANDBOX_LISTED, 1);
    say_event(fixture, SANDBOX_LISTED, 2);
    say_event(fixture, SANDBOX_ENDED, 1);
    wait_for(fixture, &fixture->event_count, 3);
    sandbox_link_renew(fixture->link);
    wait_for(fixture, &fixture->asked_count, 3);
    for (int i = 0; i < 20; i++) {
        turn(fixture);
    }
    cr_assert_eq(fixture->asked_count, 3);
    cr_assert_eq(fixture->last.kind, REQUEST_RENEW);
    cr_assert_eq(fixture->last.spec.key.slot, 2);
    tear_down(fixture);
}

/* A request that crosses an end is answered by that end once more, when the next start is under way. */
Test(sandbox_link, what_has_started_is_renewed_whatever_was_said_of_the_one_before)
{
    struct fixture *fixture = set_up();
    struct sandbox_spec spec = {.key = {.slot = 1, .incarnation = 1},
                                .argument_count = 1,
                                .arguments = "/bin/true",
                                .workdir = "/",
                                .limits = {100, 1 << 24, 1 << 24, 16},
                                .stop_signal = SIGTERM,
                                .logs_bytes = 65536,
                                .hostname = "wiki-1"};

    connect_ready(fixture);
    sandbox_link_start_replica(fixture->link, &spec, NULL);
    say_event(fixture, SANDBOX_ENDED, 1); /* "no such replica here" */
    say_event(fixture, SANDBOX_STARTED, 1);
    wait_for(fixture, &fixture->event_count, 2);
    sandbox_link_renew(fixture->link);
    wait_for(fixture, &fixture->asked_count, 4);
    cr_assert_eq(fixture->last.kind, REQUEST_RENEW);
    cr_assert_eq(fixture->last.spec.key.slot, 1);
    tear_down(fixture);
}

Test(sandbox_link, without_a_helper_it_is_down_once_and_tries_again)
{
    struct fixture *fixture = set_up();

    sandbox_link_start(fixture->link);
    wait_for(fixture, &fixture->down_count, 1);
    listen_as_helper(fixture);
    wait_for(fixture, &fixture->asked_count, 2);
    say_ready(fixture);
    wait_for(fixture, &fixture->up_count, 1);
    cr_assert_eq(fixture->down_count, 1);
    close_helper(fixture);
    wait_for(fixture, &fixture->down_count, 2);
    wait_for(fixture, &fixture->asked_count, 4);
    say_ready(fixture);
    wait_for(fixture, &fixture->up_count, 2);
    tear_down(fixture);
}

Test(sandbox_link, a_helper_that_cannot_hold_the_limits_is_as_good_as_none_until_it_can)
{
    struct fixture *fixture = set_up();
    struct helper_answer answer = {.kind = ANSWER_READY,
                                   .version = HELPER_PROTOCOL_VERSION,
                                   .problem = "see minga check: no memory controller"};

    listen_as_helper(fixture);
    sandbox_link_start(fixture->link);
    wait_for(fixture, &fixture->asked_count, 2);
    say(fixture, &answer);
    say(fixture, &(struct helper_answer){.kind = ANSWER_LIST_END});
    wait_for(fixture, &fixture->down_count, 1);
    cr_assert_str_eq(fixture->down_reason, answer.problem);
    for (int i = 0; i < 20; i++) {
        turn(fixture);
    }
    cr_assert_eq(fixture->up_count, 0);
    cr_assert_eq(fixture->listed_count, 0);
    close_helper(fixture); /* it is started again, with the kernel mended */
    wait_for(fixture, &fixture->asked_count, 4);
    say_ready(fixture);
    wait_for(fixture, &fixture->up_count, 1);
    tear_down(fixture);
}

Test(sandbox_link, a_helper_that_says_nothing_is_left_for_the_next)
{
    struct fixture *fixture = set_up();

    listen_as_helper(fixture);
    sandbox_link_start(fixture->link);
    wait_for(fixture, &fixture->asked_count, 2);
    for (int i = 0; i < 8 * ROUNDS_MAX && fixture->down_count == 0; i++) {
        turn(fixture); /* it is patient */
    }
    wait_for(fixture, &fixture->down_count, 1);
    close_helper(fixture);
    wait_for(fixture, &fixture->asked_count, 4); /* it has connected anew */
    say_ready(fixture);
    wait_for(fixture, &fixture->up_count, 1);
    tear_down(fixture);
}

Test(sandbox_link, a_start_without_a_helper_ends_as_refused)
{
    struct fixture *fixture = set_up();
    struct sandbox_spec spec = {.key = {.slot = 7, .incarnation = 1}};

    sandbox_link_start(fixture->link);
    sandbox_link_start_replica(fixture->link, &spec, NULL);
    cr_assert_eq(fixture->event_count, 1);
    cr_assert_eq(fixture->event.kind, SANDBOX_ENDED);
    cr_assert_eq(fixture->event.end, SANDBOX_END_REFUSED);
    cr_assert_eq(fixture->event.key.slot, 7);
    tear_down(fixture);
}

Test(sandbox_link, logs_are_answered_in_order_and_fail_with_the_connection)
{
    struct fixture *fixture = set_up();
    struct replica_key key = {.slot = 1, .incarnation = 1};
    struct helper_answer answer = {.kind = ANSWER_LOGS, .logs = {.key = key, .length_bytes = 5}};

    connect_ready(fixture);
    sandbox_link_logs(fixture->link, 11, &key, 0, 100);
    sandbox_link_logs(fixture->link, 12, &key, 0, 100);
    wait_for(fixture, &fixture->asked_count, 4);
    memcpy(answer.logs.bytes, "hello", 5);
    say(fixture, &answer);
    wait_for(fixture, &fixture->logs_count, 1);
    cr_assert_eq(fixture->logs_tokens[0], 11);
    cr_assert_str_eq(fixture->logs_text, "hello");
    cr_assert_not(fixture->logs_ended);
    close_helper(fixture);
    wait_for(fixture, &fixture->logs_count, 2);
    cr_assert_eq(fixture->logs_tokens[1], 12);
    cr_assert(fixture->logs_ended);
    tear_down(fixture);
}

Test(sandbox_link, nonsense_from_the_helper_ends_the_connection_and_no_more)
{
    struct fixture *fixture = set_up();

    connect_ready(fixture);
    cr_assert_eq(send(fixture->helper_fd, "nonsense", 8, MSG_NOSIGNAL), 8);
    wait_for(fixture, &fixture->down_count, 1);
    close_helper(fixture);
    wait_for(fixture, &fixture->asked_count, 4);
    tear_down(fixture);
}

/* ------------------------------------------------------------------ is it frozen? */

static void ask_freeze(struct fixture *fixture, uint32_t slot)
{
    const struct replica_key key = {.slot = slot, .incarnation = 1};

    sandbox_link_ask(fixture->link, SANDBOX_LINK_FREEZE, &key);
}

Test(sandbox_link, what_is_to_freeze_is_frozen_when_a_list_behind_it_has_been_answered)
{
    struct fixture *fixture = set_up();
    const struct helper_answer end = {.kind = ANSWER_LIST_END};

    connect_ready(fixture);
    say(fixture, &end);
    wait_for(fixture, &fixture->listed_count, 1);
    cr_assert_not(sandbox_link_is_freezing(fixture->link));
    ask_freeze(fixture, 1);
    ask_freeze(fixture, 2);
    cr_assert(sandbox_link_is_freezing(fixture->link));
    wait_for(fixture, &fixture->asked_count, 5);
    cr_assert_eq(fixture->asked[3], REQUEST_FREEZE);
    cr_assert_eq(fixture->asked[4], REQUEST_LIST, "one for both");
    for (int i = 0; i < 20; i++) {
        turn(fixture);
    }
    cr_assert(sandbox_link_is_freezing(fixture->link), "while the helper stands still");
    say_event(fixture, SANDBOX_LISTED, 1);
    say_event(fixture, SANDBOX_HEALTH, 1);
    say(fixture, &end);
    for (int i = 0; i < ROUNDS_MAX && sandbox_link_is_freezing(fixture->link); i++) {
        turn(fixture);
    }
    cr_assert_not(sandbox_link_is_freezing(fixture->link));
    cr_assert_eq(fixture->asked_count, 5);
    cr_assert_eq(fixture->listed_count, 1, "nothing was connected anew");
    cr_assert_eq(fixture->event_count, 0, "what is known is not told again");
    say_event(fixture, SANDBOX_HEALTH, 1);
    wait_for(fixture, &fixture->event_count, 1);
    tear_down(fixture);
}

Test(sandbox_link, what_is_asked_of_nobody_freezes_nothing)
{
    struct fixture *fixture = set_up();
    const struct helper_answer end = {.kind = ANSWER_LIST_END};

    sandbox_link_start(fixture->link);
    wait_for(fixture, &fixture->down_count, 1);
    ask_freeze(fixture, 1);
    cr_assert(sandbox_link_is_freezing(fixture->link));
    listen_as_helper(fixture);
    wait_for(fixture, &fixture->asked_count, 2);
    say_ready(fixture);
    wait_for(fixture, &fixture->up_count, 1);
    ask_freeze(fixture, 1); /* as the core does when it hears that it lives */
    say(fixture, &end);
    wait_for(fixture, &fixture->asked_count, 4);
    cr_assert(sandbox_link_is_freezing(fixture->link), "that list was asked before");
    say(fixture, &end);
    for (int i = 0; i < ROUNDS_MAX && sandbox_link_is_freezing(fixture->link); i++) {
        turn(fixture);
    }
    cr_assert_not(sandbox_link_is_freezing(fixture->link));
    tear_down(fixture);
}

Test(sandbox_link, a_new_helper_without_anything_to_freeze_ends_the_doubt)
{
    struct fixture *fixture = set_up();

    ask_freeze(fixture, 1);
    connect_ready(fixture);
    say(fixture, &(struct helper_answer){.kind = ANSWER_LIST_END});
    wait_for(fixture, &fixture->listed_count, 1);
    cr_assert_not(sandbox_link_is_freezing(fixture->link));
    tear_down(fixture);
}
