// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * port serve PORT [PORT]: answers on 127.0.0.1, at each; the first byte of a connection says how: 's' reads until its
 * end, 'g' sends until nobody reads, 'e' sends back what comes.
 * port ask PORT: prints "Gbit/s down, Gbit/s up, round trip in us (median), connections/s" of it.
 * Linked statically, so that it runs in a sandbox's tree of two files.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 1 << 18,
    STREAM_US = 2000000,
    ROUNDS = 20000,
    CONNECTIONS = 1000,
    CONNECT_TRIES = 100
};

static char block[BLOCK_BYTES];

static uint64_t time_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct sockaddr_in address_of(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void answer(int fd)
{
    const int on = 1;
    char what = 0;
    ssize_t count_bytes = read(fd, &what, 1);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    while (count_bytes > 0 && what == 'g') {
        count_bytes = write(fd, block, sizeof(block));
    }
    while (count_bytes > 0 && what != 'g') {
        count_bytes = read(fd, block, sizeof(block));
        if (count_bytes > 0 && what == 'e') {
            count_bytes = write(fd, block, (size_t)count_bytes);
        }
    }
}

static int serve(const char *port)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sockaddr_in address = address_of(port);
    const int on = 1;
    int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listen_fd, 512) < 0) {
        perror("serve");
        return 1;
    }
    sigaction(SIGCHLD, &ignore, NULL); /* no zombies */
    sigaction(SIGPIPE, &ignore, NULL);
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0 && fork() == 0) {
            answer(fd);
            _exit(0);
        }
        close(fd);
    }
}

static int try_call(const char *port, char what)
{
    struct sockaddr_in address = address_of(port);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        write(fd, &what, 1) == 1) {
        return fd;
    }
    close(fd);
    return -1;
}

static int call(const char *port, char what)
{
    int fd = try_call(port, what);

    if (fd < 0) {
        perror("call");
        exit(1); // NOLINT(concurrency-mt-unsafe): one thread
    }
    return fd;
}

/* Until the service listens: a forwarder accepts before it does, and closes. */
static void wait_for(const char *port)
{
    for (int i = 0; i < CONNECT_TRIES; i++) {
        int fd = try_call(port, 'e');
        char byte = 'x';

        if (fd >= 0 && write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1) {
            close(fd);
            return;
        }
        close(fd);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static double stream(const char *port, char what)
{
    int fd = call(port, what);
    uint64_t began_us = time_us();
    uint64_t moved_bytes = 0;
    ssize_t count_bytes;

    do {
        count_bytes =
            what == 'g' ? read(fd, block, sizeof(block)) : write(fd, block, sizeof(block));
        moved_bytes += count_bytes > 0 ? (uint64_t)count_bytes : 0;
    } while (count_bytes > 0 && time_us() < began_us + STREAM_US);
    double gbit_per_s = (double)moved_bytes * 8 / (double)(time_us() - began_us) / 1000;
    close(fd);
    return gbit_per_s;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static double round_trip_us(const char *port)
{
    static double times_us[ROUNDS];
    int fd = call(port, 'e');
    char byte = 'x';

    for (int i = 0; i < ROUNDS; i++) {
        struct timespec begin;
        struct timespec end;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) {
            perror("round trip");
            exit(1); // NOLINT(concurrency-mt-unsafe): one thread
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        times_us[i] =
            (double)(end.tv_sec - begin.tv_sec) * 1e6 + (double)(end.tv_nsec - begin.tv_nsec) / 1e3;
    }
    close(fd);
    qsort(times_us, ROUNDS, sizeof(times_us[0]), compare);
    return times_us[ROUNDS / 2];
}

static double connections_per_s(const char *port)
{
    uint64_t began_us = time_us();

    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = call(port, 'e');
        char byte = 'x';

        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) {
            perror("connection");
            exit(1); // NOLINT(concurrency-mt-unsafe): one thread
        }
        close(fd);
    }
    return CONNECTIONS * 1e6 / (double)(time_us() - began_us);
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "serve") == 0) {
        return serve(argc > 3 && fork() == 0 ? argv[3] : argv[2]);
    }
    if (argc != 3 || strcmp(argv[1], "ask") != 0) {
        fprintf(stderr, "usage: %s serve PORT [PORT] | ask PORT\n", argv[0]);
        return 2;
    }
    wait_for(argv[2]);
    double rtt_us = round_trip_us(argv[2]);
    double down = stream(argv[2], 'g');
    double up = stream(argv[2], 's');

    printf("%.1f %.1f %.1f %.0f\n", down, up, rtt_us, connections_per_s(argv[2]));
    return 0;
}
