// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Against the kernel of this machine; skipped without root or where limits are missing. Each
 * story runs in a child, so that the parent removes the groups also after a failure.
 */
#include "sandbox/cgroup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "sandbox/cgroup_backend.h"

static const struct sandbox_limits CONTRIBUTION = {1000, 256 << 20, 0, 200};
static const struct sandbox_limits LIMITS = {100, 32 << 20, 1, 20};
static const struct cgroup_name NAME = {"replica-1"};

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void kill_to_empty(struct cgroups *cgroups, const struct cgroup_name *name)
{
    struct err err = {0};

    for (unsigned round = 0; round < 500 && cgroup_kill(cgroups, name, &err) != 0; round++) {
        pause_ms(5);
    }
}

static void clean_up(struct cgroups *cgroups)
{
    struct cgroup_name names[8];
    struct err err = {0};
    size_t count = 0;

    if (cgroups_list(cgroups, names, ARRAY_COUNT(names), &count, &err) == 0) {
        for (size_t i = 0; i < count; i++) {
            kill_to_empty(cgroups, &names[i]);
            cr_expect_eq(cgroup_remove(cgroups, &names[i], &err), 0, "%s", err.text);
        }
    }
    cr_expect_eq(cgroups_remove_parent(cgroups, &err), 0, "%s", err.text);
}

static struct cgroups *open_here(int version)
{
    struct cgroups *cgroups = NULL;
    struct err err = {0};
    char parent[64];

    CHECK(snprintf(parent, sizeof(parent), "minga-test-%d", (int)getpid()) > 0);
    cr_assert_eq(cgroups_open(parent, &cgroups, &err), 0, "%s", err.text);
    if (geteuid() != 0 || cgroups_ability(cgroups).version == 0) {
        cgroups_free(cgroups);
        cr_skip_test("needs root and control groups");
    }
    if (version == 2 && cgroups_ability(cgroups).version == 1) {
        /* A hybrid machine has a v2 hierarchy without controllers: groups work, limits do not. */
        for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
            close(cgroups->base_fds[i]);
        }
        cgroups->base_fds[0] = open("/sys/fs/cgroup/unified", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
        cgroups->hierarchy_count = 1;
        if (cgroups->base_fds[0] < 0) {
            cgroups->hierarchy_count = 0;
            cgroups_free(cgroups);
            cr_skip_test("no v2 hierarchy");
        }
        for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
            cgroups->hierarchy_of[i] = 0;
        }
        cgroups->ability = (struct cgroup_ability){0};
        cgroups_probe(cgroups, 2);
    }
    return cgroups;
}

static void run_story(int version, void (*story)(struct cgroups *cgroups))
{
    struct cgroups *cgroups = open_here(version);
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        story(cgroups);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    clean_up(cgroups);
    cgroups_free(cgroups);
    cr_assert_eq(status, 0, "the story failed: status %d (see the CHECK above)", status);
}

static void must(int result, const struct err *err)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", err->text);
        CHECK(result >= 0);
    }
}

/* A process in the replica's service group that does `work` once it is attached. */
static pid_t start_inside(struct cgroups *cgroups, void (*work)(void))
{
    struct err err = {0};
    int go[2];
    char byte;

    CHECK(pipe(go) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(read(go[0], &byte, 1) == 1);
        work();
        _exit(0);
    }
    must(cgroup_attach(cgroups, &NAME, CGROUP_SERVICE, pid, &err), &err);
    CHECK(write(go[1], "", 1) == 1);
    close(go[0]);
    close(go[1]);
    return pid;
}

static void make_replica(struct cgroups *cgroups)
{
    struct err err = {0};

    must(cgroups_make_parent(cgroups, &CONTRIBUTION, &err), &err);
    must(cgroup_create(cgroups, &NAME, &LIMITS, &err), &err);
}

static void burn(void)
{
    for (;;) {
    }
}

static void fork_bomb(void)
{
    for (;;) {
        (void)fork();
    }
}

