// SPDX-License-Identifier: GPL-3.0-or-later
/* What a compromised mingad can send to minga-sandboxd, and do to the folder of trees meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "sandbox/helper/helper.h"
#include "sandbox/request.h"
#include "tests/system/sandbox_checks.h"

enum {
    FLOOD_COUNT = 30000,
    RACES = 40,
    HURRIES = 40,
    DESCRIPTORS = 12,
    ODD_LISTENER = 9,
    RESIDENT_KIB_MAX = 65536,
    REQUESTS_AT_ONCE = 6
};

static size_t resident_kib(const struct world *world)
{
    char text[64];

    return strtoul(status_value(world->helper_pid, "VmRSS", text, sizeof(text)), NULL, 10);
}

static size_t descriptors(const struct world *world)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/fd", world->helper_pid);
    return count_files(path);
}

/* Once launches that were under way are over: each may still add the template of its disk. */
static size_t settled_descriptors(const struct world *world)
{
    enum { LOOKS_MAX = 50, EQUAL_LOOKS = 5, LOOK_MS = 100 };
    size_t count = descriptors(world);

    for (int looks = 0, equal = 0; looks < LOOKS_MAX && equal < EQUAL_LOOKS; looks++) {
        size_t before = count;

        wait_a_little(LOOK_MS);
        count = descriptors(world);
        equal = count == before ? equal + 1 : 0;
    }
    return count;
}

/* Sends as it is; dials again when cut off. */
static void send_raw(struct world *world, const uint8_t *bytes, size_t length_bytes)
{
    int fd = sandbox_client_fd(&world->client);

    if (fd < 0 ||
        (send(fd, bytes, length_bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)) {
        world_connect(world);
    }
}

/* Requests with some bytes changed; nobody reads the answers. */
static void flood(struct world *world, bool altered)
{
    struct random random;
    struct sandbox_spec spec = world_spec(world, "exit 0");
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];

    random_init(&random, 1, "flood");
    for (int i = 0; i < (world->slow ? FLOOD_COUNT / 10 : FLOOD_COUNT); i++) {
        struct helper_request request = {
            .kind = (enum helper_request_kind)(REQUEST_RENEW + i % 7),
            .spec = spec,
            .bytes_max = LOGS_WINDOW_BYTES_MAX,
        };
        if (altered && i % 8 == 0) {
            request.kind = REQUEST_START;
            request.spec.limits.memory_bytes = random_u64(&random);
        }
        int length = helper_request_encode(&request, bytes, sizeof(bytes));

        for (int changes = altered ? i % 4 : 0; changes > 0 && length > 0; changes--) {
            bytes[random_below(&random, (uint64_t)length)] = (uint8_t)random_u64(&random);
        }
        if (length > 0) {
            size_t cut = altered && i % 5 == 0 ? random_below(&random, (uint64_t)length) : 0;

            send_raw(world, bytes, (size_t)length - cut);
        }
    }
}

/* A START with descriptors that are no listening sockets, or too many of them. */
static void send_descriptors(struct world *world, const struct sandbox_spec *spec, int fd,
                             size_t count)
{
    struct helper_request request = {.kind = REQUEST_START, .spec = *spec};
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length = helper_request_encode(&request, bytes, sizeof(bytes));
    union {
        char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS)];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {bytes, length > 0 ? (size_t)length : 0};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (size_t i = 0; i < count; i++) {
        memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(fd));
    }
    sendmsg(sandbox_client_fd(&world->client), &message, MSG_NOSIGNAL);
}

static int odd_file(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC);
}

/* Bound to a port of the kernel's choice where the family has such, and listening if it can. */
static int odd_socket(int family, int type)
{
    const struct sockaddr_in ipv4 = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_un path = {.sun_family = AF_UNIX};
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    (void)bind(fd,
               family == AF_INET ? (const struct sockaddr *)&ipv4 : (const struct sockaddr *)&path,
               family == AF_INET ? sizeof(ipv4) : sizeof(path.sun_family));
    (void)listen(fd, 1);
    return fd;
}

/* Connected: to itself, of which a datagram socket knows nothing. */
static int odd_peer(int type)
{
    struct sockaddr_in address = {0};
    socklen_t address_bytes = sizeof(address);
    CLEANUP(cleanup_close) int other_fd = odd_socket(AF_INET, SOCK_STREAM);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    (void)getsockname(other_fd, (struct sockaddr *)&address, &address_bytes);
    (void)connect(fd, (const struct sockaddr *)&address, sizeof(address));
    return fd;
}

