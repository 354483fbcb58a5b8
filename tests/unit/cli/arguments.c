// SPDX-License-Identifier: GPL-3.0-or-later
#include <criterion/criterion.h>
#include <string.h>

#include "agent/cli/command.h"

static struct arguments arguments;
static struct problem problem;

/* Parses words separated by spaces. */
static int parse(const char *line)
{
    static char copy[256];
    char *argv[16];
    int count = 0;
    char *rest = copy;
    char *word;

    snprintf(copy, sizeof(copy), "%s", line);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (word[0] != '\0') {
            argv[count++] = word;
        }
    }
    memset(&problem, 0, sizeof(problem));
    return arguments_parse(count, argv, &arguments, &problem);
}

/* Parses, finds and checks as main does. */
static int check(const char *line)
{
    uint32_t used = 0;
    const struct command *command;
    int status = parse(line);

    if (status != EXIT_DONE) {
        return status;
    }
    command = command_find(arguments.words[0], arguments.word_count > 1 ? arguments.words[1] : NULL,
                           &used);
    cr_assert_not_null(command, "%s", line);
    return arguments_check(command, used, &arguments, &problem);
}

Test(arguments, options_may_stand_anywhere)
{
    cr_assert_eq(check("--json start --wait=5s wiki --socket /run/x --replicas=2"), EXIT_DONE);
    cr_assert_eq(arguments.word_count, 1);
    cr_assert_str_eq(arguments.words[0], "wiki");
    cr_assert_str_eq(arguments.options[OPTION_WAIT], "5s");
    cr_assert_str_eq(arguments.options[OPTION_SOCKET], "/run/x");
    cr_assert_str_eq(arguments.options[OPTION_REPLICAS], "2");
    cr_assert_str_eq(arguments.options[OPTION_JSON], "");
}

Test(arguments, an_optional_value_is_never_the_next_word)
{
    cr_assert_eq(check("start --wait wiki"), EXIT_DONE);
    cr_assert_str_eq(arguments.options[OPTION_WAIT], "");
    cr_assert_str_eq(arguments.words[0], "wiki");
}

Test(arguments, two_dashes_end_the_options_and_one_is_a_word)
{
    cr_assert_eq(check("push -- -"), EXIT_DONE);
    cr_assert_str_eq(arguments.words[0], "-");
    cr_assert_eq(check("push -"), EXIT_DONE);
    cr_assert_eq(check("logs -f wiki"), EXIT_DONE);
    cr_assert_str_eq(arguments.options[OPTION_FOLLOW], "");
}

Test(arguments, wrong_usage_is_said_with_status_2)
{
    static const char *const lines[] = {
        "start",    "start a b",    "start a --nonsense",  "start a --port http",
        "scale a",  "nodes --wait", "nodes --socket",      "nodes --json=1",
        "nodes -x", "logs -ff a",   "nodes --json --json", "node pause 1m 2m",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        cr_expect_eq(check(lines[i]), EXIT_USAGE, "%s", lines[i]);
        cr_expect_neq(problem.why[0], '\0', "%s", lines[i]);
    }
}

Test(arguments, commands_of_two_words_win_over_those_of_one)
{
    uint32_t used = 0;

    cr_assert_str_eq(command_find("node", "drain", &used)->name, "node drain");
    cr_assert_eq(used, 2);
    cr_assert_str_eq(command_find("node", NULL, &used)->name, "node");
    cr_assert_eq(used, 1);
    cr_assert_str_eq(command_find("join", "-", &used)->name, "join");
    cr_assert_null(command_find("community", NULL, &used));
    cr_assert_null(command_find("no", "drain", &used));
    cr_assert_null(command_find("", "", &used));
}

Test(arguments, a_mistyped_command_suggests_the_nearest)
{
    cr_assert_str_eq(command_nearest("stats"), "status");
    cr_assert_str_eq(command_nearest("strat"), "start");
    cr_assert_str_eq(command_nearest("community"), "community create");
    cr_assert_str_eq(command_nearest("puhs"), "push");
    cr_assert_null(command_nearest("frobnicate"));
    cr_assert_null(command_nearest("xy"));
}

