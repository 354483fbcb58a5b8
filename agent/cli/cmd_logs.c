// SPDX-License-Identifier: GPL-3.0-or-later
/* minga logs NAME[/REPLICA] [-f] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/cli/resolve.h"
#include "agent/cli/text.h"
#include "base/cleanup.h"

enum { POLL_MS = 300, WINDOWS_MAX = 100000 };

struct stream {
    uint32_t slot;
    uint64_t offset; /* next byte wanted */
    bool ended;
    bool mid_line; /* the last thing printed of it was no whole line */
};

struct streams {
    const char *name;
    char id[ID_HEX_CHARS + 1];
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
            stream->offset = reply.offset + reply.bytes.length_bytes;
        }
        stream->ended = reply.ended;
        reply_done(&reply);
        if (empty) {
            break;
        }
    }
    return EXIT_DONE;
}

static int add_slots(struct session *session, struct streams *streams)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    const json_t *replicas;
    const json_t *replica;
    char path[160];
    size_t i;
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s", streams->id);
    status = session_get(session, path, &document);
    replicas =
        json_object_get(json_array_get(json_object_get(document, "services"), 0), "replicas");
    json_array_foreach(replicas, i, replica)
    {
        const char *slash = strchr(text_of(replica, "id"), '/');

        if (slash != NULL && streams->count < REPLICAS_PER_SERVICE_MAX) {
            streams->list[streams->count++].slot = (uint32_t)strtoul(slash + 1, NULL, 10);
        }
    }
    if (status == EXIT_DONE && streams->count == 0) {
        status =
            problem_set(&session->problem, EXIT_NOT_FOUND, streams->name, "it has no replica now");
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

static bool all_ended(const struct streams *streams)
{
    for (uint32_t i = 0; i < streams->count; i++) {
        if (!streams->list[i].ended) {
            return false;
        }
    }
    return true;
}

int run_logs(struct session *session, const struct arguments *arguments)
{
    bool follow = arguments->options[OPTION_FOLLOW] != NULL;
    struct streams streams = {0};
    struct service_name name;
    int status = service_name_parse(arguments->words[0], true, &name, &session->problem);

    streams.name = name.name;
    if (status == EXIT_DONE) {
        status = resolve_service(session, &name, streams.id);
    }
    if (status == EXIT_DONE && name.slot > 0) {
        streams.list[streams.count++].slot = name.slot;
    } else if (status == EXIT_DONE) {
        status = add_slots(session, &streams);
    }
    while (status == EXIT_DONE) {
        status = read_all(session, &streams, follow);
        if (!follow || all_ended(&streams) || ferror(stdout) != 0) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    return status;
}
