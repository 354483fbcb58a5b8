// SPDX-License-Identifier: GPL-3.0-or-later
/* The helper as a unit of systemd, its replicas in the group of a unit of their own. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/sandbox_world.h"

enum { UNIT_TEXT_BYTES = 4096 };

static bool systemctl(const char *verb, const char *unit)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        execlp("systemctl", "systemctl", verb, unit, NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void unit_name(const struct world *world, const char *suffix, char name_out[NAME_MAX])
{
    snprintf(name_out, NAME_MAX, "%s%s.service", world->limits.cgroup, suffix);
}

static bool write_unit(const struct world *world, const char *suffix, const char *text)
{
    char name[NAME_MAX];
    char path[PATH_MAX];

    unit_name(world, suffix, name);
    snprintf(path, sizeof(path), "/run/systemd/system/%s", name);
    FILE *file = fopen(path, "we");
    bool written = file != NULL && fprintf(file, "[Service]\n%s", text) > 0;

    return file != NULL && fclose(file) == 0 && written;
}

bool units_start_helper(const struct world *world, const char *option)
{
    const char *folder = world->folder;
    char name[NAME_MAX];
    char text[UNIT_TEXT_BYTES];

    snprintf(text, sizeof(text),
             "Type=exec\nKillMode=process\nStandardError=append:%s/helper.log\n"
             "ExecStart=%s/minga-sandboxd --limits %s/limits --state %s/state --run %s/run "
             "--uids %s/uids %s\n",
             folder, world->bin, folder, folder, folder, folder, option == NULL ? "" : option);
    if (!write_unit(world, "", text) ||
        !write_unit(world, "-replicas",
                    "Type=exec\nDelegate=yes\nExecStart=/bin/sleep infinity\n")) {
        return false;
    }
    unit_name(world, "-replicas", name);
    if (!systemctl("daemon-reload", NULL) || !systemctl("start", name)) {
        return false;
    }
    unit_name(world, "", name);
    return systemctl("restart", name);
}

/* Who listens at the other end. */
pid_t units_helper_pid(const struct world *world)
{
    struct ucred peer = {0};
    socklen_t peer_bytes = sizeof(peer);

    return getsockopt(sandbox_client_fd(&world->client), SOL_SOCKET, SO_PEERCRED, &peer,
                      &peer_bytes) < 0
               ? 0
               : peer.pid;
}

bool units_helper_over(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

void units_remove(const struct world *world)
{
    static const char *const suffixes[] = {"", "-replicas"};
    char name[NAME_MAX];
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        unit_name(world, suffixes[i], name);
        systemctl("stop", name);
        snprintf(path, sizeof(path), "/run/systemd/system/%s", name);
        unlink(path);
    }
    systemctl("daemon-reload", NULL);
}
