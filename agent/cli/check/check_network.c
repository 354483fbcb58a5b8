// SPDX-License-Identifier: GPL-3.0-or-later
/* How others reach this machine: a question to the router, which changes nothing there. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/check/check.h"
#include "agent/portmap/worker.h"
#include "base/attributes.h"
#include "base/cleanup.h"

enum { LOOK_MS_MAX = 8000 };

/* What the worker says until its end, or for as long as somebody may have to wait. */
static struct bytes listen_to(int fd, uint8_t said[PORTMAP_LINE_BYTES_MAX + 1])
{
    struct bytes bytes = {said, 0};

    while (bytes.length_bytes <= PORTMAP_LINE_BYTES_MAX) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        ssize_t count_bytes;

        if (poll(&poll_fd, 1, LOOK_MS_MAX) <= 0) {
            break;
        }
        count_bytes =
            read(fd, said + bytes.length_bytes, PORTMAP_LINE_BYTES_MAX + 1 - bytes.length_bytes);
        if (count_bytes <= 0) {
            break;
        }
        bytes.length_bytes += (size_t)count_bytes;
    }
    return bytes;
}

static void probe_router(struct check_result *result)
{
    static const uint8_t nonce[PORTMAP_NONCE_BYTES]; /* for mappings only */
    const struct plan_job job = {.kind = PLAN_LOOK};
    uint8_t said[PORTMAP_LINE_BYTES_MAX + 1];
    struct portmap_answer answer;
    struct err err = {0};
    pid_t pid = 0;
    int fd = -1;

    if (portmap_worker_start(&job, nonce, &pid, &fd, &err) < 0) {
        check_unknown(result, "%s", err.text);
        return;
    }
    int r = portmap_line_parse(listen_to(fd, said), NULL, 0, &answer);

    portmap_worker_end(pid);
    cleanup_close(&fd);
    if (r < 0) {
        check_unknown(result, "the router's answers are not what they should be");
    } else if (answer.method != PORTMAP_NONE) {
        check_have(result, "the router opens ports by %s for who sets network.port_mapping: auto",
                   answer.method == PORTMAP_UPNP ? "UPnP" : "NAT-PMP or PCP");
    } else if (strncmp(answer.why, PORTMAP_NOT_HIDDEN, strlen(PORTMAP_NOT_HIDDEN)) == 0) {
        check_have(result, "not needed: %s", answer.why);
    } else {
        check_missing(result, "%s", answer.why);
    }
}

static const struct check rows[] = {
    {"port mapping", CHECK_BETTER, probe_router,
     "behind a router this node is reached through others, and stores nothing for them",
     "switch it on in the router, or forward ports by hand"},
};

const struct check_group network_checks = {"network", rows, ARRAY_COUNT(rows)};
