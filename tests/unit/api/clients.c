// SPDX-License-Identifier: GPL-3.0-or-later
/* Who asks, and how badly. */
#include "tests/unit/api/server_fixture.h"

TestSuite(clients, .init = set_up, .fini = tear_down, .timeout = 60);

/* ------------------------------------------------------------------ who asks */

static int ask_as(uid_t uid, gid_t group, const char *text)
{
    int fd;

    cr_assert_eq(setgroups(1, &group), 0);
    cr_assert_eq(setegid(65534), 0);
    cr_assert_eq(seteuid(uid), 0);
    fd = dial(); /* the kernel notes who connects */
    cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(setegid(0), 0);
    talk(fd, text, strlen(text));
    done();
    return answer.status;
}

Test(clients, group_minga_acts_and_does_not_govern_and_strangers_only_look)
{
    static const char look[] = "GET /v1/node HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    static const char act[] =
        "POST /v1/node/drain HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    static const char govern[] =
        "POST /v1/leave HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    if (geteuid() != 0) {
        cr_skip_test("needs root to be someone else");
    }
    cr_expect_eq(ask_as(65534, 65534, look), 200);
    cr_expect_eq(ask_as(65534, 65534, act), 403);
    cr_expect_eq(ask_as(65534, 65534, govern), 403);
    cr_expect_eq(ask_as(65534, GROUP, look), 200);
    cr_expect_eq(ask_as(65534, GROUP, act), 200);
    cr_expect_eq(ask_as(65534, GROUP, govern), 403);
    cr_expect_eq(ask_as(0, 65534, govern), 200);
}

Test(clients, a_stranger_cannot_take_all_connections)
{
    int fds[API_CONNECTIONS_PER_USER_MAX + 40];

    if (geteuid() != 0) {
        cr_skip_test("needs root to be someone else");
    }
    cr_assert_eq(seteuid(65534), 0);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        fds[i] = dial();
        cr_assert_eq(seteuid(0), 0);
        turn();
        cr_assert_eq(seteuid(65534), 0);
    }
    cr_assert_eq(seteuid(0), 0);
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        close(fds[i]);
    }
}

/* ------------------------------------------------------------------ bad clients */

Test(clients, a_body_over_the_limit_is_refused_before_it_is_read)
{
    static const char text[] = "POST /v1/chunks HTTP/1.1\r\nHost: m\r\nConnection: close\r\n"
                               "Content-Length: 99999999\r\n\r\n";

    talk(dial(), text, strlen(text));
    cr_assert_eq(answer.status, 413);
    done();
}

Test(clients, a_body_of_unknown_length_is_cut_off_at_the_limit)
{
    static const char head[] = "POST /v1/node/drain HTTP/1.1\r\nHost: m\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    size_t length = strlen(head) + 100000 + 8;
    char *text = malloc(length);

    memcpy(text, head, strlen(head));
    memcpy(text + strlen(head), "186a0\r\n", 7); /* 100,000 */
    memset(text + strlen(head) + 7, ' ', length - strlen(head) - 7);
    talk(dial(), text, length);
    cr_assert_neq(answer.status, 200);
    cr_assert_eq(world.host.asked_count, 0);
    free(text);
    done();
}

Test(clients, garbage_and_half_requests_hinder_nobody)
{
    int half = dial();
    int silent = dial();

    cr_assert_gt(send(half, "GET /v1/no", 10, MSG_NOSIGNAL), 0);
    talk(dial(), "\x16\x03\x01 no HTTP at all\r\n\r\n", 22);
    done();
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
    close(half);
    close(silent);
    turn();
}

/* The agent has the question then, and its answer is not there yet. */
static void ask_for_later(int fd, const char *text)
{
    world.host.later = true;
    cr_assert_gt(send(fd, text, strlen(text), MSG_NOSIGNAL), 0);
    for (int i = 0; i < 100 && world.host.asked_count == 0; i++) {
        struct pollfd poll_fd = {.fd = api_fd(world.api), .events = POLLIN};

        poll(&poll_fd, 1, 1);
        api_run(world.api);
    }
    cr_assert_gt(world.host.asked_count, 0);
}

Test(clients, a_client_that_is_gone_when_the_answer_comes_is_forgotten)
{
    static const char text[] = "GET /v1/services/" ID64 " HTTP/1.1\r\nHost: m\r\n\r\n";
    int fd = dial();

    ask_for_later(fd, text);
    cr_assert_eq(world.host.asked_count, 1);
    close(fd);
    for (int i = 0; i < 20; i++) {
        turn();
    }
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
}

Test(clients, an_answer_that_never_comes_ends_with_a_status_of_its_own)
{
    static const char text[] =
        "GET /v1/services/" ID64 " HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    int fd = dial();

    ask_for_later(fd, text);
    cr_assert_eq(world.host.asked_count, 1);
    world.host.answered_count = 1; /* lost */
    world.host.now_ms += API_ANSWER_MS_MAX - 1;
    api_run(world.api);
    world.host.now_ms += 1;
    api_run(world.api);
    talk(fd, "", 0);
    cr_assert_eq(answer.status, 504);
    done();
}

Test(clients, answers_that_nobody_waits_for_are_ignored)
{
    struct core_answer stray = {.token = API_TOKEN_BIT | 5};

    api_answer(world.api, &stray);
    stray.token = 5;
    api_answer(world.api, &stray);
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
}

Test(clients, ending_with_requests_under_way_leaks_nothing)
{
    static const char text[] = "GET /v1/status HTTP/1.1\r\nHost: m\r\n\r\n";
    int fd = dial();

    ask_for_later(fd, text);
    close(fd); /* tear_down ends the API with them */
}
