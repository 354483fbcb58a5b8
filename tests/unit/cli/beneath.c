// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/beneath.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEFT_OUT = 77 };

/* In a child: what it may not do any more is not to be given back. */
static int try_it(int inside_fd, int outside_fd)
{
    int r;

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    r = beneath_only(inside_fd);
    if (r == -EOPNOTSUPP) {
        return LEFT_OUT;
    }
    if (r < 0) {
        return 1;
    }
    if (openat(inside_fd, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0 ||
        mkdirat(inside_fd, "folder", 0700) < 0 || symlinkat("file", inside_fd, "link") < 0 ||
        unlinkat(inside_fd, "link", 0) < 0) {
        return 2;
    }
    if (openat(outside_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 || errno != EACCES) {
        return 3;
    }
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || mkdirat(outside_fd, "x", 0700) == 0
               ? 4
               : 0;
}

Test(beneath, only_what_is_below_can_be_reached)
{
    char inside[] = "/tmp/minga-inside-XXXXXX";
    char outside[] = "/tmp/minga-outside-XXXXXX";
    int status = 0;
    int inside_fd;
    int outside_fd;
    pid_t pid;

    cr_assert_not_null(mkdtemp(inside));
    cr_assert_not_null(mkdtemp(outside));
    inside_fd = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    outside_fd = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pid = fork();
    if (pid == 0) {
        _exit(try_it(inside_fd, outside_fd));
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    unlinkat(inside_fd, "file", 0);
    unlinkat(inside_fd, "folder", AT_REMOVEDIR);
    close(inside_fd);
    close(outside_fd);
    cr_assert_eq(rmdir(inside), 0);
    cr_assert_eq(rmdir(outside), 0);
    cr_assert(WIFEXITED(status));
    cr_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == LEFT_OUT, "%d",
              WEXITSTATUS(status));
}
