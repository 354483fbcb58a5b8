// SPDX-License-Identifier: GPL-3.0-or-later
/* minga node, node pause, node resume, node drain, node history */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/screen/service_table.h"
#include "agent/cli/screen/watch.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/units.h"

enum { FROZEN_POLL_MS = 20, FROZEN_MS_MAX = 2000 };

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

/* What a rule leaves of it; the rest is as given. */
static void add_allowed(struct table *table, const json_t *node)
{
    const json_t *allowed = json_object_get(node, "allowed");
    const json_t *given = json_object_get(node, "contribution");
    char cpu[UNITS_TEXT_BYTES_MAX];
    char memory[UNITS_TEXT_BYTES_MAX];

    if (text_of(node, "rule")[0] == '\0' ||
        (real_of(allowed, "cpu_cores") >= real_of(given, "cpu_cores") &&
         number_of(allowed, "memory_bytes") >= number_of(given, "memory_bytes"))) {
        return;
    }
    units_print_cores((uint64_t)(real_of(allowed, "cpu_cores") * 1000.0), cpu);
    units_print_bytes((uint64_t)number_of(allowed, "memory_bytes"), memory);
    table_add(table, (const char *const[]){"allowed", cpu, memory, "", "", ""});
}

static const char *const lowered[] = {"cpu", "memory", "upload", "download"};

/* "cpu, upload": what this rule lowers most of all that act. */
static void print_lowered(const json_t *by, const char *rule, char text_out[64])
{
    size_t length = 0;

    for (size_t i = 0; i < ARRAY_COUNT(lowered); i++) {
        if (strcmp(text_of(by, lowered[i]), rule) == 0) {
            length += (size_t)snprintf(text_out + length, 64 - length, "%s%s",
                                       length > 0 ? ", " : "", lowered[i]);
        }
    }
}

static bool is_named_before(const json_t *by, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(text_of(by, lowered[i]), text_of(by, lowered[index])) == 0) {
            return true;
        }
    }
    return false;
}

/* The rules beside the strictest, where they lower something more than that one does. */
static void print_other_rules(const struct session *session, const json_t *node)
{
    static const char *const headings[] = {"ALSO", "LOWERS"};
    const json_t *by = json_object_get(node, "allowed_by");
    struct table table;
    bool has_any = false;

    table_init(&table, headings, ARRAY_COUNT(headings));
    table.indent_columns = TABLE_INDENT_COLUMNS;
    for (size_t i = 0; i < ARRAY_COUNT(lowered); i++) {
        const char *rule = text_of(by, lowered[i]);
        char things[64] = "";

        if (rule[0] != '\0' && strcmp(rule, text_of(node, "rule")) != 0 &&
            !is_named_before(by, i)) {
            print_lowered(by, rule, things);
            table_add(&table, (const char *const[]){rule, things});
            has_any = true;
        }
    }
    if (has_any) {
        print_table(session, &table);
    } else {
        table_done(&table);
    }
}

/* The hour of today, or how long it still takes. */
static void print_until(const json_t *node, char text_out[32])
{
    struct tm local = {0};
    time_t until = moment_of(text_of(node, "rule_until"));

    text_out[0] = '\0';
    if (until > 0 && localtime_r(&until, &local) != NULL) {
        bool is_soon = until - time(NULL) < 20 * 3600;

        (void)strftime(text_out, 32, is_soon ? "%H:%M" : "%a %H:%M", &local);
    }
}

/* "7400", or "7400 as 40123" where the router gives another one. */
static void print_ports(const json_t *mapping, bool is_udp, char *text_out, size_t capacity_bytes)
{
    const json_t *port;
    size_t length = 0;
    size_t i;

    text_out[0] = '\0';
    json_array_foreach(json_object_get(mapping, "ports"), i, port)
    {
        int64_t inside = number_of(port, "inside");
        int64_t outside = number_of(port, "outside");
        char text[64];
        int chars;

        if ((strcmp(text_of(port, "protocol"), "udp") == 0) != is_udp) {
            continue;
        }
        chars = snprintf(text, sizeof(text), "%s%" PRIi64, length > 0 ? ", " : "", inside);
        if (outside != inside) {
            (void)snprintf(text + chars, sizeof(text) - (size_t)chars, " as %" PRIi64, outside);
        }
        if (length + strlen(text) < capacity_bytes) {
            length += (size_t)snprintf(text_out + length, capacity_bytes - length, "%s", text);
        }
    }
}

