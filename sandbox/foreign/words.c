// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/foreign/words.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/bytes.h"

enum { SIGNAL_MAX = 64, EXIT_STATUS_MAX = 255 };

void words_id(const struct replica_key *key, char id_out[WORDS_ID_BYTES])
{
    char service[ID_HEX_CHARS + 1];

    id_to_hex(&key->service.id, service);
    snprintf(id_out, WORDS_ID_BYTES, "%s-%u-%" PRIu64, service, key->slot, key->incarnation);
}

/* --- to the program --- */

static char *line_of(json_t *object)
{
    char *line = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

    json_decref(object);
    return line;
}

/* NULL where a word is no UTF-8: without it another command would run than was signed. */
static json_t *word_list(const char *words, uint32_t count)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++, words += strlen(words) + 1) {
        if (json_array_append_new(list, json_string(words)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* "NAME=value", one behind the other; of a name that comes twice the last counts. NULL as above. */
static json_t *environment_of(const struct sandbox_spec *spec)
{
    const char *entry = spec->environment;
    json_t *object = json_object();

    for (uint32_t i = 0; i < spec->environment_count; i++, entry += strlen(entry) + 1) {
        char name[ENVIRONMENT_BYTES_MAX];
        size_t name_bytes = strcspn(entry, "=");

        if (entry[name_bytes] == '=' && name_bytes < sizeof(name)) {
            memcpy(name, entry, name_bytes);
            name[name_bytes] = '\0';
            if (json_object_set_new(object, name, json_string(entry + name_bytes + 1)) < 0) {
                json_decref(object);
                return NULL;
            }
        }
    }
    return object;
}

static json_t *limits_of(const struct sandbox_limits *limits)
{
    return json_pack("{s:I,s:I,s:I,s:I}", "cpu_permille", (json_int_t)limits->cpu_permille,
                     "memory_bytes", (json_int_t)limits->memory_bytes, "disk_bytes",
                     (json_int_t)limits->disk_bytes, "pids", (json_int_t)limits->pid_count);
}

static json_t *ports_of(const struct sandbox_spec *spec)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < spec->port_count; i++) {
        json_array_append_new(
            list, json_pack("{s:i,s:s,s:i}", "container", (int)spec->ports[i].container_port,
                            "protocol", spec->ports[i].protocol == SANDBOX_UDP ? "udp" : "tcp",
                            "host", (int)spec->ports[i].host_port));
    }
    return list;
}

char *words_hello(void)
{
    return line_of(json_pack("{s:s,s:i}", "do", "hello", "version", WORDS_VERSION));
}

/* What the manifest's author wrote; false where that is no text. */
static bool add_texts(json_t *start, const struct sandbox_spec *spec)
{
    /* Said in a probe only, when it would be too late to refuse. */
    json_t *question = word_list(spec->health.arguments, spec->health.argument_count);
    bool is_text = question != NULL &&
                   json_object_set_new(start, "command",
                                       word_list(spec->arguments, spec->argument_count)) == 0 &&
                   json_object_set_new(start, "env", environment_of(spec)) == 0 &&
                   json_object_set_new(start, "workdir", json_string(spec->workdir)) == 0;

    json_decref(question);
    return is_text;
}

char *words_start(const struct sandbox_spec *spec, const char *tree_path, const char *output_path)
{
    char id[WORDS_ID_BYTES];

    words_id(&spec->key, id);
    json_t *start = json_pack(
        "{s:s,s:s,s:s,s:s,s:I,s:s,s:o,s:o,s:b}", "do", "start", "replica", id, "tree", tree_path,
        "output", output_path, "user", (json_int_t)spec->user, "hostname", spec->hostname, "limits",
        limits_of(&spec->limits), "ports", ports_of(spec), "egress", (int)spec->egress);

    if (!add_texts(start, spec)) {
        json_decref(start);
        return NULL;
    }
    return line_of(start);
}

char *words_signal(const struct replica_key *key, int signal)
{
    char id[WORDS_ID_BYTES];

    words_id(key, id);
    return line_of(json_pack("{s:s,s:s,s:i}", "do", "signal", "replica", id, "signal", signal));
}

char *words_stats(const struct replica_key *key)
{
    char id[WORDS_ID_BYTES];

    words_id(key, id);
    return line_of(json_pack("{s:s,s:s}", "do", "stats", "replica", id));
}

char *words_probe(const struct replica_key *key, const struct sandbox_health *question)
{
    char id[WORDS_ID_BYTES];

    words_id(key, id);
    return line_of(json_pack("{s:s,s:s,s:o,s:i,s:s,s:I}", "do", "probe", "replica", id, "command",
                             word_list(question->arguments, question->argument_count), "container",
                             (int)question->container_port, "http", question->http_path,
                             "timeout_ms", (json_int_t)question->timeout_ms));
}

/* --- from the program --- */

static int read_id(json_t *object, struct said *said)
{
    const char *id = json_string_value(json_object_get(object, "replica"));

    return id == NULL || text_copy(said->id, sizeof(said->id), id) < 0 ? -EBADMSG : 0;
}

/* "": not there. Shown to people, so nothing but printable characters. */
static void read_reason(json_t *object, struct said *said)
{
    const char *reason = json_string_value(json_object_get(object, "reason"));

    for (size_t i = 0; reason != NULL && reason[i] != '\0' && i < REASON_CHARS_MAX; i++) {
        bool is_plain = reason[i] >= ' ' && reason[i] <= '~';

        said->reason[i] = is_plain ? reason[i] : '?';
    }
}

static int read_ready(json_t *object, struct said *said)
{
    (void)said;
    return json_integer_value(json_object_get(object, "version")) == WORDS_VERSION ? 0 : -EBADMSG;
}

/* How it ended; else, with a status, it ended by itself. */
static const struct {
    const char *name;
    enum sandbox_end end;
} ends[] = {{"out-of-memory", SANDBOX_END_OUT_OF_MEMORY},
            {"refused", SANDBOX_END_REFUSED},
            {"lost", SANDBOX_END_LOST}};

static int read_status(json_t *object, struct said *said)
{
    const json_t *status = json_object_get(object, "status");
    json_int_t number = json_integer_value(status);

    if (!json_is_integer(status) || number < -SIGNAL_MAX || number > EXIT_STATUS_MAX) {
        return -EBADMSG;
    }
    said->end = number < 0 ? SANDBOX_END_SIGNALLED : SANDBOX_END_EXITED;
    said->status = (int)(number < 0 ? -number : number);
    return 0;
}

static int read_ended(json_t *object, struct said *said)
{
    const json_t *end = json_object_get(object, "end");

    read_reason(object, said);
    if (end == NULL) {
        return read_status(object, said);
    }
    for (size_t i = 0; json_is_string(end) && i < ARRAY_COUNT(ends); i++) {
        if (strcmp(json_string_value(end), ends[i].name) == 0) {
            said->end = ends[i].end;
            return 0;
        }
    }
    return -EBADMSG;
}

static int read_probed(json_t *object, struct said *said)
{
    const json_t *healthy = json_object_get(object, "healthy");

    said->healthy = json_is_true(healthy);
    return json_is_boolean(healthy) ? 0 : -EBADMSG;
}

/* What is left out is not known: 0. */
static int read_number(json_t *object, const char *name, uint64_t *number_out)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL) {
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return -EBADMSG;
    }
    *number_out = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_stats(json_t *object, struct said *said)
{
    return read_number(object, "cpu_permille", &said->used.cpu_permille) < 0 ||
                   read_number(object, "memory_bytes", &said->used.memory_bytes) < 0 ||
                   read_number(object, "disk_bytes", &said->used.disk_bytes) < 0 ||
                   read_number(object, "pids", &said->used.pid_count) < 0
               ? -EBADMSG
               : 0;
}

