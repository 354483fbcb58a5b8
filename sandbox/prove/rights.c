// SPDX-License-Identifier: GPL-3.0-or-later
/* Who we are, and becoming somebody else. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { LINE_BYTES = 256, RANGE_MIN = 100000 };

/* What stands behind "NAME:" in /proc/self/status, in `line_out`. NULL: it does not. */
static const char *find_status(const char *name, char line_out[LINE_BYTES])
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/self/status", "re");
    size_t length = strlen(name);

    while (file != NULL && fgets(line_out, LINE_BYTES, file) != NULL) {
        if (strncmp(line_out, name, length) == 0 && line_out[length] == ':') {
            return line_out + length + 1;
        }
    }
    return NULL;
}

/* That line must not be all zero. */
static void find_set(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    char line[LINE_BYTES];
    const char *set = find_status(attempt->path, line);

    (void)facts;
    if (set == NULL) {
        outcome_unsure(out, "not told");
    } else if (strtoull(set, NULL, 16) == 0) {
        outcome_stopped(out, "empty");
    } else {
        outcome_open(out, "%.30s", set);
    }
}

/* Any group but our own one, which is as our uid. */
static void find_groups(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    gid_t groups[8];
    int count = getgroups(ARRAY_COUNT(groups), groups);

    (void)attempt;
    (void)facts;
    if (count < 0) {
        outcome_open(out, "more than a few");
    } else if (count > 0) {
        outcome_open(out, "%u", groups[0]);
    } else {
        outcome_stopped(out, "none");
    }
}

/* number: what it must be. */
static void check_line(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    char line[LINE_BYTES];
    const char *number = find_status(attempt->path, line);

    (void)facts;
    if (number == NULL) {
        outcome_unsure(out, "not told");
    } else if (strtol(number, NULL, 10) == attempt->number) {
        outcome_stopped(out, "%s is on", attempt->path);
    } else {
        outcome_open(out, "it is off");
    }
}

/* Whom the host takes us for. */
static void find_map(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    char line[LINE_BYTES];
    unsigned long inside = 0;
    unsigned long outside = 0;

    (void)facts;
    if (!read_line(attempt->path, line, sizeof(line)) ||
        sscanf(line, "%lu %lu", &inside, &outside) != 2) {
        outcome_unsure(out, "not told");
    } else if (outside < RANGE_MIN) {
        outcome_open(out, "%lu is the host's %lu", inside, outside);
    } else {
        outcome_stopped(out, "an id of its own, %lu", outside);
    }
}

static void become_root(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    (void)attempt;
    (void)facts;
    if (setresuid(0, 0, 0) == 0) {
        outcome_open(out, "uid 0 of the sandbox");
    } else {
        outcome_of_error(out, errno == EINVAL ? EPERM : errno);
    }
}

static void become_group(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    const gid_t wanted[] = {0};

    (void)attempt;
    (void)facts;
    if (setgroups(ARRAY_COUNT(wanted), wanted) == 0) {
        outcome_open(out, "group 0");
    } else {
        outcome_of_error(out, errno);
    }
}

static void take_capability(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t wanted = 1U << CAP_NET_RAW;
    struct __user_cap_data_struct data[2] = {{wanted, wanted, wanted}};

    (void)attempt;
    (void)facts;
    if (syscall(SYS_capset, &header, data) == 0) {
        outcome_open(out, "taken");
    } else {
        outcome_of_error(out, errno);
    }
}

static void raise_ambient(const struct attempt *attempt, const struct facts *facts,
                          struct outcome *out)
{
    (void)attempt;
    (void)facts;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0) {
        outcome_open(out, "raised");
    } else {
        outcome_of_error(out, errno);
    }
}

/* number: a resource whose hard limit is raised beyond what it is. */
static void raise_limit(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    struct rlimit wanted;

    (void)facts;
    if (getrlimit((__rlimit_resource_t)attempt->number, &wanted) < 0) {
        outcome_unsure(out, "not told");
    } else if (wanted.rlim_max == RLIM_INFINITY) {
        outcome_open(out, "there is none");
    } else {
        wanted.rlim_max++;
        if (setrlimit((__rlimit_resource_t)attempt->number, &wanted) == 0) {
            outcome_open(out, "raised");
        } else {
            outcome_of_error(out, errno);
        }
    }
}

#define EMPTY_SET(text, line)                           \
    {                                                   \
        .name = (text), .run = find_set, .path = (line) \
    }
#define LIMIT(text, resource)                                                        \
    {                                                                                \
        .name = "raise the limit of " text, .run = raise_limit, .number = (resource) \
    }

static const struct attempt rows[] = {
    EMPTY_SET("effective capabilities", "CapEff"),
    EMPTY_SET("permitted capabilities", "CapPrm"),
    EMPTY_SET("inheritable capabilities", "CapInh"),
    EMPTY_SET("bounding capabilities", "CapBnd"),
    EMPTY_SET("ambient capabilities", "CapAmb"),
    {.name = "new privileges", .run = check_line, .path = "NoNewPrivs", .number = 1},
    {.name = "calls without a filter", .run = check_line, .path = "Seccomp", .number = 2},
    {.name = "a uid of the host", .run = find_map, .path = "/proc/self/uid_map"},
    {.name = "a gid of the host", .run = find_map, .path = "/proc/self/gid_map"},
    {.name = "groups of the host", .run = find_groups},
    {.name = "become uid 0", .run = become_root},
    {.name = "join group 0", .run = become_group},
    {.name = "take a capability", .run = take_capability},
    {.name = "raise an ambient capability", .run = raise_ambient},
    LIMIT("open files", RLIMIT_NOFILE),
    LIMIT("core files", RLIMIT_CORE),
    LIMIT("locked memory", RLIMIT_MEMLOCK),
    LIMIT("real-time priority", RLIMIT_RTPRIO),
    LIMIT("nice", RLIMIT_NICE),
    LIMIT("message queues", RLIMIT_MSGQUEUE),
    LIMIT("pending signals", RLIMIT_SIGPENDING),
};

const struct attempt_group rights_group = {"rights", rows, ARRAY_COUNT(rows)};
