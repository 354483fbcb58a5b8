// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/connect/places.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/units.h"
#include "base/wire.h"

#define LISTEN_HOST "127.0.0.1"

/* ------------------------------------------------------------------ ports */

/* All replicas have the same ports; one that is on no node yet names none. */
static const json_t *replica_with_ports(const json_t *service)
{
    const json_t *replica;
    size_t i;

    json_array_foreach(json_object_get(service, "replicas"), i, replica)
    {
        if (json_object_size(json_object_get(replica, "ports")) > 0) {
            return replica;
        }
    }
    return NULL;
}

static bool is_udp(const json_t *replica, const char *name)
{
    return strcmp(text_of(json_object_get(replica, "protocols"), name), "udp") == 0;
}

static bool is_for_members(const json_t *replica, const char *name)
{
    return strcmp(text_of(json_object_get(replica, "visibilities"), name), "members") == 0;
}

/* To a public port of UDP clients send by themselves. */
static bool can_connect(const json_t *replica, const char *name)
{
    return !is_udp(replica, name) || is_for_members(replica, name);
}

/* Those that connections can be made to: returns how many, and the first one's name. */
static uint32_t list_ports(const json_t *replica, char *text_out, size_t capacity_bytes,
                           const char **first_out)
{
    uint32_t count = 0;
    size_t used = 0;
    const char *name;
    json_t *port;

    text_out[0] = '\0';
    *first_out = NULL;
    json_object_foreach(json_object_get(replica, "ports"), name, port)
    {
        if (!can_connect(replica, name)) {
            continue;
        }
        *first_out = count++ == 0 ? name : *first_out;
        if (used + strlen(name) + sizeof(",  (udp)") < capacity_bytes) {
            used +=
                (size_t)snprintf(text_out + used, capacity_bytes - used, "%s%s%s",
                                 used > 0 ? ", " : "", name, is_udp(replica, name) ? " (udp)" : "");
        }
    }
    return count;
}

static int no_replica(const struct places_wanted *wanted, const json_t *service,
                      struct problem *problem)
{
    bool is_off = strcmp(text_of(service, "state"), "off") == 0;

    problem_set(problem, EXIT_LATE, wanted->service, "%s",
                is_off ? "the service is off" : "no replica with a port runs now");
    return is_off ? problem_advise(problem, "minga start %s starts it", wanted->service)
                  : problem_advise(problem, "minga status %s says why", wanted->service);
}

static int named_port(const json_t *replica, const struct places_wanted *wanted, const char *names,
                      struct problem *problem)
{
    if (json_object_get(json_object_get(replica, "ports"), wanted->port_name) == NULL) {
        problem_set(problem, EXIT_NOT_FOUND, wanted->port_name, "no such port");
        return problem_advise(problem, "its ports: %s", names);
    }
    if (!can_connect(replica, wanted->port_name)) {
        problem_set(problem, EXIT_REFUSED, wanted->port_name,
                    "a public port of UDP: clients send to it by themselves");
        return problem_advise(problem, "minga locate %s --port %s says where it answers",
                              wanted->service, wanted->port_name);
    }
    return EXIT_DONE;
}

int places_port(const json_t *service, const struct places_wanted *wanted,
                struct places_port *port_out, struct problem *problem)
{
    const json_t *replica = replica_with_ports(service);
    const char *name;
    uint32_t count;
    char names[200];
    int status = EXIT_DONE;

    if (replica == NULL) {
        return no_replica(wanted, service, problem);
    }
    count = list_ports(replica, names, sizeof(names), &name);
    if (wanted->port_name != NULL) {
        status = named_port(replica, wanted, names, problem);
        name = wanted->port_name;
    } else if (count == 0) {
        status = problem_set(problem, EXIT_REFUSED, wanted->service,
                             "it has no port of TCP, nor one for members");
    } else if (count > 1) {
        problem_set(problem, EXIT_USAGE, wanted->service, "it has several ports: %s", names);
        status = problem_advise(problem, "say which: minga connect %s PORT", wanted->service);
    }
    if (status == EXIT_DONE) {
        (void)text_copy(port_out->name, sizeof(port_out->name), name);
        port_out->is_udp = is_udp(replica, name);
    }
    return status;
}

/* ------------------------------------------------------------------ replicas */

