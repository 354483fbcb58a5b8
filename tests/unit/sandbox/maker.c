// SPDX-License-Identifier: GPL-3.0-or-later
/* Makers as processes; what they hold here is one end of a pipe, as root's mounts are for root. */
#include "sandbox/helper/maker.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/helper/process.h"

enum { PATIENCE_MS = 10000 };

static void begin_world(struct makers *makers)
{
    makers_init(makers);
    makers->network_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert(makers->network_fd >= 0);
}

static void wait_until_readable(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    cr_assert_eq(poll(&readable, 1, PATIENCE_MS), 1);
}

/* Has one hold the end of a pipe until we have let go. Returns its pid; it rests then. */
static pid_t clear_one(struct makers *makers)
{
    struct maker maker;
    struct made nothing;
    struct err err = {0};
    int ends[2];

    maker_init(&maker);
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(maker_begin_clearing(makers, &ends[1], &maker, &err), 0, "%s", err.text);
    cr_assert_eq(ends[1], -1, "it is the maker's");
    pid_t pid = maker.pid;
    char nobody_writes;

    wait_until_readable(maker.answer_fd);
    cr_assert_eq(read(ends[0], &nobody_writes, 1), 0, "nobody holds the other end any more");
    cr_assert_eq(maker_answer(makers, &maker, &nothing, &err), 0, "%s", err.text);
    cr_assert_eq(nothing.fd, -1);
    cr_assert(maker_over(&maker), "it is nobody's");
    close(ends[0]);
    return pid;
}

static void end_all(struct makers *makers)
{
    for (int i = 0; i < PATIENCE_MS && !makers_over(makers); i++) {
        poll(NULL, 0, 1);
    }
    cr_assert_not(makers_has_idle(makers));
}

/* It will fail. */
static void begin_disk(struct makers *makers, int template_fd, struct maker *maker)
{
    const struct disk_plan plan = {
        .state = "/nowhere/at/all", .size_bytes = 1 << 20, .template_fd = template_fd};
    struct err err = {0};

    maker_init(maker);
    cr_assert_eq(maker_begin_disk(makers, &plan, maker, &err), 0, "%s", err.text);
}

static void wait_for(void *context, int fd)
{
    (void)context;
    wait_until_readable(fd);
}

Test(maker, stays_for_the_next_order_and_goes_when_none_comes)
{
    struct makers makers;

    begin_world(&makers);
    pid_t pid = clear_one(&makers);

    cr_assert(makers_has_idle(&makers));
    makers_tick(&makers, 1);
    cr_assert_eq(clear_one(&makers), pid, "its time had not come");
    makers_tick(&makers, now_ms() + MAKER_IDLE_MS);
    makers_each_fd(&makers, wait_for, NULL);
    makers_tick(&makers, 1);
    cr_assert_neq(kill(pid, 0), 0);
    cr_assert_not(makers_has_idle(&makers));
}

