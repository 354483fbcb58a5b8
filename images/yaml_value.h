// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Inside the YAML table reader: one scalar against one row. Not for other modules. */
#include "images/yaml_table.h"

/* Converts, checks and stores. Returns 0, or -EINVAL with err "expected ..., got ...". */
int yaml_value_store(const struct yaml_key *key, const struct yaml_value *value, struct err *err);
/* Checks what is stored already. */
int yaml_value_check(const struct yaml_key *key, const struct yaml_value *value, struct err *err);
/* Stores row's default below `base`. A default that its own row refuses is our mistake. */
void yaml_value_default(const struct yaml_key *key, void *base, void *target);

/* Is the row directly in the mapping (or list) whose children's paths begin with `prefix`? */
bool yaml_key_is_child(const struct yaml_key *key, const char *prefix);
/* The row with this path, or NULL. */
const struct yaml_key *yaml_key_find(const struct yaml_table *table, const char *path);
/* Sets err to "unknown key ..." with the nearest known one. Returns -EINVAL. */
int yaml_key_unknown(const struct yaml_table *table, const char *prefix, const char *name,
                     struct err *err);
/* What people see of a row's path: "labels" of "labels[]". */
void yaml_key_shown(const struct yaml_key *key, char shown_out[YAML_PATH_BYTES_MAX]);
