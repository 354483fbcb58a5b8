// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/supervisor.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { TURNS_PER_WATCHDOG = 3 };

/* Is the watchdog's time meant for us, and how long is it? */
static uint64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t number = 0;

    if (pid != NULL && (units_parse_number(pid, &number) < 0 || number != (uint64_t)getpid())) {
        return 0;
    }
    return usec != NULL && units_parse_number(usec, &number) == 0 ? number / 1000 : 0;
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    CLEANUP(cleanup_close) int fd = -1;

    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') { /* no file: an abstract name */
        address.sun_path[0] = '\0';
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0) {
        return -1;
    }
    return take_fd(&fd);
}

void supervisor_open(struct supervisor *supervisor)
{
    const char *path = getenv("NOTIFY_SOCKET");

    *supervisor = (struct supervisor){.fd = path == NULL ? -1 : dial(path),
                                      .every_ms = watchdog_ms() / TURNS_PER_WATCHDOG};
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void supervisor_done(struct supervisor *supervisor)
{
    cleanup_close(&supervisor->fd);
    supervisor->fd = -1;
}

/* One that does not read has the last word all the same: it ends us. */
static void tell(const struct supervisor *supervisor, const char *word)
{
    if (supervisor->fd >= 0) {
        (void)send(supervisor->fd, word, strlen(word), MSG_NOSIGNAL);
    }
}

void supervisor_ready(struct supervisor *supervisor)
{
    tell(supervisor, "READY=1");
}

void supervisor_tick(struct supervisor *supervisor, uint64_t at_ms)
{
    if (supervisor->every_ms > 0 && at_ms - supervisor->told_ms >= supervisor->every_ms) {
        supervisor->told_ms = at_ms;
        tell(supervisor, "WATCHDOG=1");
    }
}
