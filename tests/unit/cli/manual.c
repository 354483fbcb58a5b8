// SPDX-License-Identifier: GPL-3.0-or-later
/* The manual page and the table of commands say the same. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/command.h"
#include "images/manifest_table.h"
#include "tests/unit/tree_file.h"

Test(manual, has_every_command)
{
    const char *page = tree_file("packaging/man/minga.1");

    for (uint32_t i = 0; i < command_count(); i++) {
        char entry[96];

        snprintf(entry, sizeof(entry), "\n.It Cm %s", command_at(i)->name);
        const char *found = strstr(page, entry);

        cr_expect(found != NULL && strchr(" \n", found[strlen(entry)]) != NULL, "%s",
                  command_at(i)->name);
    }
}

Test(manual, has_no_command_that_does_not_exist)
{
    const char *line = tree_file("packaging/man/minga.1");

    while ((line = strstr(line, "\n.It Cm ")) != NULL) {
        char first[64] = "";
        char second[64] = "";
        uint32_t used = 0;

        line += strlen("\n.It Cm ");
        sscanf(line, "%63s %63s", first, second);
        cr_expect_not_null(command_find(first, second, &used), "%s %s", first, second);
    }
}

Test(manual, has_every_option)
{
    const char *page = tree_file("packaging/man/minga.1");

    for (int i = 0; i < OPTION_COUNT; i++) {
        char text[64];

        snprintf(text, sizeof(text), "Fl Fl %s", option_spec((enum option)i)->name);
        cr_expect_not_null(strstr(page, text), "%s", text);
    }
}

/* Where the command itself stands ("node" before "node pause"), not just somewhere on the page. */
Test(manual, has_the_options_of_each_command_with_it)
{
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        const char *found = tree_file("packaging/man/minga.1");
        char entry[96];
        char line[512];

        snprintf(entry, sizeof(entry), "\n.It Cm %s", command->name);
        while ((found = strstr(found, entry)) != NULL &&
               strchr(" \n", found[strlen(entry)]) == NULL) {
            found++;
        }
        cr_assert_not_null(found, "%s", command->name);
        snprintf(line, sizeof(line), "%.*s ", (int)strcspn(found + 1, "\n"), found + 1);
        for (int j = 0; j < OPTION_COUNT; j++) {
            char text[64];
            bool is_taken = (command->options & OPTION_BIT(j)) != 0;

            if (OPTION_BIT(j) & OPTIONS_GLOBAL) {
                continue;
            }
            snprintf(text, sizeof(text), "Fl Fl %s ", option_spec((enum option)j)->name);
            cr_expect_eq(strstr(line, text) != NULL, is_taken, "%s --%s", command->name,
                         option_spec((enum option)j)->name);
        }
    }
}

Test(manual, has_every_key_of_a_manifest)
{
    const struct yaml_table *table = manifest_table();
    const char *page = tree_file("packaging/man/service.yaml.5");

    for (size_t i = 0; i < table->key_count; i++) {
        const char *path = table->keys[i].path;
        const char *element = strstr(path, "[]");

        /* What is in a list is told with the list; a mapping by its keys. */
        if (element != NULL && element[2] == '\0') {
            continue;
        }
        if (table->keys[i].type == YAML_MAPPING) {
            continue;
        }
        cr_expect_not_null(strstr(page, element != NULL ? element + 3 : path), "%s", path);
    }
}
