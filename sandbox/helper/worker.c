// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { FILE_FD = 3, HIGH_FD = 10, STATUS_NO_PROGRAM = 127, SAID_BYTES_MAX = 160 };

static void arrange_descriptors(int file_fd, int said_fd)
{
    /* First out of the way of 0..3, then into place. */
    int null_high = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, HIGH_FD);
    int file_high = fcntl(file_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    int said_high = fcntl(said_fd, F_DUPFD_CLOEXEC, HIGH_FD);

    if (null_high < 0 || file_high < 0 || said_high < 0 || dup2(null_high, 0) < 0 ||
        dup2(said_high, 1) < 0 || dup2(said_high, 2) < 0 || dup2(file_high, FILE_FD) < 0 ||
        close_range(FILE_FD + 1, ~0U, 0) < 0) {
        _exit(1);
    }
}

_Noreturn static void run_child(const char *program, const char *const *arguments, uid_t uid,
                                int file_fd, int said_fd)
{
    static char *const no_environment[] = {NULL};
    static const struct rlimit none = {0, 0};
    static const struct rlimit few_files = {16, 16};
    sigset_t no_signals;

    arrange_descriptors(file_fd, said_fd);
    sigemptyset(&no_signals);
    if (pthread_sigmask(SIG_SETMASK, &no_signals, NULL) != 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
        setrlimit(RLIMIT_NOFILE, &few_files) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
        _exit(1);
    }
    /* The type of execve leaves const out; it writes to none of it. */
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    execve(program, (char *const *)(uintptr_t)arguments, no_environment);
    _exit(errno == ENOENT ? STATUS_NO_PROGRAM : 1);
}

/* Returns 0 when it is over, -ETIME after having killed it, or -errno. */
static int wait_for(pid_t pid, siginfo_t *end_out)
{
    CLEANUP(cleanup_close) int pidfd = pidfd_open(pid, 0);
    struct pollfd wanted = {.fd = pidfd, .events = POLLIN};
    int r = 0;

    if (pidfd < 0 || poll(&wanted, 1, WORKER_MS_MAX) != 1) {
        kill(pid, SIGKILL);
        r = -ETIME;
    }
    if (waitid(P_PID, (id_t)pid, end_out, WEXITED) < 0) {
        return -errno;
    }
    return r;
}

/* The last line of what it wrote. */
static void read_said(int said_fd, char said_out[SAID_BYTES_MAX])
{
    ssize_t count_bytes = pread(said_fd, said_out, SAID_BYTES_MAX - 1, 0);
    char *end;

    said_out[count_bytes < 0 ? 0 : count_bytes] = '\0';
    end = said_out + strlen(said_out);
    while (end > said_out && end[-1] == '\n') {
        *--end = '\0';
    }
    end = strrchr(said_out, '\n');
    if (end != NULL) {
        memmove(said_out, end + 1, strlen(end + 1) + 1);
    }
}

int worker_run(const char *program, const char *const *arguments, uid_t uid, int file_fd,
               struct err *err)
{
    CLEANUP(cleanup_close) int said_fd = memfd_create("said", MFD_CLOEXEC);
    char said[SAID_BYTES_MAX];
    siginfo_t end = {0};
    pid_t pid;
    int r;

    if (said_fd < 0) {
        return err_set(err, -errno, "%s: %m", program);
    }
    pid = fork();
    if (pid < 0) {
        return err_set(err, -errno, "%s: fork: %m", program);
    }
    if (pid == 0) {
        run_child(program, arguments, uid, file_fd, said_fd);
    }
    r = wait_for(pid, &end);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "%s: %m", program);
    }
    if (end.si_code == CLD_EXITED && end.si_status == 0) {
        return 0;
    }
    if (end.si_code == CLD_EXITED && end.si_status == STATUS_NO_PROGRAM) {
        return err_set(err, -ENOENT, "%s: not installed", program);
    }
    read_said(said_fd, said);
    return err_set(err, -EIO, "%s: failed: %s", program, said);
}
