// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * YAML files by one table of keys: the reader of service.yaml and minga.yaml.
 *
 * A table says of each key its path, type, bounds, default and where its value goes; the reader
 * walks libyaml's events along it, so that everything wrong is told with line and column:
 *
 *     service.yaml:7:3: resources.memory: expected a size like 128M, got "12 bananas"
 *
 * Refused: unknown keys (the nearest is named), repeated keys, keys of the wrong kind, values out
 * of bounds, missing keys that are needed, anchors, aliases, tags, a second document, an empty
 * file, anything deeper than YAML_DEPTH_MAX.
 *
 * Paths: "name", "resources.memory"; "labels" (YAML_LIST) with "labels[]" for its scalars;
 * "ports" (YAML_LIST) with "ports[].name" for the keys of its mappings. A YAML_MAPPING has a row,
 * too. Rows below a list have offsets within the list's element.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

enum {
    YAML_KEYS_MAX = 96,
    YAML_DEPTH_MAX = 5,
    YAML_PATH_BYTES_MAX = 128,
    YAML_SCALAR_BYTES_MAX = 4096,
};

enum yaml_type {
    YAML_MAPPING,  /* offset: of a bool that becomes true when it has any key (or YAML_NOWHERE) */
    YAML_LIST,     /* offset: first element; stride_bytes; count_offset: of a uint32_t; max */
    YAML_TEXT,     /* char[field_bytes] */
    YAML_NUMBER,   /* uint16_t, uint32_t or uint64_t, by field_bytes */
    YAML_BYTES,    /* "128M", uint64_t */
    YAML_DURATION, /* "5s" to ms, likewise */
    YAML_CORES,    /* "0.5" to permille, likewise */
    YAML_BOOL,     /* true or false */
    YAML_CHOICE,   /* one of `choices`; its index as an int (an enum) */
    YAML_HOOK,     /* a scalar that `hook` stores */
    YAML_REFUSED,  /* named, but not available yet; only {}, [] and "" pass */
};

#define YAML_NOWHERE SIZE_MAX
#define YAML_VERSION "0.1" /* for "is not available in 0.1" */

struct yaml_mark {
    uint32_t line; /* 1 and up; 0: the file does not mention it */
    uint32_t column;
};

struct yaml_value { /* what a hook gets */
    const char *text;
    bool is_plain; /* not quoted */
    void *base;    /* the target struct, or the element of the list it is in */
    void *target;  /* the whole target struct */
};

/*
 * Checks and stores a value. Returns 0, or -EINVAL with err->text set to what is wrong, without
 * place and key ("expected a signal like TERM"), which the reader puts in front.
 */
typedef int yaml_hook(const struct yaml_value *value, struct err *err);

struct yaml_key {
    const char *path;
    enum yaml_type type;
    bool is_needed;             /* in its mapping, when that is there */
    size_t offset;              /* of the field; YAML_FIELD fills in both */
    size_t field_bytes;         /* its size */
    uint64_t min;               /* numbers of all types; least count of a list; least length */
    uint64_t max;               /* likewise; 0: as much as the field takes */
    const char *default_text;   /* as it would be written; NULL: the field is left zero */
    const char *const *choices; /* ended by NULL; further words that are not available yet
                                   follow that NULL, ended by another one */
    yaml_hook *hook;            /* of YAML_HOOK; else an additional check after storing, of a
                                   YAML_MAPPING when all of it is */
    size_t stride_bytes;        /* of YAML_LIST */
    size_t count_offset;        /* of YAML_LIST: uint32_t, in what the list is in */
};

#define YAML_FIELD(type, field) \
    .offset = offsetof(type, field), .field_bytes = sizeof(((type *)0)->field)
#define YAML_ARRAY(type, field, count)                                              \
    .offset = offsetof(type, field), .stride_bytes = sizeof(((type *)0)->field[0]), \
    .count_offset = offsetof(type, count)

struct yaml_table {
    const struct yaml_key *keys;
    uint32_t key_count;  /* at most YAML_KEYS_MAX */
    size_t target_bytes; /* size of the target struct */
    bool empty_is_fine;  /* an empty file means: all defaults (minga.yaml) */
};

struct yaml_marks {        /* where each row was found, for checks across keys */
    const char *file_name; /* set by the caller, borrowed */
    const struct yaml_table *table;
    struct yaml_mark marks[YAML_KEYS_MAX];
};

/*
 * Reads the file's bytes into target_out (target_bytes, zeroed first, then all defaults).
 * marks->file_name is the caller's, for messages; the rest of marks is filled in.
 * Returns 0, or -EINVAL with err "FILE:LINE:COLUMN: KEY: what is wrong".
 */
int yaml_table_read(const struct yaml_table *table, struct bytes yaml, void *target_out,
                    struct yaml_marks *marks, struct err *err);

/* Zeroes the target and sets all defaults. */
void yaml_table_defaults(const struct yaml_table *table, void *target_out);

/*
 * Checks a struct that came another way (decoded bytes) against the same table: bounds, lengths,
 * choices, counts, and the hooks of all rows but YAML_HOOK ones. Returns 0 or -EINVAL.
 */
int yaml_table_check(const struct yaml_table *table, void *target);

/* Puts "FILE:LINE:COLUMN: KEY: " in front of err's text, for the row `path`. Returns err->code. */
int yaml_wrap_at(const struct yaml_marks *marks, const char *path, struct err *err);
/* Where the file has the row `path`; line 0 when it does not. */
struct yaml_mark yaml_mark_of(const struct yaml_marks *marks, const char *path);
