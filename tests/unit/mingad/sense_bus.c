// SPDX-License-Identifier: GPL-3.0-or-later
/* logind and NetworkManager, played by a child on a bus of the test's own. */
#include "agent/mingad/owner/sense_bus.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/attributes.h"
#include "tests/unit/mingad/private_bus.h"

struct played { /* what the child says */
    const char *class;
    const char *type;
    int active;
    int idle;
    uint64_t idle_since_us;
    uint32_t metered;
};

static struct played played;
static pid_t daemon_pid;
static pid_t player_pid;

/* ------------------------------------------------------------------ the child */

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    (void)bus;
    (void)path;
    (void)interface;
    (void)userdata;
    (void)error;
    if (strcmp(property, "Class") == 0) {
        return sd_bus_message_append(reply, "s", played.class);
    }
    return sd_bus_message_append(reply, "s",
                                 strcmp(property, "Type") == 0 ? played.type : "Cafe WLAN");
}

static int get_number(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    (void)bus;
    (void)path;
    (void)interface;
    (void)userdata;
    (void)error;
    if (strcmp(property, "Active") == 0) {
        return sd_bus_message_append(reply, "b", played.active);
    }
    if (strcmp(property, "IdleHint") == 0) {
        return sd_bus_message_append(reply, "b", played.idle);
    }
    return strcmp(property, "Metered") == 0
               ? sd_bus_message_append(reply, "u", played.metered)
               : sd_bus_message_append(reply, "t", played.idle_since_us);
}

static int get_connections(sd_bus *bus, const char *path, const char *interface,
                           const char *property, sd_bus_message *reply, void *userdata,
                           sd_bus_error *error)
{
    (void)bus;
    (void)path;
    (void)interface;
    (void)property;
    (void)userdata;
    (void)error;
    return sd_bus_message_append(reply, "ao", 1, "/connection");
}

static int list_sessions(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    (void)userdata;
    (void)error;
    return sd_bus_reply_method_return(call, "a(susso)", 1, "1", 1000, "eve", "seat0", "/session");
}

static const sd_bus_vtable login[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("ListSessions", "", "a(susso)", list_sessions, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable session[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Class", "s", get_text, 0, 0),
    SD_BUS_PROPERTY("Type", "s", get_text, 0, 0),
    SD_BUS_PROPERTY("Active", "b", get_number, 0, 0),
    SD_BUS_PROPERTY("IdleHint", "b", get_number, 0, 0),
    SD_BUS_PROPERTY("IdleSinceHint", "t", get_number, 0, 0),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable network[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Metered", "u", get_number, 0, 0),
    SD_BUS_PROPERTY("ActiveConnections", "ao", get_connections, 0, 0),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable connection[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Id", "s", get_text, 0, 0),
    SD_BUS_VTABLE_END,
};

static const struct {
    const char *path;
    const char *interface;
    const sd_bus_vtable *table;
} objects[] = {
    {"/org/freedesktop/login1", "org.freedesktop.login1.Manager", login},
    {"/session", "org.freedesktop.login1.Session", session},
    {"/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager", network},
    {"/connection", "org.freedesktop.NetworkManager.Connection.Active", connection},
};

static void play(int ready_fd)
{
    sd_bus *bus = NULL;
    bool fine = sd_bus_open_system(&bus) >= 0;

    for (size_t i = 0; fine && i < ARRAY_COUNT(objects); i++) {
        fine = sd_bus_add_object_vtable(bus, NULL, objects[i].path, objects[i].interface,
                                        objects[i].table, NULL) >= 0;
    }
    fine = fine && sd_bus_request_name(bus, "org.freedesktop.login1", 0) >= 0 &&
           sd_bus_request_name(bus, "org.freedesktop.NetworkManager", 0) >= 0;
    if (!fine || write(ready_fd, "", 1) != 1) {
        _exit(1);
    }
    for (;;) {
        if (sd_bus_process(bus, NULL) == 0) {
            (void)sd_bus_wait(bus, UINT64_MAX);
        }
    }
}

/* ------------------------------------------------------------------ the bus */

static void start_player(void)
{
    int ready_fds[2];
    char byte;

    cr_assert_eq(pipe(ready_fds), 0);
    player_pid = fork();
    if (player_pid == 0) {
        play(ready_fds[1]);
    }
    close(ready_fds[1]);
    cr_assert_eq(read(ready_fds[0], &byte, 1), 1, "nobody plays");
    close(ready_fds[0]);
}

static void end_all(void)
{
    end_child(&player_pid);
    end_child(&daemon_pid);
}

TestSuite(bus, .fini = end_all);

static struct sense_bus look(struct played what, struct owner_senses *senses)
{
    struct sense_bus found;

    played = what;
    daemon_pid = private_bus_start();
    start_player();
    memset(senses, 0, sizeof(*senses));
    sense_bus(true, true, &found, senses);
    end_all();
    return found;
}

Test(bus, somebody_at_a_screen_uses_the_machine)
{
    struct owner_senses senses;
    struct sense_bus found = look((struct played){"user", "wayland", 1, 0, 5000000, 2}, &senses);

    cr_assert(found.is_used);
    cr_assert_eq(found.metered, OWNER_NO);
    cr_assert_eq(senses.network_count, 1);
    cr_assert_str_eq(senses.networks[0], "Cafe WLAN");
}

Test(bus, who_has_gone_from_the_screen_was_there_last_when_logind_says)
{
    struct owner_senses senses;
    struct sense_bus found =
        look((struct played){"user", "x11", 1, 1, 1790000000000000, 1}, &senses);

    cr_assert(!found.is_used);
    cr_assert_eq(found.idle_since_unix_ms, 1790000000000);
    cr_assert_eq(found.metered, OWNER_YES);
}

Test(bus, a_terminal_was_used_when_it_was_last_read_from)
{
    struct owner_senses senses;
    struct sense_bus found =
        look((struct played){"user", "tty", 1, 0, 1790000000000000, 3}, &senses);

    cr_assert(!found.is_used);
    cr_assert_eq(found.idle_since_unix_ms, 1790000000000);
    cr_assert_eq(found.metered, OWNER_YES, "a guess counts");
}

Test(bus, the_greeter_and_what_is_not_in_front_are_nobody)
{
    struct owner_senses senses;
    struct sense_bus found =
        look((struct played){"greeter", "wayland", 1, 0, 1790000000000000, 0}, &senses);

    cr_assert(!found.is_used && found.idle_since_unix_ms == 0);
    found = look((struct played){"user", "wayland", 0, 0, 1790000000000000, 0}, &senses);
    cr_assert(!found.is_used && found.idle_since_unix_ms == 0);
}

Test(bus, without_a_bus_nothing_is_known)
{
    struct owner_senses senses = {0};
    struct sense_bus found;

    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", 1);
    sense_bus(true, true, &found, &senses);
    cr_assert(!found.is_used && found.idle_since_unix_ms == 0);
    cr_assert_eq(found.metered, OWNER_NO);
    cr_assert_eq(senses.network_count, 0);
}