/* `opened`: how a router is called that says nothing of itself. */
static void add_mapping(struct table *table, const json_t *mapping, const char *opened)
{
    const char *state = text_of(mapping, "state");
    const char *router = text_of(mapping, "router");
    char tcp[512];
    char udp[512];

    print_ports(mapping, false, tcp, sizeof(tcp));
    print_ports(mapping, true, udp, sizeof(udp));
    if (strcmp(state, "open") == 0) {
        state = router[0] != '\0' ? router : opened;
    }
    table_add(table, (const char *const[]){state, text_of(mapping, "by"), tcp, udp,
                                           text_of(mapping, "reason")});
}

/* What the router opens for this node, where that is allowed; of IPv6 only what is open. */
static void print_mapping(const struct session *session, const json_t *node)
{
    static const char *const headings[] = {"ROUTER", "BY", "TCP", "UDP", "NOTE"};
    const json_t *mapping = json_object_get(node, "port_mapping");
    const json_t *ipv6 = json_object_get(node, "port_mapping_ipv6");
    const char *state = text_of(mapping, "state");
    struct table table;

    if (state[0] == '\0' || strcmp(state, "off") == 0) {
        return;
    }
    table_init(&table, headings, ARRAY_COUNT(headings));
    table.indent_columns = TABLE_INDENT_COLUMNS;
    add_mapping(&table, mapping, "open");
    if (strcmp(text_of(ipv6, "state"), "open") == 0) {
        add_mapping(&table, ipv6, "IPv6 firewall");
    }
    print_table(session, &table);
}

enum { RATE_TEXT_BYTES = 2 * UNITS_TEXT_BYTES_MAX + 8 };

/* "1.5M/s of 2.0M": of all that is used together. */
static void print_way(const json_t *way, char text_out[RATE_TEXT_BYTES])
{
    const json_t *limit = json_object_get(way, "limit_bytes_per_s");
    const json_t *used = json_object_get(way, "used_bytes_per_s");
    char limit_text[UNITS_TEXT_BYTES_MAX] = "";
    char used_text[UNITS_TEXT_BYTES_MAX];

    units_print_bytes((uint64_t)(number_of(used, "chunks") + number_of(used, "replicas") +
                                 number_of(used, "relayed")),
                      used_text);
    if (json_is_integer(limit)) {
        units_print_bytes((uint64_t)json_integer_value(limit), limit_text);
    }
    (void)snprintf(text_out, RATE_TEXT_BYTES, "%s/s%s%s", used_text,
                   limit_text[0] != '\0' ? " of " : "", limit_text);
}

static void print_rate(const json_t *way, const char *user, char text_out[RATE_TEXT_BYTES])
{
    char bytes[UNITS_TEXT_BYTES_MAX];

    units_print_bytes((uint64_t)number_of(json_object_get(way, "used_bytes_per_s"), user), bytes);
    (void)snprintf(text_out, RATE_TEXT_BYTES, "%s/s", bytes);
}

static void add_user(struct table *table, const json_t *line, const char *user)
{
    char up[RATE_TEXT_BYTES];
    char down[RATE_TEXT_BYTES];

    print_rate(json_object_get(line, "upload"), user, up);
    print_rate(json_object_get(line, "download"), user, down);
    if (strcmp(up, "0/s") != 0 || strcmp(down, "0/s") != 0) {
        table_add(table, (const char *const[]){user, up, down});
    }
}

