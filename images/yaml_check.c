// SPDX-License-Identifier: GPL-3.0-or-later
/* After reading: a whole struct against its table, and errors that concern several keys. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "images/yaml_value.h"

/* Checks the rows right below `prefix` that lie in the struct at `base`. */
static int check_rows(const struct yaml_table *table, const char *prefix, void *base, void *target)
{
    size_t prefix_bytes = strlen(prefix);
    struct err err = {0};

    for (uint32_t i = 0; i < table->key_count; i++) {
        const struct yaml_key *key = &table->keys[i];
        struct yaml_value value = {"", true, base, target};
        bool has_field = key->type != YAML_MAPPING && key->type != YAML_LIST &&
                         key->type != YAML_REFUSED && key->type != YAML_HOOK;

        if (!has_field || strncmp(key->path, prefix, prefix_bytes) != 0 ||
            strchr(key->path + prefix_bytes, '[') != NULL) {
            continue;
        }
        if (yaml_value_check(key, &value, &err) < 0) {
            return -EINVAL;
        }
    }
    return 0;
}

static int check_list(const struct yaml_table *table, const struct yaml_key *list, void *target)
{
    char scalars[YAML_PATH_BYTES_MAX];
    uint32_t count = 0;

    if (list->count_offset == YAML_NOWHERE) {
        return 0;
    }
    memcpy(&count, (uint8_t *)target + list->count_offset, sizeof(count));
    if (count < list->min || count > list->max) {
        return -EINVAL;
    }
    snprintf(scalars, sizeof(scalars), "%s[]", list->path);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *base = (uint8_t *)target + list->offset + i * list->stride_bytes;
        const struct yaml_key *scalar = yaml_key_find(table, scalars);
        struct yaml_value value = {"", true, base, target};
        struct err err = {0};
        char prefix[YAML_PATH_BYTES_MAX + 1];

        snprintf(prefix, sizeof(prefix), "%s.", scalars);
        if (scalar != NULL ? yaml_value_check(scalar, &value, &err) < 0
                           : check_rows(table, prefix, base, target) < 0) {
            return -EINVAL;
        }
    }
    return 0;
}

int yaml_table_check(const struct yaml_table *table, void *target)
{
    for (uint32_t i = 0; i < table->key_count; i++) {
        const struct yaml_key *key = &table->keys[i];

        if (key->type == YAML_LIST && strchr(key->path, '[') == NULL &&
            check_list(table, key, target) < 0) {
            return -EINVAL;
        }
    }
    return check_rows(table, "", target, target);
}

struct yaml_mark yaml_mark_of(const struct yaml_marks *marks, const char *path)
{
    const struct yaml_key *key = yaml_key_find(marks->table, path);

    CHECK(key != NULL);
    return marks->marks[key - marks->table->keys];
}

int yaml_wrap_at(const struct yaml_marks *marks, const char *path, struct err *err)
{
    struct yaml_mark mark = yaml_mark_of(marks, path);
    char shown[YAML_PATH_BYTES_MAX];

    if (mark.line == 0) {
        mark = (struct yaml_mark){1, 1};
    }
    yaml_key_shown(yaml_key_find(marks->table, path), shown);
    err_wrap(err, "%s", shown);
    return err_wrap(err, "%s:%u:%u", marks->file_name, mark.line, mark.column);
}
