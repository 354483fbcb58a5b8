// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/yaml_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/units.h"

enum { SHOWN_TEXT_CHARS_MAX = 48 }; /* of a wrong value, in a message */

struct number_type {
    int (*parse)(const char *text, uint64_t *number_out);
    const char *expected;
    void (*print)(uint64_t number, char text_out[UNITS_TEXT_BYTES_MAX]);
};

static void print_number(uint64_t number, char text_out[UNITS_TEXT_BYTES_MAX])
{
    snprintf(text_out, UNITS_TEXT_BYTES_MAX, "%" PRIu64, number);
}

static const struct number_type *number_type_of(enum yaml_type type)
{
    static const struct number_type types[YAML_REFUSED + 1] = {
        [YAML_NUMBER] = {units_parse_number, "a whole number", print_number},
        [YAML_BYTES] = {units_parse_bytes, "a size like 128M", units_print_bytes},
        [YAML_DURATION] = {units_parse_duration, "a duration like 10s", units_print_duration},
        [YAML_CORES] = {units_parse_cores, "a number of cores like 0.5", units_print_cores},
    };

    return types[type].parse == NULL ? NULL : &types[type];
}

static uint64_t field_max(size_t field_bytes)
{
    return field_bytes == sizeof(uint64_t) ? UINT64_MAX : ((uint64_t)1 << (8 * field_bytes)) - 1;
}

static void number_put(void *field, size_t field_bytes, uint64_t number)
{
    if (field_bytes == sizeof(uint64_t)) {
        memcpy(field, &number, sizeof(number));
    } else if (field_bytes == sizeof(uint32_t)) {
        memcpy(field, &(uint32_t){(uint32_t)number}, sizeof(uint32_t));
    } else {
        CHECK(field_bytes == sizeof(uint16_t));
        memcpy(field, &(uint16_t){(uint16_t)number}, sizeof(uint16_t));
    }
}

static uint64_t number_get(const void *field, size_t field_bytes)
{
    uint64_t number = 0;
    uint32_t middle = 0;
    uint16_t small = 0;

    if (field_bytes == sizeof(number)) {
        memcpy(&number, field, sizeof(number));
        return number;
    }
    if (field_bytes == sizeof(middle)) {
        memcpy(&middle, field, sizeof(middle));
        return middle;
    }
    CHECK(field_bytes == sizeof(small));
    memcpy(&small, field, sizeof(small));
    return small;
}

/* "expected X, got Y": a long wrong value is cut. */
static int unexpected(struct err *err, const char *expected, const char *text)
{
    bool is_long = strlen(text) > SHOWN_TEXT_CHARS_MAX;

    return err_set(err, -EINVAL, "expected %s, got \"%.*s%s\"", expected, SHOWN_TEXT_CHARS_MAX,
                   text, is_long ? "..." : "");
}

static int number_check(const struct yaml_key *key, uint64_t number, struct err *err)
{
    const struct number_type *type = number_type_of(key->type);
    uint64_t max = key->max == 0 ? field_max(key->field_bytes) : key->max;
    char bound[UNITS_TEXT_BYTES_MAX];
    char got[UNITS_TEXT_BYTES_MAX];

    if (number >= key->min && number <= max) {
        return 0;
    }
    type->print(number < key->min ? key->min : max, bound);
    type->print(number, got);
    return err_set(err, -EINVAL, "expected at %s %s, got %s", number < key->min ? "least" : "most",
                   bound, got);
}

static int number_store(const struct yaml_key *key, const char *text, void *field, struct err *err)
{
    const struct number_type *type = number_type_of(key->type);
    uint64_t number = 0;
    int r = type->parse(text, &number);

    if (r == -ERANGE) {
        return err_set(err, -EINVAL, "%s is too large", text);
    }
    if (r < 0) {
        return unexpected(err, type->expected, text);
    }
    r = number_check(key, number, err);
    if (r == 0) {
        number_put(field, key->field_bytes, number);
    }
    return r;
}

static int text_check(const struct yaml_key *key, const char *text, struct err *err)
{
    size_t length_bytes = strnlen(text, key->field_bytes);
    uint64_t max = key->max == 0 ? key->field_bytes - 1 : key->max;

    if (length_bytes < key->min) {
        return err_set(err, -EINVAL, "must not be empty");
    }
    if (length_bytes > max) {
        return err_set(err, -EINVAL, "at most %llu bytes long", (unsigned long long)max);
    }
    return 0;
}

