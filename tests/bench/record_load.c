// SPDX-License-Identifier: GPL-3.0-or-later
/* Puts and gets of records: how long one takes, and how many packets it is. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "images/manifest.h"
#include "overlay/signed.h"
#include "tests/bench/overlay_probe.h"
#include "tests/bench/packets.h"

enum {
    PUTS_ALONE = 60,
    WINDOW_US = 70000,
    SPREAD_US = 230000, /* the copies that nobody waits for follow 100 ms later */
    QUIET_US = 3000000,
};

struct counted { /* without what would have been sent anyway */
    double data;
    double bare;
};

struct measure {
    struct packet_counter counter;
    struct counted idle; /* each us */
};

static struct counted since(struct measure *measure, struct packets before, uint64_t began_us)
{
    struct packets after = packets_now(&measure->counter);
    double us = (double)(probe_now_us() - began_us);

    return (struct counted){(double)(after.data - before.data) - measure->idle.data * us,
                            (double)(after.bare - before.bare) - measure->idle.bare * us};
}

static void look_idle(struct measure *measure, useconds_t us)
{
    struct packets before = packets_now(&measure->counter);
    uint64_t began_us = probe_now_us();

    usleep(us);
    struct packets after = packets_now(&measure->counter);
    double took_us = (double)(probe_now_us() - began_us);

    measure->idle = (struct counted){(double)(after.data - before.data) / took_us,
                                     (double)(after.bare - before.bare) / took_us};
}

static void print_counted(const char *name, const struct counted *counted, uint32_t count)
{
    printf("%s_data_packets %.2f\n%s_bare_packets %.2f\n", name, counted->data / count, name,
           counted->bare / count);
}

/* ------------------------------------------------------------------ */

static size_t make_manifest(const char *name, uint8_t *bytes_out)
{
    static struct manifest manifest;
    struct err err = {0};
    char yaml[128];
    int length = -1;

    snprintf(yaml, sizeof(yaml), "name: %s\ncommand: [/bin/true]\n", name);
    if (manifest_parse(bytes_of_text(yaml), "bench", &manifest, &err) == 0) {
        length = manifest_encode(&manifest, bytes_out);
    }
    return length < 0 ? 0 : (size_t)length;
}

int probe_make_record(const struct probe_record *wanted, char *body_out, size_t capacity_bytes,
                      struct service_id *service_out)
{
    minga_Record record = minga_Record_init_zero;
    minga_Version version = minga_Version_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key = keys_public(wanted->owner);
    uint8_t encoded[3400];
    char text[4800];
    int length;

    record.kind = minga_RecordKind_RECORD_VERSION;
    record.number = 1;
    record.sequence = wanted->sequence;
    record.written_unix_s = (uint64_t)time(NULL);
    memcpy(record.owner_key, key.bytes, PUBLIC_KEY_BYTES);
    (void)text_copy(record.name, sizeof(record.name), wanted->name);
    randombytes_buf(version.tree, sizeof(version.tree));
    version.manifest.size = (pb_size_t)make_manifest(wanted->name, version.manifest.bytes);
    length = signed_encode_body(minga_Version_fields, &version, record.content.bytes,
                                sizeof(record.content.bytes));
    record.content.size = (pb_size_t)length;
    if (signed_make(minga_Record_fields, &record, PURPOSE_RECORD, wanted->owner, &envelope) < 0) {
        return -EMSGSIZE;
    }
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    if (length < 0 ||
        bytes_to_base64((struct bytes){encoded, (size_t)length}, text, sizeof(text)) < 0) {
        return -EMSGSIZE;
    }
    *service_out = keys_service_id(&key, wanted->name);
    snprintf(body_out, capacity_bytes, "{\"record\": \"%s\"}", text);
    return 0;
}

/* ------------------------------------------------------------------ */

static uint32_t put_all(struct probe *probe, const struct secret_key *owner,
                        struct service_id *services_out, uint32_t count)
{
    uint32_t failed = 0;
    char body[8000];

