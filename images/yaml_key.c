// SPDX-License-Identifier: GPL-3.0-or-later
/* Rows of a table by path, and which one a person meant. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "images/yaml_value.h"

enum { NEAR_CHARS_MAX = 40, NEAR_EDITS_MAX = 2 };

bool yaml_key_is_child(const struct yaml_key *key, const char *prefix)
{
    size_t prefix_bytes = strlen(prefix);
    const char *rest = key->path + prefix_bytes;

    return strncmp(key->path, prefix, prefix_bytes) == 0 && rest[0] != '\0' &&
           strpbrk(rest, ".[") == NULL;
}

const struct yaml_key *yaml_key_find(const struct yaml_table *table, const char *path)
{
    for (uint32_t i = 0; i < table->key_count; i++) {
        if (strcmp(table->keys[i].path, path) == 0) {
            return &table->keys[i];
        }
    }
    return NULL;
}

void yaml_key_shown(const struct yaml_key *key, char shown_out[YAML_PATH_BYTES_MAX])
{
    size_t length_bytes = strlen(key->path);

    CHECK(length_bytes < YAML_PATH_BYTES_MAX);
    memcpy(shown_out, key->path, length_bytes + 1);
    if (length_bytes > 2 && strcmp(shown_out + length_bytes - 2, "[]") == 0) {
        shown_out[length_bytes - 2] = '\0';
    }
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance of two short words. */
static uint32_t edit_count(const char *a, const char *b)
{
    uint32_t row[NEAR_CHARS_MAX + 1];
    size_t a_chars = strlen(a);
    size_t b_chars = strlen(b);

    if (a_chars > NEAR_CHARS_MAX || b_chars > NEAR_CHARS_MAX) {
        return NEAR_CHARS_MAX;
    }
    for (uint32_t i = 0; i <= b_chars; i++) {
        row[i] = i;
    }
    for (uint32_t i = 1; i <= a_chars; i++) {
        uint32_t diagonal = row[0];

        row[0] = i;
        for (uint32_t j = 1; j <= b_chars; j++) {
            uint32_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);

            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_chars];
}

static const char *last_word(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot == NULL ? path : dot + 1;
}

/* The sibling with the fewest edits, or else a row of another mapping with that very name. */
static const char *nearest(const struct yaml_table *table, const char *prefix, const char *name)
{
    uint32_t edits_min = NEAR_EDITS_MAX + 1;
    const char *found = NULL;

    for (uint32_t i = 0; i < table->key_count; i++) {
        const struct yaml_key *key = &table->keys[i];
        uint32_t edits = edit_count(name, last_word(key->path));

        if (yaml_key_is_child(key, prefix) && edits < edits_min && edits < strlen(name)) {
            edits_min = edits;
            found = last_word(key->path);
        }
    }
    for (uint32_t i = 0; found == NULL && i < table->key_count; i++) {
        if (strcmp(last_word(table->keys[i].path), name) == 0) {
            found = table->keys[i].path;
        }
    }
    return found;
}

int yaml_key_unknown(const struct yaml_table *table, const char *prefix, const char *name,
                     struct err *err)
{
    const char *meant = nearest(table, prefix, name);

    if (meant == NULL) {
        return err_set(err, -EINVAL, "unknown key \"%.64s\"", name);
    }
    return err_set(err, -EINVAL, "unknown key \"%.64s\"; did you mean \"%s\"?", name, meant);
}
