// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A folder in place of one of the kernel's, /proc or /sys: a suite's .init and .fini make and remove it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char made_folder[64];

static inline void made_folder_begin(void)
{
    strcpy(made_folder, "/tmp/minga-made-XXXXXX");
    cr_assert_not_null(mkdtemp(made_folder));
}

static inline void made_folder_end(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -r %s", made_folder);
    cr_assert_eq(system(command), 0);
}

/* Writes that file in it, with the folders that lead there; `path` begins with a slash. */
static inline void made_folder_put(const char *path, const char *text)
{
    char full[256];
    FILE *file;

    snprintf(full, sizeof(full), "mkdir -p $(dirname %s%s)", made_folder, path);
    cr_assert_eq(system(full), 0);
    snprintf(full, sizeof(full), "%s%s", made_folder, path);
    file = fopen(full, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}
