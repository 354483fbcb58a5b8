// SPDX-License-Identifier: GPL-3.0-or-later
/* An end is told to whoever hears it, and kept for the next one where nobody does. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/helper/helper.h"

static struct helper helper;
static int mingad_fd;

static void connect_mingad(void)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    helper.client_fd = ends[0];
    helper.greeted = true;
    mingad_fd = ends[1];
}

static void set_up(void)
{
    helper.client_fd = -1;
}

static void tear_down(void)
{
    client_drop(&helper, "the test is over");
}

TestSuite(client_side, .init = set_up, .fini = tear_down);

/* Ends of the slots `first` to `first + count - 1`. */
static void end_slots(uint32_t first, uint32_t count)
{
    for (uint32_t slot = first; slot < first + count; slot++) {
        const struct replica_key key = {.slot = slot, .incarnation = 1};

        say_ended(&helper, &key, SANDBOX_END_EXITED, "exit status 0");
    }
}

/* Hears what has come, which are the ends from the slot `first` on. Returns how many. */
static uint32_t hear_slots(uint32_t first)
{
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    struct helper_answer answer;
    uint32_t count = 0;
    ssize_t length_bytes;

    while ((length_bytes = recv(mingad_fd, bytes, sizeof(bytes), 0)) > 0) {
        cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &answer), 0);
        cr_assert_eq(answer.event.kind, SANDBOX_ENDED);
        cr_assert_eq(answer.event.key.slot, first + count);
        cr_assert_str_eq(answer.event.reason, "exit status 0");
        count++;
    }
    close(mingad_fd);
    return count;
}

Test(client_side, ends_that_nobody_heard_are_told_once)
{
    end_slots(0, 3);
    connect_mingad();
    say_missed(&helper);
    say_missed(&helper);
    cr_expect_eq(hear_slots(0), 3);
}

Test(client_side, a_mingad_that_is_gone_when_they_are_told_takes_none_along)
{
    end_slots(0, 3);
    for (int i = 0; i < 2; i++) {
        connect_mingad();
        close(mingad_fd);
        say_missed(&helper);
        cr_assert_eq(helper.client_fd, -1);
    }
    connect_mingad();
    say_missed(&helper);
    cr_expect_eq(hear_slots(0), 3);
}

Test(client_side, what_ends_when_mingad_is_gone_and_this_not_yet_known_is_kept)
{
    connect_mingad();
    close(mingad_fd);
    end_slots(0, 2);
    connect_mingad();
    say_missed(&helper);
    cr_expect_eq(hear_slots(0), 2);
}

/* It reads none, and is cut off in the middle: the next one hears those behind. */
Test(client_side, who_is_cut_off_halfway_leaves_the_rest_to_the_next)
{
    const int little_bytes = 1;

    end_slots(0, REPLICAS_PER_NODE_MAX);
    connect_mingad();
    cr_assert_eq(
        setsockopt(helper.client_fd, SOL_SOCKET, SO_SNDBUF, &little_bytes, sizeof(little_bytes)),
        0);
    say_missed(&helper);
    cr_assert_eq(helper.client_fd, -1);

    uint32_t heard_count = hear_slots(0);

    cr_assert_gt(heard_count, 0);
    cr_assert_lt(heard_count, REPLICAS_PER_NODE_MAX);
    connect_mingad();
    say_missed(&helper);
    cr_expect_eq(hear_slots(heard_count), REPLICAS_PER_NODE_MAX - heard_count);
}