/* What goes over the owner's line, and how much may; who uses it, if anybody does. */
static void print_traffic(const struct session *session, const json_t *line)
{
    static const char *const headings[] = {"LINE", "UPLOAD", "DOWNLOAD"};
    char up[RATE_TEXT_BYTES];
    char down[RATE_TEXT_BYTES];
    struct table table;

    if (line == NULL) {
        return; /* an agent of an older version */
    }
    print_way(json_object_get(line, "upload"), up);
    print_way(json_object_get(line, "download"), down);
    table_init(&table, headings, ARRAY_COUNT(headings));
    table.indent_columns = TABLE_INDENT_COLUMNS;
    table_add(&table, (const char *const[]){"all", up, down});
    add_user(&table, line, "chunks");
    add_user(&table, line, "replicas");
    add_user(&table, line, "relayed");
    print_table(session, &table);
}

/* What is wrong here has a line of its own: beside all else it would be cut. */
static void print_note(const struct session *session, const char *note)
{
    static const char *const headings[] = {"NOTE"};
    struct table table;

    if (note[0] != '\0') {
        table_init(&table, headings, ARRAY_COUNT(headings));
        table.indent_columns = TABLE_INDENT_COLUMNS;
        table_add(&table, &note);
        print_table(session, &table);
    }
}