static void hog(void)
{
    enum { BLOCK_BYTES = 1 << 20 };
    for (;;) {
        char *block =
            mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        for (size_t i = 0; i < BLOCK_BYTES; i += 4096) {
            block[i] = 1;
        }
    }
}

static void sleep_long(void)
{
    pause_ms(60000);
}

static void life_story(struct cgroups *cgroups)
{
    struct cgroup_stats stats;
    struct cgroup_name names[4];
    size_t count = 0;
    struct err err = {0};

    make_replica(cgroups);
    CHECK(cgroup_create(cgroups, &NAME, &LIMITS, &err) == -EEXIST);
    CHECK(cgroup_populated(cgroups, &NAME, &err) == 0);
    pid_t pid = start_inside(cgroups, sleep_long);
    CHECK(cgroup_populated(cgroups, &NAME, &err) == CGROUP_POPULATED);
    CHECK(cgroup_remove(cgroups, &NAME, &err) == -EBUSY);
    CHECK(cgroups_remove_parent(cgroups, &err) == -EBUSY);
    must(cgroups_list(cgroups, names, ARRAY_COUNT(names), &count, &err), &err);
    CHECK(count == 1 && strcmp(names[0].text, NAME.text) == 0);
    must(cgroup_stats(cgroups, &NAME, &stats, &err), &err);
    CHECK(!cgroups->ability.pids || stats.pid_count == 1);
    kill_to_empty(cgroups, &NAME);
    CHECK(waitpid(pid, NULL, 0) == pid);
    must(cgroup_remove(cgroups, &NAME, &err), &err);
    must(cgroup_remove(cgroups, &NAME, &err), &err); /* gone is fine */
    CHECK(cgroup_kill(cgroups, &NAME, &err) == 0);
    must(cgroups_list(cgroups, names, ARRAY_COUNT(names), &count, &err), &err);
    CHECK(count == 0);
    must(cgroups_make_parent(cgroups, &CONTRIBUTION, &err), &err); /* adopting it is fine too */
}

Test(cgroup, a_group_is_made_filled_emptied_and_removed)
{
    run_story(0, life_story);
}

Test(cgroup, a_group_of_v2_is_made_filled_emptied_and_removed)
{
    run_story(2, life_story);
}

static void enter_story(struct cgroups *cgroups)
{
    struct cgroup_stats stats;
    struct err err = {0};
    int entries[CGROUP_ENTRIES];
    int ready[2];
    char byte;

    make_replica(cgroups);
    must(cgroup_open_entries(cgroups, &NAME, CGROUP_INIT, entries, &err), &err);
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < CGROUP_ENTRIES; i++) {
            CHECK(write(entries[i], CGROUP_ENTER, 1) == 1);
        }
        CHECK(write(ready[1], "", 1) == 1);
        sleep_long();
        _exit(0);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        uint64_t found = 0;
        char group[CGROUP_PATH_BYTES_MAX];

        CHECK(snprintf(group, sizeof(group), "%s/%s%s", cgroups->parent, NAME.text,
                       i == 0 ? "/init" : "") > 0);
        CHECK(cgroup_get_number(cgroups->base_fds[i], group, "cgroup.procs", &found) == 0);
        CHECK(found == (uint64_t)pid);
    }
    must(cgroup_stats(cgroups, &NAME, &stats, &err), &err);
    kill_to_empty(cgroups, &NAME);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

Test(cgroup, a_process_enters_every_hierarchy_by_itself)
{
    run_story(0, enter_story);
}

Test(cgroup, a_process_enters_a_group_of_v2_by_itself)
{
    run_story(2, enter_story);
}

static void be_refused(struct cgroups *other)
{
    struct err err = {0};

    CHECK(cgroups_make_parent(other, &CONTRIBUTION, &err) == -EADDRINUSE);
    CHECK(strstr(err.text, "another minga-sandboxd") != NULL);
    _exit(0);
}