    for (uint32_t i = 0; i < count; i++) {
        struct probe_record record = {.owner = owner, .sequence = 1};

        snprintf(record.name, sizeof(record.name), "bench-%u-%d", i, (int)getpid());
        failed += probe_make_record(&record, body, sizeof(body), &services_out[i]) < 0 ||
                  !probe_timed(probe, probe->agents[i % probe->count].http, "/v1/records", body);
    }
    return failed;
}

static uint32_t get_all(struct probe *probe, const struct service_id *services, uint32_t count)
{
    uint32_t failed = 0;

    for (uint32_t i = 0; i < count; i++) {
        char hex[ID_HEX_CHARS + 1];
        char path[160];

        id_to_hex(&services[i].id, hex);
        snprintf(path, sizeof(path), "/v1/services/%s/versions/1", hex);
        failed += !probe_timed(probe, probe->agents[(i + 5) % probe->count].http, path, NULL);
    }
    return failed;
}

/* One put at a time: what is sent until its answer is here, and what TCP acknowledges after that. What
 * is sent anyway is measured in between, for it changes. */
static uint32_t put_alone(struct probe *probe, struct measure *measure,
                          const struct secret_key *owner)
{
    struct counted until = {0};
    struct counted later = {0};
    uint32_t failed = 0;
    char body[8000];

    for (uint32_t i = 0; i < PUTS_ALONE; i++) {
        struct probe_record record = {.owner = owner, .sequence = 1};
        struct service_id service;

        snprintf(record.name, sizeof(record.name), "alone-%u-%d", i, (int)getpid());
        failed += probe_make_record(&record, body, sizeof(body), &service) < 0;
        look_idle(measure, WINDOW_US);
        struct packets before = packets_now(&measure->counter);
        uint64_t began_us = probe_now_us();

        failed += !probe_timed(probe, probe->agents[i % probe->count].http, "/v1/records", body);
        struct counted part = since(measure, before, began_us);

        until.data += part.data;
        until.bare += part.bare;
        usleep(WINDOW_US);
        struct counted all = since(measure, before, began_us);

        later.data += all.data - part.data;
        later.bare += all.bare - part.bare;
        usleep(SPREAD_US);
    }
    probe_print(probe, "put_alone");
    print_counted("put_acknowledged", &until, PUTS_ALONE);
    print_counted("put_after", &later, PUTS_ALONE);
    return failed;
}

int run_records(struct probe *probe, char **words)
{
    uint32_t count = (uint32_t)strtoul(words[1], NULL, 10);
    struct service_id *services = calloc(count + 1, sizeof(*services));
    struct measure measure = {0};
    struct secret_key owner;
    struct err err = {0};

    if (services == NULL || count == 0 || keys_load(words[0], &owner, &err) < 0 ||
        packets_open(&measure.counter, probe->switch_namespace) < 0) {
        fprintf(stderr, "records: %s %m\n", err.text);
        free(services);
        return 1;
    }
    look_idle(&measure, QUIET_US);
    struct packets before = packets_now(&measure.counter);
    uint64_t began_us = probe_now_us();
    uint32_t failed = put_all(probe, &owner, services, count);

    probe_print(probe, "put");
    usleep(SPREAD_US + WINDOW_US);
    struct counted counted = since(&measure, before, began_us);

    print_counted("put", &counted, count);
    look_idle(&measure, QUIET_US);
    before = packets_now(&measure.counter);
    began_us = probe_now_us();
    failed += get_all(probe, services, count);
    usleep(WINDOW_US); /* TCP acknowledges the last answer */
    counted = since(&measure, before, began_us);
    print_counted("get", &counted, count);
    probe_print(probe, "get");
    failed += put_alone(probe, &measure, &owner);
    printf("records_failed %u\n", failed);
    free(services);
    return 0;
}
