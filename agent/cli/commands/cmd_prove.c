// SPDX-License-Identifier: GPL-3.0-or-later
/* minga prove: tries to get out of a real sandbox on this machine, and says what stopped it */
#include <stdio.h>
#include <string.h>

#include "agent/cli/prove/prove.h"
#include "base/attributes.h"
#include "base/cleanup.h"

enum { STOPPED_MIN = 100 }; /* fewer would prove nothing */

static const char *const result_names[PROVE_RESULTS] = {
    [PROVE_UNSURE] = "unsure", [PROVE_STOPPED] = "stopped", [PROVE_OPEN] = "open",
    [PROVE_MEANT] = "meant",   [PROVE_ABSENT] = "absent",
};

static void count_results(const struct prove *prove, uint32_t counts_out[PROVE_RESULTS])
{
    memset(counts_out, 0, sizeof(counts_out[0]) * PROVE_RESULTS);
    for (uint32_t i = 0; i < prove->attempt_count; i++) {
        counts_out[prove->attempts[i].result]++;
    }
}

static void print_json(const struct prove *prove, const uint32_t counts[PROVE_RESULTS])
{
    CLEANUP(cleanup_json) json_t *document = json_object();
    json_t *attempts = json_array();
    json_t *summary = json_object();

    for (uint32_t i = 0; i < prove->attempt_count; i++) {
        const struct prove_attempt *attempt = &prove->attempts[i];

        json_array_append_new(attempts,
                              json_pack("{ss ss ss ss}", "group", attempt->group, "name",
                                        attempt->name, "result", result_names[attempt->result],
                                        "detail", attempt->detail));
    }
    json_object_set_new(summary, "attempts", json_integer(prove->attempt_count));
    for (int i = 0; i < PROVE_RESULTS; i++) {
        json_object_set_new(summary, result_names[i], json_integer(counts[i]));
    }
    json_object_set_new(document, "attempts", attempts);
    json_object_set_new(document, "summary", summary);
    print_document(document);
}

/* What is open comes last, where it is seen. */
static void print_rows(const struct prove *prove)
{
    static const char *const headings[] = {"GROUP", "ATTEMPT", "RESULT", "NOTE"};
    static const bool is_loud[PROVE_RESULTS] = {[PROVE_OPEN] = true, [PROVE_MEANT] = true};
    struct table table;

    table_init(&table, headings, ARRAY_COUNT(headings));
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < prove->attempt_count; i++) {
            const struct prove_attempt *attempt = &prove->attempts[i];
            char note[sizeof(attempt->detail) + sizeof(attempt->meant) + 4];

            if (is_loud[attempt->result] != (turn == 1)) {
                continue;
            }
            snprintf(note, sizeof(note), "%s%s%s", attempt->detail,
                     attempt->result == PROVE_MEANT ? "; " : "",
                     attempt->result == PROVE_MEANT ? attempt->meant : "");
            table_add(&table, (const char *const[]){attempt->group, attempt->name,
                                                    attempt->result == PROVE_OPEN
                                                        ? "OPEN"
                                                        : result_names[attempt->result],
                                                    note});
        }
    }
    print_table(prove->session, &table);
}

static void print_text(const struct prove *prove, const uint32_t counts[PROVE_RESULTS])
{
    print_rows(prove);
    printf("%u attempts: %u stopped, %u NOT STOPPED, %u work on purpose; %u prove nothing, as this "
           "machine has nothing of the kind, %u as they failed for another reason.\n",
           prove->attempt_count, counts[PROVE_STOPPED], counts[PROVE_OPEN], counts[PROVE_MEANT],
           counts[PROVE_ABSENT], counts[PROVE_UNSURE]);
}

static int judge(struct prove *prove)
{
    struct problem *problem = &prove->session->problem;
    uint32_t counts[PROVE_RESULTS];

    count_results(prove, counts);
    if (prove->session->json) {
        print_json(prove, counts);
    } else {
        print_text(prove, counts);
    }
    if (counts[PROVE_OPEN] > 0) {
        return problem_set(problem, EXIT_REFUSED, "prove", "%u attempts were not stopped",
                           counts[PROVE_OPEN]);
    }
    if (counts[PROVE_STOPPED] < STOPPED_MIN) {
        return problem_set(problem, EXIT_REFUSED, "prove", "too few attempts could be made");
    }
    return EXIT_DONE;
}

static int run(struct prove *prove)
{
    int status = prove_find_probe(prove);

    if (status == EXIT_DONE) {
        status = trial_open(prove->session, &prove->trial);
    }
    if (status == EXIT_DONE) {
        status = bait_lay(prove->session, &prove->trial, &prove->bait);
    }
    if (status == EXIT_DONE) {
        status = prove_list(prove);
    }
    if (status == EXIT_DONE) {
        status = prove_control(prove);
    }
    if (status == EXIT_DONE) {
        status = prove_open(prove);
    }
    if (status == EXIT_DONE) {
        status = prove_try(prove);
    }
    if (status == EXIT_DONE) {
        status = prove_hogs(prove);
    }
    return status == EXIT_DONE ? judge(prove) : status;
}

int run_prove(struct session *session, const struct arguments *arguments)
{
    static struct prove prove; /* too large for the stack */
    int status;

    (void)arguments;
    prove.session = session;
    trial_init(&prove.trial);
    bait_init(&prove.bait);
    sandbox_client_init(&prove.client);
    status = run(&prove);
    sandbox_client_done(&prove.client);
    bait_done(&prove.bait);
    trial_close(&prove.trial);
    return status;
}
