// SPDX-License-Identifier: GPL-3.0-or-later
/* minga ring, minga lookup [--trace] KEY */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/resolve.h"
#include "agent/cli/screen/text.h"
#include "base/cleanup.h"
#include "base/hash.h"

/* A node as people know it: its name, and the beginning of its id. */
/* Of a node, in a narrow window. */
static const char node_expendable[] = ",POSITION,RTT,ADDRESS,STATE,";

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

static const char *first_text_of(const json_t *document, const char *name)
{
    const char *text = json_string_value(json_array_get(json_object_get(document, name), 0));

    return text == NULL ? "" : text;
}

/* Names of nodes, for people only. */
static int get_nodes(struct session *session, json_t **nodes_out)
{
    return session->json ? EXIT_DONE : session_get(session, "/v1/nodes", nodes_out);
}

/* The beginning of an id, which tells apart and fits. */
static void shorten(const char *id, char text_out[ID_SHORT_CHARS + 1])
{
    snprintf(text_out, ID_SHORT_CHARS + 1, "%.*s", ID_SHORT_CHARS, id);
}

/* A row of what the node sees of another: role, who, state, round trip, address, position. */
static void add_sight(struct table *table, const char *role, const json_t *sight)
{
    char position[ID_SHORT_CHARS + 1];
    char who[128];
    char id[ID_SHORT_CHARS + 1];
    char rtt[32] = "";

    if (json_is_integer(json_object_get(sight, "rtt_ms"))) {
        snprintf(rtt, sizeof(rtt), "%" PRIi64 " ms", number_of(sight, "rtt_ms"));
    }
    shorten(text_of(sight, "node"), id);
    shorten(text_of(sight, "position"), position);
    if (text_of(sight, "node_name")[0] == '\0') {
        snprintf(who, sizeof(who), "%s", id);
    } else {
        snprintf(who, sizeof(who), "%s (%s)", text_of(sight, "node_name"), id);
    }
    table_add(table, (const char *const[]){role, who, text_of(sight, "state"), rtt,
                                           text_of(sight, "address"), position});
}

static void add_sights(struct table *table, const json_t *sights, const char *role)
{
    const json_t *sight;
    size_t i;
    bool is_first = true;

    json_array_foreach(sights, i, sight)
    {
        if (strcmp(text_of(sight, "role"), role) == 0) {
            add_sight(table, is_first ? role : "", sight);
            is_first = false;
        }
    }
}

/* By what right it answers for its arc. */
static void describe_lease(const json_t *lease, const json_t *nodes, char *text_out,
                           size_t capacity_bytes)
{
    const char *state = text_of(lease, "state");
    char keeper[96];

    print_node_of(nodes, text_of(lease, "keeper"), keeper, sizeof(keeper));
    if (strcmp(state, "alone") == 0) {
        snprintf(text_out, capacity_bytes, "needs none: the ring is its own");
    } else if (strcmp(state, "held") == 0) {
        snprintf(text_out, capacity_bytes, "%.1f s left, from %s",
                 (double)number_of(lease, "left_ms") / 1000, keeper);
    } else if (strcmp(state, "lapsed") == 0) {
        snprintf(text_out, capacity_bytes, "run out: answers for nothing; asks %s", keeper);
    } else {
        snprintf(text_out, capacity_bytes, "none: it has no arc yet");
    }
}

static void print_ring(const struct session *session, const json_t *ring, const json_t *nodes)
{
    static const char *const headings[] = {"RING", "WHO", "STATE", "RTT", "ADDRESS", "POSITION"};
    const json_t *neighbours = json_object_get(ring, "neighbours");
    struct table table;
    char position[ID_SHORT_CHARS + 1];
    char text[160];

    table_init(&table, headings, ARRAY_COUNT(headings));
    table.expendable = node_expendable;
    shorten(first_text_of(ring, "positions"), position);
    print_node_of(nodes, text_of(ring, "node"), text, sizeof(text));
    table_add(&table, (const char *const[]){"this node", text, "", "", "", position});
    if (json_array_size(json_object_get(ring, "positions")) == 0) {
        snprintf(text, sizeof(text), "none: others cannot dial this node, so far");
    } else {
        snprintf(text, sizeof(text), "%.2f %% of the ring, epoch %" PRIi64,
                 json_real_value(json_object_get(ring, "share")) * 100, number_of(ring, "epoch"));
    }
    table_add(&table, (const char *const[]){"its arc", text, "", "", "", ""});
    describe_lease(json_object_get(ring, "lease"), nodes, text, sizeof(text));
    table_add(&table, (const char *const[]){"its lease", text, "", "", "", ""});
    if (json_array_size(json_object_get(ring, "positions")) > 1) {
        snprintf(text, sizeof(text), "%zu more, for chunks alone",
                 json_array_size(json_object_get(ring, "positions")) - 1);
        table_add(&table, (const char *const[]){"positions", text, "", "", "", ""});
    }
    snprintf(text, sizeof(text), "%" PRIi64, number_of(ring, "nodes"));
    table_add(&table, (const char *const[]){"nodes up", text, "", "", "", ""});
    add_sights(&table, neighbours, "predecessor");
    add_sights(&table, neighbours, "successor");
    print_table(session, &table);
}

