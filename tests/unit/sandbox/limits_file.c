// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/limits_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good[] = "cpu_permille 1000\nmemory_bytes 1073741824\ndisk_bytes 4294967296\n"
                           "pid_count 512\nagent_uid 64321\nagent_gid 64322\n"
                           "uids 1879048192-2147483647\nports 31000-31999\ncgroup minga\n"
                           "trees /var/lib/minga/agent/trees\n";

static int parse(const char *text, struct host_limits *limits_out)
{
    struct err err = {0};
    int r = host_limits_parse(bytes_of_text(text), limits_out, &err);

    cr_assert_eq(r < 0, err.text[0] != '\0', "an error has a text");
    return r;
}

/* The good text with one line replaced (NULL: left out). */
static int parse_with(const char *name, const char *line)
{
    struct host_limits limits;
    char text[2 * sizeof(good)];
    const char *found = strstr(good, name);
    size_t before = (size_t)(found - good);

    snprintf(text, sizeof(text), "%.*s%s%s%s", (int)before, good, line == NULL ? "" : line,
             line == NULL ? "" : "\n", strchr(found, '\n') + 1);
    return parse(text, &limits);
}

Test(limits_file, a_complete_file_is_understood)
{
    struct host_limits limits;

    cr_assert_eq(parse(good, &limits), 0);
    cr_assert_eq(limits.contribution.cpu_permille, 1000);
    cr_assert_eq(limits.contribution.memory_bytes, 1ULL << 30);
    cr_assert_eq(limits.contribution.disk_bytes, 1ULL << 32);
    cr_assert_eq(limits.contribution.pid_count, 512);
    cr_assert_eq(limits.agent_uid, 64321);
    cr_assert_eq(limits.agent_gid, 64322);
    cr_assert_eq(limits.uid_span_count, 1);
    cr_assert_eq(limits.uid_spans[0].first, 1879048192);
    cr_assert_eq(limits.uid_spans[0].last, 2147483647);
    cr_assert_eq(limits.port_first, 31000);
    cr_assert_eq(limits.port_last, 31999);
    cr_assert_str_eq(limits.cgroup, "minga");
    cr_assert_str_eq(limits.trees, "/var/lib/minga/agent/trees");
}

Test(limits_file, the_line_is_limited_only_where_it_is_said)
{
    struct host_limits limits;
    char text[2 * sizeof(good)];

    cr_assert_eq(parse(good, &limits), 0);
    cr_assert_eq(limits.upload_bytes_per_s, 0);
    cr_assert_eq(limits.download_bytes_per_s, 0);
    snprintf(text, sizeof(text), "%supload 2097152\ndownload 5\n", good);
    cr_assert_eq(parse(text, &limits), 0);
    cr_assert_eq(limits.upload_bytes_per_s, 2 << 20);
    cr_assert_eq(limits.download_bytes_per_s, 5);
    snprintf(text, sizeof(text), "%supload -1\n", good);
    cr_assert_eq(parse(text, &limits), -EINVAL);
}

Test(limits_file, each_line_is_needed)
{
    static const char *const names[] = {"cpu_permille", "memory_bytes", "disk_bytes", "pid_count",
                                        "agent_uid",    "agent_gid",    "uids",       "ports",
                                        "cgroup",       "trees"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_assert_eq(parse_with(names[i], NULL), -EINVAL, "%s", names[i]);
    }
}

Test(limits_file, no_other_line_is_taken)
{
    struct host_limits limits;
    char text[2 * sizeof(good)];

    snprintf(text, sizeof(text), "%sfoo 1\n", good);
    cr_assert_eq(parse(text, &limits), -EINVAL);
    snprintf(text, sizeof(text), "%spid_count 9\n", good);
    cr_assert_eq(parse(text, &limits), -EINVAL, "a name twice");
    snprintf(text, sizeof(text), "%spid_count\n", good);
    cr_assert_eq(parse(text, &limits), -EINVAL, "no value");
    cr_assert_eq(parse("", &limits), -EINVAL);
}

Test(limits_file, the_host_s_own_uids_can_never_be_given)
{
    cr_assert_eq(parse_with("uids", "uids 0-2147483647"), -EINVAL);
    cr_assert_eq(parse_with("uids", "uids 65535-2147483647"), -EINVAL);
    cr_assert_eq(parse_with("agent_uid", "agent_uid 1879048192"), -EINVAL, "the agent's own");
    cr_assert_eq(parse_with("agent_uid", "agent_uid 1879048191"), 0);
    cr_assert_eq(parse_with("uids", "uids 65536-131070"), -EINVAL, "less than a range");
    cr_assert_eq(parse_with("uids", "uids 65536-131071"), 0);
    cr_assert_eq(parse_with("uids", "uids 4294901760-4294967295"), -EINVAL, "holds (uid_t)-1");
}

