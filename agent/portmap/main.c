// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-portmap: asks the router on the default route to open ports, confined, then exits. Started
 * by mingad and by `minga check` only:
 *
 *     minga-portmap look|map|unmap LEASE_S NONCE any|METHOD PLACE|- [tcp:INSIDE:OUTSIDE ...]
 *
 * One line on stdout says what has become of it (line.h).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/portmap/job.h"
#include "agent/portmap/place.h"
#include "base/attributes.h"
#include "base/units.h"

enum { EXIT_USAGE = 2, WORDS_MIN = 6, ALL_WORDS_MAX = WORDS_MIN + PORTMAP_PORTS_MAX };

static bool read_kind(const char *word, enum job_kind *kind_out)
{
    static const char *const names[] = {
        [JOB_LOOK] = "look", [JOB_MAP] = "map", [JOB_UNMAP] = "unmap"};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(word, names[i]) == 0) {
            *kind_out = (enum job_kind)i;
            return true;
        }
    }
    return false;
}

static bool read_job(int argc, char **argv, struct job *job)
{
    uint64_t lease_s = 0;

    if (argc < WORDS_MIN || argc > ALL_WORDS_MAX || !read_kind(argv[1], &job->kind) ||
        units_parse_number(argv[2], &lease_s) < 0 || lease_s > PORTMAP_LEASE_S_MAX ||
        strlen(argv[3]) != 2 * sizeof(job->nonce) ||
        bytes_from_hex(argv[3], job->nonce, sizeof(job->nonce)) < 0 ||
        (strcmp(argv[4], "any") != 0 && !portmap_method_of(argv[4], &job->by)) ||
        (strcmp(argv[5], "-") != 0 && !place_is_plain(argv[5]))) {
        return false;
    }
    job->lease_s = (uint32_t)lease_s;
    job->place = strcmp(argv[5], "-") == 0 ? "" : argv[5];
    for (int i = WORDS_MIN; i < argc; i++) {
        if (!portmap_port_parse(argv[i], &job->ports[job->port_count++])) {
            return false;
        }
    }
    return job->kind == JOB_LOOK || job->port_count > 0;
}

/* The newer protocol first: one that a router does not speak costs a second or two. */
static void ask_router(const struct job *job, struct portmap_answer *answer)
{
    static int (*const ways[PORTMAP_METHODS])(const struct job *, struct portmap_answer *) = {
        [PORTMAP_PCP] = by_pcp, [PORTMAP_NATPMP] = by_natpmp, [PORTMAP_UPNP] = by_upnp};
    char why[sizeof(answer->why)] = "";

    for (int i = PORTMAP_NONE + 1; i < PORTMAP_METHODS; i++) {
        if (job->by != PORTMAP_NONE && (int)job->by != i) {
            continue;
        }
        *answer = (struct portmap_answer){.port_count = job->port_count};
        memcpy(answer->ports, job->ports, sizeof(answer->ports));
        if (ways[i](job, answer) == 0) {
            answer->method = (enum portmap_method)i;
            return;
        }
        if (answer->why[0] != '\0') {
            memcpy(why, answer->why, sizeof(why));
        }
    }
    *answer = (struct portmap_answer){.method = PORTMAP_NONE};
    if (why[0] != '\0') {
        memcpy(answer->why, why, sizeof(why));
    } else {
        (void)snprintf(answer->why, sizeof(answer->why),
                       "the router %s speaks neither PCP nor NAT-PMP nor UPnP, or has it off",
                       job->gateway_text);
    }
}

int main(int argc, char **argv)
{
    struct portmap_answer answer = {.method = PORTMAP_NONE};
    char line[PORTMAP_LINE_BYTES_MAX + 1];
    struct job job = {.by = PORTMAP_NONE};
    size_t length;
    int r;

    if (!read_job(argc, argv, &job)) {
        fprintf(stderr, "minga-portmap is started by mingad and minga check only\n");
        return EXIT_USAGE;
    }
    r = gateway_find(&job, answer.why);
    if (r == 0) {
        r = confine();
        if (r < 0) {
            (void)snprintf(answer.why, sizeof(answer.why), "minga-portmap cannot confine itself");
        }
    }
    if (r == 0) {
        ask_router(&job, &answer);
    }
    length = portmap_line_print(&answer, line);
    _exit(write(STDOUT_FILENO, line, length) == (ssize_t)length ? 0 : 1);
}
