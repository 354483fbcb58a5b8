// SPDX-License-Identifier: GPL-3.0-or-later
/* minga logs NAME[/REPLICA] [-f] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/cli/resolve.h"
#include "agent/cli/screen/text.h"
#include "base/cleanup.h"

enum {
    POLL_MS = 300,
    LOOK_UP_ROUNDS = 4, /* a replica that has moved is found after so many polls */
    WINDOWS_MAX = 100000,
};

struct stream {
    uint32_t slot;
    int64_t incarnation;
    uint64_t offset; /* next byte wanted */
    bool ended;
    bool mid_line; /* the last thing printed of it was no whole line */
};

struct streams {
    const char *text; /* as it was typed: web, web/2 */
    const char *name;
    char id[ID_HEX_CHARS + 1];
    uint32_t only_slot; /* 0: all of them */
    uint32_t count;
    struct stream list[REPLICAS_PER_SERVICE_MAX];
};

/* Lines of several replicas are told apart by their names in front. */
static void print_text(const struct streams *streams, struct stream *stream, const char *text,
                       size_t length)
{
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t line = end != NULL ? (size_t)(end - text) + 1 : length;

        if (streams->count > 1 && !stream->mid_line) {
            printf("%s/%u | ", streams->name, stream->slot);
        }
        fwrite(text, 1, line, stdout);
        stream->mid_line = end == NULL;
        text += line;
        length -= line;
    }
    if (streams->count > 1 && stream->mid_line) {
        fputc('\n', stdout); /* another replica may speak next */
        stream->mid_line = false;
    }
}

static void print_json(const struct streams *streams, const struct stream *stream, char *text,
                       size_t length)
{
    json_t *line;

    text_clean_output(text, length);
    line = json_pack("{so sI ss#}", "replica", json_sprintf("%s/%u", streams->name, stream->slot),
                     "offset", (json_int_t)stream->offset, "text", text, (int)length);
    print_line(line);
    json_decref(line);
}

static void print_window(const struct session *session, const struct streams *streams,
                         struct stream *stream, struct reply *reply)
{
    char *text = (char *)reply->bytes.data;
    size_t length = reply->bytes.length_bytes;

    if (session->json) {
        print_json(streams, stream, text, length);
        return;
    }
    if (session->interactive_output) {
        text_clean_output(text, length);
    }
    print_text(streams, stream, text, length);
    fflush(stdout);
}

/* Everything that is there now, window by window. */
static int read_stream(struct session *session, struct streams *streams, struct stream *stream)
{
    for (int i = 0; i < WINDOWS_MAX && !stream->ended && ferror(stdout) == 0; i++) {
        struct reply reply;
        char path[224];
        bool empty;
        int status;

        snprintf(path, sizeof(path), "/v1/services/%s/logs?slot=%u&offset=%" PRIu64, streams->id,
                 stream->slot, stream->offset);
        status = session_get_bytes(session, path, &reply);
        if (status != EXIT_DONE) {
            return status;
        }
        empty = reply.bytes.length_bytes == 0;
        if (!empty) {
            print_window(session, streams, stream, &reply);
            stream->offset = reply.window.offset + reply.bytes.length_bytes;
        }
        stream->ended = reply.window.ended;
        reply_done(&reply);
        if (empty) {
            break;
        }
    }
    return EXIT_DONE;
}

static struct stream *find_stream(struct streams *streams, uint32_t slot)
{
    for (uint32_t i = 0; i < streams->count; i++) {
        if (streams->list[i].slot == slot) {
            return &streams->list[i];
        }
    }
    return NULL;
}

