// SPDX-License-Identifier: GPL-3.0-or-later
/* What the machine has around them: programs, disk, users, clock, helper and agent. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/cli/check/check.h"
#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "sandbox/limits_file.h"

#define STATE_FOLDER "/var/lib/minga"
#define LIMITS_FILE  "/run/minga/limits"

enum { GROUPS_MAX = 256, TRIAL_BYTES = 1 << 20, LINE_BYTES = 256 };

static const char *state_folder(void)
{
    return access(STATE_FOLDER, F_OK) == 0 ? STATE_FOLDER : "/var/lib";
}

/* Beside this program, or where a package puts what is not typed. */
static bool has_program(const char *name)
{
    static const char *const places[] = {"", "/../sbin", "/../lib/minga"};
    char own[PATH_MAX / 2];
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    own[length < 0 ? 0 : length] = '\0';
    slash = strrchr(own, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        snprintf(path, sizeof(path), "%s%s/%s", own, places[i], name);
        if (access(path, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

static void probe_programs(struct check_result *result)
{
    static const char *const names[] = {"mingad",       "minga-sandboxd", "minga-init",
                                        "minga-unpack", "minga-portmap",  "minga-probe"};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (!has_program(names[i])) {
            check_missing(result, "no %s beside minga", names[i]);
            return;
        }
    }
    check_have(result, "all six");
}

static void probe_mkfs(struct check_result *result)
{
    if (access("/sbin/mkfs.ext4", X_OK) == 0) {
        check_have(result, "/sbin/mkfs.ext4");
    } else {
        check_missing(result, "no /sbin/mkfs.ext4");
    }
}

static void probe_passt(struct check_result *result)
{
    static const char *const places[] = {"/usr/bin/pasta", "/usr/local/bin/pasta", "/bin/pasta"};

    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        if (access(places[i], X_OK) == 0) {
            check_have(result, "%s", places[i]);
            return;
        }
    }
    check_missing(result, "not installed");
}

static void probe_space(struct check_result *result)
{
    struct statvfs about;
    char free_text[UNITS_TEXT_BYTES_MAX];
    char size_text[UNITS_TEXT_BYTES_MAX];

    if (statvfs(state_folder(), &about) < 0) {
        check_missing(result, "%s: %s", state_folder(), err_text(errno));
        return;
    }
    uint64_t free_bytes = (uint64_t)about.f_bavail * about.f_frsize;
    uint64_t size_bytes = (uint64_t)about.f_blocks * about.f_frsize;
    units_print_bytes(free_bytes, free_text);
    units_print_bytes(size_bytes, size_text);
    if (free_bytes < size_bytes / 10) {
        check_missing(result, "%s of %s are free on %s: below keep_free (10%%)", free_text,
                      size_text, state_folder());
    } else {
        check_have(result, "%s of %s are free on %s", free_text, size_text, state_folder());
    }
}

/* Blocks that are given before they are written. */
static void probe_allocation(struct check_result *result)
{
    CLEANUP(cleanup_close) int fd = open(state_folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EACCES) {
        check_unknown(result, "only root can tell");
    } else if (fd < 0 || fallocate(fd, 0, 0, TRIAL_BYTES) < 0) {
        check_missing(result, "%s: %s", state_folder(), err_text(errno));
    } else {
        check_have(result, "works on %s", state_folder());
    }
}

static void probe_user(struct check_result *result)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const struct passwd *user = getpwnam("minga");

    if (user == NULL) {
        check_missing(result, "no user minga");
    } else {
        check_have(result, "uid %u", user->pw_uid);
    }
}

static void probe_group(struct check_result *result)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const struct group *group = getgrnam("minga");
    gid_t own[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, own);

    if (geteuid() == 0) {
        check_have(result, "you are root");
        return;
    }
    for (int i = 0; group != NULL && i < count; i++) {
        if (own[i] == group->gr_gid) {
            check_have(result, "you are in it");
            return;
        }
    }
    check_missing(result, group == NULL ? "no group minga" : "you are not in it");
}

