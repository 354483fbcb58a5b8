// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/service_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/limits.h"

static const char *const service_headings[] = {"SERVICE", "STATE", "REPLICAS", "VERSION",
                                               "OWNER",   "SINCE", "NOTE"};
static const char service_expendable[] = ",SINCE,VERSION,OWNER,";
static const char *const replica_headings[] = {"REPLICA",  "NODE", "ADDRESS", "STATE",
                                               "HEALTH",   "CPU",  "MEMORY",  "DISK",
                                               "RESTARTS", "UP",   "NOTE"};

static void add_service(struct table *table, const json_t *service)
{
    char counts[48];
    char version[24];
    char owner[16];
    char age[32];
    const char *reason = text_of(service, "reason");

    snprintf(counts, sizeof(counts), "%" PRIi64 "/%" PRIi64, number_of(service, "running"),
             number_of(service, "wanted"));
    snprintf(version, sizeof(version), "%" PRIi64, number_of(service, "version"));
    short_id(text_of(service, "owner"), owner);
    print_age(text_of(service, "since"), age);
    /* Every service of this version keeps no state: said wherever nothing is worth more room. */
    table_add(table, (const char *const[]){text_of(service, "name"), text_of(service, "state"),
                                           counts, version, owner, age,
                                           reason[0] != '\0' ? reason : "state: none"});
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
    snprintf(text_out, capacity_bytes, "%s%s", place,
             strcmp(text_of(json_object_get(replica, "protocols"), json_object_iter_key(first)),
                    "udp") == 0
                 ? "/udp"
                 : "");
}

/* The reason, or what would go unnoticed. */
static void print_note(const json_t *replica, char *text_out, size_t capacity_bytes)
{
    const char *reason = text_of(replica, "reason");
    const char *egress = text_of(replica, "egress");
    int64_t refused_count = number_of(replica, "connections_refused");

    if (reason[0] != '\0') {
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

static void add_replica(struct table *table, const json_t *replica)
{
    char address[96];
    char cpu[80];
    char memory[80];
    char disk[80];
    char restarts[24];
    char age[32];
    char note[REASON_CHARS_MAX + 64];

    print_note(replica, note, sizeof(note));
    print_address(replica, address, sizeof(address));
    print_cores_of(replica, "cpu_cores", "cpu_limit_cores", cpu, sizeof(cpu));
    print_bytes_of(replica, "memory_bytes", "memory_limit_bytes", memory, sizeof(memory));
    print_bytes_of(replica, "disk_bytes", "disk_limit_bytes", disk, sizeof(disk));
    snprintf(restarts, sizeof(restarts), "%" PRIi64, number_of(replica, "restarts"));
    age[0] = '\0';
    if (strcmp(text_of(replica, "state"), "running") == 0) {
        print_age(text_of(replica, "since"), age);
    }
    table_add(table,
              (const char *const[]){text_of(replica, "id"), text_of(replica, "node_name"), address,
                                    text_of(replica, "state"), text_of(replica, "health"), cpu,
                                    memory, disk, restarts, age, note});
}

void print_replicas(const struct session *session, const json_t *replicas)
{
    struct table table;
    const json_t *replica;
    size_t i;

    if (json_array_size(replicas) == 0) {
        return;
    }
    table_init(&table, replica_headings, ARRAY_COUNT(replica_headings));
    table.expendable = ",RESTARTS,DISK,UP,HEALTH,CPU,MEMORY,";
    table.indent_columns = TABLE_INDENT_COLUMNS;
    json_array_foreach(replicas, i, replica)
    {
        add_replica(&table, replica);
    }
    print_table(session, &table);
}

void print_services(const struct session *session, const json_t *services, bool replicas)
{
    struct table table;
    const json_t *service;
    size_t i;

    table_init(&table, service_headings, ARRAY_COUNT(service_headings));
    table.expendable = service_expendable;
    json_array_foreach(services, i, service)
    {
        add_service(&table, service);
        if (replicas) {
            print_table(session, &table);
            print_replicas(session, json_object_get(service, "replicas"));
            table_init(&table, service_headings, ARRAY_COUNT(service_headings));
            table.expendable = service_expendable;
        }
    }
    if (!replicas || json_array_size(services) == 0) {
        print_table(session, &table);
    } else {
        table_done(&table);
    }
}
