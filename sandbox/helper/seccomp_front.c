// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/seccomp_front.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/file.h"

enum {
    LEVEL_NAMES_MAX = 16,
    /* Newer than our headers. */
    MADV_COLLAPSE_NUMBER = 25,
    FLOW_LABELS = 32,  /* IPV6_FLOWLABEL_MGR: linux/in6.h does not go with netinet/in.h */
    NEWER_CALLS = 451, /* cachestat is the first */
    NEWER_SOCKET_OPTIONS = 78,
    NEWER_TCP_OPTIONS = TCP_TX_DELAY,
    PRIVATE_CALLS = 0xf0000, /* 32-bit ARM's own; x32's are beyond */
};

/*
 * Options that sockets here do not have, as if the kernel was built without. Programs for packets:
 * for those of all processes without a capability the host has one memory (net.core.bpf_jit_limit),
 * which no group's limit counts, and who has taken it keeps the host's users from loading filters.
 * So with labels of flows, of which the host has one table; and what a group of listeners (multicast)
 * costs the kernel is not counted either, while there is nobody to listen to.
 *
 * Merged datagrams and times of arrival: the first socket that wants them has the kernel rewrite
 * its own code, the last one rewrite it back, and each time every processor of the host is
 * interrupted up to twelve times. Who makes and closes such sockets slows all of them down, which
 * no limit counts. So with a least distance and a delay in TCP, which stay switched on for good.
 *
 * The rest is code in the kernel that had holes and that only what runs a network needs: other
 * protocols within TCP, its signatures, IPsec within UDP, a socket that changes its family. As with
 * calls, an option that is newer than this list does not exist (memory of devices is the first).
 */
static const struct {
    uint32_t level;
    uint32_t newer; /* from this number on none exists */
    uint32_t names[LEVEL_NAMES_MAX];
} missing_options[] = {
    {SOL_SOCKET,
     NEWER_SOCKET_OPTIONS,
     {SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF,
      SO_BINDTODEVICE, SO_TIMESTAMP_OLD, SO_TIMESTAMPNS_OLD, SO_TIMESTAMPING_OLD, SO_TIMESTAMP_NEW,
      SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING_NEW}},
    {IPPROTO_TCP, NEWER_TCP_OPTIONS, {TCP_ULP, TCP_MD5SIG, TCP_MD5SIG_EXT}},
    {IPPROTO_UDP, UDP_GRO, {UDP_ENCAP}},
    {IPPROTO_IP,
     UINT32_MAX,
     {IP_ADD_MEMBERSHIP, IP_ADD_SOURCE_MEMBERSHIP, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP,
      IP_MINTTL}},
    {IPPROTO_IPV6,
     UINT32_MAX,
     {IPV6_JOIN_GROUP, IPV6_JOIN_ANYCAST, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP, FLOW_LABELS,
      IPV6_ADDRFORM, IPV6_MINHOPCOUNT}},
};

/*
 * Arguments that calls here do not have. Where the host's administrator has switched MADV_MERGEABLE
 * on, pages that are alike would become one with those of other replicas, and the time of a write
 * tell so. To join pages into a large one at once interrupts every processor of the host. Locks that
 * are an open file's are nobody's in the kernel's list (locks.h), leases that of whoever took them
 * first. Signals of folders are older than inotify. And the limit of cores stays what it is
 * (CORE_BYTES_MAX), also for who wants none.
 */
