// SPDX-License-Identifier: GPL-3.0-or-later
/* minga nodes, minga members */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/cli/session.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { CELL_BYTES = 64 };

/* What a node has left: "0.50", "300M", "-" while nothing is known. */
static void print_free(const json_t *node, char cpu_out[UNITS_TEXT_BYTES_MAX],
                       char memory_out[UNITS_TEXT_BYTES_MAX], char disk_out[UNITS_TEXT_BYTES_MAX])
{
    const json_t *left = json_object_get(node, "free");

    if (!json_is_object(left)) {
        snprintf(cpu_out, UNITS_TEXT_BYTES_MAX, "-");
        snprintf(memory_out, UNITS_TEXT_BYTES_MAX, "-");
        snprintf(disk_out, UNITS_TEXT_BYTES_MAX, "-");
        return;
    }
    units_print_cores((uint64_t)(real_of(left, "cpu_cores") * 1000.0), cpu_out);
    units_print_bytes((uint64_t)number_of(left, "memory_bytes"), memory_out);
    units_print_bytes((uint64_t)number_of(left, "disk_bytes"), disk_out);
}

/* Why is its owner's affair: paused, drained, a rule. What others need to know is that nothing will be placed there. */
static bool takes_nothing(const json_t *node)
{
    const json_t *left = json_object_get(node, "free");

    return json_is_object(left) && real_of(left, "cpu_cores") <= 0.0 &&
           number_of(left, "memory_bytes") == 0 && number_of(left, "disk_bytes") == 0;
}

static const char *note_of(const json_t *node)
{
    if (json_is_true(json_object_get(node, "self"))) {
        return "this node";
    }
    if (json_is_true(json_object_get(node, "left"))) {
        return "stopped on purpose";
    }
    return takes_nothing(node) ? "takes nothing now" : "";
}

static void add_node(struct table *table, const json_t *node)
{
    char id[16];
    char owner[16];
    char age[32];
    char cpu[UNITS_TEXT_BYTES_MAX];
    char memory[UNITS_TEXT_BYTES_MAX];
    char disk[UNITS_TEXT_BYTES_MAX];

    short_id(text_of(node, "node"), id);
    short_id(text_of(node, "owner"), owner);
    print_age(text_of(node, "since"), age);
    print_free(node, cpu, memory, disk);
    table_add(table,
              (const char *const[]){text_of(node, "node_name"), id, text_of(node, "address"), owner,
                                    text_of(node, "state"), text_of(node, "reachable"),
                                    text_of(node, "arch"), cpu, memory, disk, age, note_of(node)});
}

static void add_member(struct table *table, const json_t *member)
{
    char owner[16];
    char age[32];
    char nodes[24];
    char services[24];

    short_id(text_of(member, "owner"), owner);
    print_age(text_of(member, "since"), age);
    snprintf(nodes, sizeof(nodes), "%zu", json_array_size(json_object_get(member, "nodes")));
    snprintf(services, sizeof(services), "%" PRIi64, number_of(member, "services"));
    table_add(table, (const char *const[]){owner, text_of(member, "name"), nodes, services, age});
}

static bool has_name(const json_t *member, const char *wanted)
{
    return strcmp(text_of(member, "name"), wanted) == 0;
}

static bool has_id(const json_t *member, const char *wanted)
{
    return strncasecmp(text_of(member, "owner"), wanted, strlen(wanted)) == 0;
}

/* Of whom `is_meant`; the last one's owner id, borrowed. Returns how many there are. */
static uint32_t members_meant(const json_t *members, const char *wanted,
                              bool (*is_meant)(const json_t *member, const char *wanted),
                              const char **id_out)
{
    const json_t *member;
    uint32_t count = 0;
    size_t i;

    json_array_foreach(members, i, member)
    {
        if (is_meant(member, wanted)) {
            *id_out = text_of(member, "owner");
            count++;
        }
    }
    return count;
}

/* Whom OWNER means: a member's name, else how the owner id begins ("ada" may be both). `id_out` is
 * borrowed from `members`. */
static int find_member(struct session *session, const json_t *members, const char *wanted,
                       const char **id_out)
{
    uint32_t count = members_meant(members, wanted, has_name, id_out);

    if (count == 0) {
        count = members_meant(members, wanted, has_id, id_out);
    }
    if (count > 1) {
        problem_set(&session->problem, EXIT_NOT_FOUND, wanted, "several members are meant");
        return problem_advise(&session->problem, "minga members has their owner ids");
    }
    if (count == 0) {
        problem_set(&session->problem, EXIT_NOT_FOUND, wanted,
                    "no member has this name or owner id");
        return problem_advise(&session->problem, "minga members lists them");
    }
    return EXIT_DONE;
}

/* Only the machines of `wanted` stay. */
static int keep_owners(struct session *session, json_t *nodes, const char *wanted)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    const char *id;
    int status = session_get(session, "/v1/members", &document);

    if (status == EXIT_DONE) {
        status = find_member(session, json_object_get(document, "members"), wanted, &id);
    }
    for (size_t i = json_array_size(nodes); status == EXIT_DONE && i-- > 0;) {
        if (strcmp(text_of(json_array_get(nodes, i), "owner"), id) != 0) {
            json_array_remove(nodes, i);
        }
    }
    return status;
}

struct listing { /* a document with one list, and the table of it */
    const char *path;
    const char *list;
    const char *const *headings;
    uint32_t column_count;
    const char *expendable;
    void (*add)(struct table *table, const json_t *element);
};

/* `owner`: of whom only, or NULL. */
static int show(struct session *session, const struct listing *listing, const char *owner)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    struct table table;
    const json_t *element;
    size_t i;
    int status = session_get(session, listing->path, &document);

    if (status == EXIT_DONE && owner != NULL) {
        status = keep_owners(session, json_object_get(document, listing->list), owner);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    if (session->json) {
        print_document(document);
        return EXIT_DONE;
    }
    table_init(&table, listing->headings, listing->column_count);
    table.expendable = listing->expendable;
    json_array_foreach(json_object_get(document, listing->list), i, element)
    {
        listing->add(&table, element);
    }
    print_table(session, &table);
    return EXIT_DONE;
}

int run_nodes(struct session *session, const struct arguments *arguments)
{
    static const char *const headings[] = {"NODE",     "ID",        "ADDRESS", "OWNER",
                                           "STATE",    "REACH",     "ARCH",    "CPU FREE",
                                           "MEM FREE", "DISK FREE", "SINCE",   "NOTE"};
    static const struct listing listing = {
        "/v1/nodes",
        "nodes",
        headings,
        ARRAY_COUNT(headings),
        ",ARCH,OWNER,DISK FREE,ID,CPU FREE,MEM FREE,SINCE,REACH,",
        add_node};

    return show(session, &listing, arguments->options[OPTION_OWNER]);
}

int run_members(struct session *session, const struct arguments *arguments)
{
    static const char *const headings[] = {"OWNER", "NAME", "NODES", "SERVICES", "SINCE"};
    static const struct listing listing = {"/v1/members",         "members", headings,
                                           ARRAY_COUNT(headings), NULL,      add_member};

    (void)arguments;
    return show(session, &listing, NULL);
}
