// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/problem.h"

#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "agent/cli/text.h"
#include "base/check.h"

int problem_set(struct problem *problem, int status, const char *what, const char *why_format, ...)
{
    va_list arguments;

    CHECK(status != EXIT_DONE);
    memset(problem, 0, sizeof(*problem));
    problem->status = status;
    snprintf(problem->what, sizeof(problem->what), "%s", what);
    va_start(arguments, why_format);
    vsnprintf(problem->why, sizeof(problem->why), why_format, arguments);
    va_end(arguments);
    return status;
}

int problem_advise(struct problem *problem, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(problem->advice, sizeof(problem->advice), format, arguments);
    va_end(arguments);
    return problem->status;
}

int problem_from_err(struct problem *problem, int status, const struct err *err)
{
    const char *colon = strstr(err->text, ": ");
    char what[ERR_TEXT_BYTES_MAX];

    snprintf(what, sizeof(what), "%s", err->text);
    if (colon == NULL) {
        problem_set(problem, status, what, "%s", "");
    } else {
        what[colon - err->text] = '\0';
        problem_set(problem, status, what, "%s", colon + 2);
    }
    return problem_advise(problem, "%s", err->hint);
}

static void print_json(const struct problem *problem, FILE *stream)
{
    json_t *document = json_pack("{s{ss ss ss}}", "error", "what", problem->what, "why",
                                 problem->why, "do", problem->advice);

    if (document != NULL) {
        json_dumpf(document, stream, JSON_COMPACT | JSON_ENSURE_ASCII);
        fputc('\n', stream);
    }
    json_decref(document);
}

void problem_print(const struct problem *problem, bool as_json, FILE *stream)
{
    char line[3 * ERR_TEXT_BYTES_MAX + 16];
    int length;

    if (as_json) {
        print_json(problem, stream);
        return;
    }
    length = snprintf(line, sizeof(line), "minga: %s%s%s", problem->what,
                      problem->why[0] != '\0' ? ": " : "", problem->why);
    if (problem->advice[0] != '\0') {
        snprintf(line + length, sizeof(line) - (size_t)length, ". %s", problem->advice);
    }
    text_clean(line);
    fprintf(stream, "%s\n", line);
}
