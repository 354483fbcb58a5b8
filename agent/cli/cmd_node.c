// SPDX-License-Identifier: GPL-3.0-or-later
/* minga node, node pause, node resume, node drain */
#include <inttypes.h>
#include <stdio.h>

#include "agent/cli/service_table.h"
#include "agent/cli/watch.h"
#include "base/cleanup.h"
#include "base/units.h"

static void add_share(struct table *table, const json_t *node, const char *label, const char *key,
                      bool storage)
{
    const json_t *share = json_object_get(node, key);
    char cpu[UNITS_TEXT_BYTES_MAX];
    char memory[UNITS_TEXT_BYTES_MAX];
    char disk[UNITS_TEXT_BYTES_MAX];
    char stored[UNITS_TEXT_BYTES_MAX] = "";
    char pids[24];

    units_print_cores((uint64_t)(real_of(share, "cpu_cores") * 1000.0), cpu);
    units_print_bytes((uint64_t)number_of(share, "memory_bytes"), memory);
    units_print_bytes((uint64_t)number_of(share, "disk_bytes"), disk);
    if (storage) {
        units_print_bytes((uint64_t)number_of(share, "storage_bytes"), stored);
    }
    snprintf(pids, sizeof(pids), "%" PRIi64, number_of(share, "pids"));
    table_add(table, (const char *const[]){label, cpu, memory, disk, stored, pids});
}

static void print_node(const struct session *session, const json_t *node)
{
    static const char *const headings[] = {"NODE", "ID",    "COMMUNITY", "STATE",
                                           "RULE", "REACH", "NOTE"};
    static const char *const shares[] = {"", "CPU", "MEMORY", "DISK", "STORAGE", "PIDS"};
    const char *community = text_of(node, "community");
    struct table table;
    char id[16];

    short_id(text_of(node, "node"), id);
    table_init(&table, headings, ARRAY_COUNT(headings));
    table_add(&table, (const char *const[]){text_of(node, "node_name"), id,
                                            community[0] != '\0' ? community : "-",
                                            text_of(node, "state"), text_of(node, "rule"),
                                            text_of(node, "reachable"), text_of(node, "reason")});
    print_table(session, &table);
    table_init(&table, shares, ARRAY_COUNT(shares));
    table.indent_columns = TABLE_INDENT_COLUMNS;
    add_share(&table, node, "given", "contribution", true);
    add_share(&table, node, "promised", "promised", false);
    add_share(&table, node, "used", "used", true);
    print_table(session, &table);
    print_replicas(session, json_object_get(node, "replicas"));
}

int run_node(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *node = NULL;
    int status;

    if (arguments != NULL && arguments->options[OPTION_WATCH] != NULL) {
        return watch(session, "/v1/node", print_node);
    }
    status = session_get(session, "/v1/node", &node);
    if (status == EXIT_DONE && session->json) {
        print_document(node);
    } else if (status == EXIT_DONE) {
        print_node(session, node);
    }
    return status;
}

/* After a change the new state is shown. */
static int act(struct session *session, const char *path, json_t *body)
{
    int status = session_post(session, path, body, NULL);

    return status == EXIT_DONE ? run_node(session, NULL) : status;
}

int run_node_pause(struct session *session, const struct arguments *arguments)
{
    uint64_t duration_ms = 0;

    if (arguments->word_count > 0 && (units_parse_duration(arguments->words[0], &duration_ms) < 0 ||
                                      duration_ms == 0 || duration_ms > INT64_MAX)) {
        problem_set(&session->problem, EXIT_USAGE, arguments->words[0], "not a duration");
        return problem_advise(&session->problem, "such as 30m or 2h");
    }
    return act(session, "/v1/node/pause",
               json_pack("{sI}", "duration_ms", (json_int_t)duration_ms));
}

int run_node_resume(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    return act(session, "/v1/node/resume", NULL);
}

int run_node_drain(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    return act(session, "/v1/node/drain", NULL);
}
