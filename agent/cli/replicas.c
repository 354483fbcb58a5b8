// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/replicas.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/resolve.h"
#include "agent/cli/screen/text.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { PARALLEL_DEFAULT = 5, DELAY_MS_MAX = 3600000 };

static int read_time(struct session *session, const char *name, const char *text, uint64_t ms_max,
                     uint64_t *ms_out)
{
    uint64_t ms = 0;

    if (text == NULL) {
        return EXIT_DONE;
    }
    if (units_parse_duration(text, &ms) < 0 || ms > ms_max) {
        problem_set(&session->problem, EXIT_USAGE, name, "%s is no time", text);
        return problem_advise(&session->problem, "like 500ms, 30s or 5m, at most a day");
    }
    *ms_out = ms;
    return EXIT_DONE;
}

int remote_pace_read(struct session *session, const struct arguments *arguments, uint64_t time_ms,
                     struct remote_pace *pace_out)
{
    const char *parallel = arguments->options[OPTION_PARALLEL];
    uint64_t number = PARALLEL_DEFAULT;
    int status;

    *pace_out = (struct remote_pace){.time_ms = time_ms};
    if (parallel != NULL && (units_parse_number(parallel, &number) < 0 || number == 0 ||
                             number > REPLICAS_PER_SERVICE_MAX)) {
        problem_set(&session->problem, EXIT_USAGE, "--parallel", "%s is no such number", parallel);
        return problem_advise(&session->problem, "1 to %d at once", REPLICAS_PER_SERVICE_MAX);
    }
    pace_out->parallel = (uint32_t)number;
    status = read_time(session, "--delay", arguments->options[OPTION_DELAY], DELAY_MS_MAX,
                       &pace_out->delay_ms);
    if (status == EXIT_DONE) {
        status = read_time(session, "--timeout", arguments->options[OPTION_TIMEOUT], EXEC_MS_MAX,
                           &pace_out->time_ms);
    }
    if (status == EXIT_DONE && pace_out->time_ms == 0) {
        return problem_set(&session->problem, EXIT_USAGE, "--timeout", "no time at all");
    }
    return status;
}

static void take_replica(const struct service_name *name, const struct id *service,
                         const json_t *replica, struct replicas *replicas)
{
    const char *slash = strchr(text_of(replica, "id"), '/');
    uint32_t slot = slash == NULL ? 0 : (uint32_t)strtoul(slash + 1, NULL, 10);
    struct remote_job *job = &replicas->jobs[replicas->count];

    if (slot == 0 || (name->slot != 0 && name->slot != slot) ||
        strcmp(text_of(replica, "state"), "running") != 0 ||
        replicas->count == REPLICAS_PER_SERVICE_MAX ||
        text_copy(job->node, sizeof(job->node), text_of(replica, "node")) < 0) {
        return;
    }
    snprintf(job->name, sizeof(job->name), "%s/%u", name->name, slot);
    snprintf(job->node_name, sizeof(job->node_name), "%.63s", text_of(replica, "node_name"));
    text_clean(job->node_name);
    job->replica.service.id = *service;
    job->replica.slot = slot;
    job->replica.incarnation = (uint64_t)number_of(replica, "incarnation");
    job->input_fd = -1;
    replicas->count++;
}

int replicas_find(struct session *session, const char *text, struct replicas *replicas_out)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    char hex[ID_HEX_CHARS + 1];
    struct service_name name;
    struct id service;
    const json_t *found;
    const json_t *replica;
    char path[160];
    size_t i;
    int status = service_name_parse(text, true, &name, &session->problem);

    if (status == EXIT_DONE) {
        status = resolve_service(session, &name, hex);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    if (id_from_hex(hex, &service) < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "agent", "sent an id of odd length");
    }
    snprintf(path, sizeof(path), "/v1/services/%s", hex);
    status = session_get(session, path, &document);
    if (status != EXIT_DONE) {
        return status;
    }
    replicas_out->is_one = name.slot != 0;
    found = json_array_get(json_object_get(document, "services"), 0);
    json_array_foreach(json_object_get(found, "replicas"), i, replica)
    {
        take_replica(&name, &service, replica, replicas_out);
    }
    if (replicas_out->count == 0) {
        if (resolve_slot(found, name.slot, text, &session->problem) != EXIT_DONE) {
            return EXIT_NOT_FOUND;
        }
        problem_set(&session->problem, EXIT_NOT_FOUND, text,
                    name.slot != 0 ? "this replica does not run" : "no replica of it runs");
        return problem_advise(&session->problem, "minga status %s says why", name.name);
    }
    return EXIT_DONE;
}

int replicas_words(struct session *session, struct remote_job *job, const char *const *words,
                   uint32_t count)
{
    size_t used = 0;

    job->begin.word_count = count;
    for (uint32_t i = 0; i < count; i++) {
        size_t length = strlen(words[i]) + 1;

        if (count > EXEC_WORDS_MAX || used + length > EXEC_WORDS_BYTES_MAX) {
            problem_set(&session->problem, EXIT_USAGE, words[0], "the command is too long");
            return problem_advise(&session->problem, "at most %d words of %d bytes together",
                                  EXEC_WORDS_MAX, EXEC_WORDS_BYTES_MAX);
        }
        memcpy(job->begin.words + used, words[i], length);
        used += length;
    }
    return EXIT_DONE;
}

bool remote_judge(const struct remote_job *job, uint64_t time_ms, char *text_out,
                  size_t capacity_bytes)
{
    if (!job->has_end) {
        snprintf(text_out, capacity_bytes, "%s", job->why[0] != '\0' ? job->why : "not begun");
        text_clean(text_out);
        return false;
    }
    switch (job->end.kind) {
    case EXEC_EXITED:
        snprintf(text_out, capacity_bytes, "exit status %u", job->end.status);
        return job->end.status == 0;
    case EXEC_SIGNALLED:
        snprintf(text_out, capacity_bytes, "ended by signal %u", job->end.status);
        return false;
    case EXEC_TOO_LATE:
        snprintf(text_out, capacity_bytes, "killed: its time was over (%" PRIu64 ".%" PRIu64 "s)",
                 time_ms / 1000, time_ms % 1000 / 100);
        return false;
    case EXEC_FAILED:
    case EXEC_END_KIND_COUNT:
        break;
    }
    snprintf(text_out, capacity_bytes, "%s", job->end.reason);
    text_clean(text_out);
    return false;
}
