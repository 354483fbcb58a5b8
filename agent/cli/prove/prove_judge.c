// SPDX-License-Identifier: GPL-3.0-or-later
/* From what the probe tells, and from what is seen from outside, to one result per attempt. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/cli/prove/prove.h"
#include "agent/cli/screen/text.h"
#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/units.h"

enum {
    TRY_MS_MAX = 180000,
    /* What is late on a busy machine has not come through. */
    HOG_MS_MAX = 120000,
    END_MS_MAX = 60000,
    LOOK_MS = 2000,
    CPU_PERMILLE_ABOVE_MAX = 1020, /* of the limit */
};

/* ------------------------------------------------------------------ inside */

static void judge(struct prove_attempt *attempt, const char *verdict, const char *detail)
{
    snprintf(attempt->detail, sizeof(attempt->detail), "%s", detail);
    if (strcmp(verdict, "open") == 0) {
        attempt->result = attempt->meant[0] != '\0' ? PROVE_MEANT : PROVE_OPEN;
    } else if (attempt->is_absent) {
        attempt->result = PROVE_ABSENT;
        snprintf(attempt->detail, sizeof(attempt->detail), "this machine has none");
    } else {
        attempt->result = strcmp(verdict, "stopped") == 0 ? PROVE_STOPPED : PROVE_UNSURE;
    }
}

/* "NUMBER verdict detail" a line, then "over". Returns whether that was there, else how far it came. */
static bool take_verdicts(struct prove *prove, char *text, uint32_t *done_count_out)
{
    bool is_over = false;
    char *rest = text;

    *done_count_out = 0;

    while (rest != NULL) {
        char *line = strsep(&rest, "\n");
        const char *number = strsep(&line, "\t");
        const char *verdict = line == NULL ? NULL : strsep(&line, "\t");

        if (verdict == NULL || line == NULL) {
            is_over = is_over || strcmp(number, "over") == 0;
        } else if (strtoul(number, NULL, 10) < prove->attempt_count) {
            text_clean(line);
            *done_count_out = (uint32_t)strtoul(number, NULL, 10) + 1;
            judge(&prove->attempts[*done_count_out - 1], verdict, line);
        }
    }
    return is_over;
}

static int not_over(struct prove *prove, const char *why, uint32_t done_count)
{
    const struct prove_attempt *next = &prove->attempts[done_count];

    prove_stop(prove);
    problem_set(&prove->session->problem, EXIT_REFUSED, "the probe",
                "did not come to its end: %.80s", why);
    return done_count == prove->attempt_count
               ? EXIT_REFUSED
               : problem_advise(&prove->session->problem, "it was at \"%s: %s\", %u of %u",
                                next->group, next->name, done_count + 1, prove->attempt_count);
}

int prove_try(struct prove *prove)
{
    const char *words[PROVE_FACTS_MAX + 4] = {"/probe", "try"};
    struct buffer output = {.bytes_max = PROVE_OUTPUT_BYTES_MAX};
    char pids[PROVE_FACT_BYTES_MAX];
    uint32_t done_count = 0;
    uint32_t count = 2;

    snprintf(pids, sizeof(pids), "pid_count_max=%" PRIu64, prove->spec.limits.pid_count);
    words[count++] = pids;
    for (uint32_t i = 0; i < prove->bait.fact_count; i++) {
        words[count++] = prove->bait.facts[i];
    }
    int status = prove_start(prove, words);
    if (status != EXIT_DONE) {
        return status;
    }
    progress(prove->session, "%u attempts ...", prove->attempt_count);
    bool has_ended = prove_await_end(prove, TRY_MS_MAX);
    bool is_over =
        prove_output(prove, &output) == 0 && take_verdicts(prove, (char *)output.data, &done_count);

    buffer_done(&output);
    progress(prove->session, "%s", "");
    return has_ended && is_over
               ? EXIT_DONE
               : not_over(prove, has_ended ? prove->event.reason : "no end in time", done_count);
}

