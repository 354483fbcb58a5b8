// SPDX-License-Identifier: GPL-3.0-or-later
/* What a stranger's tree has for an "etc", with trees in a folder of its own. */
#include "sandbox/helper/rootfs.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char world[] = "/tmp/minga-rootfs.XXXXXX";
static int world_fd;
static int tree_fd;

static void touch_at(int dir_fd, const char *path)
{
    int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    close(fd);
}

/* Beside the tree lies what plays the host: a folder "host" with "hosts" in it. */
static void set_up(void)
{
    cr_assert_not_null(mkdtemp(world));
    world_fd = open(world, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(mkdirat(world_fd, "host", 0700), 0);
    touch_at(world_fd, "host/hosts");
    cr_assert_eq(mkdirat(world_fd, "tree", 0700), 0);
    tree_fd = openat(world_fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(tree_fd, 0);
}

static void tear_down(void)
{
    unlinkat(tree_fd, "etc/hosts", 0);
    if (unlinkat(tree_fd, "etc", AT_REMOVEDIR) < 0) {
        unlinkat(tree_fd, "etc", 0);
    }
    unlinkat(world_fd, "tree", AT_REMOVEDIR);
    unlinkat(world_fd, "host/hosts", 0);
    unlinkat(world_fd, "host", AT_REMOVEDIR);
    cr_expect_eq(rmdir(world), 0, "nothing is left");
}

TestSuite(rootfs, .init = set_up, .fini = tear_down);

Test(rootfs, a_tree_may_have_no_etc_or_one_with_or_without_hosts)
{
    cr_expect_eq(rootfs_etc(tree_fd), ROOTFS_ETC_BARE);
    cr_assert_eq(mkdirat(tree_fd, "etc", 0700), 0);
    cr_expect_eq(rootfs_etc(tree_fd), ROOTFS_ETC_BARE);
    touch_at(tree_fd, "etc/hosts");
    cr_expect_eq(rootfs_etc(tree_fd), ROOTFS_ETC_HOSTS);
}

Test(rootfs, hosts_that_are_a_link_are_the_trees_own_and_not_followed)
{
    cr_assert_eq(mkdirat(tree_fd, "etc", 0700), 0);
    cr_assert_eq(symlinkat("/nowhere/at/all", tree_fd, "etc/hosts"), 0);
    cr_expect_eq(rootfs_etc(tree_fd), ROOTFS_ETC_HOSTS);
}

/* Looking anything up behind it would say "hosts", and wake what is mounted there. */
Test(rootfs, an_etc_that_is_a_link_is_not_followed)
{
    char target[64];

    snprintf(target, sizeof(target), "%s/host", world);
    cr_assert_eq(symlinkat(target, tree_fd, "etc"), 0);
    cr_expect_eq(rootfs_etc(tree_fd), ROOTFS_ETC_ODD);
    cr_assert_eq(unlinkat(tree_fd, "etc", 0), 0);
    cr_assert_eq(symlinkat("../host", tree_fd, "etc"), 0);
    cr_expect_eq(rootfs_etc(tree_fd), ROOTFS_ETC_ODD);
}

Test(rootfs, an_etc_that_is_a_file_is_odd)
{
    touch_at(tree_fd, "etc");
    cr_expect_eq(rootfs_etc(tree_fd), ROOTFS_ETC_ODD);
}
