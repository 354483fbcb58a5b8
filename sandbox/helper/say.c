// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/say.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"

enum {
    TEXT_BYTES = 512,
    NUMBER_BYTES = 24,
    SERVICE_BYTES = sizeof(((struct sandbox_spec *)NULL)->hostname),
    REPLICA_BYTES = SERVICE_BYTES + NUMBER_BYTES,
};

/* mingad calls a sandbox SERVICE-SLOT; who calls it something else is named by the id's beginning. */
static void service_of(const struct sandbox_spec *spec, char name_out[SERVICE_BYTES])
{
    char tail[NUMBER_BYTES];
    size_t tail_chars;
    size_t chars = strlen(spec->hostname);

    snprintf(tail, sizeof(tail), "-%" PRIu32, spec->key.slot);
    tail_chars = strlen(tail);
    if (chars > tail_chars && strcmp(spec->hostname + chars - tail_chars, tail) == 0) {
        snprintf(name_out, SERVICE_BYTES, "%.*s", (int)(chars - tail_chars), spec->hostname);
        return;
    }
    static_assert((int)ID_SHORT_CHARS < (int)SERVICE_BYTES, "it is written there");
    id_to_short(&spec->key.service.id, name_out);
}

void say_replica(const struct replica *replica, enum log_level level, const char *event,
                 const char *format, ...)
{
    const struct replica_key *key = &replica->spec.key;
    char service[SERVICE_BYTES];
    char name[REPLICA_BYTES];
    char id[ID_HEX_CHARS + 1];
    char incarnation[NUMBER_BYTES];
    char text[TEXT_BYTES];
    const struct log_field fields[] = {{"MINGA_EVENT", event},
                                       {"MINGA_SERVICE", service},
                                       {"MINGA_SERVICE_ID", id},
                                       {"MINGA_REPLICA", name},
                                       {"MINGA_INCARNATION", incarnation}};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    service_of(&replica->spec, service);
    id_to_hex(&key->service.id, id);
    snprintf(name, sizeof(name), "%s/%" PRIu32, service, key->slot);
    snprintf(incarnation, sizeof(incarnation), "%" PRIu64, key->incarnation);
    log_fields(level, fields, ARRAY_COUNT(fields), "%s: %s", replica->name.text, text);
}