/* The lock is the process's, whatever it has forked. */
static void lock_story(struct cgroups *cgroups)
{
    struct cgroups *other = NULL;
    struct err err = {0};
    int status = -1;
    pid_t pid;

    must(cgroups_open(cgroups->parent, &other, &err), &err);
    must(cgroups_make_parent(cgroups, &CONTRIBUTION, &err), &err);
    pid = fork();
    if (pid == 0) {
        be_refused(other);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    cgroups_free(cgroups);
    must(cgroups_make_parent(other, &CONTRIBUTION, &err), &err);
}

static void birth_story(struct cgroups *cgroups)
{
    struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
    char group[2 * CGROUP_PATH_BYTES_MAX];
    char text[4096] = "";
    struct err err = {0};
    int status = -1;
    int fd = -1;

    must(cgroups_make_parent(cgroups, &CONTRIBUTION, &err), &err);
    must(cgroup_create(cgroups, &NAME, &LIMITS, &err), &err);
    must(cgroup_open_folder(cgroups, &NAME, CGROUP_INIT, &fd, &err), &err);
    arguments.cgroup = (unsigned int)fd;
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0) {
        int own_fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);

        CHECK(read(own_fd, text, sizeof(text) - 1) > 0);
        CHECK(snprintf(group, sizeof(group), "0::/%s/%s/init\n", cgroups->parent, NAME.text) > 0);
        CHECK(strstr(text, group) != NULL);
        _exit(0);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    close(fd);
}

Test(cgroup, a_child_can_be_born_in_a_group_of_v2)
{
    run_story(2, birth_story);
}

Test(cgroup, two_helpers_cannot_share_a_parent)
{
    run_story(0, lock_story);
}

/* A process that has used up its share of time stops only when it gets the next. */
static void freeze(struct cgroups *cgroups)
{
    struct err err = {0};
    int r = -ETIMEDOUT;

    for (unsigned i = 0; i < 50 && r == -ETIMEDOUT; i++) {
        r = cgroup_freeze(cgroups, &NAME, true, &err);
    }
    must(r, &err);
}

static void freeze_story(struct cgroups *cgroups)
{
    struct cgroup_stats before;
    struct cgroup_stats frozen;
    struct cgroup_stats after;
    struct err err = {0};

    make_replica(cgroups);
    pid_t pid = start_inside(cgroups, burn);
    pause_ms(100);
    freeze(cgroups);
    must(cgroup_stats(cgroups, &NAME, &before, &err), &err);
    pause_ms(300);
    must(cgroup_stats(cgroups, &NAME, &frozen, &err), &err);
    CHECK(frozen.cpu_us - before.cpu_us < 2000);
    must(cgroup_freeze(cgroups, &NAME, false, &err), &err);
    pause_ms(300);
    must(cgroup_stats(cgroups, &NAME, &after, &err), &err);
    CHECK(after.cpu_us > frozen.cpu_us + 5000);
    freeze(cgroups);
    kill_to_empty(cgroups, &NAME); /* also while it is frozen */
    CHECK(waitpid(pid, NULL, 0) == pid);
}

Test(cgroup, frozen_processes_use_no_time_and_can_be_killed)
{
    run_story(0, freeze_story);
}

static void cpu_story(struct cgroups *cgroups)
{
    struct cgroup_stats before;
    struct cgroup_stats after;
    struct err err = {0};

    CHECK(cgroups->ability.cpu);
    make_replica(cgroups);
    (void)start_inside(cgroups, burn);
    (void)start_inside(cgroups, burn);
    must(cgroup_stats(cgroups, &NAME, &before, &err), &err);
    pause_ms(1000);
    must(cgroup_stats(cgroups, &NAME, &after, &err), &err);
    /* 0.1 of a core for both together; the upper bound leaves room for a late wake-up of ours. */
    CHECK(after.cpu_us - before.cpu_us > 20000);
    CHECK(after.cpu_us - before.cpu_us < 250000);
}

Test(cgroup, two_burners_share_a_tenth_of_a_core)
{
    run_story(0, cpu_story);
}

