// SPDX-License-Identifier: GPL-3.0-or-later
/* minga.yaml's table of keys, its manual page and the annotated sample say the same. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "agent/mingad/config/config.h"
#include "images/yaml_table.h"
#include "tests/unit/tree_file.h"

enum { KEY_BYTES_MAX = 96 };

static void parse(const char *yaml, struct config *config_out)
{
    struct err err = {0};

    cr_assert_eq(config_parse(bytes_of_text(yaml), "minga.yaml", config_out, &err), 0, "%s",
                 err.text);
}

/* But for the places in the file, which come first. */
static void same(const struct config *a, const struct config *b)
{
    size_t skipped_bytes = offsetof(struct config, name);

    cr_assert_eq(memcmp((const char *)a + skipped_bytes, (const char *)b + skipped_bytes,
                        sizeof(*a) - skipped_bytes),
                 0);
}

/* "rules[].when.hours" is "rules.when.hours" for people. */
static void spoken_path(const char *path, char text_out[KEY_BYTES_MAX])
{
    const char *element = strstr(path, "[]");

    snprintf(text_out, KEY_BYTES_MAX, "%.*s%s",
             element != NULL ? (int)(element - path) : (int)strlen(path), path,
             element != NULL ? element + 2 : "");
}

/* A list is told with its elements, a mapping by its keys. */
static bool is_told(const struct yaml_key *key)
{
    size_t length = strlen(key->path);

    return key->type != YAML_MAPPING && strcmp(key->path + length - 2, "[]") != 0;
}

Test(config_pages, the_manual_has_every_key)
{
    const struct yaml_table *table = config_table();
    char *page = tree_file("packaging/man/minga.yaml.5");

    for (uint32_t i = 0; i < table->key_count; i++) {
        char path[KEY_BYTES_MAX];
        char entry[KEY_BYTES_MAX + 16];

        spoken_path(table->keys[i].path, path);
        snprintf(entry, sizeof(entry), "Li %s\n", path);
        if (is_told(&table->keys[i]) && strstr(page, entry) == NULL) {
            snprintf(entry, sizeof(entry), " %s\n", path); /* the second of two */
            const char *second = strstr(page, entry);

            snprintf(entry, sizeof(entry), "It Li %s , ", path);
            cr_expect(second != NULL || strstr(page, entry) != NULL, "%s", path);
        }
    }
}

Test(config_pages, the_manual_has_no_other_key)
{
    const struct yaml_table *table = config_table();
    char *page = tree_file("packaging/man/minga.yaml.5");

    for (const char *line = strstr(page, ".It Li "); line != NULL; line = strstr(line, ".It Li ")) {
        char named[KEY_BYTES_MAX];
        bool known = false;

        line += strlen(".It Li ");
        cr_assert_eq(sscanf(line, "%95s", named), 1);
        for (uint32_t i = 0; i < table->key_count; i++) {
            char path[KEY_BYTES_MAX];

            spoken_path(table->keys[i].path, path);
            known = known || strcmp(path, named) == 0;
        }
        cr_expect(known, "%s", named);
    }
}

Test(config_pages, the_sample_has_every_key)
{
    const struct yaml_table *table = config_table();
    char *page = tree_file("packaging/minga.yaml.example");

    for (uint32_t i = 0; i < table->key_count; i++) {
        const char *dot = strrchr(table->keys[i].path, '.');
        char entry[KEY_BYTES_MAX];

        snprintf(entry, sizeof(entry), "%s:", dot != NULL ? dot + 1 : table->keys[i].path);
        cr_expect(!is_told(&table->keys[i]) || strstr(page, entry) != NULL, "%s",
                  table->keys[i].path);
    }
}

Test(config_pages, the_sample_says_what_the_defaults_are)
{
    static struct config sample;
    static struct config defaults;
    char *page = tree_file("packaging/minga.yaml.example");

    parse(page, &sample);
    parse("", &defaults);
    same(&sample, &defaults);
}

/* Takes away the mark of a comment where the line is an example, and the empty list above it. */
Test(config_pages, what_the_sample_has_in_comments_is_accepted_too)
{
    static struct config config;
    static char yaml[TREE_FILE_BYTES_MAX];
    size_t length = 0;
    char *page = tree_file("packaging/minga.yaml.example");

    for (char *line = strtok(page, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        bool is_empty_list = strncmp(line, "rules: []", 9) == 0;
        bool is_example = strncmp(line, "#  ", 3) == 0 || strncmp(line, "#environment", 12) == 0;

        length += (size_t)snprintf(yaml + length, sizeof(yaml) - length, "%s\n",
                                   is_empty_list ? "rules:"
                                   : is_example  ? line + 1
                                                 : line);
    }
    parse(yaml, &config);
    cr_assert_eq(config.rule_count, 1);
    cr_assert_str_eq(config.rules[0].rule.name, "somebody works here");
    cr_assert_eq(config.environment_word_count, 1);
}

Test(config_pages, the_conffile_says_what_the_defaults_are)
{
    static struct config conffile;
    static struct config defaults;
    char *page = tree_file("packaging/minga.yaml");

    parse(page, &conffile);
    parse("", &defaults);
    same(&conffile, &defaults);
}
