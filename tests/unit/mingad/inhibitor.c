// SPDX-License-Identifier: GPL-3.0-or-later
/* logind, played by a child on a bus of the test's own, asks before it sleeps. */
#include "agent/mingad/owner/inhibitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "tests/fixtures/logind.h"
#include "tests/unit/mingad/private_bus.h"

/* What the child says to the test, one byte each (once for both locks), and what it is told to do. */
enum { SAYS_ASKED = 'A', SAYS_RELEASED = 'R', SAYS_WRONG = 'W' };
enum { DO_SLEEP = 's', DO_WAKE = 'w', DO_SHUTDOWN = 'h', DO_STAY = 't' };

enum { DELAY_US = 3000000, WAIT_MS = 5000, TURN_MS = 10 };

struct world {
    uv_loop_t loop;
    uv_timer_t turn;
    struct inhibitor *inhibitor;
    int control_fd;
    int aside_count;
    int back_count;
    uint64_t within_ms;
};

static struct world world;
static pid_t daemon_pid;
static pid_t logind_pid;
static bool refuses;

/* ------------------------------------------------------------------ the child */

static const char *const lock_names[] = {"sleep", "shutdown"};
static int held_fds[] = {-1, -1};
static int said_fd = -1;

static void say(char what)
{
    if (write(said_fd, &what, 1) != 1) {
        _exit(1);
    }
}

