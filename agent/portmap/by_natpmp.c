// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <natpmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "agent/portmap/job.h"

enum { STEPS_MAX = 64, STEP_MS = 125 };

/*
 * The library repeats a request, 250 ms after it, then each time twice as long; after JOB_TRIES of them in vain there
 * is nobody. It would say how long, but its struct timeval is of 32 bits where ours may be of 64.
 */
static int wait_for(natpmp_t *natpmp, natpmpresp_t *response_out)
{
    for (int i = 0; i < STEPS_MAX; i++) {
        struct pollfd poll_fd = {.fd = natpmp->s, .events = POLLIN};
        int r;

        if (natpmp->try_number > JOB_TRIES) {
            return -ETIMEDOUT;
        }
        (void)poll(&poll_fd, 1, STEP_MS);
        r = readnatpmpresponseorretry(natpmp, response_out);
        if (r == 0) {
            return 0;
        }
        if (r == NATPMP_ERR_UNSUPPORTEDVERSION) {
            return -EPROTONOSUPPORT;
        }
        if (r != NATPMP_TRYAGAIN && r != NATPMP_ERR_WRONGPACKETSOURCE) {
            return r == NATPMP_ERR_NOGATEWAYSUPPORT || r == NATPMP_ERR_RECVFROM ? -ETIMEDOUT
                                                                                : -EACCES;
        }
    }
    return -ETIMEDOUT;
}

static void note_epoch(int outcome, const natpmpresp_t *response, struct portmap_answer *answer)
{
    if (outcome == 0) {
        answer->has_epoch = true;
        answer->epoch_s = response->epoch;
    }
}

static int ask_host(natpmp_t *natpmp, struct portmap_answer *answer)
{
    natpmpresp_t response = {0};
    int r = sendpublicaddressrequest(natpmp) < 0 ? -EIO : wait_for(natpmp, &response);

    note_epoch(r, &response, answer);
    if (r == 0 && response.type == NATPMP_RESPTYPE_PUBLICADDRESS &&
        response.pnu.publicaddress.addr.s_addr != 0) {
        (void)inet_ntop(AF_INET, &response.pnu.publicaddress.addr, answer->host,
                        sizeof(answer->host));
    }
    return r;
}

/* Fills in the outside port. */
static int ask_port(natpmp_t *natpmp, const struct job *job, const struct portmap_port *wanted,
                    struct portmap_answer *answer, uint16_t *outside_out)
{
    int protocol = wanted->is_udp ? NATPMP_PROTOCOL_UDP : NATPMP_PROTOCOL_TCP;
    bool ends = job->kind == JOB_UNMAP;
    natpmpresp_t response = {0};
    int r = sendnewportmappingrequest(natpmp, protocol, wanted->inside, ends ? 0 : wanted->outside,
                                      ends ? 0 : job->lease_s);

    *outside_out = 0;
    r = r < 0 ? -EIO : wait_for(natpmp, &response);
    note_epoch(r, &response, answer);
    /* The types of responses are those of the protocols. */
    if (r < 0 || response.type != protocol ||
        response.pnu.newportmapping.privateport != wanted->inside) {
        return r < 0 ? r : -EACCES;
    }
    if (!ends && response.pnu.newportmapping.lifetime > 0) {
        *outside_out = response.pnu.newportmapping.mappedpublicport;
        if (response.pnu.newportmapping.lifetime < answer->lease_s) {
            answer->lease_s = response.pnu.newportmapping.lifetime;
        }
    }
    return 0;
}

static int ask_all(natpmp_t *natpmp, const struct job *job, struct portmap_answer *answer)
{
    uint32_t done_count = 0;
    int r = ask_host(natpmp, answer);

    if (job->kind == JOB_LOOK) { /* who wants another version speaks PCP */
        return r == -EPROTONOSUPPORT ? 0 : r;
    }
    if (r == -ETIMEDOUT || r == -EPROTONOSUPPORT) {
        return r;
    }
    answer->lease_s = job->lease_s;
    for (uint32_t i = 0; i < job->port_count; i++) {
        r = ask_port(natpmp, job, &job->ports[i], answer, &answer->ports[i].outside);
        if (r == -ETIMEDOUT) {
            answer->port_count = i;
            break;
        }
        done_count += r == 0 && (job->kind == JOB_UNMAP || answer->ports[i].outside != 0);
    }
    if (done_count == 0) {
        (void)snprintf(answer->why, sizeof(answer->why), "NAT-PMP: the router refuses");
        return -EACCES;
    }
    return 0;
}

int by_natpmp(const struct job *job, struct portmap_answer *answer)
{
    natpmp_t natpmp;
    int r = initnatpmp(&natpmp, 1, job->gateway.s_addr);

    if (r < 0) {
        return -EIO;
    }
    r = ask_all(&natpmp, job, answer);
    (void)closenatpmp(&natpmp);
    return r;
}
