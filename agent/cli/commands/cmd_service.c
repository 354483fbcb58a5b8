// SPDX-License-Identifier: GPL-3.0-or-later
/* minga start, stop, scale, rm: the owner's next service record, and waiting for its effect. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/cli/record.h"
#include "agent/cli/resolve.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { WAIT_MS_DEFAULT = 60000, POLL_MS = 100 };

enum goal { GOAL_ACTIVE, GOAL_OFF, GOAL_GONE };

struct change {
    enum goal goal;
    uint64_t replica_count; /* 0: as it is */
    const char *verb;       /* for messages */
};

/* ------------------------------------------------------------------ what is wanted */

static int apply(struct session *session, struct owned_service *owned, void *context)
{
    const struct change *change = context;

    if (owned->sequence == 0 || owned->removed) {
        problem_set(&session->problem, EXIT_NOT_FOUND, owned->name, "you have no such service");
        return problem_advise(&session->problem, "minga push makes one; minga services lists all");
    }
    if (change->replica_count > 0) {
        owned->service.replicas = (uint32_t)change->replica_count;
    }
    if (change->goal != GOAL_ACTIVE) {
        owned->service.active = false;
    } else if (strcmp(change->verb, "start") == 0) {
        owned->service.active = true;
    }
    return EXIT_DONE;
}

/* ------------------------------------------------------------------ waiting */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int wait_time(struct session *session, const struct arguments *arguments,
                     uint64_t *wait_ms_out)
{
    const char *text = arguments->options[OPTION_WAIT];

    *wait_ms_out = text == NULL ? 0 : WAIT_MS_DEFAULT;
    if (text != NULL && text[0] != '\0' &&
        (units_parse_duration(text, wait_ms_out) < 0 || *wait_ms_out == 0)) {
        problem_set(&session->problem, EXIT_USAGE, "--wait", "not a duration: %s", text);
        return problem_advise(&session->problem, "such as 30s or 2m");
    }
    return EXIT_DONE;
}

/* Does every replica serve, so that locate names them all? */
static bool all_are_healthy(const json_t *service)
{
    const json_t *replicas = json_object_get(service, "replicas");

    for (size_t i = 0; i < json_array_size(replicas); i++) {
        if (strcmp(text_of(json_array_get(replicas, i), "health"), "ok") != 0) {
            return false;
        }
    }
    return true;
}

/* Has the manager taken this very record in, and is it so? */
static bool is_reached(const json_t *service, const struct owned_service *owned, enum goal goal)
{
    const char *state = text_of(service, "state");

    if (service == NULL) {
        return goal == GOAL_GONE;
    }
    if (number_of(service, "sequence") < (int64_t)owned->sequence) {
        return false;
    }
    if (goal == GOAL_ACTIVE) {
        return strcmp(state, "active") == 0 &&
               number_of(service, "running") >= number_of(service, "wanted") &&
               all_are_healthy(service);
    }
    return strcmp(state, "off") == 0 && number_of(service, "running") == 0;
}

static int too_late(struct session *session, const struct owned_service *owned,
                    const struct change *change, const json_t *service)
{
    const char *reason = text_of(service, "reason");
    char what[96];

    snprintf(what, sizeof(what), "%s %s", change->verb, owned->name);
    if (service == NULL) {
        problem_set(&session->problem, EXIT_LATE, what, "no manager has answered in time");
    } else if (reason[0] != '\0') { /* it says how many run, too */
        problem_set(&session->problem, EXIT_LATE, what, "%s: %s", text_of(service, "state"),
                    reason);
    } else {
        problem_set(&session->problem, EXIT_LATE, what, "%s, %" PRIi64 "/%" PRIi64 " running",
                    text_of(service, "state"), number_of(service, "running"),
                    number_of(service, "wanted"));
    }
    return problem_advise(&session->problem, "it goes on; see minga status %s", owned->name);
}

/* The status of the service; NULL when there is none, or its manager does not answer yet. */
static int poll_once(struct session *session, const struct owned_service *owned, json_t **out)
{
    char path[160];
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s", owned->id_hex);
    status = session_find(session, path, out);
    if (status == EXIT_LATE || status == EXIT_REFUSED) {
        *out = NULL;
        return EXIT_LATE;
    }
    return status;
}

