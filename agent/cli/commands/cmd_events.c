// SPDX-License-Identifier: GPL-3.0-or-later
/* minga events [NAME] */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/cli/resolve.h"
#include "agent/cli/screen/changes.h"
#include "agent/cli/screen/text.h"
#include "base/cleanup.h"
#include "base/limits.h"

enum {
    PERIOD_MS = 1000,
    PATIENCE_S = OWNER_REQUEST_MS / 1000 + 2, /* the agent answers before, or not at all */
    WHAT_COLUMNS = 18,
    WHO_COLUMNS = 16,
    INDENT_COLUMNS = 4, /* of what goes on below */
};

struct stream {
    struct session *session;
    const char *path; /* of the services' document */
    bool with_nodes;
    bool lost; /* the agent does not answer */
    struct sight seen;
};

/* ------------------------------------------------------------------ one event */

static void print_event(void *self, const struct change *change)
{
    const struct stream *stream = self;
    char at[32] = "";
    char line[768];
    char folded[2 * sizeof(line)];
    time_t now = time(NULL);
    struct tm parts;

    if (gmtime_r(&now, &parts) != NULL) {
        (void)strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    if (stream->session->json) {
        json_t *document;

        /* A text that was cut inside a character is none that a document holds. */
        snprintf(line, sizeof(line), "%s", change->detail);
        text_clean_output(line, strlen(line));
        document = json_pack("{ss ss ss ss ss}", "at", at, "event", change->event, "subject",
                             change->subject, "detail", line, "id", change->id);
        print_line(document);
        json_decref(document);
        return;
    }
    snprintf(line, sizeof(line), "%s  %-*s  %-*s  %s", at, WHAT_COLUMNS, change->event, WHO_COLUMNS,
             change->subject, change->detail);
    text_clean(line);
    text_fold(line, stream->session->width_columns, INDENT_COLUMNS, folded, sizeof(folded));
    printf("%s\n", folded);
    fflush(stdout);
}

/* ------------------------------------------------------------------ looks */

static void sight_done(struct sight *sight)
{
    json_decref(sight->nodes);
    json_decref(sight->services);
    *sight = (struct sight){0};
}

static int look(const struct stream *stream, struct sight *sight_out)
{
    struct session *session = stream->session;
    int status = session_get(session, stream->path, &sight_out->services);

    if (status == EXIT_DONE && stream->with_nodes) {
        status = session_get(session, "/v1/nodes", &sight_out->nodes);
    }
    if (status != EXIT_DONE) {
        sight_done(sight_out);
    }
    return status;
}

static void tell_agent(struct stream *stream, bool lost)
{
    if (stream->lost != lost) {
        stream->lost = lost;
        print_event(stream, &(struct change){lost ? "agent.lost" : "agent.back", "-",
                                             lost ? stream->session->problem.why : "", ""});
    }
}

/* The one service that was watched is gone, for sure. */
static void tell_removed(struct stream *stream)
{
    for (int i = 0; i < 2; i++) {
        struct sight now = {.services = json_pack("{s[]}", "services")};

        changes_between(&stream->seen, &now, print_event, stream);
        sight_done(&stream->seen);
        stream->seen = now;
    }
}

static int follow(struct stream *stream)
{
    while (ferror(stdout) == 0) {
        struct sight now = {0};
        int status;

        nanosleep(
            &(struct timespec){.tv_sec = PERIOD_MS / 1000, .tv_nsec = PERIOD_MS % 1000 * 1000000L},
            NULL);
        status = look(stream, &now);
        if (status == EXIT_NOT_FOUND && !stream->with_nodes) {
            tell_removed(stream);
            return EXIT_DONE;
        }
        if (status != EXIT_DONE && !session_may_pass(stream->session, status)) {
            return status;
        }
        tell_agent(stream, !stream->session->answered);
        if (status == EXIT_DONE) {
            changes_between(&stream->seen, &now, print_event, stream);
            sight_done(&stream->seen);
            stream->seen = now;
        }
    }
    return EXIT_DONE;
}

static int begin(struct stream *stream)
{
    struct session *session = stream->session;
    int status = look(stream, &stream->seen);

    if (status == EXIT_DONE && session->progress && !session->json && stream->with_nodes) {
        size_t node_count = json_array_size(json_object_get(stream->seen.nodes, "nodes"));
        size_t service_count = json_array_size(json_object_get(stream->seen.services, "services"));

        remark("%zu node%s and %zu service%s now; what happens is shown, Ctrl-C ends it",
               node_count, node_count == 1 ? "" : "s", service_count,
               service_count == 1 ? "" : "s");
    }
    return status;
}

int run_events(struct session *session, const struct arguments *arguments)
{
    const char *name = arguments->word_count > 0 ? arguments->words[0] : NULL;
    char path[160];
    struct stream stream = {session, path, name == NULL, false, {0}};
    int status = resolve_path(session, name, path, sizeof(path));

    if (status == EXIT_DONE) {
        status = begin(&stream);
        session->patience_s = PATIENCE_S;
    }
    if (status == EXIT_DONE) {
        status = follow(&stream);
    }
    sight_done(&stream.seen);
    return status;
}
