// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define RESOLVER_PATH "/etc/resolv.conf"
enum { LINE_CHARS_MAX = 256, FILE_BYTES_MAX = 16384 };

/* "nameserver ADDRESS[%scope]", as libc and passt read it. */
static void read_line(const char *line, bool *ipv4_out, bool *ipv6_out)
{
    static const char keyword[] = "nameserver";
    char address[LINE_CHARS_MAX];
    uint8_t number[16];
    size_t length;

    if (strncmp(line, keyword, sizeof(keyword) - 1) != 0) {
        return;
    }
    line += sizeof(keyword) - 1;
    if (*line != ' ' && *line != '\t') {
        return;
    }
    line += strspn(line, " \t");
    length = strcspn(line, " \t%\r");
    memcpy(address, line, length);
    address[length] = '\0';
    *ipv4_out = *ipv4_out || inet_pton(AF_INET, address, number) == 1;
    *ipv6_out = *ipv6_out || inet_pton(AF_INET6, address, number) == 1;
}

void resolver_read(struct bytes text, bool *ipv4_out, bool *ipv6_out)
{
    const char *at = (const char *)text.data;
    size_t left_bytes = text.length_bytes;

    *ipv4_out = false;
    *ipv6_out = false;
    while (left_bytes > 0) {
        const char *end = memchr(at, '\n', left_bytes);
        size_t line_bytes = end == NULL ? left_bytes : (size_t)(end - at);
        char line[LINE_CHARS_MAX];

        if (line_bytes < sizeof(line)) {
            memcpy(line, at, line_bytes);
            line[line_bytes] = '\0';
            read_line(line, ipv4_out, ipv6_out);
        }
        at += line_bytes;
        left_bytes -= line_bytes;
        if (left_bytes > 0) { /* the end of the line itself */
            at++;
            left_bytes--;
        }
    }
}

void resolver_families(bool *ipv4_out, bool *ipv6_out)
{
    static uint8_t text[FILE_BYTES_MAX];
    CLEANUP(cleanup_close) int fd = open(RESOLVER_PATH, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t count_bytes = fd < 0 ? 0 : read(fd, text, sizeof(text));

    resolver_read((struct bytes){text, count_bytes > 0 ? (size_t)count_bytes : 0}, ipv4_out,
                  ipv6_out);
}

uint64_t resolver_stamp(void)
{
    struct stat status;

    if (stat(RESOLVER_PATH, &status) < 0) {
        return 0;
    }
    return (uint64_t)status.st_mtim.tv_sec * 1000000000U + (uint64_t)status.st_mtim.tv_nsec +
           (uint64_t)status.st_ino;
}