static bool is_healthy(const json_t *replica)
{
    return strcmp(text_of(replica, "state"), "running") == 0 &&
           strcmp(text_of(replica, "health"), "ok") == 0;
}

/* "wiki/2" */
static uint32_t slot_of(const json_t *replica)
{
    const char *slash = strrchr(text_of(replica, "id"), '/');
    uint64_t slot = 0;

    return slash != NULL && units_parse_number(slash + 1, &slot) == 0 &&
                   slot <= REPLICAS_PER_SERVICE_MAX
               ? (uint32_t)slot
               : 0;
}

static bool read_place(const json_t *replica, const char *port_name, struct place *place)
{
    int64_t port = number_of(json_object_get(replica, "ports"), port_name);

    *place = (struct place){.slot = slot_of(replica), .port = (uint16_t)port};
    place->for_members = is_for_members(replica, port_name);
    return place->slot > 0 && port > 0 && port <= UINT16_MAX &&
           text_copy(place->node, sizeof(place->node), text_of(replica, "node")) == 0 &&
           text_copy(place->address, sizeof(place->address), text_of(replica, "address")) == 0 &&
           place->node[0] != '\0' && place->address[0] != '\0';
}

/* Another version of the service may have another port of that name. */
static bool is_wanted(const json_t *replica, const struct places_wanted *wanted)
{
    return is_udp(replica, wanted->port_name) == wanted->is_udp &&
           can_connect(replica, wanted->port_name);
}

void places_find(const json_t *service, const struct places_wanted *wanted,
                 struct places *places_out)
{
    const json_t *replica;
    size_t i;

    places_out->count = 0;
    json_array_foreach(json_object_get(service, "replicas"), i, replica)
    {
        struct place *place = &places_out->list[places_out->count];

        if (places_out->count < REPLICAS_PER_SERVICE_MAX && is_healthy(replica) &&
            read_place(replica, wanted->port_name, place) && is_wanted(replica, wanted) &&
            (wanted->slot == 0 || wanted->slot == place->slot)) {
            places_out->count++;
        }
    }
}

/* Each slot has its own place in each asker's order, whoever else is there (Thaler and Ravishankar's
 * highest random weight): one that goes takes only its own connections along. */
static uint64_t weight_of(uint64_t number, uint32_t slot)
{
    uint8_t bytes[12];
    struct wire_writer writer = wire_writer(bytes, sizeof(bytes));
    struct wire_reader reader;
    struct id id;

    wire_put_u64(&writer, number);
    wire_put_u32(&writer, slot);
    id = hash_of("minga connect", (struct bytes){bytes, sizeof(bytes)});
    reader = wire_reader((struct bytes){id.bytes, sizeof(id.bytes)});
    return wire_u64(&reader);
}

void places_order(struct places *places, uint64_t number)
{
    for (uint32_t i = 1; i < places->count; i++) {
        struct place moved = places->list[i];
        uint64_t weight = weight_of(number, moved.slot);
        uint32_t k = i;

        for (; k > 0 && weight_of(number, places->list[k - 1].slot) < weight; k--) {
            places->list[k] = places->list[k - 1];
        }
        places->list[k] = moved;
    }
}

/* ------------------------------------------------------------------ where to listen */

bool places_read_listen(const char *text, struct places_listen *listen_out)
{
    const char *colon = strrchr(text, ':');
    const char *number = colon != NULL ? colon + 1 : text;
    size_t host_bytes = colon != NULL ? (size_t)(colon - text) : 0;
    const char *host = text;
    uint64_t port = 0;

    *listen_out = (struct places_listen){.host = LISTEN_HOST};
    if (units_parse_number(number, &port) < 0 || port > UINT16_MAX) {
        return false;
    }
    listen_out->port = (uint16_t)port;
    if (colon == NULL) {
        return true;
    }
    if (host[0] == '[') {
        if (host_bytes < 3 || host[host_bytes - 1] != ']') {
            return false;
        }
        host++;
        host_bytes -= 2;
    } else if (memchr(host, ':', host_bytes) != NULL) {
        return false; /* IPv6 without brackets */
    }
    if (host_bytes == 0 || host_bytes > ADDRESS_CHARS_MAX) {
        return false;
    }
    memcpy(listen_out->host, host, host_bytes);
    listen_out->host[host_bytes] = '\0';
    return true;
}
