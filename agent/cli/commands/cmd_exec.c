// SPDX-License-Identifier: GPL-3.0-or-later
/* minga exec NAME[/REPLICA] -- COMMAND... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/replicas.h"
#include "base/cleanup.h"

enum { TIME_MS_DEFAULT = 30000, SIGNAL_BASE = 128 };

struct run {
    struct session *session;
    struct remote_pace pace;
    struct replicas replicas;
    struct sink output; /* ours */
    struct sink errors;
    struct sink outputs[REPLICAS_PER_SERVICE_MAX]; /* the replicas', into ours */
    struct sink errors_of[REPLICAS_PER_SERVICE_MAX];
};

/* One alone prints as if it were here; of several each line says whose it is. */
static void connect_sinks(struct run *run)
{
    const struct session *session = run->session;
    enum sink_form form = session->json ? SINK_JSON : SINK_LINES;

    sink_init(&run->output, STDOUT_FILENO, session->interactive_output && !session->json);
    sink_init(&run->errors, STDERR_FILENO, isatty(STDERR_FILENO) != 0);
    for (uint32_t i = 0; i < run->replicas.count; i++) {
        struct remote_job *job = &run->replicas.jobs[i];

        sink_init_into(&run->outputs[i], form, &run->output, job->name, "stdout");
        sink_init_into(&run->errors_of[i], form, session->json ? &run->output : &run->errors,
                       job->name, "stderr");
        job->output = run->replicas.count == 1 && !session->json ? &run->output : &run->outputs[i];
        job->errors =
            run->replicas.count == 1 && !session->json ? &run->errors : &run->errors_of[i];
    }
}

static void disconnect_sinks(struct run *run)
{
    sink_done(&run->output);
    sink_done(&run->errors);
    for (uint32_t i = 0; i < run->replicas.count; i++) {
        sink_done(&run->outputs[i]);
        sink_done(&run->errors_of[i]);
    }
}

static int prepare(struct run *run, const struct arguments *arguments)
{
    struct session *session = run->session;
    int status = remote_pace_read(session, arguments, TIME_MS_DEFAULT, &run->pace);

    if (status == EXIT_DONE && arguments->words[1][0] == '\0') {
        status = problem_set(&session->problem, EXIT_USAGE, "exec", "the command has no name");
    }
    if (status == EXIT_DONE) {
        status = replicas_find(session, arguments->words[0], &run->replicas);
    }
    for (uint32_t i = 0; status == EXIT_DONE && i < run->replicas.count; i++) {
        struct remote_job *job = &run->replicas.jobs[i];

        job->begin.kind = EXEC_RUN;
        job->begin.time_ms = run->pace.time_ms;
        status = replicas_words(session, job, arguments->words + 1, arguments->word_count - 1);
    }
    return status;
}

/* ------------------------------------------------------------------ how it went */

static void say_json(const struct run *run, const struct remote_job *job)
{
    char text[REMOTE_WHY_BYTES];
    bool good = remote_judge(job, run->pace.time_ms, text, sizeof(text));
    bool exited = job->has_end && job->end.kind == EXEC_EXITED;
    json_t *line =
        json_pack("{ss ss sb ss sI so}", "replica", job->name, "node_name", job->node_name, "ok",
                  good, "end", text, "bytes", (json_int_t)job->output_bytes, "exit_status",
                  exited ? json_integer(job->end.status) : json_null());

    print_line(line);
    json_decref(line);
}

/* A line for each, and the sum. Returns how many failed. */
static uint32_t sum_up(const struct run *run)
{
    uint32_t failed_count = 0;

    for (uint32_t i = 0; i < run->replicas.count; i++) {
        const struct remote_job *job = &run->replicas.jobs[i];
        char text[REMOTE_WHY_BYTES];

        failed_count += remote_judge(job, run->pace.time_ms, text, sizeof(text)) ? 0 : 1;
        if (run->session->json) {
            say_json(run, job);
        } else if (run->replicas.count > 1) {
            remark("minga: %s on %s: %s, %llu bytes", job->name, job->node_name, text,
                   (unsigned long long)job->output_bytes);
        }
    }
    if (run->replicas.count > 1 && !run->session->json) {
        remark("minga: %u of %u went well", run->replicas.count - failed_count,
               run->replicas.count);
    }
    return failed_count;
}

/* One alone: its status is ours, as if it had been run here. */
static int judge_one(struct run *run)
{
    const struct remote_job *job = &run->replicas.jobs[0];
    char text[REMOTE_WHY_BYTES];

    (void)remote_judge(job, run->pace.time_ms, text, sizeof(text));
    if (job->has_end && job->end.kind == EXEC_EXITED) {
        return (int)job->end.status;
    }
    if (job->has_end && job->end.kind == EXEC_SIGNALLED) {
        problem_set(&run->session->problem, EXIT_REFUSED, job->name, "%s", text);
        return SIGNAL_BASE + (int)job->end.status;
    }
    problem_set(&run->session->problem,
                job->is_late || job->end.kind == EXEC_TOO_LATE ? EXIT_LATE : EXIT_REFUSED,
                job->name, "%s", text);
    if (job->has_end && job->end.kind == EXEC_TOO_LATE) {
        problem_advise(&run->session->problem, "--timeout says how long it may take");
    }
    return run->session->problem.status;
}

static int judge(struct run *run)
{
    uint32_t failed_count = sum_up(run);

    if (run->replicas.count == 1) {
        return judge_one(run);
    }
    return failed_count > 0 ? EXIT_REFUSED : EXIT_DONE;
}

static int run_all(struct run *run, struct secret_key *secret)
{
    struct remote remote = {.session = run->session,
                            .owner = secret,
                            .count = run->replicas.count,
                            .jobs = run->replicas.jobs,
                            .parallel = run->pace.parallel,
                            .delay_ms = run->pace.delay_ms,
                            .signal_fd = -1};
    int status;

    connect_sinks(run);
    if (run->replicas.count == 1) {
        run->replicas.jobs[0].input_fd = STDIN_FILENO;
    }
    status = remote_run(&remote);
    if (status == EXIT_DONE && remote.signal_number == 0) {
        status = judge(run);
    }
    remote_done(&remote);
    disconnect_sinks(run);
    remote_die(&remote);
    return status;
}

int run_exec(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_free) struct run *run = calloc(1, sizeof(*run));
    struct secret_key secret;
    int status;

    if (run == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "exec", "no memory");
    }
    run->session = session;
    status = prepare(run, arguments);
    if (status == EXIT_DONE) {
        status = session_owner_key_if_any(session, &secret);
    }
    if (status == EXIT_DONE) {
        status = run_all(run, &secret);
        keys_forget(&secret);
    }
    return status;
}
