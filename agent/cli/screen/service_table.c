// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/service_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/attributes.h"
#include "base/limits.h"

static const char *const service_headings[] = {"SERVICE", "STATE", "REPLICAS", "VERSION",
                                               "OWNER",   "SINCE", "NOTE"};
static const char *const replica_headings[] = {"REPLICA",  "NODE", "ADDRESS", "STATE",
                                               "HEALTH",   "CPU",  "MEMORY",  "DISK",
                                               "RESTARTS", "UP",   "NOTE"};

#define NO_STATE "state: none"
enum { NAME_BYTES = 128, RANK_MIN = 0, RANK_MAX = 3 };

/* ------------------------------------------------------------------ services */

/* Of several owners' services with one name, each is named as it has to be typed: "wiki@k7f3ab21". */
static void print_name(const json_t *services, const json_t *service, char name_out[NAME_BYTES])
{
    const char *name = text_of(service, "name");
    const json_t *other;
    char owner[16];
    size_t i;

    snprintf(name_out, NAME_BYTES, "%s", name);
    json_array_foreach(services, i, other)
    {
        if (other != service && strcmp(text_of(other, "name"), name) == 0) {
            short_id(text_of(service, "owner"), owner);
            snprintf(name_out, NAME_BYTES, "%s@%s", name, owner);
            return;
        }
    }
}

static void add_service(struct table *table, const json_t *services, const json_t *service)
{
    char name[NAME_BYTES];
    char counts[48];
    char version[24];
    char owner[16];
    char age[32];
    const char *reason = text_of(service, "reason");

    print_name(services, service, name);
    /* Of one that is off none is wanted now, however many are when it is on. */
    snprintf(counts, sizeof(counts), "%" PRIi64 "/%" PRIi64, number_of(service, "running"),
             strcmp(text_of(service, "state"), "off") == 0 ? 0 : number_of(service, "wanted"));
    snprintf(version, sizeof(version), "%" PRIi64, number_of(service, "version"));
    short_id(text_of(service, "owner"), owner);
    print_age(text_of(service, "since"), age);
    /* Every service of this version keeps no state: said wherever nothing is worth more room. */
    table_add(table, (const char *const[]){name, text_of(service, "state"), counts, version, owner,
                                           age, reason[0] != '\0' ? reason : NO_STATE});
}

/* What needs somebody comes first; what is off, last. */
static int rank_of(const json_t *service)
{
    const char *state = text_of(service, "state");

    return strcmp(state, "degraded") == 0 ? RANK_MIN
           : strcmp(state, "active") == 0 ? RANK_MAX - 1
           : strcmp(state, "off") == 0    ? RANK_MAX
                                          : RANK_MIN + 1;
}

/* ------------------------------------------------------------------ replicas */

/* What `object` says of one of the replica's ports. */
static bool is(const json_t *replica, const char *object, const char *port, const char *value)
{
    return strcmp(text_of(json_object_get(replica, object), port), value) == 0;
}

/* The first published port makes the address that a person tries. */
static void print_address(const json_t *replica, char *text_out, size_t capacity_bytes)
{
    json_t *ports = json_object_get(replica, "ports");
    void *first = json_object_iter(ports);
    const char *address = text_of(replica, "address");
    char place[88];

    if (first == NULL) {
        snprintf(text_out, capacity_bytes, "%s", address);
        return;
    }
    print_place(address, (int64_t)json_integer_value(json_object_iter_value(first)), place,
                sizeof(place));
    snprintf(text_out, capacity_bytes, "%s%s%s", place,
             is(replica, "protocols", json_object_iter_key(first), "udp") ? "/udp" : "",
             is(replica, "visibilities", json_object_iter_key(first), "members") ? " (members)"
                                                                                 : "");
}

/* The reason, or what would go unnoticed. */
static void print_note(const json_t *replica, const char *told, char *text_out,
                       size_t capacity_bytes)
{
    const char *reason = text_of(replica, "reason");
    const char *next_try = text_of(replica, "next_try");
    const char *egress = text_of(replica, "egress");
    int64_t refused_count = number_of(replica, "connections_refused");

    if (next_try[0] != '\0') {
        bool is_told = strstr(told, reason) != NULL;
        int64_t left_s = moment_of(next_try) - (int64_t)time(NULL);

        snprintf(text_out, capacity_bytes, "%s%snext try in %" PRIi64 " s", is_told ? "" : reason,
                 is_told ? "" : "; ", left_s > 0 ? left_s : 0);
    } else if (reason[0] != '\0') {
        snprintf(text_out, capacity_bytes, "%s", reason);
    } else if (strcmp(egress, "lost") == 0) {
        snprintf(text_out, capacity_bytes,
                 "its way to the Internet has died; stop and start the service");
    } else if (refused_count != 0) {
        snprintf(text_out, capacity_bytes, "%" PRIi64 " connections refused: its port was full",
                 refused_count);
    } else {
        snprintf(text_out, capacity_bytes, "%s",
                 strcmp(egress, "internet") == 0 ? "egress: internet" : "");
    }
}

/*
 * `service`: as it is named here, or NULL for as the replica says; `told`: what stands with the
 * service already, and need not be said again.
 */
