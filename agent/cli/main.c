// SPDX-License-Identifier: GPL-3.0-or-later
/* The command `minga`: words and options into one row of the table of commands. */
#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/session.h"
#include "base/file.h"

static void set_up(struct session *session, const struct arguments *arguments)
{
    const char *from_environment = getenv("MINGA_SOCKET");
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    session->socket_path = SOCKET_DEFAULT;
    if (from_environment != NULL && from_environment[0] != '\0') {
        session->socket_path = from_environment;
    }
    if (arguments->options[OPTION_SOCKET] != NULL) {
        session->socket_path = arguments->options[OPTION_SOCKET];
    }
    session->key_path = arguments->options[OPTION_KEY];
    session->json = arguments->options[OPTION_JSON] != NULL;
    session->asks = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    session->progress = isatty(STDERR_FILENO);
    session->interactive_output = isatty(STDOUT_FILENO);
    session->draws = terminal != NULL && terminal[0] != '\0' && strcmp(terminal, "dumb") != 0;
    session->colour = session->interactive_output && session->draws &&
                      (no_colour == NULL || no_colour[0] == '\0');
    session_measure(session);
}

static int unknown_command(struct session *session, const struct arguments *arguments)
{
    char typed[64];
    const char *nearest;

    snprintf(typed, sizeof(typed), "%s", arguments->words[0]);
    nearest = command_nearest(typed);
    if (nearest == NULL && arguments->word_count > 1) {
        snprintf(typed, sizeof(typed), "%s %s", arguments->words[0], arguments->words[1]);
        nearest = command_nearest(typed);
    }
    problem_set(&session->problem, EXIT_USAGE, arguments->words[0], "unknown command");
    return nearest != NULL ? problem_advise(&session->problem, "did you mean minga %s?", nearest)
                           : problem_advise(&session->problem, "minga help lists them");
}

/* "node pasue": no word of a command that takes none, but perhaps of another one. */
static int unknown_word(struct session *session, struct arguments *arguments,
                        const struct command *command)
{
    const char *nearest;
    char typed[64];

    snprintf(typed, sizeof(typed), "%s %s", arguments->words[0], arguments->words[1]);
    nearest = command_nearest(typed);
    if (nearest == NULL || strcmp(nearest, command->name) == 0) {
        return arguments_check(command, 1, arguments, &session->problem);
    }
    problem_set(&session->problem, EXIT_USAGE, typed, "unknown command");
    return problem_advise(&session->problem, "did you mean minga %s?", nearest);
}

static int run(struct session *session, struct arguments *arguments)
{
    const struct command *command;
    uint32_t used_words = 0;
    int status;

    if (arguments->word_count == 0) {
        if (arguments->options[OPTION_HELP] != NULL) {
            return run_help(session, arguments);
        }
        problem_set(&session->problem, EXIT_USAGE, "command", "none is given");
        return problem_advise(&session->problem, "minga help lists them");
    }
    command = command_find(arguments->words[0],
                           arguments->word_count > 1 ? arguments->words[1] : NULL, &used_words);
    if (arguments->options[OPTION_HELP] != NULL) {
        return run_help(session, arguments);
    }
    if (command == NULL) {
        return unknown_command(session, arguments);
    }
    if (used_words == 1 && arguments->word_count > 1 && command->words_max == 0) {
        return unknown_word(session, arguments, command);
    }
    status = arguments_check(command, used_words, arguments, &session->problem);
    return status == EXIT_DONE ? command->run(session, arguments) : status;
}

int main(int argc, char **argv)
{
    struct session session = {0};
    struct arguments arguments;
    int status;

    if (file_hold_standard() < 0 || sodium_init() < 0 ||
        curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fprintf(stderr, "minga: libraries: do not start\n");
        return EXIT_REFUSED;
    }
    /* What people type who do not know it yet. */
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        argv[1] = argv[1] + 2;
    }
    status = arguments_parse(argc > 0 ? argc - 1 : 0, argv + 1, &arguments, &session.problem);
    set_up(&session, &arguments);
    if (status == EXIT_DONE) {
        status = run(&session, &arguments);
    }
    if (status == EXIT_DONE && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        status = problem_set(&session.problem, EXIT_REFUSED, "output", "%m");
    }
    if (status != EXIT_DONE && session.problem.status != EXIT_DONE) {
        fflush(stdout);
        problem_print(&session.problem, session.json, stderr);
    }
    session_done(&session);
    curl_global_cleanup();
    return status;
}
