// SPDX-License-Identifier: GPL-3.0-or-later
/* What has to be told to an environment's program that does not read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/attributes.h"
#include "sandbox/foreign/foreign.h"
#include "tests/unit/made_folder.h"

static char sleep_word[] = "sleep";
static char seconds_word[] = "600";
static char *const deaf[] = {sleep_word, seconds_word, NULL}; /* it reads nothing */
static struct foreign foreign;

static void begin(void)
{
    made_folder_begin();
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    foreign.trees = made_folder;
    strcpy(foreign.logs_folder, made_folder);
    foreign.arguments = deaf;
    foreign.listen_fd = -1;
    foreign.client_fd = -1;
    program_init(&foreign.program);
}

static void end(void)
{
    program_kill(&foreign.program);
    made_folder_end();
}

TestSuite(foreign_stop, .init = begin, .fini = end, .timeout = 60);

/* It says nothing itself. */
static void hear(const char *line)
{
    struct err err = {0};

    cr_assert_eq(foreign_hear(&foreign, line, strlen(line), &err), 0, "%s", err.text);
}

static void start_program(void)
{
    char line[64];

    foreign_tick(&foreign, foreign_now_ms() + FOREIGN_RESTART_MS_MAX);
    cr_assert_neq(foreign.program.pid, 0);
    snprintf(line, sizeof(line), "{\"say\":\"ready\",\"version\":%d}", WORDS_VERSION);
    hear(line);
    cr_assert(foreign.ready);
}

static struct foreign_replica *start_replica(void)
{
    struct sandbox_spec spec = {.key = {.slot = 1, .incarnation = 1},
                                .logs_bytes = 65536,
                                .stop_signal = SIGTERM,
                                .stop_grace_ms = 1000};
    struct foreign_replica *replica;
    char line[256];

    foreign_start(&foreign, &spec);
    replica = foreign_find(&foreign, &spec.key);
    cr_assert_not_null(replica);
    snprintf(line, sizeof(line), "{\"say\":\"started\",\"replica\":\"%s\"}", replica->id);
    hear(line);
    cr_assert_eq(replica->state, FOREIGN_RUNNING);
    return replica;
}

/* Until there is no room for one word more. */
static void say_too_much(void)
{
    static const size_t lengths_bytes[] = {16000, 100, 0};
    static char word[16001];
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_COUNT(lengths_bytes); i++) {
        memset(word, 'x', lengths_bytes[i]);
        word[lengths_bytes[i]] = '\0';
        while (program_tell(&foreign.program, strdup(word), &err) == 0) {
        }
        cr_assert_eq(err.code, -ENOBUFS, "%s", err.text);
    }
}

Test(foreign_stop, a_frozen_replica_of_a_program_that_does_not_listen_is_over)
{
    struct foreign_replica *replica;

    start_program();
    replica = start_replica();
    foreign_freeze(&foreign, replica, true);
    say_too_much();
    foreign_stop(&foreign, replica);
    cr_assert_eq(foreign.program.pid, 0, "killed");
    cr_assert_eq(replica->state, FOREIGN_FREE);
    /* Nothing of it is left that could end the next program. */
    start_program();
    foreign_tick(&foreign, foreign_now_ms() + FOREIGN_RESET_MS);
    foreign_tick(&foreign, foreign_now_ms() + 2 * FOREIGN_RESET_MS);
    cr_assert_neq(foreign.program.pid, 0);
    cr_assert_eq(foreign.failure_count, 1);
}
