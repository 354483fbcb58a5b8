// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/yaml_table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/check.h"
#include "images/yaml_value.h"

/* A mapping or list that is open. */
struct frame {
    const struct yaml_key *key;       /* its row; NULL: the whole file, or an element */
    const struct yaml_key *value_key; /* in a mapping: the row whose value comes next */
    bool is_list;
    uint32_t count;                   /* elements of a list, keys of a mapping */
    uint8_t *base;                    /* what the offsets of its children count from */
    uint8_t *parent_base;             /* of a list: where its count is */
    struct yaml_mark mark;            /* where it begins */
    char prefix[YAML_PATH_BYTES_MAX]; /* of its children's paths */
    bool seen[YAML_KEYS_MAX];
};

struct walk {
    const struct yaml_table *table;
    uint8_t *target;
    struct yaml_marks *marks;
    struct err *err;
    uint32_t depth;
    uint32_t refused_depth; /* of a YAML_REFUSED mapping or list that is open, else 0 */
    bool document_seen;
    struct frame frames[YAML_DEPTH_MAX];
};

static struct yaml_mark mark_of(yaml_mark_t mark)
{
    return (struct yaml_mark){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static int wrap_place(const struct walk *walk, struct yaml_mark mark)
{
    return err_wrap(walk->err, "%s:%u:%u", walk->marks->file_name, mark.line, mark.column);
}

static int wrap_key(const struct walk *walk, const struct yaml_key *key, struct yaml_mark mark)
{
    char shown[YAML_PATH_BYTES_MAX];

    yaml_key_shown(key, shown);
    err_wrap(walk->err, "%s", shown);
    return wrap_place(walk, mark);
}

/* The innermost one; there has to be one. */
static struct frame *top(struct walk *walk)
{
    CHECK(walk->depth > 0);
    return &walk->frames[walk->depth - 1];
}

static void set_defaults(const struct yaml_table *table, const char *prefix, void *base,
                         void *target)
{
    size_t prefix_bytes = strlen(prefix);

    for (uint32_t i = 0; i < table->key_count; i++) {
        const struct yaml_key *key = &table->keys[i];
        bool is_below = strncmp(key->path, prefix, prefix_bytes) == 0;

        if (is_below && strchr(key->path + prefix_bytes, '[') == NULL) {
            yaml_value_default(key, base, target);
        }
    }
}

void yaml_table_defaults(const struct yaml_table *table, void *target_out)
{
    CHECK(table->key_count <= YAML_KEYS_MAX);
    memset(target_out, 0, table->target_bytes);
    set_defaults(table, "", target_out, target_out);
}

/* The row of the scalar, mapping or list that comes next; NULL for an element that is a mapping. */
static const struct yaml_key *take_value_key(struct walk *walk)
{
    struct frame *frame = top(walk);
    const struct yaml_key *key = frame->value_key;
    char path[YAML_PATH_BYTES_MAX];

    if (!frame->is_list) {
        frame->value_key = NULL;
        return key;
    }
    snprintf(path, sizeof(path), "%s[]", frame->key->path);
    return yaml_key_find(walk->table, path);
}

static int refuse_kind(struct walk *walk, const struct yaml_key *key, struct yaml_mark mark)
{
    struct frame *frame = top(walk);
    const char *expected = "a single value";

    if (key == NULL) {
        key = frame->key;
        expected = "a mapping in each item";
    } else if (key->type == YAML_MAPPING) {
        expected = "a mapping (key: value)";
    } else if (key->type == YAML_LIST) {
        expected = "a list ([a, b])";
    }
    err_set(walk->err, -EINVAL, "expected %s", expected);
    return wrap_key(walk, key, mark);
}

static int refuse_later(struct walk *walk, const struct yaml_key *key, struct yaml_mark mark)
{
    char shown[YAML_PATH_BYTES_MAX];

    yaml_key_shown(key, shown);
    err_set(walk->err, -EINVAL, "%s is not available in " YAML_VERSION, shown);
    return wrap_place(walk, mark);
}

static int on_key(struct walk *walk, const char *name, struct yaml_mark mark)
{
    struct frame *frame = top(walk);
    char path[2 * YAML_PATH_BYTES_MAX];
    const struct yaml_key *key = NULL;

    if (snprintf(path, sizeof(path), "%s%s", frame->prefix, name) < (int)sizeof(path) &&
        strpbrk(name, ".[") == NULL) {
        key = yaml_key_find(walk->table, path);
    }
    if (key == NULL) {
        yaml_key_unknown(walk->table, frame->prefix, name, walk->err);
        return wrap_place(walk, mark);
    }
    uint32_t index = (uint32_t)(key - walk->table->keys);
    if (frame->seen[index]) {
        err_set(walk->err, -EINVAL, "key is repeated");
        return wrap_key(walk, key, mark);
    }
    frame->seen[index] = true;
    frame->value_key = key;
    frame->count++;
    walk->marks->marks[index] = mark;
    return 0;
}

/* One more element of the open list, unless it is full. */
static int count_element(struct walk *walk, struct yaml_mark mark)
{
    struct frame *frame = top(walk);

    if (frame->count >= frame->key->max) {
        err_set(walk->err, -EINVAL, "at most %llu items", (unsigned long long)frame->key->max);
        return wrap_key(walk, frame->key, mark);
    }
    frame->count++;
    return 0;
}

static uint8_t *element_base(const struct frame *frame)
{
    return frame->base + (size_t)(frame->count - 1) * frame->key->stride_bytes;
}

static void list_set_count(const struct frame *frame)
{
    if (frame->key->count_offset != YAML_NOWHERE) {
        memcpy(frame->parent_base + frame->key->count_offset, &frame->count, sizeof(frame->count));
    }
}

static int on_value(struct walk *walk, const char *text, bool is_plain, struct yaml_mark mark)
{
    struct frame *frame = top(walk);
    const struct yaml_key *key = take_value_key(walk);
    struct yaml_value value = {text, is_plain, frame->base, walk->target};

    if (key != NULL && key->type == YAML_REFUSED) {
        return text[0] == '\0' ? 0 : refuse_later(walk, key, mark);
    }
    if (key == NULL || key->type == YAML_MAPPING || key->type == YAML_LIST) {
        return refuse_kind(walk, key, mark);
    }
    if (frame->is_list) {
        if (count_element(walk, mark) < 0) {
            return -EINVAL;
        }
        value.base = element_base(frame);
    }
    walk->marks->marks[key - walk->table->keys] = mark;
    if (yaml_value_store(key, &value, walk->err) < 0) {
        return wrap_key(walk, key, mark);
    }
    if (frame->is_list) {
        list_set_count(frame);
    }
    return 0;
}

static int on_scalar(struct walk *walk, const yaml_event_t *event)
{
    struct yaml_mark mark = mark_of(event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    size_t length_bytes = event->data.scalar.length;

    if (walk->refused_depth > 0) {
        return refuse_later(walk, top(walk)->key, mark);
    }
    if (length_bytes > YAML_SCALAR_BYTES_MAX || strlen(text) != length_bytes) {
        err_set(walk->err, -EINVAL, "a text with a NUL or of more than %d bytes",
                YAML_SCALAR_BYTES_MAX);
        return wrap_place(walk, mark);
    }
    if (walk->depth == 0) {
        err_set(walk->err, -EINVAL, "expected keys and values (name: ...), got a single text");
        return wrap_place(walk, mark);
    }
    if (!top(walk)->is_list && top(walk)->value_key == NULL) {
        return on_key(walk, text, mark);
    }
    return on_value(walk, text, event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE, mark);
}

/* A new innermost frame, or NULL with err. */
static struct frame *push(struct walk *walk, struct yaml_mark mark)
{
    struct frame *frame = &walk->frames[walk->depth];

    if (walk->depth == YAML_DEPTH_MAX) {
        err_set(walk->err, -EINVAL, "nested too deep");
        wrap_place(walk, mark);
        return NULL;
    }
    memset(frame, 0, sizeof(*frame));
    frame->mark = mark;
    walk->depth++;
    return frame;
}

/* An empty {} or [] of a refused key passes; whatever comes inside does not. */
static int open_refused(struct walk *walk, const struct yaml_key *key, struct yaml_mark mark)
{
    struct frame *frame = push(walk, mark);

    if (frame == NULL) {
        return -EINVAL;
    }
    frame->key = key;
    walk->refused_depth = walk->depth;
    return 0;
}

static int open_root(struct walk *walk, struct yaml_mark mark)
{
    struct frame *frame = push(walk, mark);

    if (frame == NULL) {
        return -EINVAL;
    }
    frame->base = walk->target;
    return 0;
}

static int open_element(struct walk *walk, struct yaml_mark mark)
{
    struct frame *list = top(walk);
    struct frame *frame = count_element(walk, mark) < 0 ? NULL : push(walk, mark);

    if (frame == NULL) {
        return -EINVAL;
    }
    frame->base = element_base(list);
    snprintf(frame->prefix, sizeof(frame->prefix), "%s[].", list->key->path);
    set_defaults(walk->table, frame->prefix, frame->base, walk->target);
    return 0;
}

static bool has_mapping_rows(const struct walk *walk, const struct yaml_key *list)
{
    char prefix[YAML_PATH_BYTES_MAX];

    snprintf(prefix, sizeof(prefix), "%s[].", list->path);
    for (uint32_t i = 0; i < walk->table->key_count; i++) {
        if (yaml_key_is_child(&walk->table->keys[i], prefix)) {
            return true;
        }
    }
    return false;
}

static int on_mapping(struct walk *walk, struct yaml_mark mark)
{
    struct frame *parent;
    struct frame *frame;
    const struct yaml_key *key;

    if (walk->refused_depth > 0) {
        return refuse_later(walk, top(walk)->key, mark);
    }
    if (walk->depth == 0) {
        return open_root(walk, mark);
    }
    parent = top(walk);
    if (!parent->is_list && parent->value_key == NULL) {
        err_set(walk->err, -EINVAL, "expected a key, got a mapping");
        return wrap_place(walk, mark);
    }
    key = take_value_key(walk);
    if (key != NULL && key->type == YAML_REFUSED) {
        return open_refused(walk, key, mark);
    }
    if (parent->is_list && key == NULL && has_mapping_rows(walk, parent->key)) {
        return open_element(walk, mark);
    }
    if (key == NULL || key->type != YAML_MAPPING) {
        return refuse_kind(walk, key, mark);
    }
    frame = push(walk, mark);
    if (frame == NULL) {
        return -EINVAL;
    }
    frame->key = key;
    frame->base = parent->base;
    snprintf(frame->prefix, sizeof(frame->prefix), "%s.", key->path);
    return 0;
}

static int on_list(struct walk *walk, struct yaml_mark mark)
{
    struct frame *parent;
    struct frame *frame;
    const struct yaml_key *key;

    if (walk->refused_depth > 0) {
        return refuse_later(walk, top(walk)->key, mark);
    }
    if (walk->depth == 0 || (!top(walk)->is_list && top(walk)->value_key == NULL)) {
        err_set(walk->err, -EINVAL, "expected keys and values (name: ...), got a list");
        return wrap_place(walk, mark);
    }
    parent = top(walk);
    key = take_value_key(walk);
    if (key != NULL && key->type == YAML_REFUSED) {
        return open_refused(walk, key, mark);
    }
    if (key == NULL || key->type != YAML_LIST) {
        return refuse_kind(walk, key, mark);
    }
    frame = push(walk, mark);
    if (frame == NULL) {
        return -EINVAL;
    }
    frame->key = key;
    frame->is_list = true;
    frame->parent_base = parent->base;
    frame->base = parent->base + key->offset;
    return 0;
}

static int check_needed(struct walk *walk, const struct frame *frame)
{
    for (uint32_t i = 0; i < walk->table->key_count; i++) {
        const struct yaml_key *key = &walk->table->keys[i];

        if (key->is_needed && !frame->seen[i] && yaml_key_is_child(key, frame->prefix)) {
            err_set(walk->err, -EINVAL, "missing, and needed");
            return wrap_key(walk, key, frame->mark);
        }
    }
    return 0;
}

/* What a mapping must say as a whole. */
static int check_whole(struct walk *walk, const struct frame *frame)
{
    struct yaml_value value = {"", false, frame->base, walk->target};

    return frame->key->hook != NULL && frame->key->hook(&value, walk->err) < 0
               ? wrap_key(walk, frame->key, frame->mark)
               : 0;
}

static int on_end(struct walk *walk)
{
    struct frame *frame = top(walk);

    walk->depth--;
    if (walk->refused_depth > 0) {
        walk->refused_depth = 0;
        return 0;
    }
    if (frame->is_list) {
        if (frame->count < frame->key->min) {
            err_set(walk->err, -EINVAL, "must not be empty");
            return wrap_key(walk, frame->key, frame->mark);
        }
        return 0;
    }
    if (frame->key != NULL && frame->key->offset != YAML_NOWHERE) {
        bool has_keys = frame->count > 0;

        memcpy(frame->base + frame->key->offset, &has_keys, sizeof(has_keys));
    }
    if (walk->depth > 0 && top(walk)->is_list) {
        list_set_count(top(walk));
    }
    /* A mapping that says nothing is as good as none: what is needed in it is not. */
    if (frame->key == NULL || frame->count > 0) {
        int r = check_needed(walk, frame);

        if (r < 0) {
            return r;
        }
    }
    return frame->key == NULL ? 0 : check_whole(walk, frame);
}

static bool is_decorated(const yaml_event_t *event)
{
    switch ((int)event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL;
    default:
        return event->type == YAML_ALIAS_EVENT;
    }
}

static int on_event(struct walk *walk, const yaml_event_t *event)
{
    struct yaml_mark mark = mark_of(event->start_mark);

    if (is_decorated(event)) {
        err_set(walk->err, -EINVAL,
                "YAML anchors, aliases and tags are refused; quote a text that begins with "
                "& * or !");
        return wrap_place(walk, mark);
    }
    switch ((int)event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(walk, event);
    case YAML_MAPPING_START_EVENT:
        return on_mapping(walk, mark);
    case YAML_SEQUENCE_START_EVENT:
        return on_list(walk, mark);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_end(walk);
    case YAML_DOCUMENT_START_EVENT:
        if (walk->document_seen) {
            err_set(walk->err, -EINVAL, "a second document; one is expected");
            return wrap_place(walk, mark);
        }
        walk->document_seen = true;
        return 0;
    default:
        return 0;
    }
}

/* libyaml's reader names a byte only. */
static struct yaml_mark place_of_byte(struct bytes yaml, size_t offset_bytes)
{
    struct yaml_mark mark = {1, 1};

    for (size_t i = 0; i < offset_bytes && i < yaml.length_bytes; i++) {
        bool ends_line = yaml.data[i] == '\n';

        mark.line += ends_line ? 1 : 0;
        /* a letter of several bytes counts once */
        mark.column = ends_line ? 1 : mark.column + ((yaml.data[i] & 0xc0) == 0x80 ? 0 : 1);
    }
    return mark;
}

static bool is_tab(struct bytes yaml, size_t letter_index)
{
    for (size_t i = 0; i < yaml.length_bytes; i++) {
        if ((yaml.data[i] & 0xc0) != 0x80 && letter_index-- == 0) {
            return yaml.data[i] == '\t';
        }
    }
    return false;
}

static int refuse_syntax(struct walk *walk, const yaml_parser_t *parser, struct bytes yaml)
{
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;

    if (parser->error == YAML_READER_ERROR) {
        err_set(walk->err, -EINVAL, "%s", problem);
        return wrap_place(walk, place_of_byte(yaml, parser->problem_offset));
    }
    if (parser->error == YAML_SCANNER_ERROR && is_tab(yaml, parser->problem_mark.index)) {
        err_set(walk->err, -EINVAL, "a tab: YAML is indented with spaces");
        return wrap_place(walk, mark_of(parser->problem_mark));
    }

    err_set(walk->err, -EINVAL, "%s%s%s", problem, parser->context == NULL ? "" : " ",
            parser->context == NULL ? "" : parser->context);
    if (parser->context != NULL &&
        (strstr(parser->context, "alias") != NULL || strstr(parser->context, "anchor") != NULL)) {
        err_hint(walk->err, "put quotes around a text that begins with * or &");
    }
    return wrap_place(walk, mark_of(parser->problem_mark));
}

static int walk_events(struct walk *walk, yaml_parser_t *parser, struct bytes yaml)
{
    for (;;) {
        yaml_event_t event;
        yaml_event_type_t type;
        int r;

        if (yaml_parser_parse(parser, &event) == 0) {
            return refuse_syntax(walk, parser, yaml);
        }
        type = event.type;
        r = on_event(walk, &event);
        yaml_event_delete(&event);
        if (r < 0 || type == YAML_STREAM_END_EVENT) {
            return r;
        }
    }
}

int yaml_table_read(const struct yaml_table *table, struct bytes yaml, void *target_out,
                    struct yaml_marks *marks, struct err *err)
{
    struct walk walk = {.table = table, .target = target_out, .marks = marks, .err = err};
    yaml_parser_t parser;
    int r;

    yaml_table_defaults(table, target_out);
    memset(marks->marks, 0, sizeof(marks->marks));
    marks->table = table;
    if (yaml_parser_initialize(&parser) == 0) {
        return err_set(err, -ENOMEM, "%s: out of memory", marks->file_name);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, yaml.data == NULL ? (const uint8_t *)"" : yaml.data,
                                 yaml.length_bytes);
    r = walk_events(&walk, &parser, yaml);
    yaml_parser_delete(&parser);
    if (r == 0 && !walk.document_seen && !table->empty_is_fine) {
        err_set(err, -EINVAL, "the file is empty");
        r = wrap_place(&walk, (struct yaml_mark){1, 1});
    }
    return r;
}