/* With the reason, where there is one: it says how many run, too. */
static void show_state(const struct session *session, const struct owned_service *owned,
                       const json_t *service)
{
    const char *reason = text_of(service, "reason");

    if (reason[0] != '\0') {
        progress(session, "%s: %s, %s", owned->name, text_of(service, "state"), reason);
    } else {
        progress(session, "%s: %s %" PRIi64 "/%" PRIi64, owned->name, text_of(service, "state"),
                 number_of(service, "running"), number_of(service, "wanted"));
    }
}

static int wait_for(struct session *session, const struct owned_service *owned,
                    const struct change *change, uint64_t wait_ms)
{
    uint64_t deadline_ms = now_ms() + wait_ms;

    for (;;) {
        CLEANUP(cleanup_json) json_t *document = NULL;
        int status = poll_once(session, owned, &document);
        const json_t *service = json_array_get(json_object_get(document, "services"), 0);

        if (status == EXIT_NO_AGENT) {
            return status;
        }
        memset(&session->problem, 0, sizeof(session->problem));
        if (status == EXIT_DONE && is_reached(service, owned, change->goal)) {
            progress(session, "%s", "");
            return EXIT_DONE;
        }
        show_state(session, owned, service);
        if (now_ms() >= deadline_ms) {
            progress(session, "%s", "");
            return too_late(session, owned, change, service);
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

/* ------------------------------------------------------------------ commands */

static void say(const struct session *session, const struct owned_service *owned,
                const struct change *change)
{
    json_t *document;

    if (!session->json) {
        return; /* nothing to say when all is well */
    }
    document = json_pack("{ss ss sI sb sI so}", "name", owned->name, "id", owned->id_hex,
                         "sequence", (json_int_t)owned->sequence, "active",
                         change->goal != GOAL_GONE && owned->service.active, "replicas",
                         (json_int_t)owned->service.replicas, "copies", session_copies(session));
    print_document(document);
    json_decref(document);
}

static int change_service(struct session *session, const struct arguments *arguments,
                          struct change *change)
{
    struct service_name name;
    struct owned_service owned;
    uint64_t wait_ms = 0;
    int status = service_name_parse(arguments->words[0], false, &name, &session->problem);

    if (status == EXIT_DONE) {
        status = wait_time(session, arguments, &wait_ms);
    }
    if (status == EXIT_DONE) {
        status = owned_service_read(session, name.name, &owned);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    if (name.owner[0] != '\0') {
        struct owner_id owner = keys_owner_id(&owned.owner);

        if (!id_has_prefix(&owner.id, name.owner)) {
            owned_service_done(&owned);
            return problem_set(&session->problem, EXIT_NO_AGENT, "not permitted",
                               "only its owner can do that");
        }
    }
    status = owned_service_change(session, &owned, change->goal == GOAL_GONE, apply, change);
    if (status == EXIT_DONE) {
        session_warn_alone(session); /* before it waits: that may be broken off */
    }
    if (status == EXIT_DONE && wait_ms > 0) {
        status = wait_for(session, &owned, change, wait_ms);
    }
    if (status == EXIT_DONE) {
        say(session, &owned, change);
    }
    owned_service_done(&owned);
    return status;
}

int run_start(struct session *session, const struct arguments *arguments)
{
    struct change change = {GOAL_ACTIVE, 0, "start"};
    const char *count = arguments->options[OPTION_REPLICAS];
    int status =
        count == NULL ? EXIT_DONE : replica_count_parse(session, count, &change.replica_count);

    return status == EXIT_DONE ? change_service(session, arguments, &change) : status;
}

int run_stop(struct session *session, const struct arguments *arguments)
{
    struct change change = {GOAL_OFF, 0, "stop"};

    return change_service(session, arguments, &change);
}

int run_scale(struct session *session, const struct arguments *arguments)
{
    struct change change = {GOAL_ACTIVE, 0, "scale"};
    int status = replica_count_parse(session, arguments->words[1], &change.replica_count);

    return status == EXIT_DONE ? change_service(session, arguments, &change) : status;
}

int run_rm(struct session *session, const struct arguments *arguments)
{
    struct change change = {GOAL_GONE, 0, "rm"};
    char question[128];

    snprintf(question, sizeof(question), "End and forget %s?", arguments->words[0]);
    if (!confirm(session, arguments, question)) {
        return problem_set(&session->problem, EXIT_REFUSED, "rm", "you said no");
    }
    return change_service(session, arguments, &change);
}
