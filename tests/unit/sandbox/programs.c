// SPDX-License-Identifier: GPL-3.0-or-later
/* Which of the named programs run, from a /proc made here. */
#include "sandbox/helper/programs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/made_folder.h"

TestSuite(programs, .init = made_folder_begin, .fini = made_folder_end);

static void put(const char *process, const char *comm)
{
    char path[64];
    char line[64];

    snprintf(path, sizeof(path), "/%s/comm", process);
    snprintf(line, sizeof(line), "%s\n", comm);
    made_folder_put(path, line);
}

static struct host_limits limits_of(const char *first, const char *second)
{
    struct host_limits limits = {.programs.count = second == NULL ? 1 : 2};

    strcpy(limits.programs.names[0], first);
    strcpy(limits.programs.names[1], second == NULL ? "" : second);
    return limits;
}

Test(programs, those_of_the_named_that_run_are_told_and_no_other)
{
    struct host_limits limits = limits_of("blender", "super game");
    struct sandbox_programs running;

    put("1", "init");
    put("4711", "super game");
    put("4712", "super game");
    put("self", "blender");
    programs_look(made_folder, &limits, &running);
    cr_assert_eq(running.count, 1);
    cr_assert_str_eq(running.names[0], "super game");
    put("99", "blender");
    programs_look(made_folder, &limits, &running);
    cr_assert_eq(running.count, 2);
}

Test(programs, with_none_named_nothing_is_told)
{
    struct host_limits limits = {0};
    struct sandbox_programs running = {.count = 7};

    put("1", "init");
    put("2", "");
    programs_look(made_folder, &limits, &running);
    cr_assert_eq(running.count, 0);
}

Test(programs, the_kernel_keeps_fifteen_characters_of_a_name)
{
    struct host_limits limits = limits_of("a-name-that-is-longer", NULL);
    struct sandbox_programs running;

    put("17", "a-name-that-is-");
    programs_look(made_folder, &limits, &running);
    cr_assert_eq(running.count, 1);
    cr_assert_str_eq(running.names[0], "a-name-that-is-longer");
}

Test(programs, what_a_replica_calls_itself_does_not_count)
{
    struct host_limits limits = limits_of("blender", NULL);
    struct sandbox_programs running;

    put("17", "blender");
    limits.uid_span_count = 1;
    limits.uid_spans[0] = (struct uid_span){getuid(), getuid()};
    programs_look(made_folder, &limits, &running);
    cr_assert_eq(running.count, 0);
}

Test(programs, without_a_proc_nothing_runs)
{
    struct host_limits limits = limits_of("blender", NULL);
    struct sandbox_programs running;

    programs_look("/nowhere", &limits, &running);
    cr_assert_eq(running.count, 0);
}
