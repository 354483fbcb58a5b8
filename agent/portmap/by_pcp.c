// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "agent/portmap/job.h"
#include "agent/portmap/pcp.h"
#include "base/cleanup.h"

enum { DATAGRAMS_MAX = 64 };

/* From the address that is to be reached: towards a router it would be another one. */
static int open_ipv6(const struct job *job)
{
    const struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_addr = job->own_ipv6};
    struct sockaddr_in6 address = job->gateway_ipv6;
    CLEANUP(cleanup_close) int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    address.sin6_port = htons(PCP_PORT);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return -errno;
    }
    return take_fd(&fd);
}

static int open_socket(const struct job *job)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(PCP_PORT), .sin_addr = job->gateway};
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* Connected: the kernel drops what others send. */
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return -errno;
    }
    return take_fd(&fd);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for the answer to this request until then. -ETIMEDOUT, or as pcp_decode. */
static int receive(int fd, uint64_t until_ms, const struct pcp_map *map,
                   struct pcp_mapped *mapped_out)
{
    uint8_t datagram[PCP_DATAGRAM_BYTES_MAX + 1];

    for (int i = 0; i < DATAGRAMS_MAX; i++) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        uint64_t present_ms = now_ms();
        ssize_t length_bytes;

        if (present_ms >= until_ms || poll(&poll_fd, 1, (int)(until_ms - present_ms)) <= 0) {
            return -ETIMEDOUT;
        }
        length_bytes = recv(fd, datagram, sizeof(datagram), 0);
        if (length_bytes < 0 && errno != EAGAIN) {
            return -errno; /* nobody listens there */
        }
        if (length_bytes >= 0) {
            int r = pcp_decode((struct bytes){datagram, (size_t)length_bytes}, map, mapped_out);

            if (r != -EBADMSG) {
                return r;
            }
        }
    }
    return -ETIMEDOUT;
}

static int ask(int fd, const struct pcp_map *map, struct pcp_mapped *mapped_out)
{
    uint8_t datagram[PCP_MAP_BYTES];
    int r = -ETIMEDOUT;

    pcp_encode(map, datagram);
    for (uint32_t i = 0; i < JOB_TRIES && r == -ETIMEDOUT; i++) {
        if (send(fd, datagram, sizeof(datagram), 0) < 0) {
            return -errno;
        }
        r = receive(fd, now_ms() + ((uint64_t)JOB_FIRST_WAIT_MS << i), map, mapped_out);
    }
    return r;
}

static void note_host(const struct job *job, const struct pcp_mapped *mapped,
                      struct portmap_answer *answer)
{
    static const uint8_t none[4];

    if (!job->is_ipv6 && memcmp(mapped->host, none, sizeof(none)) != 0) {
        (void)inet_ntop(AF_INET, mapped->host, answer->host, sizeof(answer->host));
    }
}

/* A hole in a firewall leads to where it is; anything else is of no use to those who dial our own
 * address. */
static bool is_through(const struct pcp_map *map, const struct pcp_mapped *mapped)
{
    return !map->is_ipv6 || map->lifetime_s == 0 ||
           (mapped->outside == map->port.inside &&
            memcmp(mapped->host, map->client, sizeof(map->client)) == 0);
}

/* One port after the other. The first silence ends it. */
static int ask_all(const struct job *job, int fd, struct portmap_answer *answer)
{
    struct pcp_map map = {.lifetime_s = job->kind == JOB_MAP ? job->lease_s : 0};
    uint32_t done_count = 0;
    struct pcp_mapped mapped;

    memcpy(map.nonce, job->nonce, sizeof(map.nonce));
    map.is_ipv6 = job->is_ipv6;
    if (job->is_ipv6) {
        memcpy(map.client, &job->own_ipv6, sizeof(job->own_ipv6));
    } else {
        memcpy(map.client, &job->own, sizeof(job->own));
    }
    answer->lease_s = job->lease_s;
    for (uint32_t i = 0; i < job->port_count; i++) {
        map.port = job->ports[i];
        int r = ask(fd, &map, &mapped);

        if (r < 0) {
            answer->port_count = i;
            return done_count > 0 ? 0 : r;
        }
        answer->ports[i].outside = 0;
        answer->has_epoch = true;
        answer->epoch_s = mapped.epoch_s;
        if (mapped.result == PCP_SUCCESS && !is_through(&map, &mapped)) {
            (void)snprintf(answer->why, sizeof(answer->why), "PCP: the router translates IPv6");
            continue;
        }
        if (mapped.result != PCP_SUCCESS) {
            (void)snprintf(answer->why, sizeof(answer->why), "PCP: the router refuses (result %u)",
                           mapped.result);
            continue;
        }
        done_count++;
        answer->ports[i].outside = job->kind == JOB_MAP ? mapped.outside : 0;
        note_host(job, &mapped, answer);
        if (mapped.lifetime_s > 0 && mapped.lifetime_s < answer->lease_s) {
            answer->lease_s = mapped.lifetime_s;
        }
    }
    return done_count > 0 ? 0 : -EACCES;
}

int by_pcp(const struct job *job, struct portmap_answer *answer)
{
    CLEANUP(cleanup_close) int fd = -1;

    if (job->kind == JOB_LOOK) { /* NAT-PMP's question is answered by those who speak PCP, too */
        return -ENOTSUP;
    }
    fd = job->is_ipv6 ? open_ipv6(job) : open_socket(job);
    return fd < 0 ? fd : ask_all(job, fd, answer);
}
