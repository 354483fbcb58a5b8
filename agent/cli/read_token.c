// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/read_token.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/screen/hidden.h"
#include "base/cleanup.h"

/* A person's line ends the token; a file's or a pipe's end does. */
static int read_line(struct session *session, char *text_out, size_t capacity_bytes)
{
    if (!hidden_line("token (it is not shown): ", text_out, capacity_bytes)) {
        return problem_set(&session->problem, EXIT_REFUSED, "token", "none was given");
    }
    return EXIT_DONE;
}

static int read_all(struct session *session, int fd, char *text_out, size_t capacity_bytes)
{
    size_t used = 0;
    ssize_t count = 1;

    while (count > 0 && used < capacity_bytes - 1) {
        count = read(fd, text_out + used, capacity_bytes - 1 - used);
        if (count < 0) {
            return problem_set(&session->problem, EXIT_REFUSED, "token", "%m");
        }
        used += (size_t)count;
    }
    text_out[used] = '\0';
    return EXIT_DONE;
}

static int read_text(struct session *session, const struct arguments *arguments, char *text_out,
                     size_t capacity_bytes)
{
    const char *path = arguments->options[OPTION_TOKEN_FILE];
    CLEANUP(cleanup_close) int fd = -1;

    if (path != NULL) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? problem_set(&session->problem, EXIT_REFUSED, path, "%m")
                      : read_all(session, fd, text_out, capacity_bytes);
    }
    if (arguments->word_count > 0 && strcmp(arguments->words[0], "-") != 0) {
        problem_set(&session->problem, EXIT_USAGE, "token", "not on the command line");
        return problem_advise(&session->problem,
                              "others would see it there: use the terminal, - or --token-file");
    }
    if (arguments->word_count > 0) {
        return read_all(session, STDIN_FILENO, text_out, capacity_bytes);
    }
    if (!session->asks) {
        problem_set(&session->problem, EXIT_USAGE, "token", "no terminal to ask for it");
        return problem_advise(&session->problem, "use - or --token-file FILE");
    }
    return read_line(session, text_out, capacity_bytes);
}

int read_token(struct session *session, const struct arguments *arguments, struct token *token_out,
               struct token_content *content_out)
{
    char text[TOKEN_CHARS_MAX + 64];
    struct err err;
    int status = read_text(session, arguments, text, sizeof(text));

    if (status == EXIT_DONE && token_decode(text, token_out, content_out, &err) < 0) {
        status = problem_from_err(&session->problem, EXIT_REFUSED, &err);
    }
    sodium_memzero(text, sizeof(text));
    return status;
}