static void bomb_story(struct cgroups *cgroups)
{
    struct cgroup_stats stats;
    struct err err = {0};

    CHECK(cgroups->ability.pids);
    make_replica(cgroups);
    (void)start_inside(cgroups, fork_bomb);
    pause_ms(300);
    must(cgroup_stats(cgroups, &NAME, &stats, &err), &err);
    CHECK(stats.pid_count > 10 && stats.pid_count <= LIMITS.pid_count);
    kill_to_empty(cgroups, &NAME);
    CHECK(cgroup_populated(cgroups, &NAME, &err) == 0);
}

Test(cgroup, a_fork_bomb_stays_within_its_number_and_is_ended)
{
    run_story(0, bomb_story);
}

static void hog_story(struct cgroups *cgroups)
{
    struct cgroup_stats stats;
    struct err err = {0};
    int oom_fd = -1;
    int status = 0;

    CHECK(cgroups->ability.memory && cgroups->ability.swap);
    make_replica(cgroups);
    int how = cgroup_watch_oom(cgroups, &NAME, &oom_fd, &err);
    must(how, &err);
    pid_t pid = start_inside(cgroups, hog);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    if (how != CGROUP_OOM_BY_KERNEL) {
        struct pollfd poll_fd = {oom_fd, POLLIN, 0};
        CHECK(poll(&poll_fd, 1, 1000) == 1);
    }
    must(cgroup_stats(cgroups, &NAME, &stats, &err), &err);
    CHECK(stats.oom_kill_count == 1);
}

Test(cgroup, a_memory_hog_is_killed_at_its_limit_and_counted)
{
    run_story(0, hog_story);
}

static void parent_story(struct cgroups *cgroups)
{
    struct sandbox_limits too_much = LIMITS;
    struct sandbox_limits small = {50, 16 << 20, 0, 5};
    struct cgroup_stats stats;
    struct err err = {0};
    int status = 0;

    must(cgroups_make_parent(cgroups, &small, &err), &err);
    too_much.cpu_permille = 50;
    too_much.memory_bytes = 64 << 20;
    must(cgroup_create(cgroups, &NAME, &too_much, &err), &err);
    pid_t pid = start_inside(cgroups, hog);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status));
    must(cgroup_stats(cgroups, &NAME, &stats, &err), &err);
    CHECK(stats.oom_kill_count == 1);
    (void)start_inside(cgroups, fork_bomb);
    pause_ms(300);
    must(cgroup_stats(cgroups, &NAME, &stats, &err), &err);
    CHECK(stats.pid_count <= small.pid_count);
}

Test(cgroup, the_contribution_holds_even_if_a_replica_was_given_more)
{
    run_story(0, parent_story);
}

static void shrink_story(struct cgroups *cgroups)
{
    const struct sandbox_limits less = {50, 16 << 20, 0, 10};
    struct err err = {0};

    make_replica(cgroups);
    if (cgroups->ability.version == 1) {
        CHECK(cgroups_make_parent(cgroups, &less, &err) == -EINVAL); /* 0.05 cores, it has 0.1 */
    }
    must(cgroup_remove(cgroups, &NAME, &err), &err);
    must(cgroups_make_parent(cgroups, &less, &err), &err);
    must(cgroups_make_parent(cgroups, &CONTRIBUTION, &err), &err);
}

Test(cgroup, a_contribution_shrinks_once_larger_replicas_are_gone_and_grows_again)
{
    run_story(0, shrink_story);
}

static struct sandbox_limits with_cpu(struct sandbox_limits limits, uint64_t cpu_permille)
{
    limits.cpu_permille = cpu_permille;
    return limits;
}

