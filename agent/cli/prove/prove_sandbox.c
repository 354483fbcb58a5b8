// SPDX-License-Identifier: GPL-3.0-or-later
/* One sandbox after the other, whose service is minga-probe. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/prove/prove.h"
#include "agent/executor/spec.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "images/worker.h"

#define BUNDLE_NAME "probe"

enum { START_MS_MAX = 20000, TURN_MS = 20, PROBE_BYTES_MAX = 16 << 20 };

static const char manifest_text[] = "name: probe\n"
                                    "command: [/probe]\n"
                                    "restart: never\n"
                                    "resources: {cpu: 0.25, memory: 48M, disk: 32M, pids: 64}\n"
                                    "stop: {signal: TERM, grace: 1s}\n"
                                    "logs: 1M\n";

static uint64_t now_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A bundle like any other, made of one program. */
static int make_bundle(const struct prove *prove, struct err *err)
{
    struct buffer program = {.bytes_max = PROBE_BYTES_MAX};
    int r = mkdirat(prove->trial.state_fd, BUNDLE_NAME, 0755) < 0
                ? err_set(err, -errno, BUNDLE_NAME ": %m")
                : 0;
    CLEANUP(cleanup_close)
    int fd = openat(prove->trial.state_fd, BUNDLE_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (r == 0) {
        r = file_read(AT_FDCWD, prove->probe, &program, err);
    }
    if (r == 0) {
        r = file_write_atomic(fd, "probe", buffer_bytes(&program), 0755, err);
    }
    if (r == 0) {
        r = file_write_atomic(fd, "service.yaml", bytes_of_text(manifest_text), 0644, err);
    }
    buffer_done(&program);
    return r < 0 ? r : take_fd(&fd);
}

int prove_open(struct prove *prove)
{
    struct manifest manifest;
    struct err err = {0};
    CLEANUP(cleanup_close) int fd = make_bundle(prove, &err);
    struct tree_id tree;
    int status;

    if (fd < 0) {
        return problem_from_err(&prove->session->problem, EXIT_REFUSED, &err);
    }
    status = trial_make_tree(prove->session, &prove->trial, "the probe", fd, &manifest, &tree);
    if (status == EXIT_DONE) {
        spec_of_manifest(&manifest, 1, &prove->spec);
        prove->spec.key.slot = 1;
        prove->spec.tree = tree;
        status = trial_start_helper(prove->session, &prove->trial, &prove->spec);
    }
    return status == EXIT_DONE ? trial_connect(prove->session, &prove->trial, &prove->client)
                               : status;
}

static int set_words(struct prove *prove, const char *const *words)
{
    struct sandbox_spec *spec = &prove->spec;
    size_t used_bytes = 0;

    memset(spec->arguments, 0, sizeof(spec->arguments));
    spec->argument_count = 0;
    for (; *words != NULL; words++) {
        size_t length_bytes = strlen(*words) + 1;

        if (used_bytes + length_bytes > sizeof(spec->arguments) ||
            spec->argument_count == ARGUMENTS_MAX) {
            return problem_set(&prove->session->problem, EXIT_REFUSED, "prove",
                               "the command line of the probe is too long");
        }
        memcpy(spec->arguments + used_bytes, *words, length_bytes);
        used_bytes += length_bytes;
        spec->argument_count++;
    }
    return EXIT_DONE;
}

/* One answer of the helper. Returns false when there is none for now, or never again. */
static bool take_answer(struct prove *prove)
{
    int r = sandbox_client_receive(&prove->client, &prove->answer);

    if (r > 0 && prove->answer.kind == ANSWER_EVENT &&
        replica_key_equal(&prove->answer.event.key, &prove->spec.key)) {
        prove->event = prove->answer.event;
    }
    return r > 0;
}

/* Until an event of that kind, or its end. Returns whether that came. */
static bool await(struct prove *prove, enum sandbox_event_kind kind, uint64_t ms_max)
{
    uint64_t end_ms = now_ms() + ms_max;
    uint64_t renew_ms = 0;

    for (;;) {
        struct pollfd polled = {sandbox_client_fd(&prove->client), POLLIN, 0};

        if (prove->event.kind == kind || prove->event.kind == SANDBOX_ENDED) {
            return prove->event.kind == kind;
        }
        if (now_ms() >= end_ms || polled.fd < 0) {
            return false;
        }
        if (now_ms() >= renew_ms) {
            renew_ms = now_ms() + RENEW_MS;
            (void)sandbox_client_renew(&prove->client, &prove->spec.key);
        }
        (void)sandbox_client_flush(&prove->client);
        if (!take_answer(prove)) {
            (void)poll(&polled, 1, TURN_MS);
        }
    }
}

/* No kind of event. */
static void forget_event(struct prove *prove)
{
    prove->event = (struct sandbox_event){.kind = SANDBOX_HEALTH};
}

int prove_start(struct prove *prove, const char *const *words)
{
    int status = set_words(prove, words);

    if (status != EXIT_DONE) {
        return status;
    }
    prove->spec.key.incarnation++;
    forget_event(prove);
    if (sandbox_client_start(&prove->client, &prove->spec, NULL) < 0 ||
        !await(prove, SANDBOX_STARTED, START_MS_MAX)) {
        const char *why = prove->event.kind == SANDBOX_ENDED ? prove->event.reason : "no answer";

        return problem_set(&prove->session->problem, EXIT_REFUSED, "sandbox", "%s", why);
    }
    return EXIT_DONE;
}

bool prove_await_end(struct prove *prove, uint64_t ms_max)
{
    if (prove->event.kind != SANDBOX_ENDED) {
        forget_event(prove);
    }
    (void)await(prove, SANDBOX_LISTED, ms_max); /* which does not come */
    return prove->event.kind == SANDBOX_ENDED;
}

bool prove_measure(struct prove *prove, uint64_t ms)
{
    if (prove_await_end(prove, ms)) {
        return false;
    }
    return sandbox_client_stats(&prove->client, &prove->spec.key) == 0 &&
           await(prove, SANDBOX_STATS, START_MS_MAX);
}

void prove_stop(struct prove *prove)
{
    if (prove->event.kind != SANDBOX_ENDED) {
        (void)sandbox_client_stop(&prove->client, &prove->spec.key);
    }
}

int prove_output(struct prove *prove, struct buffer *output)
{
    uint64_t offset = 0;
    uint64_t end_ms = now_ms() + START_MS_MAX;

    while (now_ms() < end_ms) {
        if (sandbox_client_logs(&prove->client, &prove->spec.key, offset, LOGS_WINDOW_BYTES_MAX) <
            0) {
            return -EPIPE;
        }
        while (now_ms() < end_ms && (!take_answer(prove) || prove->answer.kind != ANSWER_LOGS)) {
            struct pollfd polled = {sandbox_client_fd(&prove->client), POLLIN, 0};

            (void)poll(&polled, 1, TURN_MS);
        }
        const struct sandbox_logs *logs = &prove->answer.logs;

        if (prove->answer.kind != ANSWER_LOGS || logs->length_bytes == 0) {
            break;
        }
        offset = logs->offset + logs->length_bytes;
        int r = buffer_append(output, logs->bytes, logs->length_bytes);
        if (r < 0) {
            return r;
        }
    }
    return buffer_append(output, "", 1);
}
