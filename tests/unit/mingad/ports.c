// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/ports.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A port that is free now. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length_bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length_bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int descriptor_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static int dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;

    close(fd);
    return r;
}

Test(ports, every_port_of_the_spec_listens)
{
    struct sandbox_spec spec = {.port_count = 2};
    uint16_t refused = 0;
    struct ports ports;

    spec.ports[0].host_port = free_port();
    spec.ports[1].host_port = free_port();
    cr_assert_eq(ports_bind(&spec, "127.0.0.1", &ports, &refused), 0);
    cr_assert_eq(ports.count, 2);
    cr_assert_eq(dial(spec.ports[0].host_port), 0);
    cr_assert_eq(dial(spec.ports[1].host_port), 0);
    ports_close(&ports);
    cr_assert_eq(dial(spec.ports[0].host_port), -ECONNREFUSED);
}

Test(ports, all_addresses_means_ipv4_too)
{
    struct sandbox_spec spec = {.port_count = 1};
    uint16_t refused = 0;
    struct ports ports;

    spec.ports[0].host_port = free_port();
    cr_assert_eq(ports_bind(&spec, "*", &ports, &refused), 0);
    cr_assert_eq(dial(spec.ports[0].host_port), 0);
    ports_close(&ports);
}

Test(ports, a_taken_port_is_named_and_nothing_stays_open)
{
    struct sandbox_spec spec = {.port_count = 1};
    uint16_t refused = 0;
    struct ports first;
    struct ports second;

    spec.ports[0].host_port = free_port();
    cr_assert_eq(ports_bind(&spec, "127.0.0.1", &first, &refused), 0);
    spec.port_count = 2;
    spec.ports[1] = spec.ports[0];
    spec.ports[0].host_port = free_port();
    int before = descriptor_count();

    cr_assert_eq(ports_bind(&spec, "127.0.0.1", &second, &refused), -EADDRINUSE);
    cr_assert_eq(refused, spec.ports[1].host_port);
    cr_assert_eq(descriptor_count(), before);
    ports_close(&first);
}

Test(ports, an_address_that_is_not_ours_is_refused)
{
    struct sandbox_spec spec = {.port_count = 1};
    uint16_t refused = 0;
    struct ports ports;

    spec.ports[0].host_port = free_port();
    cr_assert_lt(ports_bind(&spec, "192.0.2.77", &ports, &refused), 0);
    cr_assert_eq(refused, spec.ports[0].host_port);
}
