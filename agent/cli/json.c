// SPDX-License-Identifier: GPL-3.0-or-later
/* Reading the agent's documents for tables. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/cli/session.h"
#include "base/units.h"

void cleanup_json(json_t **json)
{
    json_decref(*json);
}

void cleanup_buffer(struct buffer *buffer)
{
    buffer_done(buffer);
}

const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

double real_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

json_t *json_base64(struct bytes bytes)
{
    char text[8192];

    return bytes_to_base64(bytes, text, sizeof(text)) < 0 ? NULL : json_string(text);
}

int64_t moment_of(const char *moment)
{
    struct tm parts = {0};

    return strptime(moment, "%Y-%m-%dT%H:%M:%SZ", &parts) == NULL ? 0 : timegm(&parts);
}

void print_age(const char *moment, char text_out[32])
{
    time_t then = moment_of(moment);
    time_t now = time(NULL);

    text_out[0] = '\0';
    if (then == 0) {
        return;
    }
    units_print_duration(now > then ? (uint64_t)(now - then) * 1000 : 0, text_out);
    if (now <= then) {
        snprintf(text_out, 32, "0s");
    }
}

void print_cores_of(const json_t *object, const char *used, const char *limit, char *text_out,
                    size_t capacity_bytes)
{
    char first[UNITS_TEXT_BYTES_MAX];
    char second[UNITS_TEXT_BYTES_MAX];

    units_print_cores((uint64_t)llround(real_of(object, used) * 1000.0), first);
    units_print_cores((uint64_t)llround(real_of(object, limit) * 1000.0), second);
    snprintf(text_out, capacity_bytes, "%s/%s", first, second);
}

void print_bytes_of(const json_t *object, const char *used, const char *limit, char *text_out,
                    size_t capacity_bytes)
{
    char first[UNITS_TEXT_BYTES_MAX];
    char second[UNITS_TEXT_BYTES_MAX];

    units_print_bytes((uint64_t)number_of(object, used), first);
    units_print_bytes((uint64_t)number_of(object, limit), second);
    snprintf(text_out, capacity_bytes, "%s/%s", first, second);
}

void short_id(const char *hex, char text_out[16])
{
    snprintf(text_out, 16, "%.*s", ID_SHORT_CHARS, hex);
}

void print_place(const char *host, int64_t port, char *text_out, size_t capacity_bytes)
{
    bool is_v6 = strchr(host, ':') != NULL;

    snprintf(text_out, capacity_bytes, "%s%s%s:%" PRIi64, is_v6 ? "[" : "", host, is_v6 ? "]" : "",
             port);
}
