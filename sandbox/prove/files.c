// SPDX-License-Identifier: GPL-3.0-or-later
/* The host's files, by name and around names; what a sandbox leaves lying about in itself. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { FOUND_PATH_BYTES = 256, TEXT_BYTES = 16384, CLIMB_LEVELS = 12, STANDARD_FDS = 3 };

/* Behind `path`, which leads to some root, is there the host's file? */
static void find_canary(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    char path[FOUND_PATH_BYTES];
    char line[sizeof(facts->canary_text)];

    (void)snprintf(path, sizeof(path), "%s%s", attempt->path, facts->canary);
    if (read_line(path, line, sizeof(line))) {
        if (strcmp(line, facts->canary_text) == 0) {
            outcome_open(out, "the host's file was read");
        } else {
            outcome_stopped(out, "another file");
        }
        return;
    }
    outcome_of_absence(out, errno);
}

static bool has_canary(const struct attempt *attempt, const struct facts *facts)
{
    char line[sizeof(facts->canary_text)];

    (void)attempt;
    return read_line(facts->canary, line, sizeof(line)) && strcmp(line, facts->canary_text) == 0;
}

/* Upwards from where we were started, further than any root is deep. */
static void climb(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    char path[FOUND_PATH_BYTES] = "";
    struct attempt climbed = *attempt;

    for (int i = 0; i < CLIMB_LEVELS; i++) {
        strncat(path, "../", sizeof(path) - strlen(path) - 1);
    }
    climbed.path = path;
    find_canary(&climbed, facts, out);
}

/* Any descriptor that we were born with, beside the three. main() has opened none by then. */
static void find_descriptors(const struct attempt *attempt, const struct facts *facts,
                             struct outcome *out)
{
    CLEANUP(cleanup_closedir) DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;

    (void)attempt;
    (void)facts;
    if (folder == NULL) {
        outcome_unsure(out, "no /proc/self/fd");
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        long number = strtol(entry->d_name, NULL, 10);

        if (entry->d_name[0] != '.' && number >= STANDARD_FDS && number != dirfd(folder)) {
            outcome_open(out, "descriptor %ld", number);
            return;
        }
    }
    outcome_stopped(out, "none");
}

/* Is what we print to, or read from, a terminal of the host? */
static void find_terminal(const struct attempt *attempt, const struct facts *facts,
                          struct outcome *out)
{
    (void)attempt;
    (void)facts;
    for (int fd = 0; fd < STANDARD_FDS; fd++) {
        if (isatty(fd)) {
            outcome_open(out, "descriptor %d is a terminal", fd);
            return;
        }
    }
    outcome_stopped(out, "none");
}

static void find_workdir(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    char present[FOUND_PATH_BYTES];

    (void)attempt;
    (void)facts;
    if (syscall(SYS_getcwd, present, sizeof(present)) < 0) {
        outcome_unsure(out, "no working directory");
    } else if (present[0] == '/') {
        outcome_stopped(out, "it is %.40s inside", present);
    } else {
        outcome_open(out, "%.60s", present);
    }
}

/* Names of the host in the table of mounts: where the image, the tree, the agent lie. */
static void find_mount_sources(const struct attempt *attempt, const struct facts *facts,
                               struct outcome *out)
{
    static const char *const words[] = {"/var/lib", "/var/tmp", "/home",  "/root/",
                                        "/run/",    "sandbox",  "trees/", "/dev/sd"};
    static char text[TEXT_BYTES];
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    (void)facts;
    if (count_bytes <= 0) {
        outcome_of_absence(out, errno);
        return;
    }
    text[count_bytes] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strstr(text, words[i]) != NULL) {
            outcome_open(out, "names %s", words[i]);
            return;
        }
    }
    outcome_stopped(out, "names nothing of the host");
}

/* The group's path tells about the host's services where there is no cgroup namespace. */
static void find_group(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    static char text[TEXT_BYTES];
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    (void)facts;
    text[count_bytes < 0 ? 0 : count_bytes] = '\0';
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line + 1, '\n')) {
        const char *path = strchr(line, '/');
        size_t length = path == NULL ? 0 : strcspn(path, "\n");

        /* "/../service": our own, beside init's. */
        if (length > 1 && strncmp(path, "/../service", length) != 0 &&
            strncmp(path, "/service", length) != 0) {
            outcome_open(out, "names %.*s", (int)length, path);
            return;
        }
    }
    if (count_bytes <= 0) {
        outcome_of_absence(out, errno);
    } else {
        outcome_stopped(out, "its own group is the root");
    }
}
/* Nothing of the environment of whoever started us. */
static void find_environment(const struct attempt *attempt, const struct facts *facts,
                             struct outcome *out)
{
    static const char *const ours[] = {"PATH=", "HOME=", "HOSTNAME=", "MINGA_PROVE="};

