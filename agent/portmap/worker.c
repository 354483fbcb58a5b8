// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/portmap/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/program.h"

enum { WORDS_FIXED = 6, LEASE_CHARS = 12, FD_SAFE_MIN = 16 };

struct launch {
    char program[PROGRAM_BYTES_MAX];
    char lease[LEASE_CHARS];
    char nonce[2 * PORTMAP_NONCE_BYTES + 1];
    char ports[PORTMAP_PORTS_MAX][PORTMAP_PORT_CHARS_MAX + 1];
    const char *words[WORDS_FIXED + PORTMAP_PORTS_MAX + 1];
};

static void fill(const struct plan_job *job, const uint8_t nonce[PORTMAP_NONCE_BYTES],
                 struct launch *launch)
{
    static const char *const kinds[][2] = {[PLAN_MAP] = {"map", "map-ipv6"},
                                           [PLAN_UNMAP] = {"unmap", "unmap-ipv6"},
                                           [PLAN_LOOK] = {"look", "look"}};
    uint32_t count = 0;

    CHECK(job->port_count <= PORTMAP_PORTS_MAX);
    (void)snprintf(launch->lease, sizeof(launch->lease), "%d",
                   job->kind == PLAN_MAP ? PLAN_LEASE_S : 0);
    bytes_to_hex((struct bytes){nonce, PORTMAP_NONCE_BYTES}, launch->nonce);
    launch->words[count++] = launch->program;
    launch->words[count++] = kinds[job->kind][job->is_ipv6 ? 1 : 0];
    launch->words[count++] = launch->lease;
    launch->words[count++] = launch->nonce;
    launch->words[count++] = job->by == PORTMAP_NONE ? "any" : portmap_method_name(job->by);
    launch->words[count++] = job->place[0] == '\0' ? "-" : job->place;
    for (uint32_t i = 0; i < job->port_count; i++) {
        portmap_port_print(&job->ports[i], launch->ports[i]);
        launch->words[count++] = launch->ports[i];
    }
    launch->words[count] = NULL;
}

/* Between fork and exec: async-signal-safe calls only. Libraries may complain on stderr: nobody
 * listens, but the number must not be a socket's. */
static _Noreturn void run_child(const struct launch *launch, int null_fd, int write_fd)
{
    static char locale[] = "LC_ALL=C.UTF-8";
    char *environment[] = {locale, NULL};
    int safe_null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, FD_SAFE_MIN);
    int safe_write_fd = fcntl(write_fd, F_DUPFD_CLOEXEC, FD_SAFE_MIN);
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    if (dup2(safe_null_fd, STDIN_FILENO) < 0 || dup2(safe_write_fd, STDOUT_FILENO) < 0 ||
        dup2(safe_null_fd, STDERR_FILENO) < 0) {
        _exit(127);
    }
    close_range(STDERR_FILENO + 1, ~0U, 0);
    /* execve takes what it does not change as changeable. */
    execve(launch->program, (char *const *)(const void *)launch->words, environment);
    _exit(127);
}

int portmap_worker_start(const struct plan_job *job, const uint8_t nonce[PORTMAP_NONCE_BYTES],
                         pid_t *pid_out, int *fd_out, struct err *err)
{
    CLEANUP(cleanup_close) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct launch launch;
    int pipe_fds[2];
    pid_t pid;

    if (program_find("minga-portmap", launch.program, err) < 0) {
        return err->code;
    }
    fill(job, nonce, &launch);
    if (null_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return err_set(err, -errno, "start minga-portmap: %m");
    }
    CLEANUP(cleanup_close) int read_fd = pipe_fds[0];
    CLEANUP(cleanup_close) int write_fd = pipe_fds[1];

    if (fcntl(read_fd, F_SETFL, O_NONBLOCK) < 0) {
        return err_set(err, -errno, "start minga-portmap: %m");
    }
    pid = fork();
    if (pid == 0) {
        run_child(&launch, null_fd, write_fd);
    }
    if (pid < 0) {
        return err_set(err, -errno, "start minga-portmap: %m");
    }
    *pid_out = pid;
    *fd_out = take_fd(&read_fd);
    return 0;
}

void portmap_worker_end(pid_t pid)
{
    CHECK(pid > 0);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0) {
        CHECK(errno == EINTR);
    }
}