Test(limits_file, values_out_of_bounds_are_refused)
{
    cr_assert_eq(parse_with("cpu_permille", "cpu_permille 0"), -EINVAL);
    cr_assert_eq(parse_with("memory_bytes", "memory_bytes -1"), -EINVAL);
    cr_assert_eq(parse_with("memory_bytes", "memory_bytes 99999999999999999999999"), -EINVAL);
    cr_assert_eq(parse_with("agent_uid", "agent_uid 4294967296"), -EINVAL);
    cr_assert_eq(parse_with("ports", "ports 0-10"), -EINVAL);
    cr_assert_eq(parse_with("ports", "ports 10-9"), -EINVAL);
    cr_assert_eq(parse_with("ports", "ports 10-65536"), -EINVAL);
    cr_assert_eq(parse_with("ports", "ports 10-65535"), 0);
    cr_assert_eq(parse_with("cgroup", "cgroup ../other"), -EINVAL);
    cr_assert_eq(parse_with("cgroup", "cgroup a/b"), -EINVAL);
    cr_assert_eq(parse_with("trees", "trees relative"), -EINVAL);
}

struct file {
    char folder[32];
    char path[64];
};

static struct file make_file(void)
{
    struct file file = {.folder = "/tmp/minga-limits-XXXXXX"};

    cr_assert_not_null(mkdtemp(file.folder));
    snprintf(file.path, sizeof(file.path), "%s/limits", file.folder);
    return file;
}

static void remove_file(const struct file *file)
{
    unlink(file->path);
    rmdir(file->folder);
}

Test(limits_file, what_is_written_is_read_by_root_s_rules)
{
    struct file file = make_file();
    struct host_limits limits;
    struct host_limits back;
    struct err err = {0};
    int wanted = getuid() == 0 ? 0 : -EPERM;

    cr_assert_eq(parse(good, &limits), 0);
    limits.uid_span_count = 2;
    limits.uid_spans[1] = (struct uid_span){655360, 1310719};
    limits.programs.count = SANDBOX_PROGRAMS_MAX;
    for (uint32_t i = 0; i < SANDBOX_PROGRAMS_MAX; i++) {
        snprintf(limits.programs.names[i], sizeof(limits.programs.names[i]), "a program %u", i);
    }
    cr_assert_eq(sandbox_limits_write(file.path, &limits, &err), 0, "%s", err.text);
    cr_assert_eq(sandbox_limits_read(file.path, &back, &err), wanted, "%s", err.text);
    if (wanted == 0) {
        cr_assert_eq(memcmp(&limits, &back, sizeof(back)), 0);
    }
    remove_file(&file);
}

Test(limits_file, the_name_of_a_program_cannot_be_another_line)
{
    struct file file = make_file();
    struct host_limits limits;
    struct err err = {0};

    cr_assert_eq(parse(good, &limits), 0);
    limits.programs.count = 1;
    strcpy(limits.programs.names[0], "x\negress 1");
    cr_assert_eq(sandbox_limits_write(file.path, &limits, &err), -EINVAL);
    limits.programs.names[0][0] = '\0';
    cr_assert_eq(sandbox_limits_write(file.path, &limits, &err), -EINVAL);
    cr_assert_eq(parse_with("cgroup", "cgroup minga\nprogram blender\nprogram super game"), 0);
    cr_assert_eq(parse_with("cgroup", "cgroup minga\nprogram "), -EINVAL);
    cr_assert_eq(
        parse_with("cgroup", "cgroup minga\nprogram a-name-of-more-than-thirty-two-characters"),
        -EINVAL);
    remove_file(&file);
}

Test(limits_file, a_file_that_others_can_write_to_is_refused)
{
    static const mode_t modes[] = {0664, 0646, 0666};
    struct file file = make_file();
    struct host_limits limits;
    struct err err = {0};

    cr_assert_eq(parse(good, &limits), 0);
    cr_assert_eq(sandbox_limits_write(file.path, &limits, &err), 0, "%s", err.text);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        cr_assert_eq(chmod(file.path, modes[i]), 0);
        cr_assert_eq(sandbox_limits_read(file.path, &limits, &err), -EPERM);
    }
    remove_file(&file);
}

Test(limits_file, a_file_that_is_not_root_s_or_a_link_is_refused)
{
    struct file file = make_file();
    struct host_limits limits;
    struct err err = {0};
    char link_path[80];

    cr_assert_eq(parse(good, &limits), 0);
    cr_assert_eq(sandbox_limits_write(file.path, &limits, &err), 0, "%s", err.text);
    snprintf(link_path, sizeof(link_path), "%s/link", file.folder);
    cr_assert_eq(symlink(file.path, link_path), 0);
    cr_assert_lt(sandbox_limits_read(link_path, &limits, &err), 0);
    if (getuid() == 0) {
        cr_assert_eq(chown(file.path, 12345, 12345), 0);
        cr_assert_eq(sandbox_limits_read(file.path, &limits, &err), -EPERM);
    }
    unlink(link_path);
    remove_file(&file);
}
