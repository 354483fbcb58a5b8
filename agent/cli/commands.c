// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "agent/cli/command.h"
#include "agent/cli/screen/text.h"
#include "base/check.h"

#define WAIT OPTION_BIT(OPTION_WAIT)
#define YES  OPTION_BIT(OPTION_YES)
#define PACE (OPTION_BIT(OPTION_PARALLEL) | OPTION_BIT(OPTION_DELAY) | OPTION_BIT(OPTION_TIMEOUT))

static const struct command commands[] = {
    {"community create", "NAME", "found a community; this machine is its first node", 1, 1,
     OPTION_BIT(OPTION_OWNER_NAME), run_community_create},
    {"invite", "", "print a token that lets others join", 0, 0,
     OPTION_BIT(OPTION_EXPIRES) | OPTION_BIT(OPTION_USES), run_invite},
    {"invite revoke", "[-]", "make a token worthless that was printed before", 0, 1,
     OPTION_BIT(OPTION_TOKEN_FILE), run_invite_revoke},
    {"join", "[-]", "give this machine to a community, with a token", 0, 1,
     OPTION_BIT(OPTION_TOKEN_FILE) | YES | OPTION_BIT(OPTION_OWNER_NAME), run_join},
    {"leave", "", "hand over what runs here and leave the community", 0, 0,
     YES | OPTION_BIT(OPTION_WITHIN), run_leave},
    {"members", "", "list the people of the community", 0, 0, 0, run_members},
    {"nodes", "", "list the machines of the community", 0, 0, OPTION_BIT(OPTION_OWNER), run_nodes},
    {"expel", "NODE", "shut a machine out for good", 1, 1, OPTION_BIT(OPTION_REASON) | YES,
     run_expel},
    {"node", "", "what this machine gives and runs, and which rule acts", 0, 0,
     OPTION_BIT(OPTION_WATCH), run_node},
    {"node pause", "[TIME]", "hand over what runs here, freeze the rest, take no more", 0, 1,
     OPTION_BIT(OPTION_NOW) | OPTION_BIT(OPTION_WITHIN), run_node_pause},
    {"node resume", "", "end a pause or a drain", 0, 0, 0, run_node_resume},
    {"node drain", "", "have everything started elsewhere, then end it here", 0, 0,
     OPTION_BIT(OPTION_WITHIN), run_node_drain},
    {"node history", "", "what ran here in the last days", 0, 0, 0, run_node_history},
    {"push", "FILE|DIR|-", "check, sign and store a bundle as the next version", 1, 1, 0, run_push},
    {"try", "DIR|FILE|-", "run one replica of a bundle here, without a community", 1, 1,
     OPTION_BIT(OPTION_PORT), run_try},
    {"check", "", "what this machine has of all that sandboxes need", 0, 0, 0, run_check},
    {"prove", "", "try to get out of a sandbox here, and say what stopped it", 0, 0, 0, run_prove},
    {"plan", "NAME", "where its replicas would go, and why not elsewhere", 1, 1,
     OPTION_BIT(OPTION_REPLICAS), run_plan},
    {"start", "NAME", "have the community run a service", 1, 1, WAIT | OPTION_BIT(OPTION_REPLICAS),
     run_start},
    {"stop", "NAME", "end a service's replicas; it stays known", 1, 1, WAIT, run_stop},
    {"scale", "NAME N", "change how many replicas are wanted", 2, 2, WAIT, run_scale},
    {"rm", "NAME", "end a service and forget it", 1, 1, YES | WAIT, run_rm},
    {"services", "", "list the services of the community", 0, 0, 0, run_services},
    {"status", "[NAME]", "services with their replicas", 0, 1, OPTION_BIT(OPTION_WATCH),
     run_status},
    {"locate", "NAME", "where the healthy replicas answer, host:port a line", 1, 1,
     OPTION_BIT(OPTION_PORT), run_locate},
    {"connect", "NAME [PORT]", "a port here that leads to a replica (NAME/2: that one)", 1, 2,
     OPTION_BIT(OPTION_LISTEN) | OPTION_BIT(OPTION_STDIO), run_connect},
    {"logs", "NAME[/REPLICA]", "what the replicas have printed", 1, 1, OPTION_BIT(OPTION_FOLLOW),
     run_logs},
    {"exec", "NAME[/REPLICA] -- COMMAND...", "run a command inside your own replicas", 2, WORDS_MAX,
     PACE, run_exec},
    {"cp", "FROM TO", "copy to or from replicas: NAME[/REPLICA]:PATH is there", 2, 2, PACE, run_cp},
    {"events", "[NAME]", "what happens to nodes, services and replicas, as it happens", 0, 1, 0,
     run_events},
    {"metrics", "", "numbers of this node, as Prometheus reads them", 0, 0, 0, run_metrics},
    {"storage", "", "what is stored here and for whom, copies alive, repair", 0, 0, 0, run_storage},
    {"ring", "", "this node's place on the ring", 0, 0, 0, run_ring},
    {"lookup", "KEY|NAME|TEXT", "who is responsible for a key, a service, or any text", 1, 1,
     OPTION_BIT(OPTION_TRACE), run_lookup},
    {"key", "", "your own owner id and public key", 0, 0, 0, run_key},
    {"help", "[COMMAND]", "this list, or one command", 0, 2, 0, run_help},
    {"version", "", "versions of command and agent", 0, 0, 0, run_version},
};

