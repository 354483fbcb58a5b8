// SPDX-License-Identifier: GPL-3.0-or-later
/* Whose locks are counted: /proc is a folder of ours, its processes folders that others own. */
#include "sandbox/helper/locks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAITING_EVERY = 3 };

static char folder[] = "/tmp/minga-locks.XXXXXX";
static char path[128];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* `count` locks of each of the two processes, one after the other, and some of nobody's. */
static void write_locks(uint32_t count)
{
    FILE *file = fopen(in_folder("locks"), "we");

    cr_assert_not_null(file);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(file, "%u: POSIX  ADVISORY  WRITE 41 00:2a:7 %u %u\n", i, 2 * i, 2 * i);
        fprintf(file, "%u: %sPOSIX  ADVISORY  READ  297 00:2a:8 0 EOF\n", i,
                i % WAITING_EVERY == 0 ? "-> " : "");
        fprintf(file, "%u: OFDLCK ADVISORY  WRITE -1 08:01:9 0 EOF\n", i);
    }
    fclose(file);
}

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(mkdir(in_folder("41"), 0700), 0);
    cr_assert_eq(mkdir(in_folder("297"), 0700), 0); /* the same place of the table of holders */
}

static void end(void)
{
    unlink(in_folder("locks"));
    rmdir(in_folder("41"));
    rmdir(in_folder("297"));
    rmdir(folder);
}

static struct helper *helper_with(enum replica_state state, uint32_t first_uid)
{
    static struct helper helper;

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        replica_init(&helper.replicas[i]);
    }
    helper.replicas[3].state = state;
    helper.replicas[3].uids = (struct uid_range){first_uid, STDIN_FILENO};
    return &helper;
}

Test(locks, a_line_names_its_process)
{
    cr_assert_eq(locks_holder("1: POSIX  ADVISORY  WRITE 4711 00:2a:5 0 EOF\n"), 4711);
    cr_assert_eq(locks_holder("12: FLOCK  ADVISORY  WRITE 7 00:2a:5 0 EOF\n"), 7);
    cr_assert_eq(locks_holder("12: -> POSIX  ADVISORY  READ 8 00:2a:5 0 EOF\n"), 8);
    cr_assert_eq(locks_holder("12:  -> POSIX  ADVISORY  READ 8 00:2a:5 0 EOF\n"), 8);
    cr_assert_eq(locks_holder("3: OFDLCK ADVISORY  READ -1 00:2a:5 0 EOF\n"), 0, "nobody's");
    cr_assert_eq(locks_holder("3: POSIX\n"), 0);
    cr_assert_eq(locks_holder("-> \n"), 0);
    cr_assert_eq(locks_holder(""), 0);
}

Test(locks, those_of_all_its_processes_are_a_replica_s, .init = begin, .fini = end)
{
    struct helper *helper = helper_with(REPLICA_RUNNING, getuid());

    write_locks(FILE_LOCKS_MAX / 2);
    cr_assert_null(locks_find(helper, folder), "as many as there may be");
    write_locks(FILE_LOCKS_MAX / 2 + 1);
    cr_assert_eq(locks_find(helper, folder), &helper->replicas[3]);
}

static void write_locks_of_dead(uint32_t count)
{
    FILE *file = fopen(in_folder("locks"), "we");

    cr_assert_not_null(file);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(file, "%u: FLOCK  ADVISORY  READ 17 00:2a:7 0 EOF\n", i);
    }
    fclose(file);
}

/* `count` locks that name a process that is no more, and a folder of open files of process 41. */
static void write_dead(uint32_t count, uint32_t open_count)
{
    char name[32];

    write_locks_of_dead(count);
    cr_assert_eq(mkdir(in_folder("41/fd"), 0700), 0);
    for (uint32_t i = 0; i < open_count; i++) {
        snprintf(name, sizeof(name), "41/fd/%u", i);
        cr_assert_eq(mknod(in_folder(name), S_IFREG | 0600, 0), 0);
    }
}

static void end_dead(void)
{
    char command[160];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

Test(locks, of_dead_ones_who_has_as_many_open_files, .init = begin, .fini = end_dead)
{
    struct helper *helper = helper_with(REPLICA_RUNNING, getuid());

    write_dead(FILE_LOCKS_MAX, FILE_LOCKS_MAX);
    cr_assert_null(locks_find(helper, folder), "as many as there may be");
    write_locks_of_dead(FILE_LOCKS_MAX + 1);
    cr_assert_eq(locks_find(helper, folder), &helper->replicas[3]);
    helper->replicas[3].state = REPLICA_ENDING;
    cr_assert_null(locks_find(helper, folder), "it ends already");
}

Test(locks, of_dead_ones_nobody_without_open_files, .init = begin, .fini = end_dead)
{
    write_dead(2 * FILE_LOCKS_MAX, 16);
    cr_assert_null(locks_find(helper_with(REPLICA_RUNNING, getuid()), folder));
}

/* The host's own programs have so many that the list cannot be read to its end. */
Test(locks, behind_too_many_lines_open_files_count, .init = begin, .fini = end_dead)
{
    write_dead(5 * FILE_LOCKS_MAX, FILE_LOCKS_MAX + 1);
    cr_assert_eq(locks_find(helper_with(REPLICA_RUNNING, getuid()), folder),
                 &helper_with(REPLICA_RUNNING, getuid())->replicas[3]);
}

Test(locks, of_others_are_not_counted, .init = begin, .fini = end)
{
    write_locks(FILE_LOCKS_MAX);
    cr_assert_null(locks_find(helper_with(REPLICA_RUNNING, getuid() + 1), folder));
    cr_assert_null(locks_find(helper_with(REPLICA_FREE, getuid()), folder));
    unlink(in_folder("locks"));
    cr_assert_null(locks_find(helper_with(REPLICA_RUNNING, getuid()), folder), "no list, none");
}
