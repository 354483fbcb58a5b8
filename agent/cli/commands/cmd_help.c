// SPDX-License-Identifier: GPL-3.0-or-later
/* minga help, minga version, minga key */
#include <stdio.h>
#include <string.h>

#include "agent/cli/session.h"
#include "base/cleanup.h"

static void print_option(enum option option)
{
    const struct option_spec *spec = option_spec(option);
    char name[64];

    if (spec->letter != 0) {
        snprintf(name, sizeof(name), "-%c, --%s", spec->letter, spec->name);
    } else {
        snprintf(name, sizeof(name), "--%s%s%s%s", spec->name,
                 spec->value == VALUE_OPTIONAL ? "[=" : (spec->value == VALUE_NEEDED ? " " : ""),
                 spec->placeholder, spec->value == VALUE_OPTIONAL ? "]" : "");
    }
    printf("  %-24s %s\n", name, spec->help);
}

static void print_options(uint32_t options)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        if ((options & OPTION_BIT(i)) != 0) {
            print_option((enum option)i);
        }
    }
}

static void print_summary(const struct command *command)
{
    char line[64];

    snprintf(line, sizeof(line), "%s%s%s", command->name, command->usage[0] != '\0' ? " " : "",
             command->usage);
    printf("  %-24s %s\n", line, command->help);
}

/* The commands of two words that begin with `first`. False: there are none. */
static bool print_family(const char *first, const char *title)
{
    size_t length = strlen(first);
    bool has_any = false;

    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);

        if (strncmp(command->name, first, length) == 0 && command->name[length] == ' ') {
            if (!has_any) {
                printf("%s", title);
            }
            has_any = true;
            print_summary(command);
        }
    }
    return has_any;
}

static void print_command(const struct command *command)
{
    printf("minga %s%s%s\n  %s\n", command->name, command->usage[0] != '\0' ? " " : "",
           command->usage, command->help);
    (void)print_family(command->name, "\nAlso:\n");
    if (command->options != 0) {
        printf("\nOptions:\n");
        print_options(command->options);
    }
    printf("\nEverywhere:\n");
    print_options(OPTIONS_GLOBAL);
    printf("\nman minga says more.\n");
}

static void print_commands(void)
{
    printf("minga COMMAND [WORDS] [OPTIONS]: run services on the community's own computers\n\n");
    for (uint32_t i = 0; i < command_count(); i++) {
        print_summary(command_at(i));
    }
    printf("\nEverywhere:\n");
    print_options(OPTIONS_GLOBAL);
}

/* Also `minga COMMAND --help`: there the words are the command's own. */
int run_help(struct session *session, const struct arguments *arguments)
{
    const struct command *command;
    uint32_t used_words = 0;

    if (arguments->word_count == 0) {
        print_commands();
        return EXIT_DONE;
    }
    command = command_find(arguments->words[0],
                           arguments->word_count > 1 ? arguments->words[1] : NULL, &used_words);
    if (command != NULL) {
        print_command(command);
        return EXIT_DONE;
    }
    if (print_family(arguments->words[0], "")) {
        return EXIT_DONE;
    }
    problem_set(&session->problem, EXIT_USAGE, arguments->words[0], "unknown command");
    const char *nearest = command_nearest(arguments->words[0]);

    return nearest != NULL
               ? problem_advise(&session->problem, "did you mean minga help %s?", nearest)
               : problem_advise(&session->problem, "minga help lists them");
}

/* Works without an agent too: then only the command's own version is known. */
int run_version(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *agent = NULL;
    json_t *document;
    int status = session_get(session, "/v1/version", &agent);

    (void)arguments;
    memset(&session->problem, 0, sizeof(session->problem));
    if (!session->json) {
        printf("minga %s\nmingad %s\n", MINGA_VERSION,
               status == EXIT_DONE ? text_of(agent, "version") : "(no agent answers)");
        return EXIT_DONE;
    }
    document =
        json_pack("{ss so}", "minga", MINGA_VERSION, "mingad",
                  status == EXIT_DONE ? json_string(text_of(agent, "version")) : json_null());
    print_document(document);
    json_decref(document);
    return EXIT_DONE;
}

int run_key(struct session *session, const struct arguments *arguments)
{
    struct secret_key secret;
    struct public_key key;
    struct owner_id owner;
    char id[ID_HEX_CHARS + 1];
    char hex[2 * PUBLIC_KEY_BYTES + 1];
    int status = session_owner_key(session, &secret);

    (void)arguments;
    if (status != EXIT_DONE) {
        return status;
    }
    key = keys_public(&secret);
    keys_forget(&secret);
    owner = keys_owner_id(&key);
    id_to_hex(&owner.id, id);
    bytes_to_hex((struct bytes){key.bytes, PUBLIC_KEY_BYTES}, hex);
    if (session->json) {
        json_t *document = json_pack("{ss ss}", "owner", id, "key", hex);

        print_document(document);
        json_decref(document);
    } else {
        printf("owner %s\nkey   %s\n", id, hex);
    }
    return EXIT_DONE;
}
