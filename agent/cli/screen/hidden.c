// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/hidden.h"

#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "base/attributes.h"

static struct termios shown;

/* Then the signal does what it would have done. In the background the terminal is another's. */
static void show_and_end(int signal)
{
    struct sigaction defaults = {.sa_handler = SIG_DFL};

    if (tcgetpgrp(STDIN_FILENO) == getpgrp()) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &shown);
    }
    (void)sigaction(signal, &defaults, NULL);
    (void)raise(signal);
}

/* Whoever ends it meanwhile leaves a terminal that shows what is typed. */
static void watch_ends(const struct sigaction *action)
{
    static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};

    for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
        struct sigaction now;

        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN) {
            (void)sigaction(signals[i], action, NULL);
        }
    }
}

bool hidden_line(const char *prompt, char *text_out, size_t capacity_bytes)
{
    struct sigaction ends = {.sa_handler = show_and_end};
    struct sigaction defaults = {.sa_handler = SIG_DFL};
    struct termios hidden;
    bool is_terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
    bool is_there;

    if (is_terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        watch_ends(&ends);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &hidden);
    }
    fprintf(stderr, "%s", prompt);
    fflush(stderr);
    is_there = fgets(text_out, (int)capacity_bytes, stdin) != NULL;
    if (is_terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &shown);
        watch_ends(&defaults);
        fputc('\n', stderr);
    }
    return is_there;
}
