// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-portmap: asks the router on the default route to open ports, confined, then exits. Started
 * by mingad and by `minga check` only:
 *
 *     minga-portmap look|map|unmap|map-ipv6|unmap-ipv6 LEASE_S NONCE any|METHOD PLACE|- [tcp:INSIDE:OUTSIDE ...]
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

static bool read_kind(const char *word, struct job *job)
{
    static const struct {
        const char *name;
        enum job_kind kind;
        bool is_ipv6;
    } kinds[] = {{"look", JOB_LOOK, false},
                 {"map", JOB_MAP, false},
                 {"unmap", JOB_UNMAP, false},
                 {"map-ipv6", JOB_MAP, true},
                 {"unmap-ipv6", JOB_UNMAP, true}};

    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(word, kinds[i].name) == 0) {
            job->kind = kinds[i].kind;
            job->is_ipv6 = kinds[i].is_ipv6;
            return true;
        }
    }
    return false;
}

static bool read_job(int argc, char **argv, struct job *job)
{
    uint64_t lease_s = 0;

    if (argc < WORDS_MIN || argc > ALL_WORDS_MAX || !read_kind(argv[1], job) ||
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
        if ((job->by != PORTMAP_NONE && (int)job->by != i) || (job->is_ipv6 && i != PORTMAP_PCP)) {
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
        (void)snprintf(answer->why, sizeof(answer->why), "the router %s speaks %s, or has it off",
                       job->gateway_text,
                       job->is_ipv6 ? "no PCP" : "neither PCP nor NAT-PMP nor UPnP");
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
    r = job.is_ipv6 ? gateway_find_ipv6(&job, answer.why) : gateway_find(&job, answer.why);
    if (r == 0) {
        r = confine(job.is_ipv6 ? AF_INET6 : AF_INET);
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
