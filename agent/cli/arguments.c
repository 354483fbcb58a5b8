// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "agent/cli/command.h"
#include "agent/cli/screen/text.h"
#include "base/check.h"

/* "--name", "--name=value" (length is the name's); OPTION_COUNT when there is none. */
static enum option option_named(const char *name, size_t length)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const char *known = option_spec((enum option)i)->name;

        if (strlen(known) == length && strncmp(known, name, length) == 0) {
            return (enum option)i;
        }
    }
    return OPTION_COUNT;
}

static enum option option_lettered(char letter)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        if (letter != '\0' && option_spec((enum option)i)->letter == letter) {
            return (enum option)i;
        }
    }
    return OPTION_COUNT;
}

/* Which one was meant? */
static int unknown_option(const char *word, const struct arguments *arguments,
                          struct problem *problem)
{
    uint32_t used_words;
    const struct command *command =
        arguments->word_count == 0
            ? NULL
            : command_find(arguments->words[0],
                           arguments->word_count > 1 ? arguments->words[1] : NULL, &used_words);
    const uint32_t taken =
        command != NULL ? command->options | OPTIONS_GLOBAL : OPTION_BIT(OPTION_COUNT) - 1;
    const char *nearest = NULL;
    uint32_t nearest_distance = 3; /* two slips are near */
    char typed[32];

    snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(word + strspn(word, "-"), "="),
             word + strspn(word, "-"));
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        uint32_t distance = text_distance(typed, option_spec((enum option)i)->name);

        if ((taken & OPTION_BIT(i)) != 0 && strlen(typed) > 2 && distance < nearest_distance) {
            nearest = option_spec((enum option)i)->name;
            nearest_distance = distance;
        }
    }
    problem_set(problem, EXIT_USAGE, word, "unknown option");
    if (nearest != NULL) {
        return problem_advise(problem, "did you mean --%s?", nearest);
    }
    return problem_advise(problem, "see minga help%s%s", command != NULL ? " " : "",
                          command != NULL ? command->name : "");
}

struct cursor {
    int count;
    char *const *argv;
    int next;
};

/* Takes the option in `word`, with its value from the next word where it needs one. */
static int take_option(struct cursor *cursor, const char *word, struct arguments *arguments,
                       struct problem *problem)
{
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    size_t length = is_long ? strcspn(name, "=") : 1;
    enum option option = is_long ? option_named(name, length) : option_lettered(name[0]);
    const char *value = name[length] == '=' ? name + length + 1 : NULL;

    if (option == OPTION_COUNT || (!is_long && name[1] != '\0')) {
        return unknown_option(word, arguments, problem);
    }
    const struct option_spec *spec = option_spec(option);

    if (spec->value == VALUE_NONE && value != NULL) {
        return problem_set(problem, EXIT_USAGE, word, "takes no value");
    }
    if (spec->value == VALUE_NEEDED && value == NULL) {
        if (cursor->next == cursor->count) {
            problem_set(problem, EXIT_USAGE, word, "needs a value");
            return problem_advise(problem, "write --%s=%s", spec->name, spec->placeholder);
        }
        value = cursor->argv[cursor->next++];
    }
    if (spec->value == VALUE_NEEDED && value[0] == '\0') {
        return problem_set(problem, EXIT_USAGE, word, "its value is empty");
    }
    if (arguments->options[option] != NULL) {
        return problem_set(problem, EXIT_USAGE, word, "given twice");
    }
    arguments->options[option] = value != NULL ? value : "";
    return EXIT_DONE;
}

int arguments_parse(int count, char *const *argv, struct arguments *arguments_out,
                    struct problem *problem)
{
    struct cursor cursor = {count, argv, 0};
    bool options_over = false;

    memset(arguments_out, 0, sizeof(*arguments_out));
    while (cursor.next < count) {
        const char *word = argv[cursor.next++];

        if (!options_over && strcmp(word, "--") == 0) {
            options_over = true;
        } else if (!options_over && word[0] == '-' && word[1] != '\0') {
            if (take_option(&cursor, word, arguments_out, problem) != EXIT_DONE) {
                return problem->status;
            }
        } else if (arguments_out->word_count == WORDS_MAX) {
            return problem_set(problem, EXIT_USAGE, word, "too many words");
        } else {
            arguments_out->words[arguments_out->word_count++] = word;
        }
    }
    return EXIT_DONE;
}

static int wrong_words(const struct command *command, const char *why, struct problem *problem)
{
    problem_set(problem, EXIT_USAGE, command->name, "%s", why);
    return problem_advise(problem, "usage: minga %s%s%s; see minga help %s", command->name,
                          command->usage[0] != '\0' ? " " : "", command->usage, command->name);
}

int arguments_check(const struct command *command, uint32_t used_words, struct arguments *arguments,
                    struct problem *problem)
{
    CHECK(used_words <= arguments->word_count);
    arguments->word_count -= used_words;
    memmove(arguments->words, arguments->words + used_words,
            arguments->word_count * sizeof(arguments->words[0]));
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        if (arguments->options[i] != NULL &&
            ((command->options | OPTIONS_GLOBAL) & OPTION_BIT(i)) == 0) {
            problem_set(problem, EXIT_USAGE, command->name, "takes no option --%s",
                        option_spec((enum option)i)->name);
            return problem_advise(problem, "see minga help %s", command->name);
        }
    }
    if (arguments->options[OPTION_HELP] != NULL) {
        return EXIT_DONE;
    }
    if (arguments->word_count < command->words_min) {
        return wrong_words(command, "something is missing", problem);
    }
    if (arguments->word_count > command->words_max) {
        return wrong_words(command, "one word too many", problem);
    }
    return EXIT_DONE;
}