/* Any cap to any other, replicas first or parent first, as the helper does it. */
static void cap_story(struct cgroups *cgroups)
{
    static const uint64_t caps_permille[] = {1000, 50, 1000, 10, 60, 49, 51, 10, 1000, 200, 40, 45};
    struct err err = {0};
    uint64_t before_permille = CONTRIBUTION.cpu_permille;

    make_replica(cgroups);
    for (size_t i = 0; i < ARRAY_COUNT(caps_permille); i++) {
        uint64_t cap_permille = caps_permille[i];
        uint64_t own_permille =
            cap_permille < LIMITS.cpu_permille ? cap_permille : LIMITS.cpu_permille;
        struct sandbox_limits parent = with_cpu(CONTRIBUTION, cap_permille);
        struct sandbox_limits replica = with_cpu(LIMITS, own_permille);

        if (cap_permille >= before_permille) {
            must(cgroups_limit_parent(cgroups, &parent, &err), &err);
        }
        must(cgroup_limit(cgroups, &NAME, &replica, &err), &err);
        if (cap_permille < before_permille) {
            must(cgroups_limit_parent(cgroups, &parent, &err), &err);
        }
        before_permille = cap_permille;
    }
}

Test(cgroup, a_cap_is_lowered_and_raised_with_replicas_inside)
{
    run_story(0, cap_story);
}

static uint64_t burnt_us(struct cgroups *cgroups, long ms)
{
    struct cgroup_stats first;
    struct cgroup_stats second;
    struct err err = {0};

    must(cgroup_stats(cgroups, &NAME, &first, &err), &err);
    pause_ms(ms);
    must(cgroup_stats(cgroups, &NAME, &second, &err), &err);
    return second.cpu_us - first.cpu_us;
}

static void squeeze_story(struct cgroups *cgroups)
{
    struct sandbox_limits small = with_cpu(LIMITS, 20);
    struct err err = {0};
    pid_t pid;

    make_replica(cgroups);
    pid = start_inside(cgroups, burn);
    must(cgroup_limit(cgroups, &NAME, &small, &err), &err);
    pause_ms(300); /* what was begun under the old limit */
    CHECK(burnt_us(cgroups, 1000) < 40000);
    kill_to_empty(cgroups, &NAME);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

Test(cgroup, a_burner_is_squeezed_while_it_runs)
{
    run_story(0, squeeze_story);
}

Test(cgroup, small_shares_get_a_longer_period_instead_of_a_quota_the_kernel_refuses)
{
    uint64_t period_us;
    uint64_t quota_us;

    cgroup_cpu_share(100, &period_us, &quota_us);
    cr_assert(period_us == 20000 && quota_us == 2000);
    cgroup_cpu_share(50, &period_us, &quota_us);
    cr_assert(period_us == 20000 && quota_us == 1000);
    cgroup_cpu_share(49, &period_us, &quota_us);
    cr_assert(period_us == 100000 && quota_us == 4900);
    cgroup_cpu_share(1, &period_us, &quota_us);
    cr_assert(period_us == 100000 && quota_us == 1000);
    cgroup_cpu_share(64000, &period_us, &quota_us);
    cr_assert(period_us == 20000 && quota_us == 1280000);
}

Test(cgroup, a_name_with_a_slash_or_a_dot_is_refused)
{
    struct cgroups *cgroups = NULL;
    struct err err = {0};

    cr_assert_eq(cgroups_open("a/b", &cgroups, &err), -EINVAL);
    cr_assert_eq(cgroups_open("..", &cgroups, &err), -EINVAL);
    cr_assert_eq(cgroups_open("", &cgroups, &err), -EINVAL);
}

Test(cgroup, a_machine_without_control_groups_has_no_parent_to_limit)
{
    struct cgroups *cgroups = NULL;
    struct err err = {0};

    cr_assert_eq(cgroups_open("minga-test-none", &cgroups, &err), 0, "%s", err.text);
    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        close(cgroups->base_fds[i]);
    }
    cgroups->hierarchy_count = 0;
    cgroups_probe(cgroups, 0);
    cr_expect_eq(cgroups_make_parent(cgroups, &CONTRIBUTION, &err), -ENOSYS);
    cr_expect_eq(cgroups_limit_parent(cgroups, &CONTRIBUTION, &err), 0);
    cgroups_free(cgroups);
}