static int odd_descriptor(int number)
{
    switch (number) {
    case 0:
        return odd_file("/dev/zero", O_RDONLY);
    case 1:
        return odd_file("/etc/passwd", O_RDONLY);
    case 2:
        return odd_file("/proc/self/ns/net", O_RDONLY);
    case 3:
        return odd_file("/", O_RDONLY);
    case 4:
        return odd_file("/", O_PATH);
    case 5:
        return memfd_create("odd", MFD_CLOEXEC);
    case 6:
        return pidfd_open(getpid(), 0);
    case 7:
        return eventfd(0, EFD_CLOEXEC);
    case 8:
        return epoll_create1(EPOLL_CLOEXEC);
    case ODD_LISTENER: /* what a port for members takes */
        return odd_socket(AF_UNIX, SOCK_STREAM);
    case 10:
        return odd_socket(AF_INET, SOCK_STREAM); /* it listens: on another port */
    case 11:
        return odd_socket(AF_INET, SOCK_DGRAM);
    case 12:
        return odd_socket(AF_NETLINK, SOCK_RAW);
    case 13:
        return odd_peer(SOCK_STREAM);
    case 14:
        return odd_peer(SOCK_DGRAM);
    default:
        return -1;
    }
}

/* Asks for a replica with that in place of its port's socket. */
static void offer(struct world *world, int fd, enum sandbox_protocol protocol, const char *sentence)
{
    struct sandbox_spec spec = world_spec(world, "exec sleep 1000");
    struct sandbox_event event = {0};

    world_publish(world, &spec, 8080);
    spec.ports[0].protocol = protocol;
    send_descriptors(world, &spec, fd, 1);
    world_await(world, &spec.key, SANDBOX_ENDED, 10000, &event);
    check_saying(world, event.end == SANDBOX_END_REFUSED, sentence, event.reason);
}

static void check_descriptors(struct world *world)
{
    size_t before = settled_descriptors(world);
    int fd;

    for (int i = 0; (fd = odd_descriptor(i)) >= 0; i++) {
        struct sandbox_spec spec = world_spec(world, "exec sleep 1000");

        offer(world, fd, SANDBOX_TCP, "what is not its port's socket is refused");
        if (i != ODD_LISTENER) {
            offer(world, fd, SANDBOX_MEMBERS, "and at a port for members, too");
        }
        world_publish(world, &spec, 8080);
        send_descriptors(world, &spec, fd, DESCRIPTORS);
        wait_a_little(20);
        world_connect(world);
        close(fd);
    }
    for (int i = 0; i < 20 && descriptors(world) > before; i++) {
        wait_a_little(100);
    }
    check(world, descriptors(world) <= before, "foreign descriptors do not stay open");
}

/* Everything at once about one that is only being started, also a START with other limits. */
static void ask_at_once(struct world *world, const struct sandbox_spec *spec, struct random *random)
{
    struct sandbox_client *client = &world->client;
    struct sandbox_spec greedy = *spec;

    greedy.limits.memory_bytes *= 4;
    for (int i = 0; i < REQUESTS_AT_ONCE; i++) {
        switch (random_below(random, 7)) {
        case 0:
            sandbox_client_stop(client, &spec->key);
            break;
        case 1:
            sandbox_client_freeze(client, &spec->key);
            break;
        case 2:
            sandbox_client_thaw(client, &spec->key);
            break;
        case 3:
            sandbox_client_stats(client, &spec->key);
            break;
        case 4:
            sandbox_client_exec(client, &spec->key);
            break;
        case 5:
            world_ask_start(world, &greedy);
            break;
        default:
            sandbox_client_list(client);
            break;
        }
    }
}

static void check_under_way(struct world *world)
{
    struct sandbox_spec specs[HURRIES];
    struct sandbox_event event;
    struct random random;
    bool all_end = true;

    random_init(&random, 2, "under way");
    for (int i = 0; i < HURRIES; i++) {
        specs[i] = world_spec(world, "exec sleep 1000");
        world_ask_start(world, &specs[i]);
        wait_a_little(random_below(&random, 4));
        ask_at_once(world, &specs[i], &random);
        if (i % 5 == 4) {
            world_connect(world);
        }
        if (i >= 2) { /* it may be frozen, ended, or never have begun */
            sandbox_client_stop(&world->client, &specs[i - 2].key);
        }
    }
    world_connect(world);
    for (int i = 0; i < HURRIES; i++) {
        sandbox_client_stop(&world->client, &specs[i].key);
        all_end = world_await(world, &specs[i].key, SANDBOX_ENDED, 10000, &event) && all_end;
    }
    check(world, all_end, "whatever is asked while it is being started, it ends when told to");
}

/* The tree and a link to the host's root change places all the time. */
static pid_t exchange_trees(const struct world *world, const struct tree_id *tree)
{
    char name[ID_HEX_CHARS + 1];
    char path[PATH_BYTES_MAX + ID_HEX_CHARS + 2];
    char other[PATH_BYTES_MAX + 16];
    pid_t pid = fork();

    if (pid != 0) {
        return pid;
    }
    id_to_hex(&tree->id, name);
    snprintf(path, sizeof(path), "%s/%s", world->limits.trees, name);
    snprintf(other, sizeof(other), "%s/swapped", world->limits.trees);
    if (symlink("/", other) < 0) {
        _exit(1);
    }
    for (;;) {
        renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE);
        struct stat about;

        if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode) && getppid() == 1) {
            _exit(0);
        }
    }
}

