// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/ports.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/mingad/free_port.h"

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

    spec.ports[0].host_port = free_port(SOCK_STREAM);
    spec.ports[1].host_port = free_port(SOCK_STREAM);
    cr_assert_eq(ports_bind(&spec, &(struct ports_where){"127.0.0.1", -1}, &ports, &refused), 0);
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

    spec.ports[0].host_port = free_port(SOCK_STREAM);
    cr_assert_eq(ports_bind(&spec, &(struct ports_where){"*", -1}, &ports, &refused), 0);
    cr_assert_eq(dial(spec.ports[0].host_port), 0);
    ports_close(&ports);
}

Test(ports, a_taken_port_is_named_and_nothing_stays_open)
{
    struct sandbox_spec spec = {.port_count = 1};
    uint16_t refused = 0;
    struct ports first;
    struct ports second;

    spec.ports[0].host_port = free_port(SOCK_STREAM);
    cr_assert_eq(ports_bind(&spec, &(struct ports_where){"127.0.0.1", -1}, &first, &refused), 0);
    spec.port_count = 2;
    spec.ports[1] = spec.ports[0];
    spec.ports[0].host_port = free_port(SOCK_STREAM);
    int before = descriptor_count();

    cr_assert_eq(ports_bind(&spec, &(struct ports_where){"127.0.0.1", -1}, &second, &refused),
                 -EADDRINUSE);
    cr_assert_eq(refused, spec.ports[1].host_port);
    cr_assert_eq(descriptor_count(), before);
    ports_close(&first);
}

Test(ports, an_address_that_is_not_ours_is_refused)
{
    struct sandbox_spec spec = {.port_count = 1};
    uint16_t refused = 0;
    struct ports ports;

    spec.ports[0].host_port = free_port(SOCK_STREAM);
    cr_assert_lt(ports_bind(&spec, &(struct ports_where){"192.0.2.77", -1}, &ports, &refused), 0);
    cr_assert_eq(refused, spec.ports[0].host_port);
}

Test(ports, what_is_for_members_listens_in_a_folder_and_nowhere_else)
{
    char folder[] = "/tmp/minga-ports.XXXXXX";
    struct sandbox_spec spec = {.port_count = 1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint16_t refused = 0;
    struct ports ports;

    cr_assert_not_null(mkdtemp(folder));
    int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct ports_where where = {"127.0.0.1", folder_fd};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    spec.ports[0].host_port = free_port(SOCK_STREAM);
    spec.ports[0].protocol = SANDBOX_MEMBERS;
    cr_assert_eq(ports_bind(&spec, &where, &ports, &refused), 0);
    ports_close(&ports);
    /* The socket of one that was started before, and is gone, is no obstacle. */
    cr_assert_eq(ports_bind(&spec, &where, &ports, &refused), 0);
    cr_assert_eq(dial(spec.ports[0].host_port), -ECONNREFUSED);
    ports_members_path(folder_fd, spec.ports[0].host_port, address.sun_path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    ports_close(&ports);
    cr_assert_eq(unlink(address.sun_path), 0);
    close(folder_fd);
    cr_assert_eq(rmdir(folder), 0);
}

Test(ports, what_is_for_members_of_udp_takes_packets)
{
    char folder[] = "/tmp/minga-ports.XXXXXX";
    struct sandbox_spec spec = {.port_count = 1};
    char name[PORTS_PATH_BYTES];
    uint16_t refused = 0;
    struct ports ports;
    char text[8];

    cr_assert_not_null(mkdtemp(folder));
    int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct ports_where where = {"127.0.0.1", folder_fd};

    spec.ports[0].host_port = free_port(SOCK_STREAM);
    spec.ports[0].protocol = SANDBOX_MEMBERS_UDP;
    cr_assert_eq(ports_members_connect(folder_fd, spec.ports[0].host_port), -ENOENT);
    cr_assert_eq(ports_bind(&spec, &where, &ports, &refused), 0);
    int here = ports_members_connect(folder_fd, spec.ports[0].host_port);
    int there = accept4(ports.fds[0], NULL, NULL, SOCK_CLOEXEC);

    cr_assert(here >= 0 && there >= 0);
    cr_assert_eq(send(here, "one", 3, 0), 3);
    cr_assert_eq(send(here, "more", 4, 0), 4);
    cr_assert_eq(recv(there, text, sizeof(text), 0), 3, "borders stay");
    ports_close(&ports);
    cr_assert_eq(ports_members_connect(folder_fd, spec.ports[0].host_port), -ECONNREFUSED);
    close(here);
    close(there);
    ports_members_name(spec.ports[0].host_port, name);
    cr_assert_eq(unlinkat(folder_fd, name, 0), 0);
    close(folder_fd);
    cr_assert_eq(rmdir(folder), 0);
}