/* What it was forked with, and what an order was about, would live on with it. */
Test(maker, that_rests_holds_on_to_nothing)
{
    struct makers makers;
    struct maker maker;
    struct made nothing;
    struct err err = {0};
    int forked_with[2];
    int ordered_with[2];
    char nobody_writes;

    begin_world(&makers);
    cr_assert_eq(pipe2(forked_with, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(pipe2(ordered_with, O_CLOEXEC), 0);
    begin_disk(&makers, ordered_with[1], &maker);
    close(forked_with[1]);
    close(ordered_with[1]);
    wait_until_readable(maker.answer_fd);
    cr_assert_eq(read(forked_with[0], &nobody_writes, 1), 0);
    cr_assert_lt(maker_answer(&makers, &maker, &nothing, &err), 0);
    wait_until_readable(ordered_with[0]);
    cr_assert_eq(read(ordered_with[0], &nobody_writes, 1), 0);
    cr_assert(makers_has_idle(&makers));
    end_all(&makers);
}

/* Two begin, and rest one after the other. */
Test(maker, that_has_rested_longest_is_taken_first)
{
    struct makers makers;
    struct maker maker[2];
    struct made nothing;
    struct err err = {0};
    pid_t pids[2];

    begin_world(&makers);
    for (int i = 0; i < 2; i++) {
        begin_disk(&makers, -1, &maker[i]);
        pids[i] = maker[i].pid;
    }
    for (int i = 1; i >= 0; i--) {
        wait_until_readable(maker[i].answer_fd);
        (void)maker_answer(&makers, &maker[i], &nothing, &err);
        poll(NULL, 0, 2);
    }
    cr_assert_eq(clear_one(&makers), pids[1]);
    cr_assert_eq(clear_one(&makers), pids[0]);
    end_all(&makers);
}

Test(maker, that_is_one_too_many_goes_by_itself)
{
    struct makers makers;
    struct maker maker[MAKERS_IDLE_MAX + 1];
    struct made nothing;
    struct err err = {0};

    begin_world(&makers);
    for (int i = 0; i <= MAKERS_IDLE_MAX; i++) {
        begin_disk(&makers, -1, &maker[i]);
    }
    for (int i = 0; i <= MAKERS_IDLE_MAX; i++) {
        wait_until_readable(maker[i].answer_fd);
        (void)maker_answer(&makers, &maker[i], &nothing, &err);
        cr_assert_eq(maker[i].pid == 0, i < MAKERS_IDLE_MAX);
    }
    wait_for(NULL, maker[MAKERS_IDLE_MAX].pidfd);
    cr_assert(maker_over(&maker[MAKERS_IDLE_MAX]));
    end_all(&makers);
}

Test(maker, that_has_died_while_it_rested_is_replaced)
{
    struct makers makers;

    begin_world(&makers);
    pid_t pid = clear_one(&makers);

    kill(pid, SIGKILL);
    poll(NULL, 0, 50);
    cr_assert_neq(clear_one(&makers), pid);
    end_all(&makers);
}

Test(maker, that_dies_at_work_is_known_to_have_made_nothing)
{
    struct makers makers;
    struct maker maker;
    struct made nothing;
    struct err err = {0};

    begin_world(&makers);
    begin_disk(&makers, -1, &maker);
    kill(maker.pid, SIGKILL);
    wait_until_readable(maker.answer_fd);
    cr_assert_lt(maker_answer(&makers, &maker, &nothing, &err), 0);
    for (int i = 0; i < PATIENCE_MS && !maker_over(&maker); i++) {
        poll(NULL, 0, 1);
    }
    end_all(&makers);
}

Test(maker, says_why_it_could_not_and_stays)
{
    struct makers makers;
    struct maker maker;
    struct made nothing;
    struct err err = {0};

    begin_world(&makers);
    begin_disk(&makers, -1, &maker);
    wait_until_readable(maker.answer_fd);
    cr_assert_eq(maker_answer(&makers, &maker, &nothing, &err), -ENOENT);
    cr_assert_neq(strstr(err.text, "/nowhere/at/all"), NULL, "%s", err.text);
    cr_assert(makers_has_idle(&makers));
    end_all(&makers);
}

/* One that says something, and does nothing more. */
static void begin_player(struct bytes words, struct maker *maker)
{
    const struct packet_fds no_fds = {.count = 0};
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        (void)packet_send(pair[1], words, &no_fds);
        pause();
    }
    cr_assert_gt(pid, 0);
    close(pair[1]);
    *maker = (struct maker){pid, pidfd_open(pid, 0), pair[0]};
    wait_until_readable(maker->answer_fd);
}

static void begin_answering(const struct answer *answer, struct maker *maker)
{
    begin_player((struct bytes){(const uint8_t *)answer, sizeof(*answer)}, maker);
}

/* Where layers have to be attached, its mounts go with it: it has answered, and is about to end. */
Test(maker, that_has_made_its_last_thing_is_given_nothing_more)
{
    const struct answer last = {.is_last = true};
    struct makers makers;
    struct maker maker;
    struct made nothing;
    struct err err = {0};

    begin_world(&makers);
    begin_answering(&last, &maker);
    const pid_t pid = maker.pid;

    cr_assert_eq(maker_answer(&makers, &maker, &nothing, &err), 0, "%s", err.text);
    cr_assert_neq(clear_one(&makers), pid);
    end_all(&makers);
}

Test(maker, that_says_it_sends_what_does_not_come_has_made_nothing)
{
    const struct answer one = {.fd_count = 1};
    struct makers makers;
    struct maker maker;
    struct made nothing;
    struct err err = {0};

    begin_world(&makers);
    begin_answering(&one, &maker);
    cr_assert_eq(maker_answer(&makers, &maker, &nothing, &err), -EIO);
    end_all(&makers);
}

Test(maker, that_says_something_else_is_not_kept)
{
    const uint8_t word[] = {0, 0, 0, 0};
    struct makers makers;
    struct maker maker;
    struct made nothing;
    struct err err = {0};

    begin_world(&makers);
    begin_player((struct bytes){word, sizeof(word)}, &maker);
    cr_assert_eq(maker_answer(&makers, &maker, &nothing, &err), -EIO);
    cr_assert_not(makers_has_idle(&makers));
    kill(maker.pid, SIGKILL);
    wait_for(NULL, maker.pidfd);
    cr_assert(maker_over(&maker));
}

/* What it holds for a root, or a network that it cannot leave, goes with it. An order that it would
 * never read would be a start that fails. */
Test(maker, that_goes_after_its_answer_is_given_no_further_order)
{
    struct makers makers;
    int ends[2];

    begin_world(&makers); /* no network to come back to */
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    const struct disk_plan plan = {
        .state = "/nowhere/at/all", .size_bytes = 1 << 20, .template_fd = ends[0], .network = true};

    for (int i = 0; i < 20; i++) {
        struct maker maker;
        struct made nothing;
        struct err err = {0};

        maker_init(&maker);
        cr_assert_eq(maker_begin_disk(&makers, &plan, &maker, &err), 0);
        pid_t pid = maker.pid;
        struct pollfd answer = {.fd = maker.answer_fd, .events = POLLIN};

        cr_assert_eq(poll(&answer, 1, PATIENCE_MS), 1);
        cr_assert_lt(maker_answer(&makers, &maker, &nothing, &err), 0);
        cr_assert_eq(strstr(err.text, "died"), NULL, "%s", err.text);
        cr_assert_neq(clear_one(&makers), pid);
        makers_tick(&makers, 1); /* whoever has gone is reaped */
    }
    end_all(&makers);
    close(ends[0]);
    close(ends[1]);
}
