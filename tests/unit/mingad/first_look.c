// SPDX-License-Identifier: GPL-3.0-or-later
/* What the core hears of this machine first: the owner's rules are judged by it. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/mingad/owner/senses.h"
#include "agent/mingad/replicas/sandbox_link.h"

static struct edge edge;
static uint32_t told_count;
static struct owner_senses told; /* last */

/* In the place of the real one. */
void edge_event(struct edge *of, const struct core_event *event)
{
    cr_assert_eq(of, &edge);
    cr_assert_eq(event->kind, CORE_SENSED);
    told = *event->senses;
    told_count++;
}

/* Its helper is connected to never, and asked in vain. */
static void set_up(void)
{
    struct sandbox_link_config config = {.loop = &edge.loop, .socket_path = "/nowhere"};

    cr_assert_eq(uv_loop_init(&edge.loop), 0);
    edge.sandbox = sandbox_link_new(&config);
    cr_assert_not_null(edge.sandbox);
    setenv("TZ", "CET-1", 1);
}

static void tear_down(void)
{
    senses_close(edge.senses);
    sandbox_link_close(edge.sandbox);
    uv_run(&edge.loop, UV_RUN_DEFAULT);
    senses_free(edge.senses);
    sandbox_link_free(edge.sandbox);
    cr_assert_eq(uv_loop_close(&edge.loop), 0);
}

TestSuite(first_look, .init = set_up, .fini = tear_down, .timeout = 60);

static struct owner_rule *add_rule(void)
{
    struct owner_rules *rules = &edge.contribution.rules;

    strcpy(rules->list[0].name, "rule");
    rules->count = 1;
    return &rules->list[0];
}

static void begin(const char *root)
{
    edge.senses = senses_new(&edge, root);
    cr_assert_not_null(edge.senses);
    senses_rules(edge.senses);
}

/* Until the core was told so often, at most so long. Returns how long it took. */
static uint64_t run(uint32_t count, uint64_t ms_max)
{
    uint64_t begin_ms;

    uv_update_time(&edge.loop);
    begin_ms = uv_now(&edge.loop);
    while (told_count < count && uv_now(&edge.loop) < begin_ms + ms_max) {
        uv_run(&edge.loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    return uv_now(&edge.loop) - begin_ms;
}

Test(first_look, the_time_zone_is_told_whatever_the_rules_ask_for)
{
    add_rule()->when.on_battery = OWNER_YES;
    begin("/nowhere");
    run(1, 10000);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told.zone.offset_s, 3600, "a reload may bring hours at any time");
}

Test(first_look, rules_that_come_again_are_told_the_same_again)
{
    add_rule()->when.on_battery = OWNER_YES;
    begin("/nowhere");
    run(1, 10000);
    edge.contribution.rules.count = 0;
    senses_rules(edge.senses);
    run(2, 200);
    cr_assert_eq(told_count, 1, "without rules nobody looks");
    edge.contribution.rules.count = 1;
    senses_rules(edge.senses);
    cr_assert_lt(run(2, 10000), 2500, "at once, not with the next regular look");
    cr_assert_eq(told_count, 2);
}

Test(first_look, what_a_look_for_other_rules_finds_is_not_told)
{
    struct owner_rule *rule = add_rule();

    rule->when.on_battery = OWNER_YES;
    begin("/nowhere");
    memset(&rule->when, 0, sizeof(rule->when));
    rule->when.programs = (struct owner_words){1, {"supergame"}};
    senses_rules(edge.senses); /* while it looks for a battery only */
    run(1, 10000);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told.on_battery, OWNER_UNKNOWN, "nobody asks for it any more");
}

/* As where the kernel hides the processes of others; false: that cannot be had here. */
static bool hide_programs(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/proc", "tmpfs", 0, NULL) == 0;
}

static void ask_for_a_program(void)
{
    add_rule()->when.programs = (struct owner_words){1, {"supergame"}};
    if (!hide_programs()) {
        cr_skip_test("needs root");
    }
    begin(NULL);
}

Test(first_look, a_rule_on_programs_waits_for_the_helpers_word)
{
    struct sandbox_programs running = {.count = 1, .names = {"supergame"}};

    ask_for_a_program();
    run(1, 1000);
    cr_assert_eq(told_count, 0);
    senses_programs(edge.senses, &running);
    run(1, 10000);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told.program_count, 1);
    cr_assert_eq(umount2("/proc", MNT_DETACH), 0);
}

Test(first_look, a_helper_that_never_answers_is_not_waited_for_for_ever)
{
    uint64_t took_ms;

    ask_for_a_program();
    took_ms = run(1, 20000);
    cr_assert_eq(told_count, 1);
    cr_assert_geq(took_ms, 5000, "the third look");
    cr_assert_leq(took_ms, 9500);
    cr_assert_eq(umount2("/proc", MNT_DETACH), 0);
}

Test(first_look, another_environment_is_not_waited_for)
{
    strcpy(edge.config.environment, "other");
    ask_for_a_program();
    run(1, 2000);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(umount2("/proc", MNT_DETACH), 0);
}
