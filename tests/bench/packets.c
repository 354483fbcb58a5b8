// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/packets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"

enum { DROP = 0, COUNT = 1 };

/* What comes in at any port: is the packet longer than its headers? */
static int filter_by_data(int fd, bool has_data)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 14, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 12),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 10),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X = length of the IP header */
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 12),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 2),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0), /* X = length of both headers */
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, has_data ? COUNT : DROP),
        BPF_STMT(BPF_RET | BPF_K, has_data ? DROP : COUNT),
        BPF_STMT(BPF_RET | BPF_K, DROP),
    };
    struct sock_fprog program = {ARRAY_COUNT(steps), steps};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* Hears nothing before it is bound: the filter is there by then. */
static int open_one(bool has_data, int *fd_out)
{
    struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    CLEANUP(cleanup_close) int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    int r = filter_by_data(fd, has_data);

    if (r == 0 && bind(fd, (const struct sockaddr *)&all, sizeof(all)) < 0) {
        r = -errno;
    }
    if (r == 0) {
        *fd_out = take_fd(&fd);
    }
    return r;
}

int packets_open(struct packet_counter *counter, const char *namespace_path)
{
    CLEANUP(cleanup_close) int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_close) int other = open(namespace_path, O_RDONLY | O_CLOEXEC);

    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0) {
        return -errno;
    }
    int r = open_one(true, &counter->fds[0]);

    if (r == 0) {
        r = open_one(false, &counter->fds[1]);
    }
    if (setns(own, CLONE_NEWNET) < 0) {
        r = -errno;
    }
    counter->sum = (struct packets){0};
    return r;
}

/* The kernel's count begins anew with each look; what found no room in the buffer is counted, too. */
static uint64_t since_last(int fd)
{
    struct tpacket_stats stats = {0};
    socklen_t length_bytes = sizeof(stats);

    return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length_bytes) == 0
               ? stats.tp_packets
               : 0;
}

struct packets packets_now(struct packet_counter *counter)
{
    counter->sum.data += since_last(counter->fds[0]);
    counter->sum.bare += since_last(counter->fds[1]);
    return counter->sum;
}