int run_ring(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *ring = NULL;
    CLEANUP(cleanup_json) json_t *document = NULL;
    int status = session_get(session, "/v1/ring", &ring);

    (void)arguments;
    if (status == EXIT_DONE) {
        status = get_nodes(session, &document);
    }
    if (status == EXIT_DONE && session->json) {
        print_document(ring);
    } else if (status == EXIT_DONE) {
        print_ring(session, ring, json_object_get(document, "nodes"));
    }
    return status;
}

static bool is_key(const char *text)
{
    return strlen(text) == ID_HEX_CHARS && strspn(text, "0123456789abcdefABCDEF") == ID_HEX_CHARS;
}

/* What was looked up, and how it became a key. */
struct wanted {
    const char *kind; /* "key", "service", "text" */
    char key[ID_HEX_CHARS + 1];
};

static int key_of_text(const char *text, struct wanted *wanted_out)
{
    struct id id = hash_of(HASH_KEY, bytes_of_text(text));

    wanted_out->kind = "text";
    id_to_hex(&id, wanted_out->key);
    return EXIT_DONE;
}

/* A key as it stands; else the service of that name; else any text, by its hash. */
static int key_of(struct session *session, const char *text, struct wanted *wanted_out)
{
    struct service_name name;
    struct problem unused = {0};
    int status;

    if (is_key(text)) {
        wanted_out->kind = "key";
        memcpy(wanted_out->key, text, ID_HEX_CHARS + 1);
        return EXIT_DONE;
    }
    if (service_name_parse(text, false, &name, &unused) != EXIT_DONE) {
        return key_of_text(text, wanted_out);
    }
    wanted_out->kind = "service";
    status = resolve_service(session, &name, wanted_out->key);
    if (status == EXIT_NOT_FOUND && resolve_found_none(&session->problem)) {
        memset(&session->problem, 0, sizeof(session->problem));
        return key_of_text(text, wanted_out);
    }
    return status;
}

/* What the kinds are called. */
static const char *meaning_of(const char *kind)
{
    if (strcmp(kind, "key") == 0) {
        return "as given";
    }
    return strcmp(kind, "service") == 0 ? "the service's id" : "the hash of that text";
}

static void print_lookup(const struct session *session, const json_t *lookup, const json_t *nodes)
{
    static const char *const headings[] = {"LOOKUP", "WHO"};
    struct table table;
    char hops[32];
    char key[160];

    table_init(&table, headings, ARRAY_COUNT(headings));
    snprintf(hops, sizeof(hops), "%" PRIi64, number_of(lookup, "hops"));
    snprintf(key, sizeof(key), "%s (%s)", text_of(lookup, "key"),
             meaning_of(text_of(lookup, "kind")));
    table_add(&table, (const char *const[]){"key", key});
    add_row(&table, nodes, "responsible", text_of(lookup, "responsible"));
    add_rows(&table, nodes, "holders", json_object_get(lookup, "holders"));
    table_add(&table, (const char *const[]){"hops", hops});
    add_rows(&table, nodes, "path", json_object_get(lookup, "path"));
    print_table(session, &table);
}

/* Hop by hop, and what the asker itself would have said. */
static void print_trace(const struct session *session, const json_t *lookup, const json_t *nodes)
{
    static const char *const headings[] = {"HOP", "WHO", "STATE", "RTT", "ADDRESS", "POSITION"};
    const char *believed = text_of(lookup, "believed");
    const json_t *sight;
    struct table table;
    char text[128];
    size_t i;

    table_init(&table, headings, ARRAY_COUNT(headings));
    table.expendable = node_expendable;
    shorten(text_of(lookup, "key"), text);
    table_add(&table,
              (const char *const[]){"key", meaning_of(text_of(lookup, "kind")), "", "", "", text});
    json_array_foreach(json_object_get(lookup, "trace"), i, sight)
    {
        snprintf(text, sizeof(text), "%zu %s", i, text_of(sight, "role"));
        add_sight(&table, strcmp(text_of(sight, "role"), "holder") == 0 ? "holder" : text, sight);
    }
    print_node_of(nodes, believed, text, sizeof(text));
    table_add(&table, (const char *const[]){strcmp(believed, text_of(lookup, "responsible")) == 0
                                                ? "expected"
                                                : "EXPECTED",
                                            text, "", "", "", ""});
    snprintf(text, sizeof(text), "%.3f ms", (double)number_of(lookup, "took_us") / 1000);
    table_add(&table, (const char *const[]){"took", text, "", "", "", ""});
    print_table(session, &table);
}

int run_lookup(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *lookup = NULL;
    CLEANUP(cleanup_json) json_t *document = NULL;
    struct wanted wanted = {.kind = ""};
    char path[160];
    int status = key_of(session, arguments->words[0], &wanted);

    if (status == EXIT_DONE) {
        snprintf(path, sizeof(path), "/v1/lookup/%s", wanted.key);
        status = session_get(session, path, &lookup);
    }
    if (status == EXIT_DONE) {
        json_object_set_new(lookup, "kind", json_string(wanted.kind));
        status = get_nodes(session, &document);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    const json_t *nodes = json_object_get(document, "nodes");

    if (session->json) {
        print_document(lookup);
    } else if (arguments->options[OPTION_TRACE] != NULL) {
        print_trace(session, lookup, nodes);
    } else {
        print_lookup(session, lookup, nodes);
    }
    return EXIT_DONE;
}