/* Somebody else's ids in the ranges of the replicas? */
static void probe_uids(struct check_result *result)
{
    static const char *const files[] = {"/etc/subuid", "/etc/subgid"};
    const unsigned long first = 1879048192;
    const unsigned long last = 2147483647;
    char line[LINE_BYTES];

    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        CLEANUP(cleanup_fclose) FILE *file = fopen(files[i], "re");

        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            const char *colon = strchr(line, ':');
            unsigned long from = 0;
            unsigned long count = 0;

            if (colon != NULL && sscanf(colon + 1, "%lu:%lu", &from, &count) == 2 && count > 0 &&
                from <= last && from + count - 1 >= first) {
                check_missing(result, "%s gives %lu and %lu more to %.*s", files[i], from,
                              count - 1, (int)(colon - line), line);
                return;
            }
        }
    }
    check_have(result, "%lu to %lu are nobody else's", first, last);
}

static void probe_clock(struct check_result *result)
{
    struct timex clock = {0};
    int state = adjtimex(&clock);

    if (state == TIME_ERROR || (clock.status & STA_UNSYNC) != 0) {
        check_missing(result, "no time service says that it is right");
    } else if (state < 0) {
        check_unknown(result, "%s", err_text(errno));
    } else {
        check_have(result, "within %lld ms", (long long)clock.maxerror / 1000);
    }
}

static void probe_limits(struct check_result *result)
{
    struct host_limits limits;
    struct err err = {0};
    char memory[UNITS_TEXT_BYTES_MAX];
    char disk[UNITS_TEXT_BYTES_MAX];
    char cores[UNITS_TEXT_BYTES_MAX];

    if (sandbox_limits_read(LIMITS_FILE, &limits, &err) < 0) {
        check_missing(result, "%.180s", err.text);
        return;
    }
    units_print_cores(limits.contribution.cpu_permille, cores);
    units_print_bytes(limits.contribution.memory_bytes, memory);
    units_print_bytes(limits.contribution.disk_bytes, disk);
    check_have(result, "%s cores, %s of memory, %s of disk, %" PRIu64 " processes", cores, memory,
               disk, limits.contribution.pid_count);
}

/* Does somebody listen there? Who may not ask is told so, which is an answer. */
static void probe_socket(struct check_result *result, const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        check_have(result, "answers on %s", path);
    } else if (errno == EACCES || errno == EPERM) {
        check_unknown(result, "%s is not ours to ask", path);
    } else {
        check_missing(result, "%s: %s", path, err_text(errno));
    }
}

/* A new connection would count as a new agent, so root only looks whether the socket is listened to. */
static void probe_helper(struct check_result *result)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/net/unix", "re");
    char line[LINE_BYTES];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, "/run/minga/sandbox.sock") != NULL) {
            check_have(result, "listens on /run/minga/sandbox.sock");
            return;
        }
    }
    check_missing(result, "nobody listens on /run/minga/sandbox.sock");
}

static void probe_agent(struct check_result *result)
{
    probe_socket(result, "/run/minga/agent.sock", SOCK_STREAM);
}

static const struct check rows[] = {
    {"programs", CHECK_TO_RUN, probe_programs, "a part of Minga is missing",
     "install the package again"},
    {"mkfs.ext4", CHECK_TO_RUN, probe_mkfs, "a replica cannot have a disk of its own",
     "install e2fsprogs"},
    {"full allocation", CHECK_TO_RUN, probe_allocation,
     "a replica's disk could turn out not to be there", "ext4, xfs or btrfs below /var/lib/minga"},
    {"disk space", CHECK_BETTER, probe_space, "no more replicas are taken",
     "free some, or lower keep_free in minga.yaml"},
    {"user minga", CHECK_BETTER, probe_user, "mingad runs as uid 64321 when started by root",
     "install the package, or adduser --system --group minga"},
    {"uid ranges", CHECK_TO_RUN, probe_uids, "a replica could have another user's id",
     "choose other uids in minga.yaml"},
    {"group minga", CHECK_BETTER, probe_group, "you can look, but not act on services",
     "adduser YOU minga, then log in again"},
    {"passt", CHECK_BETTER, probe_passt, "no replica reaches the Internet, also where you allow it",
     "install passt"},
    {"clock", CHECK_BETTER, probe_clock, "tokens and admissions may seem expired",
     "install systemd-timesyncd or chrony"},
    {"limits", CHECK_BETTER, probe_limits, "the helper does not know what you give",
     "start mingad as root, or mingad --write-limits"},
    {"minga-sandboxd", CHECK_BETTER, probe_helper, "no replica runs here at the moment",
     "systemctl start minga-sandboxd, or start mingad as root"},
    {"mingad", CHECK_BETTER, probe_agent, "this machine is in no community at the moment",
     "systemctl start mingad"},
};

const struct check_group machine_checks = {"machine", rows, ARRAY_COUNT(rows)};
