// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/keep_alive.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

Test(keep_alive, who_owes_nothing_is_not_mute)
{
    uint64_t since_ms = 0;

    cr_expect_eq(keep_alive_unanswered_ms(&(struct keep_alive_state){0, 90000}, 100000, &since_ms),
                 0);
    cr_expect_eq(since_ms, 0);
}

Test(keep_alive, it_counts_from_when_something_was_under_way)
{
    uint64_t since_ms = 0;

    /* Nothing was said for long before: the last answer is old. */
    cr_expect_eq(keep_alive_unanswered_ms(&(struct keep_alive_state){1, 90000}, 100000, &since_ms),
                 0);
    cr_expect_eq(keep_alive_unanswered_ms(&(struct keep_alive_state){2, 93000}, 103000, &since_ms),
                 3000);
    cr_expect_eq(keep_alive_unanswered_ms(&(struct keep_alive_state){2, 50}, 104000, &since_ms), 50,
                 "an answer to something");
    cr_expect_eq(keep_alive_unanswered_ms(&(struct keep_alive_state){0, 10}, 105000, &since_ms), 0);
    cr_expect_eq(keep_alive_unanswered_ms(&(struct keep_alive_state){1, 999}, 106000, &since_ms), 0,
                 "from the beginning");
}

/* It takes nothing, but it says so. */
Test(keep_alive, who_has_no_room_is_not_mute)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    static const uint8_t block[1 << 16];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t since_ms = 1; /* something has been under way ever since */

    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &address_bytes), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    int taken = accept(listener, NULL, NULL);

    while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0) {
    }
    cr_expect_lt(keep_alive_look_ms(fd, 1U << 30, &since_ms), 60000);
    close(taken);
    close(fd);
    close(listener);
}

Test(keep_alive, no_time_ends_one_that_answers)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int value = -1;
    socklen_t value_bytes = sizeof(value);

    keep_alive_set(fd, &(struct keep_alive){.silence_s = 7, .every_s = 2, .count = 3});
    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &value_bytes), 0);
    cr_expect_eq(value, 0);
    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &value_bytes), 0);
    cr_expect_eq(value, 7);
    close(fd);
}
