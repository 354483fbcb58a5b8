// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/metrics.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/api/fake_core.h"

static char text[65536];

static int print(size_t bytes_max)
{
    struct buffer out = {.bytes_max = bytes_max};
    int r = metrics_print(&the_core, 1000, &out);

    cr_assert_lt(out.length_bytes, sizeof(text));
    if (out.length_bytes > 0) {
        memcpy(text, out.data, out.length_bytes);
    }
    text[out.length_bytes] = '\0';
    buffer_done(&out);
    return r;
}

static bool matches(const char *pattern, const char *line)
{
    regex_t expression;
    bool found;

    cr_assert_eq(regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB), 0);
    found = regexec(&expression, line, 0, NULL, 0) == 0;
    regfree(&expression);
    return found;
}

static void check_line(const char *line, char name[128])
{
    char expected[160];

    if (sscanf(line, "# HELP %100s", name) == 1) {
        cr_assert(matches("^# HELP minga_[a-z_]+ [A-Z1].*\\.$", line), "%s", line);
        return;
    }
    if (strncmp(line, "# TYPE ", 7) == 0) {
        snprintf(expected, sizeof(expected), "^# TYPE %s (gauge|counter)$", name);
        cr_assert(matches(expected, line), "%s", line);
        return;
    }
    cr_assert(matches("^minga_[a-z_]+(\\{([a-z]+=\"[^\"\\]*\",?)+\\})? [0-9]+(\\.[0-9]+)?$", line),
              "%s", line);
    cr_assert_eq(strncmp(line, name, strlen(name)), 0, "%s is not below its head", line);
}

static void check_form(void)
{
    char name[128] = "none";

    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        check_line(line, name);
    }
}

Test(metrics, every_line_is_of_the_text_format_and_below_its_head)
{
    fake_core_init();
    the_core.replica_count = 2;
    cr_assert_eq(print(1 << 16), 0);
    check_form();
}

Test(metrics, the_numbers_are_the_cores)
{
    fake_core_init();
    the_core.replica_count = 2;
    cr_assert_eq(print(1 << 16), 0);
    cr_assert_not_null(strstr(text, "\nminga_given_cpu_cores 1.500\n"));
    cr_assert_not_null(strstr(text, "\nminga_members{state=\"up\"} 2\n"));
    cr_assert_not_null(strstr(text, "\nminga_messages_sent_total 7\n"));
    cr_assert_not_null(strstr(text, "\nminga_services_followed 1\n"));
    cr_assert_not_null(strstr(text, "\nminga_replicas_missing 2\n"));
    cr_assert_not_null(
        strstr(text, "\nminga_replica_cpu_cores{service=\"00000000\",replica=\"wiki/2\"} 1.230\n"));
}

Test(metrics, a_name_cannot_leave_its_label)
{
    fake_core_init();
    the_core.community = "a\"} 1\nminga_evil 2\\";
    cr_assert_eq(print(1 << 16), 0);
    cr_assert_null(strstr(text, "\nminga_evil"));
    check_form();
}

Test(metrics, a_node_without_a_community_has_metrics_too)
{
    fake_core_init();
    the_core.belongs = false;
    cr_assert_eq(print(1 << 16), 0);
    cr_assert_not_null(strstr(text, "community=\"\"} 1\n"));
    check_form();
}

Test(metrics, too_little_room_is_an_error)
{
    fake_core_init();
    cr_assert_lt(print(1000), 0);
}