static void add_replica(struct table *table, const json_t *replica, const char *service,
                        const char *told)
{
    const char *slash = strchr(text_of(replica, "id"), '/');
    char id[NAME_BYTES + 16];
    char address[112];
    char cpu[80];
    char memory[80];
    char disk[80];
    char restarts[24];
    char age[32];
    char note[REASON_CHARS_MAX + 64];

    snprintf(id, sizeof(id), "%s%s", service != NULL && slash != NULL ? service : "",
             service != NULL && slash != NULL ? slash : text_of(replica, "id"));
    print_note(replica, told, note, sizeof(note));
    if (strstr(told, note) != NULL) {
        note[0] = '\0';
    }
    print_address(replica, address, sizeof(address));
    print_cores_of(replica, "cpu_cores", "cpu_limit_cores", cpu, sizeof(cpu));
    print_bytes_of(replica, "memory_bytes", "memory_limit_bytes", memory, sizeof(memory));
    print_bytes_of(replica, "disk_bytes", "disk_limit_bytes", disk, sizeof(disk));
    snprintf(restarts, sizeof(restarts), "%" PRIi64, number_of(replica, "restarts"));
    age[0] = '\0';
    if (strcmp(text_of(replica, "state"), "running") == 0) {
        print_age(text_of(replica, "since"), age);
    }
    table_add(table, (const char *const[]){id, text_of(replica, "node_name"), address,
                                           text_of(replica, "state"), text_of(replica, "health"),
                                           cpu, memory, disk, restarts, age, note});
}

static void begin_replicas(struct table *table)
{
    table_init(table, replica_headings, ARRAY_COUNT(replica_headings));
    table->expendable = ",RESTARTS,DISK,UP,HEALTH,CPU,MEMORY,ADDRESS,";
    table->indent_columns = TABLE_INDENT_COLUMNS;
}

void print_replicas(const struct session *session, const json_t *replicas)
{
    struct table table;
    const json_t *replica;
    size_t i;

    if (json_array_size(replicas) == 0) {
        return;
    }
    begin_replicas(&table);
    json_array_foreach(replicas, i, replica)
    {
        add_replica(&table, replica, NULL, "");
    }
    print_table(session, &table);
}

/* Of all services in one table, so that the columns stand below each other. */
static void print_all_replicas(const struct session *session, const json_t *services,
                               const json_t *const *sorted, size_t count)
{
    struct table table;
    const json_t *replica;
    size_t i;

    begin_replicas(&table);
    for (size_t k = 0; k < count; k++) {
        char name[NAME_BYTES];

        print_name(services, sorted[k], name);
        json_array_foreach(json_object_get(sorted[k], "replicas"), i, replica)
        {
            add_replica(&table, replica, name, text_of(sorted[k], "reason"));
        }
    }
    if (table.row_count > 0) {
        print_table(session, &table);
    } else {
        table_done(&table);
    }
}

/* Borrowed, by rank, else in the order of the list. NULL: no memory. */
static const json_t **sort(const json_t *services)
{
    size_t count = json_array_size(services);
    const json_t **sorted = calloc(count + 1, sizeof(json_t *));
    size_t used = 0;

    for (int rank = RANK_MIN; sorted != NULL && rank <= RANK_MAX; rank++) {
        for (size_t i = 0; i < count; i++) {
            const json_t *service = json_array_get(services, i);

            if (rank_of(service) == rank) {
                sorted[used++] = service;
            }
        }
    }
    return sorted;
}

/* Rows that are no service's and no replica's: two headings, the line of what is left out, one of an
 * agent that does not answer, and the last one, which stays free. */
enum { ROWS_BESIDE = 5 };

/*
 * How many services are shown: in a window that is refreshed in place and has no room for all not
 * so many that no replica is seen. What is off stands last and goes first; of the others half a
 * window is shown at least.
 */
static size_t shown_of(const struct session *session, const json_t *const *sorted, size_t count)
{
    size_t room = session->row_count > ROWS_BESIDE + 1 ? session->row_count - ROWS_BESIDE : 2;
    size_t on_count = 0;
    size_t replica_count = 0;
    size_t shown;

    for (size_t i = 0; i < count; i++) {
        on_count += rank_of(sorted[i]) < RANK_MAX ? 1 : 0;
        replica_count += json_array_size(json_object_get(sorted[i], "replicas"));
    }
    if (session->frame == NULL || session->row_count == 0 || count + replica_count <= room) {
        return count;
    }
    shown = on_count < room / 2 ? on_count : room / 2;
    if (replica_count < room && shown < room - replica_count) {
        shown = room - replica_count;
    }
    return shown < count ? shown : count;
}

static void remark_left_out(const struct session *session, size_t count)
{
    char line[64];

    snprintf(line, sizeof(line), "... and %zu services more\n", count);
    (void)buffer_append(session->frame, line, strlen(line)); /* without memory no frame is whole */
}

void print_services(const struct session *session, const json_t *services, bool replicas)
{
    size_t count = json_array_size(services);
    const json_t **sorted = sort(services);
    struct table table;
    size_t shown;

    if (sorted == NULL) {
        return;
    }
    table_init(&table, service_headings, ARRAY_COUNT(service_headings));
    table.expendable = ",SINCE,VERSION,OWNER,";
    table.minor_note = NO_STATE;
    shown = replicas ? shown_of(session, sorted, count) : count;
    for (size_t i = 0; i < shown; i++) {
        add_service(&table, services, sorted[i]);
    }
    print_table(session, &table);
    if (shown < count) {
        remark_left_out(session, count - shown);
    }
    if (replicas) {
        print_all_replicas(session, services, sorted, count);
    }
    free(sorted);
}