static const struct {
    const char *calls[2]; /* not every architecture has all */
    uint32_t argument;
    uint32_t value;
    uint32_t error;
} missing_arguments[] = {
    {{"madvise"}, 2, MADV_MERGEABLE, EINVAL},       {{"madvise"}, 2, MADV_COLLAPSE_NUMBER, EINVAL},
    {{"fcntl", "fcntl64"}, 1, F_OFD_SETLK, EINVAL}, {{"fcntl", "fcntl64"}, 1, F_OFD_SETLKW, EINVAL},
    {{"fcntl", "fcntl64"}, 1, F_SETLEASE, EINVAL},  {{"fcntl", "fcntl64"}, 1, F_NOTIFY, EINVAL},
    {{"setrlimit"}, 0, RLIMIT_CORE, EPERM},
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_HALF_OF(argument)  (offsetof(struct seccomp_data, args) + 8 * (argument))
#define HIGH_HALF_OF(argument) (LOW_HALF_OF(argument) + 4)
#else
#define HIGH_HALF_OF(argument) (offsetof(struct seccomp_data, args) + 8 * (argument))
#define LOW_HALF_OF(argument)  (HIGH_HALF_OF(argument) + 4)
#endif
#define CALL offsetof(struct seccomp_data, nr)

/* Where a jump leads that is not so far yet: mend() knows by then. */
enum { STEPS_MAX = 240, TO_END = STEPS_MAX + 1, TO_ANSWER };
static_assert(TO_ANSWER <= UINT8_MAX, "a jump is a byte");

struct front {
    uint32_t architecture;
    struct sock_filter steps[STEPS_MAX];
    size_t count;
};

static void add(struct front *front, struct sock_filter step)
{
    CHECK(front->count < STEPS_MAX);
    front->steps[front->count++] = step;
}

static void load(struct front *front, size_t offset)
{
    add(front, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void answer(struct front *front, uint32_t error)
{
    add(front, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
}

/* Passes over so many steps when what was loaded is `value`, or when it is not. */
static void jump_equal(struct front *front, uint32_t value, uint8_t when, uint8_t unless)
{
    add(front, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, when, unless));
}

static void jump_from(struct front *front, uint32_t value, uint8_t when, uint8_t unless)
{
    add(front, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, value, when, unless));
}

/* All that lead to `place` lead to the next step. */
static void mend(struct front *front, uint8_t place)
{
    for (size_t i = 0; i < front->count; i++) {
        struct sock_filter *step = &front->steps[i];
        const uint8_t distance = (uint8_t)(front->count - i - 1);

        if (BPF_CLASS(step->code) == BPF_JMP) {
            step->jt = step->jt == place ? distance : step->jt;
            step->jf = step->jf == place ? distance : step->jf;
        }
    }
}

/*
 * Calls that are newer than the list of seccomp.c do not exist, rather than being forbidden, so that
 * libc takes the older way; the numbers from 424 on are the same on every architecture.
 */
static void add_calls(struct front *front)
{
    load(front, CALL);
    jump_from(front, PRIVATE_CALLS, TO_END, 0);
    jump_from(front, NEWER_CALLS, 0, 1);
    answer(front, ENOSYS);
}

/* Of the call `name`; negative: the architecture has none. */
static int number_of(const struct front *front, const char *name)
{
    return seccomp_syscall_resolve_name_arch(front->architecture, name);
}

static void add_argument(struct front *front, size_t row, const char *name)
{
    const int call = name == NULL ? -1 : number_of(front, name);

    if (call < 0) {
        return;
    }
    load(front, CALL);
    jump_equal(front, (uint32_t)call, 0, 3);
    load(front, LOW_HALF_OF(missing_arguments[row].argument));
    jump_equal(front, missing_arguments[row].value, 0, 1);
    answer(front, missing_arguments[row].error);
}

static void add_arguments(struct front *front)
{
    for (size_t i = 0; i < ARRAY_COUNT(missing_arguments); i++) {
        add_argument(front, i, missing_arguments[i].calls[0]);
        add_argument(front, i, missing_arguments[i].calls[1]);
    }
}

/* The same for setrlimit(2)'s younger brother, unless the limit is only asked for. */
static void add_core_limit(struct front *front)
{
    load(front, CALL);
    jump_equal(front, (uint32_t)number_of(front, "prlimit64"), 0, 7);
    load(front, LOW_HALF_OF(1));
    jump_equal(front, RLIMIT_CORE, 0, 5);
    load(front, LOW_HALF_OF(2));
    jump_equal(front, 0, 0, 2);
    load(front, HIGH_HALF_OF(2));
    jump_equal(front, 0, 1, 0);
    answer(front, EPERM);
}

static void add_options(struct front *front)
{
    load(front, CALL);
    jump_equal(front, (uint32_t)number_of(front, "setsockopt"), 0, TO_END);
    for (size_t i = 0; i < ARRAY_COUNT(missing_options); i++) {
        const uint32_t *names = missing_options[i].names;
        uint8_t count = 0;

        while (count < LEVEL_NAMES_MAX && names[count] != 0) {
            count++;
        }
        load(front, LOW_HALF_OF(1));
        jump_equal(front, missing_options[i].level, 0, (uint8_t)(count + 2));
        load(front, LOW_HALF_OF(2));
        for (uint8_t j = 0; j < count; j++) {
            jump_equal(front, names[j], TO_ANSWER, 0);
        }
        jump_from(front, missing_options[i].newer, TO_ANSWER, TO_END);
    }
    add(front, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 1)); /* of another level */
    mend(front, TO_ANSWER);
    answer(front, ENOPROTOOPT);
}

int seccomp_front_put(int fd, uint32_t architecture)
{
    struct front front = {.architecture = architecture};

    add_calls(&front);
    add_arguments(&front);
    add_core_limit(&front);
    add_options(&front);
    mend(&front, TO_END);
    return file_write_all(
        fd, (struct bytes){(const uint8_t *)front.steps, front.count * sizeof(front.steps[0])});
}