/* ------------------------------------------------------------------ from outside */

static void PRINTF_LIKE(3, 4)
    conclude(struct prove_attempt *attempt, bool is_stopped, const char *format, ...)
{
    va_list arguments;

    attempt->result = is_stopped ? PROVE_STOPPED : PROVE_OPEN;
    va_start(arguments, format);
    vsnprintf(attempt->detail, sizeof(attempt->detail), format, arguments);
    va_end(arguments);
}

static void judge_memory(struct prove *prove, struct prove_attempt *attempt)
{
    char limit[UNITS_TEXT_BYTES_MAX];
    char wanted[64];

    units_print_bytes(prove->spec.limits.memory_bytes, limit);
    snprintf(wanted, sizeof(wanted), "out of memory: limit %s", limit);
    bool has_ended = prove_await_end(prove, HOG_MS_MAX);
    conclude(attempt,
             has_ended && prove->event.end == SANDBOX_END_OUT_OF_MEMORY &&
                 strncmp(prove->event.reason, wanted, strlen(wanted)) == 0,
             "%.100s", has_ended ? prove->event.reason : "it runs on");
}

static void judge_cpu(struct prove *prove, struct prove_attempt *attempt)
{
    const uint64_t limit_permille = prove->spec.limits.cpu_permille;

    if (!prove_measure(prove, LOOK_MS / 4) || !prove_measure(prove, LOOK_MS)) {
        conclude(attempt, false, "it cannot be measured");
        return;
    }
    uint64_t used_permille = prove->event.used.cpu_permille;
    conclude(attempt, used_permille * 1000 <= limit_permille * CPU_PERMILLE_ABOVE_MAX,
             "0.%03" PRIu64 " of 0.%03" PRIu64 " cores", used_permille, limit_permille);
}

static void judge_forks(struct prove *prove, struct prove_attempt *attempt)
{
    if (!prove_measure(prove, LOOK_MS / 2)) {
        conclude(attempt, false, "it cannot be measured");
        return;
    }
    uint64_t used = prove->event.used.pid_count;
    prove_stop(prove);
    bool has_ended = prove_await_end(prove, END_MS_MAX);
    conclude(attempt, has_ended && used <= prove->spec.limits.pid_count,
             "%" PRIu64 " of %" PRIu64 " processes, %s", used, prove->spec.limits.pid_count,
             has_ended ? "all ended" : "not ended");
}

static void judge_deaf(struct prove *prove, struct prove_attempt *attempt)
{
    (void)prove_await_end(prove, LOOK_MS / 4);
    prove_stop(prove);
    bool has_ended = prove_await_end(prove, END_MS_MAX);
    conclude(attempt, has_ended, "%s", has_ended ? "all ended" : "not ended");
}

static uint64_t bytes_of_logs(const struct prove *prove)
{
    char path[TRIAL_PATH_BYTES_MAX + 300];
    uint64_t sum_bytes = 0;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "%s/sandbox/logs", prove->trial.state);
    CLEANUP(cleanup_closedir) DIR *folder = opendir(path);
    char suffix[32];

    snprintf(suffix, sizeof(suffix), "-%" PRIu64 ".", prove->spec.key.incarnation);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct stat status;

        snprintf(path, sizeof(path), "%s/sandbox/logs/%s", prove->trial.state, entry->d_name);
        if (strstr(entry->d_name, suffix) != NULL && stat(path, &status) == 0) {
            sum_bytes += (uint64_t)status.st_size;
        }
    }
    return sum_bytes;
}

