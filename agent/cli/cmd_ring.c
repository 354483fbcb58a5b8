// SPDX-License-Identifier: GPL-3.0-or-later
/* minga ring, minga lookup KEY */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/resolve.h"
#include "agent/cli/text.h"
#include "base/cleanup.h"

/* A node as people know it: its name, and the beginning of its id. */
static void print_node_of(const json_t *nodes, const char *id, char *text_out,
                          size_t capacity_bytes)
{
    const json_t *node;
    size_t i;

    json_array_foreach(nodes, i, node)
    {
        if (strcmp(text_of(node, "node"), id) == 0) {
            snprintf(text_out, capacity_bytes, "%s (%.*s)", text_of(node, "node_name"),
                     ID_SHORT_CHARS, id);
            return;
        }
    }
    snprintf(text_out, capacity_bytes, "%.*s", ID_SHORT_CHARS, id);
}

static void add_row(struct table *table, const json_t *nodes, const char *role, const char *id)
{
    char name[128];

    print_node_of(nodes, id, name, sizeof(name));
    table_add(table, (const char *const[]){role, name});
}

static void add_rows(struct table *table, const json_t *nodes, const char *role, const json_t *ids)
{
    const json_t *id;
    size_t i;

    json_array_foreach(ids, i, id)
    {
        add_row(table, nodes, i == 0 ? role : "", json_string_value(id));
    }
}

/* Names of nodes, for people only. */
static int get_nodes(struct session *session, json_t **nodes_out)
{
    return session->json ? EXIT_DONE : session_get(session, "/v1/nodes", nodes_out);
}

int run_ring(struct session *session, const struct arguments *arguments)
{
    static const char *const headings[] = {"RING", "WHO"};
    CLEANUP(cleanup_json) json_t *ring = NULL;
    CLEANUP(cleanup_json) json_t *document = NULL;
    struct table table;
    char count[48];
    int status = session_get(session, "/v1/ring", &ring);

    (void)arguments;
    if (status == EXIT_DONE) {
        status = get_nodes(session, &document);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    if (session->json) {
        print_document(ring);
        return EXIT_DONE;
    }
    const json_t *nodes = json_object_get(document, "nodes");

    table_init(&table, headings, ARRAY_COUNT(headings));
    snprintf(count, sizeof(count), "%" PRIi64, number_of(ring, "nodes"));
    add_row(&table, nodes, "this node", text_of(ring, "node"));
    table_add(&table, (const char *const[]){"nodes up", count});
    add_rows(&table, nodes, "positions", json_object_get(ring, "positions"));
    add_rows(&table, nodes, "predecessors", json_object_get(ring, "predecessors"));
    add_rows(&table, nodes, "successors", json_object_get(ring, "successors"));
    print_table(session, &table);
    return EXIT_DONE;
}

static bool is_key(const char *text)
{
    return strlen(text) == ID_HEX_CHARS && strspn(text, "0123456789abcdefABCDEF") == ID_HEX_CHARS;
}

/* A key is one as it stands, or a service's. */
static int key_of(struct session *session, const char *text, char key_out[ID_HEX_CHARS + 1])
{
    struct service_name name;
    int status;

    if (is_key(text)) {
        memcpy(key_out, text, ID_HEX_CHARS + 1);
        return EXIT_DONE;
    }
    status = service_name_parse(text, false, &name, &session->problem);
    return status == EXIT_DONE ? resolve_service(session, &name, key_out) : status;
}

static void print_lookup(const struct session *session, const json_t *lookup, const json_t *nodes)
{
    static const char *const headings[] = {"LOOKUP", "WHO"};
    struct table table;
    char hops[32];

    table_init(&table, headings, ARRAY_COUNT(headings));
    snprintf(hops, sizeof(hops), "%" PRIi64, number_of(lookup, "hops"));
    table_add(&table, (const char *const[]){"key", text_of(lookup, "key")});
    add_row(&table, nodes, "responsible", text_of(lookup, "responsible"));
    add_rows(&table, nodes, "holders", json_object_get(lookup, "holders"));
    table_add(&table, (const char *const[]){"hops", hops});
    add_rows(&table, nodes, "path", json_object_get(lookup, "path"));
    print_table(session, &table);
}

int run_lookup(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *lookup = NULL;
    CLEANUP(cleanup_json) json_t *nodes = NULL;
    char key[ID_HEX_CHARS + 1];
    char path[160];
    int status = key_of(session, arguments->words[0], key);

    if (status == EXIT_DONE) {
        snprintf(path, sizeof(path), "/v1/lookup/%s", key);
        status = session_get(session, path, &lookup);
    }
    if (status == EXIT_DONE) {
        status = get_nodes(session, &nodes);
    }
    if (status == EXIT_DONE && session->json) {
        print_document(lookup);
    } else if (status == EXIT_DONE) {
        print_lookup(session, lookup, json_object_get(nodes, "nodes"));
    }
    return status;
}