Test(arguments, every_row_of_the_table_can_be_found_and_has_help)
{
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        char first[64];
        char *space;
        uint32_t used = 0;

        snprintf(first, sizeof(first), "%s", command->name);
        space = strchr(first, ' ');
        if (space != NULL) {
            *space = '\0';
        }
        cr_expect_eq(command_find(first, space != NULL ? space + 1 : NULL, &used), command);
        cr_expect_not_null(command->run);
        cr_expect_gt(strlen(command->help), 10);
        cr_expect_lt(strlen(command->help), 60);
        cr_expect_leq(command->words_min, command->words_max);
        cr_expect_eq(command->options & OPTIONS_GLOBAL, 0);
    }
}

Test(arguments, every_option_has_a_name_and_help)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = option_spec((enum option)i);

        cr_expect_not_null(spec->name);
        cr_expect_gt(strlen(spec->help), 5);
        cr_expect_eq(spec->value == VALUE_NONE, spec->placeholder[0] == '\0');
    }
}

Test(problem, is_one_line_with_what_why_and_what_to_do)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    problem_set(&problem, EXIT_REFUSED, "start", "line\none %d", 2);
    problem_advise(&problem, "%s", "try\033[2J again");
    problem_print(&problem, false, stream);
    fflush(stream);
    cr_assert_str_eq(text, "minga: start: line?one 2. Try?[2J again\n");
    fclose(stream);
    free(text);
}

Test(problem, is_printed_as_json_though_its_text_is_no_utf8)
{
    char path[ERR_TEXT_BYTES_MAX + 8] = "";
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    for (size_t i = 0; i < ERR_TEXT_BYTES_MAX / 2; i++) { /* the last character is cut in two */
        strcat(path, "\xc3\xa4");
    }
    problem_set(&problem, EXIT_USAGE, "w\xff", "%s", path);
    problem_advise(&problem, "%s", "try \xc3\xa4\nagain");
    problem_print(&problem, true, stream);
    fclose(stream);
    cr_assert_eq(strstr(text, "{\"error\":{\"what\":\"w?\",\"why\":\"\\u00E4"), text, "%s", text);
    cr_assert_not_null(strstr(text, "\\u00E4?\",\"do\":\"try \\u00E4\\nagain\"}}\n"), "%s", text);
    free(text);
}

Test(problem, splits_an_err_into_what_and_why)
{
    struct err err;

    err_set(&err, -5, "service.yaml:7:3: unknown key \"x\"");
    err_hint(&err, "see man service.yaml");
    cr_assert_eq(problem_from_err(&problem, EXIT_REFUSED, &err), EXIT_REFUSED);
    cr_assert_str_eq(problem.what, "service.yaml:7:3");
    cr_assert_str_eq(problem.why, "unknown key \"x\"");
    cr_assert_str_eq(problem.advice, "see man service.yaml");
}

Test(arguments, a_command_to_run_has_its_own_words_and_options)
{
    char line[] = "word";
    char *argv[WORDS_MAX + 1];

    cr_assert_eq(check("exec --parallel 2 wiki/1 -- ls -l --timeout 3"), EXIT_DONE);
    cr_assert_eq(arguments.word_count, 5);
    cr_assert_str_eq(arguments.words[2], "-l");
    cr_assert_str_eq(arguments.options[OPTION_PARALLEL], "2");
    cr_assert_null(arguments.options[OPTION_TIMEOUT]);
    cr_assert_eq(check("exec wiki/1"), EXIT_USAGE);
    for (int i = 0; i <= WORDS_MAX; i++) {
        argv[i] = line;
    }
    cr_assert_eq(arguments_parse(WORDS_MAX, argv, &arguments, &problem), EXIT_DONE);
    cr_assert_eq(arguments_parse(WORDS_MAX + 1, argv, &arguments, &problem), EXIT_USAGE);
}
