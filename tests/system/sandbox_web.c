// SPDX-License-Identifier: GPL-3.0-or-later
/* A replica that serves a page, and who asks for it. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/system/sandbox_world.h"

struct sandbox_spec web_spec(struct world *world)
{
    /* Relative: some environments have no root of their own. */
    static const char *const words[] = {"/bin/busybox", "httpd", "-f",  "-p",
                                        "8080",         "-h",    "www", NULL};
    struct sandbox_spec spec = world_spec(world, "");

    world_set_command(&spec, words);
    world_publish(world, &spec, 8080);
    return spec;
}

bool fetch_contains(uint16_t port, const char *text, uint64_t ms_max)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {(time_t)(ms_max / 1000), (suseconds_t)(ms_max % 1000) * 1000};
    char page[4096];
    size_t used_bytes = 0;
    ssize_t count_bytes;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0) {
        while (used_bytes + 1 < sizeof(page) &&
               (count_bytes = recv(fd, page + used_bytes, sizeof(page) - 1 - used_bytes, 0)) > 0) {
            used_bytes += (size_t)count_bytes;
        }
    }
    close(fd);
    page[used_bytes] = '\0';
    return strstr(page, text) != NULL;
}

bool serves(const struct world *world, const struct sandbox_spec *spec, uint64_t ms_max)
{
    uint64_t until_ms = time_ms() + world_patience_ms(world, ms_max);

    while (time_ms() < until_ms) {
        if (fetch_contains(spec->ports[0].host_port, "hello from the sandbox", 1000)) {
            return true;
        }
        wait_a_little(20);
    }
    return false;
}