/* logind knows one policy for each, and for both in one lock that of a third thing. */
static int lock_named(const char *what)
{
    for (int i = 0; i < 2; i++) {
        if (strcmp(what, lock_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static bool all_are(bool held)
{
    return (held_fds[0] >= 0) == held && (held_fds[1] >= 0) == held;
}

static int on_inhibit(sd_bus_message *message, void *context, sd_bus_error *error)
{
    const char *what = "";
    const char *who = "";
    const char *why = "";
    const char *mode = "";
    int pipe_fds[2];
    int which;
    int r;

    (void)context;
    if (refuses) {
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "Permission denied");
    }
    if (sd_bus_message_read(message, "ssss", &what, &who, &why, &mode) < 0 ||
        (which = lock_named(what)) < 0 || strcmp(who, "Minga") != 0 || why[0] == '\0' ||
        strcmp(mode, "delay") != 0 || held_fds[which] >= 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        say(SAYS_WRONG);
        return -EINVAL;
    }
    held_fds[which] = pipe_fds[0];
    r = sd_bus_reply_method_return(message, "h", pipe_fds[1]);
    close(pipe_fds[1]);
    if (all_are(true)) {
        say(SAYS_ASKED);
    }
    return r;
}

static const sd_bus_vtable manager[] = LOGIND_VTABLE(on_inhibit);

static void obey(sd_bus *bus)
{
    char what = 0;
    bool is_sleep;

    if (read(said_fd, &what, 1) != 1) {
        _exit(0);
    }
    is_sleep = what == DO_SLEEP || what == DO_WAKE;
    logind_signal(bus, is_sleep ? "PrepareForSleep" : "PrepareForShutdown",
                  what == DO_SLEEP || what == DO_SHUTDOWN);
}

static void play(void)
{
    sd_bus *bus = NULL;

    logind_delay_us = DELAY_US;
    if (logind_begin(&bus, manager, NULL) < 0) {
        _exit(1);
    }
    for (;;) {
        struct pollfd polled[4] = {{said_fd, POLLIN, 0}};

        while (sd_bus_process(bus, NULL) > 0) {
        }
        polled[1] = (struct pollfd){sd_bus_get_fd(bus), (short)sd_bus_get_events(bus), 0};
        polled[2].fd = held_fds[0];
        polled[3].fd = held_fds[1];
        (void)poll(polled, 4, 1000);
        for (int i = 0; i < 2; i++) {
            if (held_fds[i] >= 0 && (polled[2 + i].revents & POLLHUP) != 0) {
                close(held_fds[i]);
                held_fds[i] = -1;
                if (all_are(false)) {
                    say(SAYS_RELEASED);
                }
            }
        }
        if (polled[0].revents != 0) {
            obey(bus);
        }
    }
}

/* ------------------------------------------------------------------ the test's side */

static void start_logind(void)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    logind_pid = fork();
    if (logind_pid == 0) {
        close(fds[0]);
        said_fd = fds[1];
        play();
    }
    close(fds[1]);
    world.control_fd = fds[0];
}

static void end_logind(void)
{
    end_child(&logind_pid);
    close(world.control_fd);
    world.control_fd = -1;
}

static void on_aside(void *context, uint64_t within_ms)
{
    struct world *of = context;

    of->aside_count++;
    of->within_ms = within_ms;
}

static void on_back(void *context)
{
    struct world *of = context;

    of->back_count++;
}

static void on_turn(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void set_up(void)
{
    memset(&world, 0, sizeof(world));
    world.control_fd = -1;
    cr_assert_eq(uv_loop_init(&world.loop), 0);
    uv_timer_init(&world.loop, &world.turn);
    uv_timer_start(&world.turn, on_turn, TURN_MS, TURN_MS);
}

static void open_inhibitor(void)
{
    const struct inhibitor_events events = {&world, on_aside, on_back};

    world.inhibitor = inhibitor_new(&world.loop, &events);
    cr_assert_not_null(world.inhibitor);
}

static void tear_down(void)
{
    inhibitor_close(world.inhibitor);
    uv_close((uv_handle_t *)&world.turn, NULL);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    cr_expect_eq(uv_loop_close(&world.loop), 0, "a handle is left open");
    if (world.control_fd >= 0) {
        close(world.control_fd);
    }
    end_child(&logind_pid);
    end_child(&daemon_pid);
}

TestSuite(inhibitor, .init = set_up, .fini = tear_down);

/* The next thing that the child says; 0 when it says nothing. */
static char hear(int wait_ms)
{
    for (int i = 0; i < wait_ms / TURN_MS; i++) {
        char what = 0;

        uv_run(&world.loop, UV_RUN_DEFAULT);
        if (recv(world.control_fd, &what, 1, MSG_DONTWAIT) == 1) {
            return what;
        }
    }
    return 0;
}

static void tell(char what)
{
    cr_assert_eq(write(world.control_fd, &what, 1), 1);
}

static bool counts_become(const int *count, int wanted)
{
    for (int i = 0; i < WAIT_MS / TURN_MS && *count != wanted; i++) {
        uv_run(&world.loop, UV_RUN_DEFAULT);
    }
    return *count == wanted;
}

static void begin(void)
{
    daemon_pid = private_bus_start();
    start_logind();
    usleep(200000); /* its name is there */
    open_inhibitor();
    cr_assert_eq(hear(WAIT_MS), SAYS_ASKED);
}

Test(inhibitor, the_machine_waits_until_it_is_released_and_the_locks_are_taken_again)
{
    begin();
    for (int night = 1; night <= 2; night++) {
        tell(DO_SLEEP);
        cr_assert(counts_become(&world.aside_count, night));
        cr_assert_eq(world.within_ms, 2600, "a little less than logind's patience");
        cr_assert_eq(hear(200), 0, "the locks are held");
        inhibitor_release(world.inhibitor);
        cr_assert_eq(hear(WAIT_MS), SAYS_RELEASED);
        tell(DO_WAKE);
        cr_assert_eq(hear(WAIT_MS), SAYS_ASKED);
        cr_assert_eq(world.back_count, night);
    }
}

Test(inhibitor, a_shutdown_that_is_called_off_brings_everything_back)
{
    begin();
    tell(DO_SHUTDOWN);
    cr_assert(counts_become(&world.aside_count, 1));
    tell(DO_STAY);
    cr_assert(counts_become(&world.back_count, 1));
    cr_assert_eq(hear(200), 0, "the locks were never let go");
}

Test(inhibitor, it_is_released_in_no_other_case)
{
    begin();
    inhibitor_release(world.inhibitor);
    cr_assert_eq(hear(200), 0);
}

Test(inhibitor, a_logind_that_is_started_again_is_asked_again)
{
    begin();
    tell(DO_SLEEP);
    cr_assert(counts_become(&world.aside_count, 1));
    end_logind();
    cr_assert(counts_become(&world.back_count, 1), "nobody else would ever say so");
    start_logind();
    cr_assert_eq(hear(WAIT_MS), SAYS_ASKED);
}

Test(inhibitor, who_is_refused_hears_of_it_all_the_same)
{
    refuses = true;
    daemon_pid = private_bus_start();
    start_logind();
    usleep(200000);
    open_inhibitor();
    cr_assert_eq(hear(300), 0);
    tell(DO_SLEEP);
    cr_assert(counts_become(&world.aside_count, 1));
    inhibitor_release(world.inhibitor);
    tell(DO_WAKE);
    cr_assert(counts_become(&world.back_count, 1));
}

Test(inhibitor, a_bus_that_goes_is_no_trouble)
{
    begin();
    tell(DO_SLEEP);
    cr_assert(counts_become(&world.aside_count, 1));
    end_child(&daemon_pid);
    cr_assert(counts_become(&world.back_count, 1));
    inhibitor_release(world.inhibitor);
}

Test(inhibitor, without_a_bus_nobody_asks)
{
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", 1);
    open_inhibitor();
    cr_assert_not(counts_become(&world.aside_count, 1));
}