static void put_back(const struct world *world, const struct tree_id *tree)
{
    char name[ID_HEX_CHARS + 1];
    char path[PATH_BYTES_MAX + ID_HEX_CHARS + 2];
    char other[PATH_BYTES_MAX + 16];
    struct stat about;

    id_to_hex(&tree->id, name);
    snprintf(path, sizeof(path), "%s/%s", world->limits.trees, name);
    snprintf(other, sizeof(other), "%s/swapped", world->limits.trees);
    if (lstat(path, &about) == 0 && S_ISLNK(about.st_mode)) {
        renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE);
    }
    unlink(other);
}

static void check_races(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "exit 0");
    pid_t pid = exchange_trees(world, &spec.tree);
    uint32_t started_count = 0;
    bool escaped = false;

    for (int i = 0; i < (world->slow ? RACES / 8 : RACES); i++) {
        char text[WORLD_TEXT_BYTES];
        struct sandbox_event event = {0};

        spec = world_spec(world, "ls / /etc; echo over; exec sleep 1000");
        world_ask_start(world, &spec);
        if (world_await(world, &spec.key, SANDBOX_STARTED, 300, &event)) {
            started_count++;
            world_await_output(world, &spec, "over", 2000);
            world_output(world, &spec, text);
            escaped = escaped || strstr(text, "shadow") != NULL || strstr(text, "boot") != NULL;
            world_stop(world, &spec, &event);
        }
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    put_back(world, &spec.tree);
    printf("# %u starts found the tree\n", started_count);
    check(world, !escaped, "a tree that is swapped for a link never shows the host's files");
}

/* START, and gone: again and again, more than fits. */
static void check_hurry(struct world *world)
{
    struct sandbox_event event;
    struct sandbox_spec specs[HURRIES];
    uint32_t alive = 0;

    for (int i = 0; i < HURRIES; i++) {
        specs[i] = world_spec(world, "exec sleep 1000");
        specs[i].limits.memory_bytes = 32 << 20;
        world_ask_start(world, &specs[i]);
        if (i % 4 == 3) {
            wait_a_little(i % 8 == 3 ? 100 : 0);
            world_connect(world);
        }
    }
    wait_a_little(world_patience_ms(world, 1500));
    world_connect(world);
    for (int i = 0; i < HURRIES; i++) {
        alive += world_stop(world, &specs[i], &event) && event.end == SANDBOX_END_STOPPED;
    }
    printf("# %u of %d lived\n", alive, HURRIES);
    check(world,
          alive > 0 && (uint64_t)alive * (32 << 20) <= world->limits.contribution.memory_bytes,
          "who asks and leaves gets no more than the contribution");
}

static void check_given_up(struct world *world)
{
    static const unsigned int gone[] = {CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_PTRACE, CAP_SYS_BOOT,
                                        CAP_SYS_TIME,   CAP_NET_RAW,   CAP_BPF};
    static const char *const sets[] = {"CapPrm", "CapEff", "CapBnd"};
    char text[64];

    for (size_t i = 0; i < ARRAY_COUNT(sets); i++) {
        uint64_t held =
            strtoull(status_value(world->helper_pid, sets[i], text, sizeof(text)), NULL, 16);
        bool holds_any = held == 0; /* it cannot be without all of them either */

        for (size_t j = 0; j < ARRAY_COUNT(gone); j++) {
            holds_any = holds_any || (held >> gone[j] & 1) != 0;
        }
        check_saying(world, !holds_any, "the helper has given up what no sandbox needs", text);
    }
    check(world,
          strcmp(status_value(world->helper_pid, "Seccomp", text, sizeof(text)), "2") == 0 &&
              strcmp(status_value(world->helper_pid, "NoNewPrivs", text, sizeof(text)), "1") == 0,
          "a filter of its own holds it, and no program gives it more");
}

void check_attacks(struct world *world)
{
    struct sandbox_spec neighbour = world_spec(world, "exec sleep 1000");
    struct sandbox_event event = {0};
    size_t before;

    check_given_up(world);
    check(world, world_start(world, &neighbour), "a replica runs");
    before = descriptors(world);
    flood(world, false);
    world_connect(world);
    flood(world, true);
    check(world, world_connect(world), "after a flood the helper lets in");
    check_saying(world, resident_kib(world) < RESIDENT_KIB_MAX, "its memory is bounded", "no");
    check_descriptors(world);
    before += DISK_TEMPLATES_MAX; /* of sizes that the flood asked for */
    for (int i = 0; i < 20 && descriptors(world) > before; i++) {
        wait_a_little(100);
    }
    check(world, descriptors(world) <= before, "and its descriptors do not grow");
    sandbox_client_list(&world->client);
    check(world, world_await(world, &neighbour.key, SANDBOX_LISTED, 3000, &event),
          "the replica has noticed nothing");
    world_stop(world, &neighbour, &event);
    check_races(world);
    check_hurry(world);
    check_under_way(world);
}
