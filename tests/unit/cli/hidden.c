// SPDX-License-Identifier: GPL-3.0-or-later
/* A secret typed at a terminal: a pseudo-terminal, whose other end this test is. */
#include "agent/cli/screen/hidden.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 10000 };

static const char word[] = "MINGA-secret";

/* Asks for the word; its status says whether that came. */
static void ask(void)
{
    char text[64];
    bool is_there = hidden_line("word: ", text, sizeof(text));

    _exit(is_there && strcmp(text, "MINGA-secret\n") == 0 ? 0 : 1);
}

static bool shows(int terminal)
{
    struct termios now;

    cr_assert_eq(tcgetattr(terminal, &now), 0);
    return (now.c_lflag & ECHO) != 0;
}

static pid_t begin(int *terminal_out)
{
    pid_t pid = forkpty(terminal_out, NULL, NULL, NULL);

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        ask();
    }
    for (uint32_t ms = 0; shows(*terminal_out); ms++) {
        cr_assert_lt(ms, WAIT_MS, "what is typed is shown");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return pid;
}

static void type(int terminal, const char *text)
{
    cr_assert_eq(write(terminal, text, strlen(text)), (ssize_t)strlen(text));
}

/* All that the terminal was to show until the asker ended. */
static void read_screen(int terminal, char *screen_out, size_t capacity_bytes)
{
    size_t used = 0;
    ssize_t count = 1;

    while (count > 0 && used < capacity_bytes - 1) {
        struct pollfd waits = {.fd = terminal, .events = POLLIN};

        cr_assert_eq(poll(&waits, 1, WAIT_MS), 1);
        count = read(terminal, screen_out + used, capacity_bytes - 1 - used);
        used += count > 0 ? (size_t)count : 0;
    }
    screen_out[used] = '\0';
}

/* The terminal's other side stays open here: its settings are looked at when the asker is gone. */
static int end_of(pid_t pid, int terminal, char *screen_out, size_t capacity_bytes)
{
    int status;

    read_screen(terminal, screen_out, capacity_bytes);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

Test(hidden, what_is_typed_is_read_and_not_shown)
{
    char screen[256];
    int terminal;
    pid_t pid = begin(&terminal);
    int status;

    type(terminal, word);
    type(terminal, "\n");
    status = end_of(pid, terminal, screen, sizeof(screen));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_not_null(strstr(screen, "word: "), "%s", screen);
    cr_assert_null(strstr(screen, word), "%s", screen);
    cr_assert(shows(terminal));
    close(terminal);
}

Test(hidden, whatever_ends_it_the_terminal_shows_again_what_is_typed)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char screen[256];
        int terminal;
        pid_t pid = begin(&terminal);
        int status;

        if (ends[i] == SIGINT) {
            type(terminal, "\003");
        } else {
            cr_assert_eq(kill(pid, ends[i]), 0);
        }
        status = end_of(pid, terminal, screen, sizeof(screen));
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == ends[i], "signal %d", ends[i]);
        cr_assert(shows(terminal), "after signal %d", ends[i]);
        close(terminal);
    }
}

Test(hidden, no_line_is_told)
{
    char screen[256];
    int terminal;
    pid_t pid = begin(&terminal);
    int status;

    type(terminal, "\004"); /* Ctrl-D */
    status = end_of(pid, terminal, screen, sizeof(screen));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    cr_assert(shows(terminal));
    close(terminal);
}
