// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Plays logind on the system bus (DBUS_SYSTEM_BUS_ADDRESS: a test's own): gives delay locks out, and
 * on a line "sleep" or "shutdown" says so and waits for them, "wake" and "stay" say that it is over.
 * Prints "locked N", "released N" (N: locks that are held), each with its time in ms.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/fixtures/logind.h"

enum { LOCKS_MAX = 16 };

struct player {
    sd_bus *bus;
    int lock_fds[LOCKS_MAX];
    nfds_t lock_count;
};

static void say(const char *what, const struct player *player)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("%lld %s %u\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000, what,
           (unsigned)player->lock_count);
    fflush(stdout);
}

static int on_inhibit(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct player *player = context;
    const char *what = "";
    const char *mode = "";
    int pipe_fds[2];
    int r;

    (void)error;
    if (sd_bus_message_read(message, "ssss", &what, NULL, NULL, &mode) < 0 ||
        (strcmp(what, "sleep") != 0 && strcmp(what, "shutdown") != 0) ||
        strcmp(mode, "delay") != 0 || player->lock_count == LOCKS_MAX ||
        pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return -EINVAL;
    }
    player->lock_fds[player->lock_count++] = pipe_fds[0];
    r = sd_bus_reply_method_return(message, "h", pipe_fds[1]);
    close(pipe_fds[1]);
    say("locked", player);
    return r;
}

static const sd_bus_vtable manager[] = LOGIND_VTABLE(on_inhibit);

static void obey(const struct player *player)
{
    static const struct {
        const char *word;
        const char *signal;
        bool begins;
    } rows[] = {{"sleep\n", "PrepareForSleep", true},
                {"wake\n", "PrepareForSleep", false},
                {"shutdown\n", "PrepareForShutdown", true},
                {"stay\n", "PrepareForShutdown", false}};
    char line[32] = "";
    ssize_t count_bytes = read(STDIN_FILENO, line, sizeof(line) - 1);

    if (count_bytes <= 0) {
        exit(0);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(line, rows[i].word) == 0) {
            logind_signal(player->bus, rows[i].signal, rows[i].begins);
        }
    }
}

static void look_at_locks(struct player *player, const struct pollfd *polled)
{
    for (nfds_t i = player->lock_count; i > 0; i--) {
        if ((polled[i - 1].revents & POLLHUP) != 0) {
            close(player->lock_fds[i - 1]);
            player->lock_fds[i - 1] = player->lock_fds[--player->lock_count];
            say("released", player);
        }
    }
}

static void play(struct player *player)
{
    struct pollfd polled[LOCKS_MAX + 2];
    nfds_t lock_count = player->lock_count;

    while (sd_bus_process(player->bus, NULL) > 0) {
    }
    lock_count = player->lock_count;
    for (nfds_t i = 0; i < lock_count; i++) {
        polled[i] = (struct pollfd){.fd = player->lock_fds[i]};
    }
    polled[lock_count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    polled[lock_count + 1] = (struct pollfd){.fd = sd_bus_get_fd(player->bus),
                                             .events = (short)sd_bus_get_events(player->bus)};
    (void)poll(polled, lock_count + 2, 1000);
    look_at_locks(player, polled);
    if (polled[lock_count].revents != 0) {
        obey(player);
    }
}

int main(void)
{
    static struct player player;

    if (logind_begin(&player.bus, manager, &player) < 0) {
        fputs("logind_player: no bus\n", stderr);
        return 1;
    }
    for (;;) {
        play(&player);
    }
}
