// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/sink.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ends[2];
static struct sink out;

static void open_pipe(void)
{
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    sink_init(&out, ends[1], false);
}

static void close_pipe(void)
{
    sink_done(&out);
    close(ends[0]);
    close(ends[1]);
}

TestSuite(sink, .init = open_pipe, .fini = close_pipe);

static const char *written(void)
{
    static char text[8192];
    ssize_t count;

    sink_flush(&out);
    count = read(ends[0], text, sizeof(text) - 1);
    text[count < 0 ? 0 : count] = '\0';
    return text;
}

Test(sink, bytes_go_through_as_they_are)
{
    sink_put(&out, "a\033[31m\nb", 8);
    cr_assert(!sink_is_empty(&out));
    cr_assert_str_eq(written(), "a\033[31m\nb");
    cr_assert(sink_is_empty(&out));
    out.is_clean = true;
    sink_put(&out, "a\033[31m\nb", 8);
    cr_assert_str_eq(written(), "a?[31m\nb");
}

Test(sink, lines_of_two_are_never_mixed)
{
    struct sink first;
    struct sink second;

    sink_init_into(&first, SINK_LINES, &out, "web/1", "stdout");
    sink_init_into(&second, SINK_LINES, &out, "web/2", "stdout");
    sink_put(&first, "half", 4);
    sink_put(&second, "one\ntwo\nrest", 12);
    sink_put(&first, " line\n", 6);
    cr_assert_str_eq(written(), "web/2 | one\nweb/2 | two\nweb/1 | half line\n");
    sink_end(&first);
    sink_end(&second);
    cr_assert_str_eq(written(), "web/2 | rest\n");
    sink_done(&first);
    sink_done(&second);
}

Test(sink, a_line_without_end_does_not_grow_without_end)
{
    struct sink first;
    char block[4096];
    size_t most = 0;

    memset(block, 'x', sizeof(block));
    sink_init_into(&first, SINK_LINES, &out, "web/1", "stdout");
    for (int i = 0; i < 100; i++) {
        sink_put(&first, block, sizeof(block));
        most = first.waiting.length_bytes > most ? first.waiting.length_bytes : most;
        out.waiting.length_bytes = 0;
    }
    cr_assert_leq(most, 20480);
    sink_done(&first);
}

Test(sink, json_is_a_document_a_line)
{
    struct sink first;

    sink_init_into(&first, SINK_JSON, &out, "web/1", "stderr");
    sink_put(&first, "a \"b\"\n", 6);
    cr_assert_str_eq(written(),
                     "{\"replica\":\"web/1\",\"stream\":\"stderr\",\"text\":\"a \\\"b\\\"\\n\"}\n");
    sink_done(&first);
}

Test(sink, who_takes_nothing_is_not_waited_for)
{
    static char block[200000];

    memset(block, 'y', sizeof(block));
    sink_put(&out, block, sizeof(block));
    sink_flush(&out); /* the pipe holds 64 KiB */
    cr_assert(!sink_is_empty(&out));
    cr_assert(!sink_is_over(&out));
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    sink_flush(&out);
    cr_assert(sink_is_over(&out));
    ends[0] = -1;
}
