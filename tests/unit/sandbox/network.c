// SPDX-License-Identifier: GPL-3.0-or-later
/* A network that is made ahead; only root can make one. */
#include "sandbox/helper/network.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a network of its own, as nobody. Ends with the errno of open(2), 0: it can be read. */
static int open_inside(const char *path)
{
    struct err err = {0};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (network_make(&err) < 0 || setgid(65534) < 0 || setuid(65534) < 0) {
            _exit(255);
        }
        _exit(open(path, O_RDONLY | O_CLOEXEC) < 0 ? errno : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(network, tells_of_itself_and_not_of_the_host)
{
    if (geteuid() != 0) {
        cr_skip_test("not root");
    }
    cr_assert_eq(open_inside("/proc/self/net/dev"), 0);
    cr_assert_eq(open_inside("/proc/self/net/softnet_stat"), EACCES);
    cr_assert_eq(open_inside("/proc/self/net/sockstat"), EACCES);
    cr_assert_eq(open_inside("/proc/self/net/protocols"), EACCES);
    int fd = open("/proc/self/net/softnet_stat", O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0, "and nothing is changed outside");
    close(fd);
}
