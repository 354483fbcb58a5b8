// SPDX-License-Identifier: GPL-3.0-or-later
/* minga services, minga status [NAME], minga locate NAME */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/resolve.h"
#include "agent/cli/screen/service_table.h"
#include "agent/cli/screen/text.h"
#include "agent/cli/screen/watch.h"
#include "base/cleanup.h"

/* An empty table alone would leave a newcomer wondering. */
static void remark_none(const struct session *session, const json_t *document)
{
    if (session->progress && json_array_size(json_object_get(document, "services")) == 0) {
        remark("no services yet: minga push makes one");
    }
}

int run_services(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    int status = session_get(session, "/v1/services", &document);

    (void)arguments;
    if (status == EXIT_DONE && session->json) {
        print_document(document);
    } else if (status == EXIT_DONE) {
        print_services(session, json_object_get(document, "services"), false);
        remark_none(session, document);
    }
    return status;
}

static void print_status(const struct session *session, const json_t *document)
{
    print_services(session, json_object_get(document, "services"), true);
}

/* Acknowledged, and yet gone: its author must hear of it. */
static void remark_lost(const json_t *document)
{
    const json_t *lost;
    size_t i;

    json_array_foreach(json_object_get(document, "lost_writes"), i, lost)
    {
        remark("%s: your change number %" PRIi64 " is lost: while the community was parted another "
               "one was made in its place, which stands",
               text_of(lost, "name"), number_of(lost, "sequence"));
    }
}

int run_status(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    char path[160];
    int status = resolve_path(session, arguments->word_count > 0 ? arguments->words[0] : NULL, path,
                              sizeof(path));

    if (status == EXIT_DONE && arguments->options[OPTION_WATCH] != NULL) {
        return watch(session, path, print_status);
    }
    if (status == EXIT_DONE) {
        status = session_get(session, path, &document);
    }
    if (status == EXIT_DONE && session->json) {
        print_document(document);
    } else if (status == EXIT_DONE) {
        print_status(session, document);
        remark_none(session, document);
        remark_lost(document);
    }
    return status;
}

/* Named are those that there are: what a service publishes is nowhere else to be seen. */
static int no_such_port(struct session *session, const json_t *services, const char *name)
{
    const json_t *replicas = json_object_get(json_array_get(services, 0), "replicas");
    json_t *ports = json_object_get(json_array_get(replicas, 0), "ports");
    char names[160] = "";
    size_t used = 0;
    const char *key;
    json_t *ignored;

    json_object_foreach(ports, key, ignored)
    {
        if (used + strlen(key) + 3 < sizeof(names)) {
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
                                     used > 0 ? ", " : "", key);
        }
    }
    problem_set(&session->problem, EXIT_NOT_FOUND, name, "no such port");
    return names[0] != '\0' ? problem_advise(&session->problem, "its ports: %s", names)
                            : EXIT_NOT_FOUND;
}

/* Is `name` one of the service's ports at all? A typing error must not look like an outage. */
static int check_port(struct session *session, const char *id, const char *name)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    const json_t *replica;
    char path[160];
    size_t i;
    bool known = false;
    uint32_t placed_count = 0;
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s", id);
    status = session_get(session, path, &document);
    if (status != EXIT_DONE) {
        return status;
    }
    json_array_foreach(
        json_object_get(json_array_get(json_object_get(document, "services"), 0), "replicas"), i,
        replica)
    {
        const json_t *ports = json_object_get(replica, "ports");

        placed_count += json_object_size(ports) > 0 ? 1 : 0;
        known = known || json_object_get(ports, name) != NULL;
    }
    return known || placed_count == 0
               ? EXIT_DONE
               : no_such_port(session, json_object_get(document, "services"), name);
}

/* Who asks for one port by name knows its protocol; in a list those of UDP are marked. Where only
 * members get in, the way in is what one wants to know. */
static void print_locations(const json_t *document, const char *text, bool marked)
{
    const json_t *location;
    size_t i;

    json_array_foreach(json_object_get(document, "locations"), i, location)
    {
        char place[96];
        char way[96] = "";
        char line[256];

        print_place(text_of(location, "address"), number_of(location, "port"), place,
                    sizeof(place));
        if (strcmp(text_of(location, "visibility"), "members") == 0) {
            snprintf(way, sizeof(way), " (members only: minga connect %s %s)", text,
                     text_of(location, "port_name"));
        }
        snprintf(line, sizeof(line), "%s%s%s", place,
                 marked && strcmp(text_of(location, "protocol"), "udp") == 0 ? "/udp" : "", way);
        text_clean(line);
        printf("%s\n", line);
    }
}

/* Nothing healthy is "below what is wanted", so that scripts need not count lines. */
static int locate(struct session *session, const char *id, const char *port, const char *text)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    char path[256];
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s/locations%s%s", id, port != NULL ? "?port=" : "",
             port != NULL ? port : "");
    status = session_get(session, path, &document);
    if (status != EXIT_DONE) {
        return status;
    }
    if (session->json) {
        print_document(document);
    } else {
        print_locations(document, text, port == NULL);
    }
    if (json_array_size(json_object_get(document, "locations")) == 0) {
        if (port != NULL && check_port(session, id, port) != EXIT_DONE) {
            return session->problem.status;
        }
        problem_set(&session->problem, EXIT_LATE, text, "no healthy replica with a port");
        return problem_advise(&session->problem, "minga status %s says why", text);
    }
    return EXIT_DONE;
}

int run_locate(struct session *session, const struct arguments *arguments)
{
    const char *port = arguments->options[OPTION_PORT];
    struct service_name name;
    char id[ID_HEX_CHARS + 1];
    int status = service_name_parse(arguments->words[0], false, &name, &session->problem);

    if (status == EXIT_DONE && port != NULL && !name_is_valid(port)) {
        status = problem_set(&session->problem, EXIT_USAGE, port, "not a port's name");
    }
    if (status == EXIT_DONE) {
        status = resolve_service(session, &name, id);
    }
    return status == EXIT_DONE ? locate(session, id, port, arguments->words[0]) : status;
}
