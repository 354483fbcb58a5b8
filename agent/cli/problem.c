// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/problem.h"

#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "agent/cli/screen/text.h"
#include "base/check.h"

int problem_set(struct problem *problem, int status, const char *what, const char *why_format, ...)
{
    va_list arguments;

    CHECK(status != EXIT_DONE);
    memset(problem, 0, sizeof(*problem));
    problem->status = status;
    snprintf(problem->what, sizeof(problem->what), "%s", what[0] != '\0' ? what : "\"\"");
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

/* What a person typed, or what was cut off inside a character, is no UTF-8: no document holds it. */
static void print_json(const struct problem *problem, FILE *stream)
{
    struct problem clean = *problem;
    json_t *document;

    text_clean_output(clean.what, strlen(clean.what));
    text_clean_output(clean.why, strlen(clean.why));
    text_clean_output(clean.advice, strlen(clean.advice));
    document = json_pack("{s{ss ss ss}}", "error", "what", clean.what, "why", clean.why, "do",
                         clean.advice);

    if (document != NULL) {
        json_dumpf(document, stream, JSON_COMPACT | JSON_ENSURE_ASCII);
        fputc('\n', stream);
    }
    json_decref(document);
}

/* A command that is to be typed stays as it is. */
static void begin_sentence(char *text)
{
    static const char *const commands[] = {"minga ", "sudo ", "chmod "};

    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strncmp(text, commands[i], strlen(commands[i])) == 0) {
            return;
        }
    }
    if (text[0] >= 'a' && text[0] <= 'z') {
        text[0] = (char)(text[0] - 'a' + 'A');
    }
}

void problem_print(const struct problem *problem, bool as_json, FILE *stream)
{
    char line[3 * ERR_TEXT_BYTES_MAX + 16];
    size_t length;

    if (as_json) {
        print_json(problem, stream);
        return;
    }
    length = (size_t)snprintf(line, sizeof(line), "minga: %s%s%s", problem->what,
                              problem->why[0] != '\0' ? ": " : "", problem->why);
    if (problem->advice[0] != '\0') {
        const char *end = strchr(".?!", line[length - 1]) != NULL ? "" : ".";

        snprintf(line + length, sizeof(line) - length, "%s %s", end, problem->advice);
        begin_sentence(line + length + strlen(end) + 1);
    }
    text_clean(line);
    fprintf(stream, "%s\n", line);
}
