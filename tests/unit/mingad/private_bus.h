// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A system bus of the test's own, which leaves neither a file nor a process behind, however the test ends. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its socket has an abstract name, and its configuration no name at all. */
static inline int private_bus_configuration(void)
{
    char configuration[512];
    int length =
        snprintf(configuration, sizeof(configuration),
                 "<busconfig><type>session</type><listen>unix:abstract=minga-bus-%d</listen>"
                 "<auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\"/>"
                 "<allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/></policy>"
                 "</busconfig>",
                 (int)getpid());
    int fd = memfd_create("bus", 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, configuration, (size_t)length), length);
    return fd;
}

/* Starts it; sd_bus_open_system finds it. Skips the test where there is no dbus-daemon. */
static inline pid_t private_bus_start(void)
{
    char option[64];
    char address[256] = "";
    int configuration_fd;
    int pipe_fds[2];
    pid_t pid;

    if (access("/usr/bin/dbus-daemon", X_OK) < 0) {
        cr_skip_test("no dbus-daemon here");
    }
    configuration_fd = private_bus_configuration();
    cr_assert_eq(pipe(pipe_fds), 0);
    snprintf(option, sizeof(option), "--config-file=/proc/self/fd/%d", configuration_fd);
    pid = fork();
    if (pid == 0) {
        char number[32];

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(number, sizeof(number), "--print-address=%d", pipe_fds[1]);
        execl("/usr/bin/dbus-daemon", "dbus-daemon", option, "--nofork", number, NULL);
        _exit(1);
    }
    close(configuration_fd);
    close(pipe_fds[1]);
    cr_assert_gt(read(pipe_fds[0], address, sizeof(address) - 1), 0);
    close(pipe_fds[0]);
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
