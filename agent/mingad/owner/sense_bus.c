// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/owner/sense_bus.h"

#include <string.h>
#include <systemd/sd-bus.h>

#include "agent/mingad/owner/sense_files.h"
#include "base/cleanup.h"

enum { CALL_US_MAX = 700000, SESSIONS_MAX = 32 };

static void cleanup_bus(sd_bus **bus)
{
    sd_bus_flush_close_unref(*bus);
}

static void cleanup_message(sd_bus_message **message)
{
    sd_bus_message_unref(*message);
}

struct place { /* of a property */
    sd_bus *bus;
    const char *service;
    const char *path;
    const char *interface;
};

static bool get_trivial(const struct place *place, const char *name, char type, void *value_out)
{
    return sd_bus_get_property_trivial(place->bus, place->service, place->path, place->interface,
                                       name, NULL, type, value_out) >= 0;
}

/* ------------------------------------------------------------------ logind */

/* Somebody's, on a screen or a terminal; not the greeter's, not of a background service. */
static bool is_a_persons(const struct place *session)
{
    CLEANUP(cleanup_message) sd_bus_message *reply = NULL;
    const char *class = NULL;
    int active = 0;

    if (sd_bus_get_property(session->bus, session->service, session->path, session->interface,
                            "Class", NULL, &reply, "s") < 0 ||
        sd_bus_message_read(reply, "s", &class) < 0 || strcmp(class, "user") != 0) {
        return false;
    }
    return get_trivial(session, "Active", 'b', &active) && active != 0;
}

static void look_at_session(sd_bus *bus, const char *path, struct sense_bus *found)
{
    const struct place session = {bus, "org.freedesktop.login1", path,
                                  "org.freedesktop.login1.Session"};
    CLEANUP(cleanup_message) sd_bus_message *reply = NULL;
    const char *type = NULL;
    uint64_t since_us = 0;
    int idle = 0;

    if (!is_a_persons(&session) ||
        sd_bus_get_property(bus, session.service, path, session.interface, "Type", NULL, &reply,
                            "s") < 0 ||
        sd_bus_message_read(reply, "s", &type) < 0 || strcmp(type, "unspecified") == 0 ||
        !get_trivial(&session, "IdleHint", 'b', &idle)) {
        return;
    }
    if (strcmp(type, "tty") != 0 && idle == 0) {
        found->is_used = true;
    }
    if (get_trivial(&session, "IdleSinceHint", 't', &since_us) &&
        since_us / 1000 > found->idle_since_unix_ms) {
        found->idle_since_unix_ms = since_us / 1000; /* of a tty: when it was last read from */
    }
}

static void look_at_sessions(sd_bus *bus, struct sense_bus *found)
{
    CLEANUP(cleanup_message) sd_bus_message *reply = NULL;
    const char *path = NULL;

    if (sd_bus_call_method(bus, "org.freedesktop.login1", "/org/freedesktop/login1",
                           "org.freedesktop.login1.Manager", "ListSessions", NULL, &reply,
                           "") < 0 ||
        sd_bus_message_enter_container(reply, 'a', "(susso)") < 0) {
        return;
    }
    for (int i = 0; i < SESSIONS_MAX &&
                    sd_bus_message_read(reply, "(susso)", NULL, NULL, NULL, NULL, &path) > 0;
         i++) {
        look_at_session(bus, path, found);
    }
}

/* ------------------------------------------------------------------ NetworkManager */

static void look_at_connection(sd_bus *bus, const char *path, struct owner_senses *senses)
{
    CLEANUP(cleanup_message) sd_bus_message *reply = NULL;
    const char *name = NULL;

    if (sd_bus_get_property(bus, "org.freedesktop.NetworkManager", path,
                            "org.freedesktop.NetworkManager.Connection.Active", "Id", NULL, &reply,
                            "s") >= 0 &&
        sd_bus_message_read(reply, "s", &name) >= 0) {
        sense_add_network(senses, name);
    }
}

static void look_at_networks(sd_bus *bus, struct sense_bus *found, struct owner_senses *senses)
{
    enum { METERED_YES = 1, METERED_GUESS_YES = 3 };
    const struct place manager = {bus, "org.freedesktop.NetworkManager",
                                  "/org/freedesktop/NetworkManager",
                                  "org.freedesktop.NetworkManager"};
    CLEANUP(cleanup_message) sd_bus_message *reply = NULL;
    const char *path = NULL;
    uint32_t metered = 0;

    if (get_trivial(&manager, "Metered", 'u', &metered)) {
        found->metered =
            metered == METERED_YES || metered == METERED_GUESS_YES ? OWNER_YES : OWNER_NO;
    }
    if (sd_bus_get_property(bus, manager.service, manager.path, manager.interface,
                            "ActiveConnections", NULL, &reply, "ao") < 0 ||
        sd_bus_message_enter_container(reply, 'a', "o") < 0) {
        return;
    }
    for (int i = 0; i < OWNER_SENSED_WORDS_MAX && sd_bus_message_read(reply, "o", &path) > 0; i++) {
        look_at_connection(bus, path, senses);
    }
}

void sense_bus(bool asks_input, bool asks_network, struct sense_bus *bus_out,
               struct owner_senses *senses)
{
    CLEANUP(cleanup_bus) sd_bus *bus = NULL;

    memset(bus_out, 0, sizeof(*bus_out));
    bus_out->metered = OWNER_NO;
    if (sd_bus_open_system(&bus) < 0) {
        return;
    }
    (void)sd_bus_set_method_call_timeout(bus, CALL_US_MAX);
    if (asks_input) {
        look_at_sessions(bus, bus_out);
    }
    if (asks_network) {
        look_at_networks(bus, bus_out, senses);
    }
}
