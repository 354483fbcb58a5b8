// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Inside the manifest: its table of keys, and the rules that one row cannot say. */
#include <signal.h>

#include "images/manifest.h"
#include "images/yaml_table.h"

struct manifest_file { /* what service.yaml is read into */
    struct manifest manifest;
    char health_port[NAME_CHARS_MAX + 1]; /* may name a port that comes later in the file */
};

/* The keys of service.yaml. The target is a struct manifest_file. */
const struct yaml_table *manifest_table(void);

/* Each returns NULL, or what is expected instead ("an absolute path"). */
const char *manifest_name_fault(const char *name);
const char *manifest_path_fault(const char *path);
const char *manifest_variable_fault(const char *variable);
const char *manifest_label_fault(const char *label);
const char *manifest_http_fault(const char *path);

/* Appends a word. Returns 0 or -E2BIG (count_max or the bytes). */
int manifest_words_add(struct manifest_words *words, const char *word, uint32_t count_max);

enum { MANIFEST_SIGNAL_COUNT = 8 };
/* Signals by name; their place in this list is their number in canonical bytes. */
extern const struct manifest_signal {
    const char *name;
    int number;
} manifest_signals[MANIFEST_SIGNAL_COUNT];

/*
 * What concerns several keys. Returns 0, or -EINVAL with err and the path of the row at fault in
 * *row_out.
 */
int manifest_check_whole(const struct manifest *manifest, const char **row_out, struct err *err);