static void print_node(const struct session *session, const json_t *node)
{
    static const char *const headings[] = {"NODE", "ID",    "COMMUNITY", "STATE",
                                           "RULE", "UNTIL", "REACH"};
    static const char *const shares[] = {"", "CPU", "MEMORY", "DISK", "STORAGE", "PIDS"};
    const char *community = text_of(node, "community");
    struct table table;
    char until[32];
    char id[16];

    short_id(text_of(node, "node"), id);
    print_until(node, until);
    table_init(&table, headings, ARRAY_COUNT(headings));
    table_add(&table,
              (const char *const[]){text_of(node, "node_name"), id,
                                    community[0] != '\0' ? community : "-", text_of(node, "state"),
                                    text_of(node, "rule"), until, text_of(node, "reachable")});
    table.expendable = ",ID,REACH,COMMUNITY,";
    print_table(session, &table);
    print_other_rules(session, node);
    print_note(session, text_of(node, "reason"));
    table_init(&table, shares, ARRAY_COUNT(shares));
    table.indent_columns = TABLE_INDENT_COLUMNS;
    add_share(&table, node, "given", "contribution", true);
    add_allowed(&table, node);
    add_share(&table, node, "promised", "promised", false);
    add_share(&table, node, "used", "used", true);
    print_table(session, &table);
    print_traffic(session, json_object_get(node, "line"));
    print_mapping(session, node);
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

/* NULL: 0. */
static int read_time(struct session *session, const char *text, uint64_t *ms_out)
{
    *ms_out = 0;
    if (text != NULL &&
        (units_parse_duration(text, ms_out) < 0 || *ms_out == 0 || *ms_out > INT64_MAX)) {
        problem_set(&session->problem, EXIT_USAGE, text, "not a duration");
        return problem_advise(&session->problem, "such as 30m or 2h");
    }
    if (*ms_out > (uint64_t)ORDER_DAYS_MAX * 24 * 3600 * 1000) {
        return problem_set(&session->problem, EXIT_USAGE, text, "is more than a year");
    }
    return EXIT_DONE;
}

/* -1: not yet. */
static int look_frozen(struct session *session)
{
    CLEANUP(cleanup_json) json_t *node = NULL;
    int status = session_get(session, "/v1/node", &node);

    return status != EXIT_DONE                              ? status
           : strcmp(text_of(node, "state"), "pausing") == 0 ? -1
                                                            : EXIT_DONE;
}

/* Nothing but systemd's watchdog ends a helper that stands still; a new one needs root, which mingad has given up. */
static int advise_restart(struct session *session)
{
    return access("/run/systemd/system", F_OK) == 0
               ? problem_advise(&session->problem, "sudo systemctl restart minga-sandboxd")
               : problem_advise(&session->problem,
                                "if it never does: sudo kill -KILL $(pidof minga-sandboxd), sudo "
                                "kill -USR2 $(pidof mingad), and start mingad again within 30 s");
}

/* Who says "now" is told when it is so, or that it is not. */
static int await_frozen(struct session *session)
{
    static const struct timespec between = {.tv_nsec = FROZEN_POLL_MS * 1000000L};
    int status = look_frozen(session);

    for (int i = 0; status < 0 && i < FROZEN_MS_MAX / FROZEN_POLL_MS; i++) {
        nanosleep(&between, NULL);
        status = look_frozen(session);
    }
    if (status >= 0) {
        return status == EXIT_DONE ? run_node(session, NULL) : status;
    }
    status = run_node(session, NULL);
    if (status == EXIT_DONE) {
        problem_set(&session->problem, EXIT_LATE, "node pause",
                    "what runs here is not frozen yet; it is as soon as minga-sandboxd answers");
        status = advise_restart(session);
    }
    return status;
}

int run_node_pause(struct session *session, const struct arguments *arguments)
{
    uint64_t duration_ms = 0;
    uint64_t within_ms = 0;
    int status =
        read_time(session, arguments->word_count > 0 ? arguments->words[0] : NULL, &duration_ms);

    if (status == EXIT_DONE) {
        status = read_time(session, arguments->options[OPTION_WITHIN], &within_ms);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    bool is_now = arguments->options[OPTION_NOW] != NULL;
    json_t *body = json_pack("{sI sI sb}", "duration_ms", (json_int_t)duration_ms, "within_ms",
                             (json_int_t)within_ms, "now", is_now ? 1 : 0);

    if (!is_now) {
        return act(session, "/v1/node/pause", body);
    }
    status = session_post(session, "/v1/node/pause", body, NULL);
    return status == EXIT_DONE ? await_frozen(session) : status;
}

int run_node_resume(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    return act(session, "/v1/node/resume", NULL);
}

int run_node_drain(struct session *session, const struct arguments *arguments)
{
    uint64_t within_ms = 0;
    int status = read_time(session, arguments->options[OPTION_WITHIN], &within_ms);

    return status != EXIT_DONE ? status
                               : act(session, "/v1/node/drain",
                                     json_pack("{sI}", "within_ms", (json_int_t)within_ms));
}

static void print_history(const struct session *session, const json_t *document)
{
    static const char *const headings[] = {"REPLICA", "OWNER", "BEGAN", "RAN",
                                           "CPU",     "STATE", "NOTE"};
    const json_t *entry;
    struct table table;
    size_t i;

    table_init(&table, headings, ARRAY_COUNT(headings));
    json_array_foreach(json_object_get(document, "history"), i, entry)
    {
        time_t began = moment_of(text_of(entry, "began"));
        time_t ended = moment_of(text_of(entry, "ended"));
        char owner[16];
        char age[32];
        char ran[UNITS_TEXT_BYTES_MAX];
        char cpu[UNITS_TEXT_BYTES_MAX];

        short_id(text_of(entry, "owner"), owner);
        print_age(text_of(entry, "began"), age);
        (void)strncat(age, " ago", sizeof(age) - strlen(age) - 1);
        units_print_duration(ended > began ? (uint64_t)(ended - began) * 1000 : 0, ran);
        units_print_duration((uint64_t)(real_of(entry, "cpu_s") * 1000.0), cpu);
        table_add(&table, (const char *const[]){text_of(entry, "id"), owner, age, ran, cpu,
                                                text_of(entry, "state"), text_of(entry, "reason")});
    }
    print_table(session, &table);
}

int run_node_history(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    int status = session_get(session, "/v1/node/history", &document);

    (void)arguments;
    if (status == EXIT_DONE && session->json) {
        print_document(document);
    } else if (status == EXIT_DONE) {
        print_history(session, document);
        if (session->progress && json_array_size(json_object_get(document, "history")) == 0) {
            remark("nothing that ran here has ended yet");
        }
    }
    return status;
}
