// SPDX-License-Identifier: GPL-3.0-or-later
/* Whatever a path says, nothing outside the folder is opened, made or changed. */
#include "images/unpack/place.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "images/unpack/say.h"

struct world { /* root/ is the folder; outside/ lies beside it */
    char path[64];
    int fd;
    int root_fd;
};

static struct world world;

static void make_file(const char *path)
{
    int fd = openat(world.fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    cr_assert_geq(fd, 0);
    close(fd);
}

static void set_up(void)
{
    snprintf(world.path, sizeof(world.path), "/tmp/minga-place-XXXXXX");
    cr_assert_not_null(mkdtemp(world.path));
    world.fd = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(mkdirat(world.fd, "outside", 0755), 0);
    cr_assert_eq(mkdirat(world.fd, "root", 0755), 0);
    cr_assert_eq(mkdirat(world.fd, "root/a", 0755), 0);
    cr_assert_eq(mkdirat(world.fd, "root/a/b", 0755), 0);
    make_file("outside/secret");
    make_file("root/a/b/file");
    cr_assert_eq(symlinkat("../outside", world.fd, "root/out"), 0);
    cr_assert_eq(symlinkat("a", world.fd, "root/in"), 0);
    cr_assert_eq(symlinkat("../../../outside/secret", world.fd, "root/a/b/link"), 0);
    cr_assert_eq(symlinkat("/proc/self/fd", world.fd, "root/magic"), 0);
    world.root_fd = openat(world.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(world.root_fd, 0);
}

static void tear_down(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", world.path);
    close(world.root_fd);
    close(world.fd);
    // NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): a path of our own
    cr_expect_eq(system(command), 0);
}

TestSuite(place, .init = set_up, .fini = tear_down);

Test(place, a_file_deep_in_the_folder_is_opened)
{
    int fd = place_open(world.root_fd, "a/b/file");

    cr_assert_geq(fd, 0);
    close(fd);
}

Test(place, no_path_leads_out_of_the_folder)
{
    static const char *const paths[] = {
        "../outside/secret",
        "a/../../outside/secret",
        "..",
        "a/..",
        "/etc/passwd",
        "out/secret",
        "a/b/link",
        "out",
        "magic/0",
        "in/b/file",
        "a//b/file",
        "a/./b/file",
        "a/b/",
        "",
        ".",
        "a/b/file/x",
        "./a/b/file",
        "in/../a",
    };

    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        cr_expect_eq(place_open(world.root_fd, paths[i]), -1, "%s was opened", paths[i]);
    }
}

Test(place, a_name_that_is_too_long_is_refused)
{
    char path[8192];

    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    cr_expect_eq(place_open(world.root_fd, path), -1);
    cr_expect_eq(errno, EXDEV);
}

/* A refusal ends the process, so each is tried in one of its own. */
static bool is_refused(void (*attempt)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        attempt();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == SAY_EXIT_FAILED;
}

static void write_through_a_link(void)
{
    place_file(world.root_fd, "out/new", 0644);
}

Test(place, nothing_is_written_through_a_link)
{
    cr_assert(is_refused(write_through_a_link));
    cr_assert_lt(faccessat(world.fd, "outside/new", F_OK, 0), 0);
}

static void write_to_a_link(void)
{
    place_file(world.root_fd, "a/b/link", 0644);
}

Test(place, a_link_is_not_written_to)
{
    cr_assert(is_refused(write_to_a_link));
}

static void change_a_mode_through_a_link(void)
{
    place_folder(world.root_fd, "out", 0777);
}

Test(place, the_mode_of_what_a_link_leads_to_is_not_changed)
{
    struct stat before;
    struct stat after;

    cr_assert_eq(fstatat(world.fd, "outside", &before, 0), 0);
    cr_assert(is_refused(change_a_mode_through_a_link));
    cr_assert_eq(fstatat(world.fd, "outside", &after, 0), 0);
    cr_assert_eq(after.st_mode, before.st_mode);
}

static void name_a_file_outside(void)
{
    (void)place_hard_link(world.root_fd, "name", "out/secret");
}

Test(place, no_name_is_made_for_a_file_outside)
{
    cr_assert(is_refused(name_a_file_outside));
    cr_assert_lt(faccessat(world.fd, "root/name", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

Test(place, missing_folders_above_are_made)
{
    struct stat status;
    int fd = place_file(world.root_fd, "new/folder/file", 0600);

    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(fstatat(world.fd, "root/new/folder/file", &status, 0), 0);
    cr_expect_eq(status.st_mode, S_IFREG | 0600U);
}
