// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A system bus of the test's own. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts it; sd_bus_open_system finds it. Skips the test where there is no dbus-daemon. */
static inline pid_t private_bus_start(void)
{
    static const char configuration[] =
        "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen>"
        "<auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\"/>"
        "<allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>";
    char path[] = "/tmp/minga-bus-XXXXXX";
    char option[64];
    char address[256] = "";
    int configuration_fd = mkstemp(path);
    int pipe_fds[2];
    pid_t pid;

    if (access("/usr/bin/dbus-daemon", X_OK) < 0) {
        cr_skip_test("no dbus-daemon here");
    }
    cr_assert_eq(write(configuration_fd, configuration, sizeof(configuration) - 1),
                 (ssize_t)sizeof(configuration) - 1);
    close(configuration_fd);
    cr_assert_eq(pipe(pipe_fds), 0);
    snprintf(option, sizeof(option), "--config-file=%s", path);
    pid = fork();
    if (pid == 0) {
        char number[32];

        snprintf(number, sizeof(number), "--print-address=%d", pipe_fds[1]);
        execl("/usr/bin/dbus-daemon", "dbus-daemon", option, "--nofork", number, NULL);
        _exit(1);
    }
    close(pipe_fds[1]);
    cr_assert_gt(read(pipe_fds[0], address, sizeof(address) - 1), 0);
    close(pipe_fds[0]);
    unlink(path);
    address[strcspn(address, "\n")] = '\0';
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
    return pid;
}

/* Kills it, and waits for it; 0 is nobody. */
static inline void end_child(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}
