// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Reads digits; returns how many, 0 for none, or -ERANGE. */
static int parse_digits(const char *text, uint64_t *number_out)
{
    uint64_t number = 0;
    int count = 0;

    for (; text[count] >= '0' && text[count] <= '9'; count++) {
        if (__builtin_mul_overflow(number, 10U, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[count] - '0'), &number)) {
            return -ERANGE;
        }
    }
    *number_out = number;
    return count;
}

static int parse_with_units(const char *text, const struct unit *units, size_t unit_count,
                            uint64_t *value_out)
{
    uint64_t number = 0;
    uint64_t value = 0;
    int digit_count = parse_digits(text, &number);

    if (digit_count <= 0) {
        return digit_count < 0 ? digit_count : -EINVAL;
    }
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(text + digit_count, units[i].suffix) == 0) {
            if (__builtin_mul_overflow(number, units[i].factor, &value)) {
                return -ERANGE;
            }
            *value_out = value;
            return 0;
        }
    }
    return -EINVAL;
}

int units_parse_bytes(const char *text, uint64_t *bytes_out)
{
    static const struct unit units[] = {
        {"", 1}, {"K", 1U << 10}, {"M", 1U << 20}, {"G", 1U << 30}, {"T", (uint64_t)1 << 40},
    };

    return parse_with_units(text, units, ARRAY_COUNT(units), bytes_out);
}

int units_parse_duration(const char *text, uint64_t *ms_out)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
    };

    if (strcmp(text, "0") == 0) {
        *ms_out = 0;
        return 0;
    }
    return parse_with_units(text, units, ARRAY_COUNT(units), ms_out);
}

int units_parse_cores(const char *text, uint64_t *permille_out)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    int digit_count = parse_digits(text, &whole);

    if (digit_count <= 0) {
        return digit_count < 0 ? digit_count : -EINVAL;
    }
    text += digit_count;
    if (*text == '.') {
        digit_count = parse_digits(text + 1, &fraction);
        if (digit_count < 1 || digit_count > 3) {
            return -EINVAL;
        }
        text += 1 + digit_count;
        for (; digit_count < 3; digit_count++) {
            fraction *= 10;
        }
    }
    if (*text != '\0') {
        return -EINVAL;
    }
    if (__builtin_mul_overflow(whole, 1000U, &whole) ||
        __builtin_add_overflow(whole, fraction, &whole)) {
        return -ERANGE;
    }
    *permille_out = whole;
    return 0;
}

int units_parse_percent(const char *text, uint32_t *percent_out)
{
    static const struct unit units[] = {{"%", 1}};
    uint64_t percent = 0;
    int r = parse_with_units(text, units, ARRAY_COUNT(units), &percent);

    if (r < 0) {
        return r;
    }
    if (percent > 100) {
        return -ERANGE;
    }
    *percent_out = (uint32_t)percent;
    return 0;
}

int units_parse_number(const char *text, uint64_t *number_out)
{
    static const struct unit units[] = {{"", 1}};

    return parse_with_units(text, units, ARRAY_COUNT(units), number_out);
}

void units_print_bytes(uint64_t bytes, char text_out[UNITS_TEXT_BYTES_MAX])
{
    static const char suffixes[] = "KMGTPE";
    uint64_t scaled = bytes; /* in units of the step below the one printed */
    int step = -1;

    while (scaled >= 1024 && step < 5) {
        if (scaled < 10240 && scaled % 1024 != 0) {
            uint64_t tenths = scaled * 10 / 1024;

            if (tenths % 10 != 0) {
                snprintf(text_out, UNITS_TEXT_BYTES_MAX, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10,
                         tenths % 10, suffixes[step + 1]);
                return;
            }
        }
        scaled /= 1024;
        step++;
    }
    if (step < 0) {
        snprintf(text_out, UNITS_TEXT_BYTES_MAX, "%" PRIu64, bytes);
    } else {
        snprintf(text_out, UNITS_TEXT_BYTES_MAX, "%" PRIu64 "%c", scaled, suffixes[step]);
    }
}

void units_print_duration(uint64_t ms, char text_out[UNITS_TEXT_BYTES_MAX])
{
    static const struct unit units[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
    };
    size_t i = 0;

    while (i < ARRAY_COUNT(units) - 1 && ms < units[i].factor) {
        i++;
    }
    snprintf(text_out, UNITS_TEXT_BYTES_MAX, "%" PRIu64 "%s", ms / units[i].factor,
             units[i].suffix);
}

void units_print_cores(uint64_t permille, char text_out[UNITS_TEXT_BYTES_MAX])
{
    snprintf(text_out, UNITS_TEXT_BYTES_MAX, "%" PRIu64 ".%02" PRIu64, permille / 1000,
             permille % 1000 / 10);
}
