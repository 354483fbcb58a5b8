// SPDX-License-Identifier: GPL-3.0-or-later
/* What the manifest's table does not use: other widths, booleans, empty files, lists of numbers. */
#include "images/yaml_table.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/attributes.h"

struct rule {
    char when[16];
    uint64_t pause_ms;
};

struct config {
    uint16_t listen_port;
    uint32_t percent;
    bool is_quiet;
    bool has_paths;
    char state[32];
    uint32_t number_count;
    uint32_t numbers[3];
    uint32_t rule_count;
    struct rule rules[2];
};

static int store_percent(const struct yaml_value *value, struct err *err)
{
    struct config *config = value->target;

    if (strcmp(value->text, "half") != 0) {
        return err_set(err, -EINVAL, "expected half");
    }
    config->percent = value->is_plain ? 50 : 51;
    return 0;
}

static const struct yaml_key keys[] = {
    {"listen", YAML_NUMBER, YAML_FIELD(struct config, listen_port), .min = 1,
     .default_text = "7400"},
    {"share", YAML_HOOK, .hook = store_percent},
    {"quiet", YAML_BOOL, YAML_FIELD(struct config, is_quiet), .default_text = "true"},
    {"paths", YAML_MAPPING, .offset = offsetof(struct config, has_paths)},
    {"paths.state", YAML_TEXT, YAML_FIELD(struct config, state), .min = 2,
     .default_text = "/var/lib"},
    {"numbers", YAML_LIST, YAML_ARRAY(struct config, numbers, number_count), .max = 3},
    {"numbers[]", YAML_NUMBER, .field_bytes = sizeof(uint32_t)},
    {"rules", YAML_LIST, YAML_ARRAY(struct config, rules, rule_count), .max = 2},
    {"rules[].when", YAML_TEXT, YAML_FIELD(struct rule, when), .is_needed = true, .min = 1},
    {"rules[].pause", YAML_DURATION, YAML_FIELD(struct rule, pause_ms), .default_text = "3s"},
};
static const struct yaml_table table = {keys, ARRAY_COUNT(keys), sizeof(struct config), true};

static struct config config;
static struct yaml_marks marks = {.file_name = "minga.yaml"};
static struct err err;

static int read_text(const char *text)
{
    return yaml_table_read(&table, bytes_of_text(text), &config, &marks, &err);
}

Test(yaml_table, an_empty_file_means_all_defaults_where_the_table_says_so)
{
    cr_assert_eq(read_text(""), 0);
    cr_assert_eq(config.listen_port, 7400);
    cr_assert(config.is_quiet);
    cr_assert(!config.has_paths);
    cr_assert_str_eq(config.state, "/var/lib");
    cr_assert_eq(config.number_count, 0);
    cr_assert_eq(yaml_mark_of(&marks, "listen").line, 0);
}

Test(yaml_table, values_reach_fields_of_every_width)
{
    cr_assert_eq(read_text("listen: 65535\nquiet: false\nnumbers: [7, 4294967295]\npaths:\n"
                           "  state: /srv\nshare: half\nrules: [{when: night}, {when: noon, "
                           "pause: 1m}]\n"),
                 0, "%s", err.text);
    cr_assert_eq(config.listen_port, 65535);
    cr_assert(!config.is_quiet);
    cr_assert_eq(config.number_count, 2);
    cr_assert_eq(config.numbers[1], UINT32_MAX);
    cr_assert(config.has_paths);
    cr_assert_eq(config.percent, 50);
    cr_assert_eq(config.rule_count, 2);
    cr_assert_str_eq(config.rules[0].when, "night");
    cr_assert_eq(config.rules[0].pause_ms, 3000, "defaults of an element");
    cr_assert_eq(config.rules[1].pause_ms, 60000);
    cr_assert_eq(yaml_mark_of(&marks, "paths.state").line, 5);
    cr_assert_eq(yaml_mark_of(&marks, "paths.state").column, 10);
    cr_assert_eq(yaml_table_check(&table, &config), 0);
}

Test(yaml_table, values_too_wide_for_their_field_are_refused)
{
    cr_assert_eq(read_text("listen: 65536"), -EINVAL);
    cr_assert_str_eq(err.text, "minga.yaml:1:9: listen: expected at most 65535, got 65536");
    cr_assert_eq(read_text("numbers: [4294967296]"), -EINVAL);
    cr_assert_eq(read_text("numbers: [1, 2, 3, 4]"), -EINVAL);
    cr_assert_str_eq(err.text, "minga.yaml:1:20: numbers: at most 3 items");
    cr_assert_eq(read_text("quiet: yes"), -EINVAL);
    cr_assert_str_eq(err.text, "minga.yaml:1:8: quiet: expected true or false, got \"yes\"");
    cr_assert_eq(read_text("share: \"all\""), -EINVAL);
    cr_assert_str_eq(err.text, "minga.yaml:1:8: share: expected half");
    cr_assert_eq(read_text("rules: [{pause: 1s}]"), -EINVAL);
    cr_assert_str_eq(err.text, "minga.yaml:1:9: rules[].when: missing, and needed");
    cr_assert_eq(read_text("paths: {state: /}"), -EINVAL);
    cr_assert_eq(read_text("rules: [{when: [a]}]"), -EINVAL);
    cr_assert_str_eq(err.text, "minga.yaml:1:16: rules[].when: expected a single value");
}

Test(yaml_table, a_star_that_is_no_alias_is_explained)
{
    cr_assert_eq(read_text("listen: *:7400"), -EINVAL);
    cr_assert_eq(strncmp(err.text, "minga.yaml:1:", 13), 0);
    cr_assert_str_eq(err.hint, "put quotes around a text that begins with * or &");
}

Test(yaml_table, a_struct_that_came_another_way_is_checked_the_same)
{
    yaml_table_defaults(&table, &config);
    cr_assert_eq(yaml_table_check(&table, &config), 0);
    config.listen_port = 0;
    cr_assert_eq(yaml_table_check(&table, &config), -EINVAL);
    config.listen_port = 1;
    config.number_count = 4;
    cr_assert_eq(yaml_table_check(&table, &config), -EINVAL);
    config.number_count = 0;
    config.rule_count = 1;
    cr_assert_eq(yaml_table_check(&table, &config), -EINVAL, "a rule without `when`");
    config.rules[0].when[0] = 'x';
    cr_assert_eq(yaml_table_check(&table, &config), 0);
}

Test(yaml_table, errors_across_keys_name_the_place_of_one)
{
    cr_assert_eq(read_text("quiet: true\nlisten: 5\n"), 0);
    err_set(&err, -EINVAL, "taken");
    cr_assert_eq(yaml_wrap_at(&marks, "listen", &err), -EINVAL);
    cr_assert_str_eq(err.text, "minga.yaml:2:9: listen: taken");
}
