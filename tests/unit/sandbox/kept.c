// SPDX-License-Identifier: GPL-3.0-or-later
/* The log files of those who have ended, in a folder of its own. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "sandbox/helper/helper.h"

static const char *const suffixes[] = {".0", ".1"};

static struct helper helper;
static char folder[] = "/tmp/minga-kept.XXXXXX";

static void begin_world(void)
{
    cr_assert_neq(mkdtemp(folder), NULL);
    cr_assert_eq(text_copy(helper.folders.logs, sizeof(helper.folders.logs), folder), 0);
}

static void path_of(const struct cgroup_name *name, const char *suffix, char path_out[PATH_MAX])
{
    snprintf(path_out, PATH_MAX, "%s/%s%s", folder, name->text, suffix);
}

static bool has_logs(const struct cgroup_name *name)
{
    char path[PATH_MAX];

    path_of(name, ".0", path);
    bool has_one = access(path, F_OK) == 0;
    path_of(name, ".1", path);
    cr_assert_eq(access(path, F_OK) == 0, has_one);
    return has_one;
}

static struct cgroup_name name_of(unsigned int number)
{
    struct cgroup_name name;

    snprintf(name.text, sizeof(name.text), "s%u", number);
    return name;
}

/* It has printed something, and ended. */
static struct cgroup_name end_one(unsigned int number)
{
    struct cgroup_name name = name_of(number);
    char path[PATH_MAX];

    for (int i = 0; i < 2; i++) {
        path_of(&name, suffixes[i], path);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_geq(fd, 0);
        close(fd);
    }
    kept_add(&helper, &name);
    return name;
}

static void remove_logs(const struct cgroup_name *name)
{
    char path[PATH_MAX];

    for (int i = 0; i < 2; i++) {
        path_of(name, suffixes[i], path);
        cr_assert_eq(unlink(path), 0);
    }
}

static void end_world(void)
{
    kept_remove_all(&helper);
    cr_assert_eq(rmdir(folder), 0, "nothing is left");
}

Test(kept, the_oldest_gives_way)
{
    begin_world();
    const struct cgroup_name first = end_one(0);

    for (unsigned int i = 1; i < KEPT_LOGS_MAX; i++) {
        (void)end_one(i);
    }
    cr_assert(kept_has(&helper, &first));
    cr_assert(has_logs(&first));
    (void)end_one(KEPT_LOGS_MAX);
    cr_assert_not(kept_has(&helper, &first));
    cr_assert_not(has_logs(&first));
    end_world();
}

Test(kept, where_a_place_is_free_a_beginner_gets_nobodys_files)
{
    begin_world();
    const struct cgroup_name first = end_one(0);
    const struct cgroup_name beginner = name_of(1000);

    kept_reuse(&helper, &beginner);
    cr_assert(has_logs(&first));
    cr_assert(kept_has(&helper, &first));
    cr_assert_not(has_logs(&beginner));
    end_world();
}

Test(kept, where_all_are_taken_a_beginner_gets_the_files_of_the_oldest)
{
    begin_world();
    const struct cgroup_name first = end_one(0);
    const struct cgroup_name beginner = name_of(1000);

    for (unsigned int i = 1; i < KEPT_LOGS_MAX; i++) {
        (void)end_one(i);
    }
    kept_reuse(&helper, &beginner);
    cr_assert_not(has_logs(&first));
    cr_assert_not(kept_has(&helper, &first), "started again, it begins with nothing");
    cr_assert(has_logs(&beginner));
    cr_assert_not(kept_has(&helper, &beginner), "they are a replica's that runs");
    /* It goes on running: the next that ends takes the free place, not these files. */
    (void)end_one(KEPT_LOGS_MAX);
    cr_assert(has_logs(&beginner));
    remove_logs(&beginner);
    end_world();
}

Test(kept, who_is_started_again_has_its_own_back)
{
    begin_world();
    const struct cgroup_name name = end_one(0);

    kept_take(&helper, &name);
    cr_assert_not(kept_has(&helper, &name));
    kept_remove_all(&helper);
    cr_assert(has_logs(&name));
    remove_logs(&name);
    end_world();
}