static int text_store(const struct yaml_key *key, const char *text, void *field, struct err *err)
{
    int r = text_check(key, text, err);

    if (r == 0) {
        memset(field, 0, key->field_bytes);
        memcpy(field, text, strlen(text));
    }
    return r;
}

static int choice_refused(const struct yaml_key *key, uint32_t count, const char *text,
                          struct err *err)
{
    char expected[256] = "";
    size_t used_bytes = 0;

    for (const char *const *later = key->choices + count + 1; *later != NULL; later++) {
        if (strcmp(*later, text) == 0) {
            return err_set(err, -EINVAL, "%s is not available in " YAML_VERSION, text);
        }
    }
    for (uint32_t i = 0; i < count && used_bytes < sizeof(expected); i++) {
        const char *between = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        int added = snprintf(expected + used_bytes, sizeof(expected) - used_bytes, "%s%s", between,
                             key->choices[i]);

        used_bytes += (size_t)added;
    }
    return unexpected(err, expected, text);
}

static int choice_store(const struct yaml_key *key, const char *text, void *field, struct err *err)
{
    uint32_t count = 0;

    while (key->choices[count] != NULL && strcmp(key->choices[count], text) != 0) {
        count++;
    }
    if (key->choices[count] == NULL) {
        return choice_refused(key, count, text, err);
    }
    if (key->field_bytes != 0) {
        number_put(field, key->field_bytes, count);
    }
    return 0;
}

static int choice_check(const struct yaml_key *key, const void *field, struct err *err)
{
    uint32_t count = 0;

    while (key->choices[count] != NULL) {
        count++;
    }
    if (key->field_bytes != 0 && number_get(field, key->field_bytes) >= count) {
        return err_set(err, -EINVAL, "no such choice");
    }
    return 0;
}

static int bool_store(const char *text, void *field, struct err *err)
{
    bool is_true = strcmp(text, "true") == 0;

    if (!is_true && strcmp(text, "false") != 0) {
        return unexpected(err, "true or false", text);
    }
    memcpy(field, &is_true, sizeof(is_true));
    return 0;
}

static int hook_call(const struct yaml_key *key, const struct yaml_value *value, struct err *err)
{
    return key->hook == NULL ? 0 : key->hook(value, err);
}

int yaml_value_store(const struct yaml_key *key, const struct yaml_value *value, struct err *err)
{
    uint8_t *field = (uint8_t *)value->base + (key->offset == YAML_NOWHERE ? 0 : key->offset);
    int r = 0;

    CHECK(key->type != YAML_MAPPING && key->type != YAML_LIST && key->type != YAML_REFUSED);
    if (number_type_of(key->type) != NULL) {
        r = number_store(key, value->text, field, err);
    } else if (key->type == YAML_TEXT) {
        r = text_store(key, value->text, field, err);
    } else if (key->type == YAML_CHOICE) {
        r = choice_store(key, value->text, field, err);
    } else if (key->type == YAML_BOOL) {
        r = bool_store(value->text, field, err);
    }
    return r < 0 ? r : hook_call(key, value, err);
}

int yaml_value_check(const struct yaml_key *key, const struct yaml_value *value, struct err *err)
{
    uint8_t *field = (uint8_t *)value->base + (key->offset == YAML_NOWHERE ? 0 : key->offset);
    struct yaml_value stored = *value;
    int r = 0;

    if (key->type == YAML_HOOK) {
        return 0;
    }
    stored.text = "";
    if (number_type_of(key->type) != NULL) {
        r = number_check(key, number_get(field, key->field_bytes), err);
    } else if (key->type == YAML_TEXT) {
        stored.text = (const char *)field;
        r = text_check(key, stored.text, err);
    } else if (key->type == YAML_CHOICE) {
        r = choice_check(key, field, err);
    }
    return r < 0 ? r : hook_call(key, &stored, err);
}

void yaml_value_default(const struct yaml_key *key, void *base, void *target)
{
    struct yaml_value value = {key->default_text, true, base, target};
    struct err err = {0};

    if (key->default_text != NULL) {
        CHECK(yaml_value_store(key, &value, &err) == 0);
    }
}