static void judge_output(struct prove *prove, struct prove_attempt *attempt)
{
    for (uint32_t ms = 0; ms < HOG_MS_MAX && bytes_of_logs(prove) == 0; ms += LOOK_MS / 4) {
        (void)prove_await_end(prove, LOOK_MS / 4);
    }
    (void)prove_await_end(prove, LOOK_MS);
    uint64_t kept_bytes = bytes_of_logs(prove);

    conclude(attempt, kept_bytes > 0 && kept_bytes <= prove->spec.logs_bytes,
             "%" PRIu64 " KiB are kept of all that it prints", kept_bytes >> 10);
}

static void judge_reason(struct prove *prove, struct prove_attempt *attempt, const char *wanted)
{
    bool has_ended = prove_await_end(prove, HOG_MS_MAX);

    conclude(attempt, has_ended && strncmp(prove->event.reason, wanted, strlen(wanted)) == 0,
             "%.100s", has_ended ? prove->event.reason : "it runs on");
}

static void judge_locks(struct prove *prove, struct prove_attempt *attempt)
{
    judge_reason(prove, attempt, "out of file locks: limit ");
}

static void judge_streams(struct prove *prove, struct prove_attempt *attempt)
{
    judge_reason(prove, attempt, "out of memory for connections: limit ");
}

/* Where such memory is the replica's (cgroup v2) it is ended for it. */
static void judge_buffers(struct prove *prove, struct prove_attempt *attempt)
{
    struct buffer output = {.bytes_max = PROVE_OUTPUT_BYTES_MAX};
    bool has_ended = prove_await_end(prove, HOG_MS_MAX);
    const char *reason = prove->event.reason;
    uint64_t held_bytes = 0;

    if (!has_ended) {
        conclude(attempt, false, "it runs on");
        return;
    }
    if (strncmp(reason, "out of memory", strlen("out of memory")) == 0) {
        conclude(attempt, true, "%.100s", reason);
        return;
    }
    if (prove_output(prove, &output) == 0) {
        held_bytes = strtoull((const char *)output.data, NULL, 10);
    }
    buffer_done(&output);
    conclude(attempt, held_bytes <= prove->spec.limits.memory_bytes, "%" PRIu64 " KiB are held",
             held_bytes >> 10);
    if (held_bytes == 0) {
        attempt->result = PROVE_UNSURE; /* no connections to try it with */
    }
}

static const struct {
    const char *name;
    const char *hog;
    void (*judge)(struct prove *prove, struct prove_attempt *attempt);
} hogs[] = {
    {"more memory than the limit", "memory", judge_memory},
    {"more memory, taken by a child", "memory-child", judge_memory},
    {"more processor than the limit", "cpu", judge_cpu},
    {"a bomb of forks", "forks", judge_forks},
    {"deaf to every signal", "deaf", judge_deaf},
    {"output without end", "output", judge_output},
    {"more memory, in locks on files", "locks", judge_locks},
    {"more memory, in locks that who took them left to others", "dead", judge_locks},
    {"more memory, in connections", "buffers", judge_buffers},
    {"more memory, in connections that nobody accepts", "streams", judge_streams},
};

int prove_hogs(struct prove *prove)
{
    for (size_t i = 0; i < ARRAY_COUNT(hogs) && prove->attempt_count < PROVE_ATTEMPTS_MAX; i++) {
        struct prove_attempt *attempt = &prove->attempts[prove->attempt_count++];
        int status = prove_start(prove, (const char *const[]){"/probe", "hog", hogs[i].hog, NULL});

        if (status != EXIT_DONE) {
            return status;
        }
        progress(prove->session, "%s ...", hogs[i].name);
        *attempt = (struct prove_attempt){.group = "held"};
        snprintf(attempt->name, sizeof(attempt->name), "%s", hogs[i].name);
        hogs[i].judge(prove, attempt);
        prove_stop(prove);
        if (!prove_await_end(prove, END_MS_MAX)) {
            return problem_set(&prove->session->problem, EXIT_REFUSED, hogs[i].name,
                               "the sandbox could not be ended");
        }
    }
    progress(prove->session, "%s", "");
    return EXIT_DONE;
}
