// SPDX-License-Identifier: GPL-3.0-or-later
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/folders.h"
#include "agent/mingad/machine_bond.h"

static struct config config;

static void path_of(const char *name, char path_out[512])
{
    snprintf(path_out, 512, "%s/agent/%s", config.state, name);
}

static void make_file(const char *name)
{
    char path[512];
    int fd;

    path_of(name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s: %m", path);
    close(fd);
}

static void make_folder(const char *name)
{
    char path[512];

    path_of(name, path);
    cr_assert_eq(mkdir(path, 0700), 0, "%s: %m", path);
}

static bool exists(const char *name)
{
    char path[512];

    path_of(name, path);
    return access(path, F_OK) == 0;
}

static void set_up(void)
{
    memset(&config, 0, sizeof(config));
    strcpy(config.state, "/tmp/minga-forget-XXXXXX");
    cr_assert_not_null(mkdtemp(config.state));
    make_folder("");
    make_file("node.key");
}

static void tear_down(void)
{
    char path[512];

    path_of("node.key", path);
    unlink(path);
    path_of(FOLDERS_BOND_FILE, path);
    unlink(path);
    path_of("", path);
    rmdir(path);
    cr_assert_eq(rmdir(config.state), 0, "something is left: %m");
}

TestSuite(forget, .init = set_up, .fini = tear_down);

static void make_community(void)
{
    make_file("minga.db");
    make_file("minga.db-wal");
    make_folder("chunks");
    make_file("chunks/one");
    make_folder("trees");
    make_folder("trees/tree");
    make_folder("trees/tree/bin");
    make_file("trees/tree/bin/wiki");
}

/* How many steps of so many files and folders does it take? */
static uint32_t steps_to_remove(uint32_t count_max)
{
    uint32_t steps = 1;
    int r;

    while ((r = folders_remove_gone(&config, count_max)) > 0) {
        cr_assert(exists("gone"));
        steps++;
    }
    cr_assert_eq(r, 0);
    cr_assert(!exists("gone"));
    return steps;
}

Test(forget, a_community_goes_and_the_nodes_key_stays)
{
    struct err err;

    make_community();
    cr_assert_eq(folders_forget(&config, &err), 0);
    cr_assert_eq(steps_to_remove(100), 1);
    cr_assert(!exists("minga.db"));
    cr_assert(!exists("minga.db-wal"));
    cr_assert(!exists("chunks"));
    cr_assert(!exists("trees"));
    cr_assert(exists("node.key"));
}

Test(forget, what_is_large_is_put_away_at_once_and_removed_bit_by_bit)
{
    struct err err;

    make_community();
    cr_assert_eq(folders_forget(&config, &err), 0);
    cr_assert(!exists("minga.db"));
    cr_assert(!exists("chunks"));
    cr_assert(!exists("trees"));
    cr_assert(exists("gone"));
    cr_assert_eq(folders_remove_gone(&config, 1), 1);
    make_community(); /* the next one, which is left before that is done */
    cr_assert_eq(folders_forget(&config, &err), 0);
    cr_assert(!exists("chunks"));
    /* Six names of both, and the folder of all; one had gone before, and perhaps its folder. */
    cr_assert_geq(steps_to_remove(1), 6 + 6 + 1 - 2);
    cr_assert_eq(folders_remove_gone(&config, 1), 0, "nothing is left to do");
}

Test(forget, the_deepest_tree_is_removed)
{
    char path[256] = "trees";
    struct err err;

    make_folder(path);
    for (int i = 0; i <= BUNDLE_DEPTH_MAX; i++) { /* in the tree's own folder */
        strcat(path, "/d");
        make_folder(path);
    }
    cr_assert_eq(folders_forget(&config, &err), 0);
    cr_assert_eq(steps_to_remove(100), 1);
}

Test(forget, nothing_to_forget_is_fine)
{
    struct err err;

    cr_assert_eq(folders_forget(&config, &err), 0);
    cr_assert_eq(steps_to_remove(100), 1);
    cr_assert(exists("node.key"));
}

Test(forget, a_state_folder_that_is_not_there_is_an_error)
{
    struct config other = config;
    struct err err;

    strcpy(other.state, "/nonexistent");
    cr_assert_lt(folders_forget(&other, &err), 0);
    cr_assert_not_null(strstr(err.text, "/nonexistent"));
}

Test(forget, renewing_removes_the_key_and_the_bond_too)
{
    struct err err = {0};

    make_file("node.key");
    make_file(FOLDERS_BOND_FILE);
    make_community();
    cr_assert_eq(folders_renew(&config, &err), 0, "%s", err.text);
    cr_assert(!exists("gone"));
    cr_assert(!exists("node.key"));
    cr_assert(!exists(FOLDERS_BOND_FILE));
    cr_assert(!exists("minga.db"));
}

Test(forget, state_is_bound_to_its_machine_and_refused_on_another)
{
    static const uint8_t here[MACHINE_BOND_BYTES] = {1};
    static const uint8_t elsewhere[MACHINE_BOND_BYTES] = {2};
    struct err err = {0};
    char path[512];

    path_of(FOLDERS_BOND_FILE, path);
    cr_assert_eq(machine_bond_check(path, here, &err), 0, "the first time it is bound");
    cr_assert_eq(machine_bond_check(path, here, &err), 0);
    cr_assert_eq(machine_bond_check(path, elsewhere, &err), -EXDEV);
    cr_assert_not_null(strstr(err.hint, "mingad --renew-state"));
    cr_assert_eq(truncate(path, 3), 0);
    cr_assert_eq(machine_bond_check(path, here, &err), -EXDEV, "a damaged one is nobody's");
}
