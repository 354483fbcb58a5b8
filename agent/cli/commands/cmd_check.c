// SPDX-License-Identifier: GPL-3.0-or-later
/* minga check: what this machine has of all that sandboxes need, and how to get the rest */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/check/check.h"
#include "agent/cli/session.h"
#include "base/attributes.h"
#include "base/cleanup.h"

static const struct check_group *const groups[] = {&kernel_checks, &machine_checks,
                                                   &network_checks};
static const char *const state_names[CHECK_STATES] = {
    [CHECK_HAVE] = "ok", [CHECK_MISSING] = "missing", [CHECK_UNKNOWN] = "unknown"};

PRINTF_LIKE(3, 0)
static void say(struct check_result *result, enum check_state state, const char *format,
                va_list arguments)
{
    result->state = state;
    vsnprintf(result->detail, sizeof(result->detail), format, arguments);
}

void check_have(struct check_result *result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(result, CHECK_HAVE, format, arguments);
    va_end(arguments);
}

void check_missing(struct check_result *result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(result, CHECK_MISSING, format, arguments);
    va_end(arguments);
}

void check_unknown(struct check_result *result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(result, CHECK_UNKNOWN, format, arguments);
    va_end(arguments);
}

static const char *need_of(const struct check *check)
{
    return check->need == CHECK_TO_RUN ? "needed" : "better";
}

static void add_document(json_t *checks, const struct check_group *group, const struct check *check,
                         const struct check_result *result)
{
    bool is_missing = result->state == CHECK_MISSING;

    json_array_append_new(checks, json_pack("{ss ss ss ss ss ss ss}", "group", group->name, "name",
                                            check->name, "need", need_of(check), "state",
                                            state_names[result->state], "detail", result->detail,
                                            "meaning", is_missing ? check->meaning : "", "do",
                                            is_missing ? check->advice : ""));
}

static void add_row(struct table *table, const struct check *check,
                    const struct check_result *result)
{
    char note[512];

    snprintf(note, sizeof(note), "%s", result->detail);
    if (result->state == CHECK_MISSING) {
        snprintf(note, sizeof(note), "%s: %s. %s", result->detail, check->meaning, check->advice);
    }
    table_add(table,
              (const char *const[]){check->name, need_of(check),
                                    result->state == CHECK_MISSING && check->need == CHECK_TO_RUN
                                        ? "MISSING"
                                        : state_names[result->state],
                                    note});
}

int run_check(struct session *session, const struct arguments *arguments)
{
    static const char *const headings[] = {"CHECK", "FOR", "STATE", "NOTE"};
    CLEANUP(cleanup_json) json_t *document = json_object();
    json_t *checks = json_array();
    struct table table;
    uint32_t missing_count = 0;

    (void)arguments;
    table_init(&table, headings, ARRAY_COUNT(headings));
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        for (size_t j = 0; j < groups[i]->count; j++) {
            const struct check *check = &groups[i]->checks[j];
            struct check_result result = {.state = CHECK_UNKNOWN};

            check->probe(&result);
            missing_count += check->need == CHECK_TO_RUN && result.state == CHECK_MISSING;
            add_document(checks, groups[i], check, &result);
            add_row(&table, check, &result);
        }
    }
    json_object_set_new(document, "run", json_boolean(missing_count == 0));
    json_object_set_new(document, "checks", checks);
    if (session->json) {
        print_document(document);
        table_done(&table);
    } else {
        print_table(session, &table);
    }
    if (missing_count > 0) {
        problem_set(&session->problem, EXIT_REFUSED, "check",
                    "this machine can run no replica: %u things are missing", missing_count);
        return problem_advise(&session->problem, "the notes say how to get them");
    }
    return EXIT_DONE;
}
