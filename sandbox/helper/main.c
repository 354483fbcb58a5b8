// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-sandboxd: the only part of Minga with privileges. It makes, holds and ends sandboxes, as
 * one mingad asks and a root-written file allows.
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/helper/setup.h"

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, DESCRIPTORS_MAX = 65536 };

static const char usage[] =
    "Usage: minga-sandboxd --limits FILE --state DIR --run DIR [OPTION]...\n"
    "Makes sandboxes for mingad, within the limits that root wrote down.\n"
    "\n"
    "  --limits FILE      what this machine gives (mingad --write-limits)\n"
    "  --state DIR        disk images and logs are made in DIR/sandbox\n"
    "  --run DIR          listens on DIR/sandbox.sock; records are in DIR/sandbox\n"
    "  --trees DIR        folder of the services' trees, instead of the limits file's\n"
    "  --init FILE        minga-init; else the one beside this program\n"
    "  --uids DIR         locks of uid ranges, one folder for the host\n"
    "                     (" UID_FOLDER_DEFAULT ")\n"
    "  --end-all          end what an earlier helper left, remove everything of it, and leave\n"
    "  --exit-when-idle   leave when there is no mingad and no sandbox any more\n"
    "  --help, --version\n"
    "\n"
    "SIGTERM ends every sandbox, then the program. SIGUSR2 ends the program only; the next one\n"
    "adopts the sandboxes.\n";

static const struct {
    const char *name;
    size_t offset_bytes; /* of a const char * in struct options */
} named[] = {
    {"--limits", offsetof(struct options, limits)}, {"--state", offsetof(struct options, state)},
    {"--run", offsetof(struct options, run)},       {"--trees", offsetof(struct options, trees)},
    {"--init", offsetof(struct options, init)},     {"--uids", offsetof(struct options, uids)},
};

/* Returns false when it knows no such option, or its value is missing. */
static bool take_option(const char *name, const char *value, struct options *options)
{
    for (size_t i = 0; i < ARRAY_COUNT(named); i++) {
        if (strcmp(named[i].name, name) == 0 && value != NULL) {
            *(const char **)(void *)((char *)options + named[i].offset_bytes) = value;
            return true;
        }
    }
    return false;
}

static bool take_options(char **arguments, struct options *options)
{
    while (*arguments != NULL) {
        if (strcmp(*arguments, "--exit-when-idle") == 0) {
            options->exit_when_idle = true;
            arguments += 1;
        } else if (strcmp(*arguments, "--end-all") == 0) {
            options->end_all = true;
            arguments += 1;
        } else if (take_option(arguments[0], arguments[1], options)) {
            arguments += 2;
        } else {
            fprintf(stderr, "minga-sandboxd: %s: unknown, or its value is missing\n", *arguments);
            return false;
        }
    }
    if (options->limits == NULL || options->state == NULL || options->run == NULL) {
        fputs("minga-sandboxd: --limits, --state and --run are needed\n", stderr);
        return false;
    }
    return true;
}

/* Blocked for good: they are read in the loop. The children unblock them. */
static int open_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR2);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0) {
        return -1;
    }
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* As the unit does it: a start has some twenty while it waits for its disk, and many may wait. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS_MAX) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argument_count, char **arguments)
{
    static struct helper helper; /* too large for the stack */
    struct options options = {.uids = UID_FOLDER_DEFAULT};
    struct err err = {0};
    int signal_fd;

    if (file_hold_standard() < 0) {
        return 1;
    }
    if (argument_count == 2 && strcmp(arguments[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argument_count == 2 && strcmp(arguments[1], "--version") == 0) {
        puts("minga-sandboxd " MINGA_VERSION);
        return 0;
    }
    if (!take_options(arguments + 1, &options)) {
        fputs("Try: minga-sandboxd --help\n", stderr);
        return STATUS_USAGE;
    }
    log_open(NULL);
    raise_descriptor_limit();
    signal_fd = open_signals();
    if (signal_fd < 0) {
        log_error("signals: %m");
        return STATUS_FAILED;
    }
    int r = helper_setup(&options, &helper, &err);
    if (r == 0) {
        helper_adopt(&helper);
        r = options.end_all ? 0 : helper_listen(&helper, &err);
    }
    if (r < 0) {
        log_error("%s%s%s", err.text, err.hint[0] == '\0' ? "" : "; ", err.hint);
        return STATUS_FAILED;
    }
    if (!options.end_all) {
        log_event(LOG_LEVEL_INFO, "ready", "ready on %s", helper.folders.socket);
    }
    return helper_run(&helper, signal_fd);
}