    (void)attempt;
    (void)facts;
    for (char **entry = environ; *entry != NULL; entry++) {
        bool is_ours = false;

        for (size_t i = 0; i < ARRAY_COUNT(ours); i++) {
            is_ours = is_ours || strncmp(*entry, ours[i], strlen(ours[i])) == 0;
        }
        if (!is_ours) {
            outcome_open(out, "%.60s", *entry);
            return;
        }
    }
    outcome_stopped(out, "clean");
}

struct handle { /* struct file_handle with room for one */
    unsigned int length_bytes;
    int type;
    unsigned char bytes[128];
};

static void name_to_handle(const struct attempt *attempt, const struct facts *facts,
                           struct outcome *out)
{
    struct handle handle = {.length_bytes = sizeof(handle.bytes)};
    int mount_id = 0;

    (void)attempt;
    (void)facts;
    if (syscall(SYS_name_to_handle_at, AT_FDCWD, "/tmp", &handle, &mount_id, 0) == 0) {
        outcome_open(out, "a handle of type %d", handle.type);
    } else {
        outcome_of_error(out, errno);
    }
}

/* The way out of old containers: the root of a file system has a handle that can be guessed. */
static void open_by_handle(const struct attempt *attempt, const struct facts *facts,
                           struct outcome *out)
{
    struct handle handle = {.length_bytes = 8, .type = 1, .bytes = {2}};
    CLEANUP(cleanup_close) int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)attempt;
    (void)facts;
    if (syscall(SYS_open_by_handle_at, root_fd, &handle, O_RDONLY) >= 0) {
        outcome_open(out, "a file by its number");
    } else {
        outcome_of_error(out, errno);
    }
}

#define CANARY(text, where)                                                        \
    {                                                                              \
        .name = (text), .run = find_canary, .path = (where), .control = has_canary \
    }

static const struct attempt rows[] = {
    CANARY("a file of the host by its name", ""),
    CANARY("by way of /proc/1/root", "/proc/1/root"),
    CANARY("by way of /proc/1/cwd", "/proc/1/cwd/.."),
    CANARY("by way of /proc/self/root", "/proc/self/root/.."),
    {.name = "by climbing up", .run = climb, .control = has_canary},
    READ("/etc/shadow"),
    READ("/etc/machine-id"),
    READ("/etc/fstab"),
    READ("/etc/ssh/ssh_host_ed25519_key"),
    READ("/root/.bashrc"),
    LIST("/home"),
    LIST("/boot"),
    LIST("/lib/modules"),
    LIST("/var/log"),
    LIST("/run"),
    READ("/run/utmp"),
    READ("/usr/bin/su"),
    READ("/usr/bin/mount"),
    LIST("/sys"),
    LIST("/sys/fs/cgroup"),
    LIST("/sys/class/net"),
    LIST("/sys/block"),
    READ("/sys/kernel/notes"),
    LIST("/sys/kernel/debug"),
    LIST("/sys/kernel/security"),
    READ("/sys/devices/system/cpu/online"),
    LIST("/sys/class/dmi/id"),
    {.name = "descriptors that were left open", .run = find_descriptors},
    {.name = "a terminal of the host", .run = find_terminal},
    {.name = "a working directory outside", .run = find_workdir},
    {.name = "names of the host in mountinfo",
     .run = find_mount_sources,
     .path = "/proc/self/mountinfo"},
    {.name = "names of the host in mounts", .run = find_mount_sources, .path = "/proc/self/mounts"},
    {.name = "the path of the control group", .run = find_group, .path = "/proc/self/cgroup"},
    {.name = "somebody else's environment", .run = find_environment},
    {.name = "name_to_handle_at", .run = name_to_handle},
    {.name = "open_by_handle_at", .run = open_by_handle},
};

const struct attempt_group files_group = {"files", rows, ARRAY_COUNT(rows)};
