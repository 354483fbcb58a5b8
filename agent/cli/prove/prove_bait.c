// SPDX-License-Identifier: GPL-3.0-or-later
/* What lies about on the host for a probe that gets out, and the host's own facts. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/cli/prove/prove.h"
#include "base/attributes.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"

enum { LINE_BYTES = 160, BACKLOG = 64, SHM_BYTES = 4096, SECRET_BYTES = 16 };

void bait_init(struct bait *bait)
{
    memset(bait, 0, sizeof(*bait));
    for (size_t i = 0; i < ARRAY_COUNT(bait->fds); i++) {
        bait->fds[i] = -1;
    }
    bait->shm_id = -1;
}

void bait_done(struct bait *bait)
{
    for (size_t i = 0; i < ARRAY_COUNT(bait->fds); i++) {
        cleanup_close(&bait->fds[i]);
    }
    if (bait->shm_id >= 0) {
        (void)shmctl(bait->shm_id, IPC_RMID, NULL);
    }
    if (bait->shm_name[0] != '\0') {
        (void)shm_unlink(bait->shm_name);
    }
    bait_init(bait);
}

static void PRINTF_LIKE(2, 3) add_fact(struct bait *bait, const char *format, ...)
{
    va_list arguments;

    if (bait->fact_count < PROVE_FACTS_MAX) {
        va_start(arguments, format);
        vsnprintf(bait->facts[bait->fact_count++], PROVE_FACT_BYTES_MAX, format, arguments);
        va_end(arguments);
    }
}

static bool first_line(const char *path, char *line_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");

    line_out[0] = '\0';
    if (file == NULL || fgets(line_out, (int)capacity_bytes, file) == NULL) {
        return false;
    }
    line_out[strcspn(line_out, "\n")] = '\0';
    return true;
}

/* The text behind "key ... :" of a file like /proc/cpuinfo. */
static void field_of(const char *path, const char *key, char *value_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    char line[LINE_BYTES];

    value_out[0] = '\0';
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');

        if (colon != NULL && strncmp(line, key, strlen(key)) == 0) {
            colon += 1 + strspn(colon + 1, " \t");
            snprintf(value_out, capacity_bytes, "%.*s", (int)strcspn(colon, "\n"), colon);
            return;
        }
    }
}

/* The gateway of the default route, as the kernel prints it: in hexadecimal, byte order of ours. */
static void find_router(struct bait *bait)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/net/route", "re");
    char line[LINE_BYTES];
    char text[INET_ADDRSTRLEN];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        uint32_t to = 1;
        uint32_t gateway = 0;

        if (sscanf(line, "%*s %" SCNx32 " %" SCNx32, &to, &gateway) == 2 && to == 0 &&
            gateway != 0 && inet_ntop(AF_INET, &gateway, text, sizeof(text)) != NULL) {
            add_fact(bait, "router=%s", text);
            return;
        }
    }
}

static void find_lan(struct bait *bait)
{
    struct ifaddrs *all = NULL;
    char text[INET_ADDRSTRLEN];

    if (getifaddrs(&all) < 0) {
        return;
    }
    for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        const struct sockaddr_in *address = (const void *)one->ifa_addr;

        if (address != NULL && address->sin_family == AF_INET &&
            (one->ifa_flags & (IFF_LOOPBACK | IFF_UP)) == IFF_UP &&
            inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)) != NULL) {
            add_fact(bait, "lan=%s", text);
            break;
        }
    }
    freeifaddrs(all);
}

static void describe_host(struct bait *bait)
{
    char text[LINE_BYTES];

    if (first_line("/proc/sys/kernel/random/boot_id", text, sizeof(text))) {
        add_fact(bait, "boot_id=%s", text);
    }
    if (gethostname(text, sizeof(text)) == 0) {
        add_fact(bait, "kernel_name=%.60s", text);
    }
    field_of("/proc/cpuinfo", "model name", text, sizeof(text));
    if (text[0] != '\0') {
        add_fact(bait, "cpu_model=%.72s", text);
    }
    field_of("/proc/meminfo", "MemTotal", text, sizeof(text));
    add_fact(bait, "memory_kib=%llu", strtoull(text, NULL, 10));
    if (first_line("/proc/uptime", text, sizeof(text))) {
        add_fact(bait, "uptime_s=%llu", strtoull(text, NULL, 10));
    }
    add_fact(bait, "pid=%d", (int)getpid());
    find_router(bait);
    find_lan(bait);
}