/* A slot that is filled now; filled again, it begins with a new log. */
static void take_replica(struct streams *streams, const json_t *replica)
{
    const char *slash = strchr(text_of(replica, "id"), '/');
    uint32_t slot = slash == NULL ? 0 : (uint32_t)strtoul(slash + 1, NULL, 10);
    int64_t incarnation = number_of(replica, "incarnation");
    struct stream *stream = find_stream(streams, slot);

    if (slot == 0 || (streams->only_slot != 0 && slot != streams->only_slot) ||
        text_of(replica, "node")[0] == '\0') {
        return;
    }
    if (stream == NULL && streams->count < REPLICAS_PER_SERVICE_MAX) {
        stream = &streams->list[streams->count++];
        *stream = (struct stream){.slot = slot, .incarnation = incarnation};
    } else if (stream != NULL && stream->incarnation != incarnation) {
        *stream = (struct stream){.slot = slot, .incarnation = incarnation};
    }
}

static bool has_ended(const json_t *replica)
{
    const char *state = text_of(replica, "state");

    return strcmp(state, "ended") == 0 || strcmp(state, "failed") == 0;
}

/* Which replicas are there now? `over_out`: none of them will ever print again. */
static int look_up(struct session *session, struct streams *streams, bool *over_out)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    const json_t *service;
    const json_t *replica;
    char path[160];
    size_t ended_count = 0;
    size_t i;
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s", streams->id);
    status = session_find(session, path, &document);
    if (status != EXIT_DONE) {
        return status;
    }
    service = json_array_get(json_object_get(document, "services"), 0);
    json_array_foreach(json_object_get(service, "replicas"), i, replica)
    {
        take_replica(streams, replica);
        ended_count += has_ended(replica) ? 1 : 0;
    }
    *over_out = service == NULL || strcmp(text_of(service, "state"), "off") == 0 ||
                (i > 0 && ended_count == i);
    return streams->count == 0 && streams->only_slot != 0
               ? resolve_slot(service, streams->only_slot, streams->text, &session->problem)
               : EXIT_DONE;
}

static int first_look(struct session *session, struct streams *streams)
{
    bool is_over = false;
    int status = look_up(session, streams, &is_over);

    if (status == EXIT_DONE && streams->count == 0) {
        problem_set(&session->problem, EXIT_NOT_FOUND, streams->text,
                    streams->only_slot != 0 ? "it has no such replica now"
                                            : "it has no replica now");
        return problem_advise(&session->problem, "minga status %s says which there are, and why",
                              streams->name);
    }
    return status;
}

/* One round over all. A replica that moves or is not there yet is no reason to end a -f. */
static int read_all(struct session *session, struct streams *streams, bool follow)
{
    int worst = EXIT_DONE;

    for (uint32_t i = 0; i < streams->count; i++) {
        int status = read_stream(session, streams, &streams->list[i]);

        if (status != EXIT_DONE && (!follow || status == EXIT_NO_AGENT)) {
            worst = status;
            if (streams->count == 1 || status == EXIT_NO_AGENT) {
                return status;
            }
        }
    }
    return worst;
}

/* Goes on until the service is off, or the agent is. */
static int follow_all(struct session *session, struct streams *streams)
{
    int status = EXIT_DONE;
    bool is_over = false;

    for (uint32_t round = 1; status == EXIT_DONE && ferror(stdout) == 0; round++) {
        status = read_all(session, streams, true);
        if (is_over || status != EXIT_DONE) {
            break; /* the round after the end has read the last words */
        }
        if (round % LOOK_UP_ROUNDS == 0 && look_up(session, streams, &is_over) == EXIT_NO_AGENT) {
            status = EXIT_NO_AGENT;
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    return status;
}

int run_logs(struct session *session, const struct arguments *arguments)
{
    bool follow = arguments->options[OPTION_FOLLOW] != NULL;
    struct streams streams = {0};
    struct service_name name;
    int status = service_name_parse(arguments->words[0], true, &name, &session->problem);

    streams.text = arguments->words[0];
    streams.name = name.name;
    streams.only_slot = name.slot;
    if (status == EXIT_DONE) {
        status = resolve_service(session, &name, streams.id);
    }
    if (status == EXIT_DONE) {
        status = first_look(session, &streams);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    return follow ? follow_all(session, &streams) : read_all(session, &streams, false);
}
