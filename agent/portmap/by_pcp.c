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

static void note_host(const struct pcp_mapped *mapped, struct portmap_answer *answer)
{
    static const uint8_t none[4];

    if (memcmp(mapped->host, none, sizeof(none)) != 0) {
        (void)inet_ntop(AF_INET, mapped->host, answer->host, sizeof(answer->host));
    }
}

/* One port after the other. The first silence ends it. */
static int ask_all(const struct job *job, int fd, struct portmap_answer *answer)
{
    struct pcp_map map = {.lifetime_s = job->kind == JOB_MAP ? job->lease_s : 0};
    uint32_t done_count = 0;
    struct pcp_mapped mapped;

    memcpy(map.nonce, job->nonce, sizeof(map.nonce));
    memcpy(map.client, &job->own, sizeof(map.client));
    answer->lease_s = job->lease_s;
    for (uint32_t i = 0; i < job->port_count; i++) {
        map.port = job->ports[i];
        int r = ask(fd, &map, &mapped);

        if (r < 0) {
            return done_count > 0 ? 0 : r;
        }
        answer->ports[i].outside = 0;
        answer->has_epoch = true;
        answer->epoch_s = mapped.epoch_s;
        if (mapped.result != PCP_SUCCESS) {
            (void)snprintf(answer->why, sizeof(answer->why), "PCP: the router refuses (result %u)",
                           mapped.result);
            continue;
        }
        done_count++;
        answer->ports[i].outside = job->kind == JOB_MAP ? mapped.outside : 0;
        note_host(&mapped, answer);
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
    fd = open_socket(job);
    return fd < 0 ? fd : ask_all(job, fd, answer);
}