/* On all addresses, IPv4 and IPv6 where there is IPv6. Returns the port, 0 when it failed. */
static unsigned listen_on_all(int type, int *fd_out)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 bound = {0};
    socklen_t bound_bytes = sizeof(bound);
    const int off = 0;
    CLEANUP(cleanup_close) int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
        bind(fd, (const struct sockaddr *)&six, sizeof(six)) < 0) {
        cleanup_close(&fd);
        fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (const struct sockaddr *)&four, sizeof(four)) < 0) {
            return 0;
        }
    }
    if ((type == SOCK_STREAM && listen(fd, BACKLOG) < 0) ||
        getsockname(fd, (struct sockaddr *)&bound, &bound_bytes) < 0) {
        return 0;
    }
    *fd_out = take_fd(&fd);
    return ntohs(bound.sin6_port); /* at the same place in both kinds */
}

/* `name` begins at the first byte, or (abstract) behind a NUL. Returns -1 when it failed. */
static int listen_unix(const char *name, bool is_abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(name) + 2 > sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path + (is_abstract ? 1 : 0), name, strlen(name));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, (socklen_t)length) < 0 ||
        listen(fd, BACKLOG) < 0) {
        return -1;
    }
    return take_fd(&fd);
}

static void lay_sockets(const struct trial *trial, struct bait *bait)
{
    char text[LINE_BYTES];

    add_fact(bait, "tcp_port=%u", listen_on_all(SOCK_STREAM, &bait->fds[0]));
    add_fact(bait, "udp_port=%u", listen_on_all(SOCK_DGRAM, &bait->fds[1]));
    snprintf(text, sizeof(text), "minga-prove-%d", (int)getpid());
    bait->fds[2] = listen_unix(text, true);
    add_fact(bait, "abstract=%s", text);
    snprintf(text, sizeof(text), "%s/open.sock", trial->run);
    bait->fds[3] = listen_unix(text, false);
    (void)chmod(text, 0666); /* nothing but the sandbox keeps anybody away */
    add_fact(bait, "unix_path=%s", text);
}

static void lay_memory(struct bait *bait)
{
    const key_t key = (key_t)(randombytes_random() >> 2) + 1;

    bait->shm_id = shmget(key, SHM_BYTES, IPC_CREAT | IPC_EXCL | 0666);
    if (bait->shm_id >= 0) {
        add_fact(bait, "shm_key=%d", (int)key);
    }
    snprintf(bait->shm_name, sizeof(bait->shm_name), "/minga-prove-%d", (int)getpid());
    CLEANUP(cleanup_close) int fd = shm_open(bait->shm_name, O_RDWR | O_CREAT | O_EXCL, 0666);
    if (fd < 0) {
        bait->shm_name[0] = '\0';
        return;
    }
    (void)fchmod(fd, 0666);
    add_fact(bait, "shm_name=%s", bait->shm_name);
}

static int lay_canary(const struct trial *trial, struct bait *bait, struct err *err)
{
    uint8_t secret[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 1];

    randombytes_buf(secret, sizeof(secret));
    bytes_to_hex((struct bytes){secret, sizeof(secret)}, text);
    int r = file_write_atomic(trial->state_fd, "canary", bytes_of_text(text), 0644, err);
    if (r == 0) {
        add_fact(bait, "canary=%s/canary", trial->state);
        add_fact(bait, "canary_text=%s", text);
    }
    return r;
}

int bait_lay(struct session *session, const struct trial *trial, struct bait *bait)
{
    struct err err = {0};

    if (lay_canary(trial, bait, &err) < 0) {
        return problem_from_err(&session->problem, EXIT_REFUSED, &err);
    }
    lay_sockets(trial, bait);
    lay_memory(bait);
    describe_host(bait);
    return EXIT_DONE;
}