static int read_nothing(json_t *object, struct said *said)
{
    (void)object;
    (void)said;
    return 0;
}

/* All that a program can say. */
static const struct {
    const char *name;
    enum said_kind kind;
    int (*read)(json_t *object, struct said *said);
} table[] = {
    {"ready", SAID_READY, read_ready}, {"started", SAID_STARTED, read_nothing},
    {"ended", SAID_ENDED, read_ended}, {"probed", SAID_PROBED, read_probed},
    {"stats", SAID_STATS, read_stats},
};

static int read_said(json_t *object, struct said *said)
{
    const char *say = json_string_value(json_object_get(object, "say"));

    if (say == NULL) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        if (strcmp(say, table[i].name) == 0) {
            int r = table[i].kind == SAID_READY ? 0 : read_id(object, said);

            said->kind = table[i].kind;
            return r < 0 ? r : table[i].read(object, said);
        }
    }
    return 0; /* SAID_NOTHING */
}

int words_read(const char *line, size_t length_bytes, struct said *said_out, struct err *err)
{
    struct said said = {.kind = SAID_NOTHING};
    json_error_t error;
    json_t *object = json_loadb(line, length_bytes, JSON_REJECT_DUPLICATES, &error);
    int r = json_is_object(object) ? read_said(object, &said) : -EBADMSG;

    json_decref(object);
    if (r < 0) {
        return err_set(err, r, "the environment's program says what has no meaning: %.80s", line);
    }
    *said_out = said;
    return 0;
}
