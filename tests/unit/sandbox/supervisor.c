// SPDX-License-Identifier: GPL-3.0-or-later
/* What systemd hears of minga-sandboxd, with a socket that plays it. */
#include "sandbox/helper/supervisor.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int systemd_fd;
static char word[64];
static struct supervisor supervisor;

/* An abstract name: no file is left, whatever happens. */
static void set_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int length = snprintf(name, sizeof(name), "@minga-test-%d", getpid());

    memcpy(address.sun_path + 1, name + 1, (size_t)length - 1);
    systemd_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(systemd_fd, (struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)),
                 0);
    setenv("NOTIFY_SOCKET", name, 1);
    snprintf(name, sizeof(name), "%d", getpid());
    setenv("WATCHDOG_PID", name, 1);
    setenv("WATCHDOG_USEC", "9000000", 1);
}

static void tear_down(void)
{
    supervisor_done(&supervisor);
    close(systemd_fd);
}

TestSuite(supervisor, .init = set_up, .fini = tear_down);

/* "": nothing. */
static const char *heard(void)
{
    ssize_t count_bytes = recv(systemd_fd, word, sizeof(word) - 1, 0);

    word[count_bytes < 0 ? 0 : count_bytes] = '\0';
    return word;
}

Test(supervisor, it_hears_that_all_is_ready)
{
    supervisor_open(&supervisor);
    cr_assert_str_eq(heard(), "");
    supervisor_ready(&supervisor);
    cr_assert_str_eq(heard(), "READY=1");
}

Test(supervisor, it_hears_three_times_in_its_patience_that_the_loop_turns)
{
    supervisor_open(&supervisor);
    supervisor_tick(&supervisor, 3000);
    cr_assert_str_eq(heard(), "WATCHDOG=1");
    supervisor_tick(&supervisor, 5999);
    cr_assert_str_eq(heard(), "");
    supervisor_tick(&supervisor, 6000);
    cr_assert_str_eq(heard(), "WATCHDOG=1");
}

Test(supervisor, a_watchdog_of_another_process_is_left_to_it)
{
    setenv("WATCHDOG_PID", "1", 1);
    supervisor_open(&supervisor);
    supervisor_tick(&supervisor, 1000000);
    cr_assert_str_eq(heard(), "");
    supervisor_ready(&supervisor);
    cr_assert_str_eq(heard(), "READY=1");
}

Test(supervisor, without_one_nothing_is_said)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    supervisor_open(&supervisor);
    cr_assert_eq(supervisor.fd, -1);
    supervisor_ready(&supervisor);
    supervisor_tick(&supervisor, 1000000);
    cr_assert_str_eq(heard(), "");
}

Test(supervisor, a_path_that_is_none_is_nobody)
{
    char path[256] = "/";

    setenv("NOTIFY_SOCKET", "relative", 1);
    supervisor_open(&supervisor);
    cr_assert_eq(supervisor.fd, -1);
    memset(path + 1, 'x', sizeof(path) - 2);
    setenv("NOTIFY_SOCKET", path, 1);
    supervisor_open(&supervisor);
    cr_assert_eq(supervisor.fd, -1);
}

Test(supervisor, what_we_start_finds_nothing_of_it)
{
    supervisor_open(&supervisor);
    cr_assert_null(getenv("NOTIFY_SOCKET"));
    cr_assert_null(getenv("WATCHDOG_USEC"));
    cr_assert_null(getenv("WATCHDOG_PID"));
}
