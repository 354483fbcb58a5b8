// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/replica_log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "base/attributes.h"

enum { TEXT_BYTES = 512, NUMBER_BYTES = 24, REPLICA_NAME_BYTES = NAME_CHARS_MAX + 12 };

static bool is_key(const struct replica_key *a, const struct replica_key *b)
{
    return a->slot == b->slot && a->incarnation == b->incarnation &&
           memcmp(a->service.id.bytes, b->service.id.bytes, ID_BYTES) == 0;
}

/* As its manifest says; of a service that is not here (any more) the id's first digits. */
static void name_of(const struct edge *edge, const struct replica_key *key,
                    char name_out[NAME_CHARS_MAX + 1])
{
    uint32_t count = core_replica_count(edge->core);
    struct core_replica replica;

    for (uint32_t i = 0; i < count; i++) {
        core_replica(edge->core, i, clock_now_ms(), &replica);
        if (is_key(&replica.key, key) && replica.service_name[0] != '\0') {
            snprintf(name_out, NAME_CHARS_MAX + 1, "%s", replica.service_name);
            return;
        }
    }
    static_assert((int)ID_SHORT_CHARS <= (int)NAME_CHARS_MAX, "it is written there");
    id_to_short(&key->service.id, name_out);
}

void replica_log(const struct edge *edge, const struct replica_key *key, enum log_level level,
                 const char *event, const char *format, ...)
{
    char name[NAME_CHARS_MAX + 1];
    char replica[REPLICA_NAME_BYTES];
    char id[ID_HEX_CHARS + 1];
    char incarnation[NUMBER_BYTES];
    char text[TEXT_BYTES];
    const struct log_field fields[] = {{"MINGA_EVENT", event},
                                       {"MINGA_SERVICE", name},
                                       {"MINGA_SERVICE_ID", id},
                                       {"MINGA_REPLICA", replica},
                                       {"MINGA_INCARNATION", incarnation}};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    name_of(edge, key, name);
    id_to_hex(&key->service.id, id);
    snprintf(replica, sizeof(replica), "%s/%" PRIu32, name, key->slot);
    snprintf(incarnation, sizeof(incarnation), "%" PRIu64, key->incarnation);
    log_fields(level, fields, ARRAY_COUNT(fields), "%s: %s", replica, text);
}

static void log_end(const struct edge *edge, const struct sandbox_event *event)
{
    bool was_meant = event->end == SANDBOX_END_STOPPED ||
                     (event->end == SANDBOX_END_EXITED && event->status == 0);

    replica_log(edge, &event->key, was_meant ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "ended",
                "has ended%s%s", event->reason[0] == '\0' ? "" : ": ", event->reason);
}

void replica_log_sandbox(const struct edge *edge, const struct sandbox_event *event)
{
    switch (event->kind) {
    case SANDBOX_STARTED:
        replica_log(edge, &event->key, LOG_LEVEL_INFO, "started", "runs");
        break;
    case SANDBOX_LISTED:
        replica_log(edge, &event->key, LOG_LEVEL_INFO, "adopted", "runs on, since %" PRIu64 " s",
                    event->age_ms / 1000);
        break;
    case SANDBOX_HEALTH:
        if (event->healthy != 0) {
            replica_log(edge, &event->key, LOG_LEVEL_INFO, "health", "is well");
        } else {
            replica_log(edge, &event->key, LOG_LEVEL_WARNING, "health",
                        "does not pass its health check");
        }
        break;
    case SANDBOX_ENDED:
        log_end(edge, event);
        break;
    case SANDBOX_STATS:
        break;
    }
}

void replica_log_wish(const struct edge *edge, const struct core_effect *effect)
{
    if (effect->kind == CORE_STOP) {
        replica_log(edge, &effect->replica, LOG_LEVEL_INFO, "stopping", "is asked to end");
    } else if (effect->kind == CORE_FREEZE) {
        replica_log(edge, &effect->replica, LOG_LEVEL_INFO, "frozen", "is frozen");
    } else if (effect->kind == CORE_THAW) {
        replica_log(edge, &effect->replica, LOG_LEVEL_INFO, "thawed", "goes on");
    }
}