static const struct option_spec option_specs[OPTION_COUNT] = {
    [OPTION_SOCKET] = {"socket", 0, VALUE_NEEDED, "PATH", "the agent's socket (MINGA_SOCKET)"},
    [OPTION_JSON] = {"json", 0, VALUE_NONE, "", "one JSON document instead of tables"},
    [OPTION_KEY] = {"key", 0, VALUE_NEEDED, "FILE", "another key than the usual one"},
    [OPTION_HELP] = {"help", 'h', VALUE_NONE, "", "what the command does"},
    [OPTION_EXPIRES] = {"expires", 0, VALUE_NEEDED, "TIME", "how long the token lets in (7d)"},
    [OPTION_USES] = {"uses", 0, VALUE_NEEDED, "N", "how many machines it lets in (any number)"},
    [OPTION_TOKEN_FILE] = {"token-file", 0, VALUE_NEEDED, "FILE", "read the token from a file"},
    [OPTION_YES] = {"yes", 'y', VALUE_NONE, "", "ask no questions"},
    [OPTION_WAIT] = {"wait", 0, VALUE_OPTIONAL, "TIME", "until it is done, at most TIME (60s)"},
    [OPTION_REPLICAS] = {"replicas", 0, VALUE_NEEDED, "N", "how many replicas are wanted"},
    [OPTION_PORT] = {"port", 0, VALUE_NEEDED, "PORT",
                     "locate: only the port of that name; try: where it answers"},
    [OPTION_FOLLOW] = {"follow", 'f', VALUE_NONE, "", "go on as more is printed"},
    [OPTION_WATCH] = {"watch", 0, VALUE_NONE, "", "again every second"},
    [OPTION_REASON] = {"reason", 0, VALUE_NEEDED, "TEXT", "why, for everyone to read"},
    [OPTION_TRACE] = {"trace", 0, VALUE_NONE, "", "the way there, hop by hop"},
    [OPTION_PARALLEL] = {"parallel", 0, VALUE_NEEDED, "N", "in so many replicas at once (5)"},
    [OPTION_DELAY] = {"delay", 0, VALUE_NEEDED, "TIME", "between two beginnings (none)"},
    [OPTION_TIMEOUT] = {"timeout", 0, VALUE_NEEDED, "TIME",
                        "then it is killed (exec: 30s, cp: 1h)"},
    [OPTION_NOW] = {"now", 0, VALUE_NONE, "", "freeze at once, hand over afterwards"},
    [OPTION_WITHIN] = {"within", 0, VALUE_NEEDED, "TIME", "how long handing over may take"},
    [OPTION_LISTEN] = {"listen", 0, VALUE_NEEDED, "ADDR:PORT", "here (127.0.0.1, any free port)"},
    [OPTION_STDIO] = {"stdio", 0, VALUE_NONE, "", "one connection, on stdin and stdout"},
    [OPTION_OWNER_NAME] = {"owner-name", 0, VALUE_NEEDED, "NAME", "how others see you (login)"},
    [OPTION_OWNER] = {"owner", 0, VALUE_NEEDED, "OWNER", "of one member only, by name or owner id"},
};

uint32_t command_count(void)
{
    return ARRAY_COUNT(commands);
}

const struct command *command_at(uint32_t index)
{
    CHECK(index < ARRAY_COUNT(commands));
    return &commands[index];
}

const struct option_spec *option_spec(enum option option)
{
    CHECK(option < OPTION_COUNT);
    return &option_specs[option];
}

/* Is `name` the words "first second"? */
static bool is_named(const char *name, const char *first, const char *second)
{
    size_t length = strlen(first);

    return strncmp(name, first, length) == 0 && name[length] == ' ' &&
           strcmp(name + length + 1, second) == 0;
}

const struct command *command_find(const char *first, const char *second, uint32_t *used_out)
{
    const struct command *found = NULL;

    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (second != NULL && is_named(commands[i].name, first, second)) {
            *used_out = 2;
            return &commands[i];
        }
        if (strcmp(commands[i].name, first) == 0) {
            *used_out = 1;
            found = &commands[i];
        }
    }
    return found;
}

const char *command_nearest(const char *typed)
{
    const char *nearest = NULL;
    uint32_t distance_max = strlen(typed) < 4 ? 1 : 2;

    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        uint32_t distance = text_distance(typed, commands[i].name);
        size_t length = strlen(typed);

        /* "community" alone: the first of its commands. */
        if (strncmp(commands[i].name, typed, length) == 0 && commands[i].name[length] == ' ') {
            distance = 0;
        }
        if (distance <= distance_max && (nearest == NULL || distance < distance_max)) {
            nearest = commands[i].name;
            distance_max = distance;
        }
    }
    return nearest;
}
